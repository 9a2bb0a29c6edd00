"""``pilothouse optimize`` as a user runs it: trials in processes of their own, killed in the middle and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilothouse.cli.root import run
from tests.cli.test_cli_schemas import check
from tests.evals.judges.asked import JudgeServer

from .conftest import BETTER, PROMPT, project, proposal

Serving = Callable[[Callable[[str, str], str]], JudgeServer]


def test_killed_in_the_middle_it_goes_on_and_writes_only_when_told(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serving(lambda asked, inside: proposal(BETTER))
    suite = project(tmp_path, server.openai_url)
    monkeypatch.chdir(tmp_path)
    words = ["optimize", "prompt.md", "--rounds", "2", "--simplify", "1"]
    first = subprocess.Popen(
        [sys.executable, "-m", "pilothouse.cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    trials = suite / ".pilothouse/optimize/opt-0001/trials"
    deadline = time.monotonic() + 120
    while not list(trials.glob("*-training/results.jsonl")):
        assert time.monotonic() < deadline
        assert first.poll() is None, first.stderr and first.stderr.read()
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert (tmp_path / "prompt.md").read_text() == PROMPT

    # The trial of the killed process ends by itself: until then its results are not written by two.
    while (code := run(("optimize", "--resume", "last", "--json", "--budget", "100000"))) == 2:
        assert time.monotonic() < deadline, capsys.readouterr().err
        assert "another process" in capsys.readouterr().err
        time.sleep(0.1)
    out = capsys.readouterr().out
    check("optimize", json.loads(out))
    data = json.loads(out)["data"]
    assert (code, data["changed"], data["optimization"]) == (0, True, "opt-0001")
    assert "+You answer customers of {shop}. Greet them. Name the term." in data["diff"]
    assert data["final"]["outcome"] == "pass"
    assert (tmp_path / "prompt.md").read_text() == PROMPT, "not without --write"
    results = [
        json.loads(line) for path in trials.glob("*-training/results.jsonl") for line in path.read_text().splitlines()
    ]
    assert len({(one["case"], one["repeat"]) for one in results}) * 2 == len(results), "no case was run again"

    (tmp_path / "prompt.md").write_text("edited by hand")
    assert run(("optimize", "--resume", "last", "--write")) == 2
    assert "changed meanwhile" in capsys.readouterr().err
    (tmp_path / "prompt.md").write_text(PROMPT)
    assert run(("optimize", "--resume", "opt-0001", "--write", "--human")) == 0
    assert "wrote prompt.md" in capsys.readouterr().out
    assert (tmp_path / "prompt.md").read_text() == Path(data["best"]).read_text()


def test_slips_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path, "http://127.0.0.1:9/v1")
    monkeypatch.chdir(tmp_path)
    for words, code, told in (
        ((), 2, "no prompt file"),
        (("none.md",), 2, "cannot be read"),
        (("prompt.md", "--rounds", "0"), 2, "rounds"),
        (("prompt.md", "--target", "http://127.0.0.1:9"), 2, "module:attribute"),
        (("--resume", "last"), 3, "no such optimization"),
    ):
        assert run(("optimize", *words)) == code
        assert told in capsys.readouterr().err, words
