"""A reviewing model that reads what it is sent, and the command line in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.cli.root import run
from tests.cli.conftest import Result
from tests.cli.test_cli_schemas import check
from tests.evals.judges.asked import Decides, JudgeServer

ReviewCall = Callable[..., Result]


@pytest.fixture
def serving() -> Iterator[Callable[[Decides], JudgeServer]]:
    """Starts reviewing models; stops them at the end."""
    running: list[JudgeServer] = []

    def start(decides: Decides) -> JudgeServer:
        server = JudgeServer(decides)
        running.append(server)
        server.start()
        return server

    yield start
    for one in running:
        one.close()


@pytest.fixture
def review(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> ReviewCall:
    """Runs ``pilothouse review …`` as a pipe would see it."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        capsys.readouterr()
        code = run(("review", *words))
        out, err = capsys.readouterr()
        name = f"review {words[0] if words[0] in ('init', 'rules', 'lint') else 'diff'}"
        if out.startswith("{"):
            check(name, json.loads(out))
        return Result(code=code, out=out, err=err)

    return call


def verdicts(**by_rule: Any) -> str:
    """An answer in good form: a rule's findings as ``(line, why)``, or ``kept``, or ``unclear``."""
    rows: list[dict[str, Any]] = []
    for rule, said in by_rule.items():
        name = rule.replace("_", "-")
        if isinstance(said, str):
            rows.append({"rule": name, "verdict": said})
        else:
            listed = [{"line": line, "why": why, "suggestion": "take it away"} for line, why in said]
            rows.append({"rule": name, "verdict": "broken", "findings": listed})
    return json.dumps({"verdicts": rows})
