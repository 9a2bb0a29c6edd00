"""Continuous integration: the steps of the very file that is written, run by bash in a repository of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from pilothouse.cli.root import run
from pilothouse.evals.ci_files import FILES
from pilothouse.evals.runs import every
from pilothouse.testing.model_server import ModelServer

AGENT = """
import json, os, pathlib, urllib.request

def agent(text):
    prompt = pathlib.Path(__file__).with_name("prompt.md").read_text()
    body = {"model": "gpt-4.1", "messages": [{"role": "system", "content": prompt}, {"role": "user", "content": text}]}
    url = os.environ["MODEL_URL"] + "/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
"""
SCRIPT = {
    "rules": [
        {"system": "name the term", "reply": {"text": "Within 30 days."}},
        {"reply": {"text": "Soon."}},
    ]
}
CASES = "\n".join(
    f'{{"id": "c{n}", "input": "May I return item {n}?", "checks": [{{"contains": "30 days"}}], "metadata": {{"severity": "{"critical" if n == 1 else "low"}"}}}}'
    for n in range(3)
)


class Repository:
    """A repository with an agent, its suite, and what a runner of CI would set."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        tools = Path(sys.executable).parent
        self.environment = {
            "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder.parent), "MODEL_URL": model,
            "GITHUB_STEP_SUMMARY": str(folder.parent / "summary.md"),
        }  # fmt: skip

    def sh(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        # As GitHub's runner does it.
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder, env={**self.environment, **more}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def done(self, script: str) -> str:
        found = self.sh(script)
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    folder = tmp_path_factory.mktemp("ci") / "bot"
    folder.mkdir()
    with ModelServer(SCRIPT) as server:
        made = Repository(folder, server.openai_url)
        (folder / "bot.py").write_text(AGENT)
        (folder / "prompt.md").write_text("Be kind and name the term.\n")
        made.done(
            "git init -q -b main . && git config user.email a@example.com && git config user.name a"
            " && printf '.pilothouse/runs\\n__pycache__\\n' > .gitignore && git add . && git commit -qm agent"
            " && git tag before-suite && mkdir -p evals/returns/cases"
        )
        (folder / "evals/returns/suite.yaml").write_text("target: bot:agent\n")
        (folder / "evals/returns/cases/all.jsonl").write_text(CASES + "\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert run(("eval", "ci", "--write", "github")) == 0
        made.done("git add . && git commit -qm suite")
        yield made


def steps(folder: Path) -> list[dict[str, Any]]:
    found = yaml.safe_load((folder / ".github/workflows/pilothouse.yml").read_text())
    return found["jobs"]["evaluate"]["steps"]


def test_the_steps_of_the_workflow_gate_a_change(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    base = repository.done("git rev-parse HEAD")
    runs = [one for one in steps(repository.folder) if "run" in one]
    assert [one["name"] for one in runs] == ["Install", "Evaluate", "Review"]
    evaluate, reviewing = runs[1]["run"], runs[2]["run"]
    assert "${{" not in evaluate + reviewing, "what others name must not reach a script"

    repository.done(
        "git switch -qc shorter && echo 'Name the term: name the term.' > prompt.md && git commit -qam shorter"
    )
    good = repository.sh(evaluate, BASE=base)
    assert good.returncode == 0, good.stderr
    summary = Path(repository.environment["GITHUB_STEP_SUMMARY"])
    assert "## Evaluation" in summary.read_text()

    repository.done("git switch -qc worse main && echo 'Be kind.' > prompt.md && git commit -qam worse")
    bad = repository.sh(evaluate, BASE=base)
    assert bad.returncode == 7, bad.stderr
    assert "FAILS" in summary.read_text()
    assert "a critical case regressed: c1" in (repository.folder / "report.md").read_text()
    cases = ElementTree.parse(repository.folder / "junit.xml").getroot()
    assert (cases.get("tests"), cases.get("failures")) == ("3", "3")
    assert repository.done("git worktree list").count("\n") == 0, "the checkout of the base is gone again"
    # The base was run once: the second time its results were taken over.
    made = [one for one in every(repository.folder / "evals/returns") if one.about.version == base[:12]]
    assert [sum(bool(it.taken_from) for it in one.results()) for one in made] == [3, 0]

    # Without a model the review blocks nothing and says so.
    monkeypatch.chdir(repository.folder)
    assert run(("review", "init")) == 0
    said = repository.sh(reviewing, BASE=base)
    assert (said.returncode, "no model is configured" in said.stdout) == (0, True), said.stderr


def test_without_a_base_that_runs_the_change_is_reported_alone(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Before there was an agent.
    monkeypatch.chdir(repository.folder)
    for name, value in repository.environment.items():
        monkeypatch.setenv(name, value)
    repository.done(
        "git switch -qf main && git switch -q --orphan empty && git commit -q --allow-empty -m nothing"
        " && git switch -q main && git replace --graft before-suite empty"
    )
    assert run(("eval", "ci", "--base", "empty", "--report", "report.md", "--undecided", "fail", "--human")) == 7
    assert "NOT COMPARED" in capsys.readouterr().out
    assert "3 of 3 cases pass" in (repository.folder / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("--base no-such-branch", 3, "knows no such commit"),
        ("--base --output=x", 2, "branch or a commit"),
        ("--base main --setup false", 2, "setup failed"),
        ("--write github", 2, "such a file already"),
    ],
)
def test_slips_are_named(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    words: str, code: int, told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(repository.folder)
    capfd.readouterr()
    found = run(("eval", "ci", *shlex.split(words)))
    err = capfd.readouterr().err
    assert (found, told in err) == (code, True), err


def test_the_files_are_yaml_and_call_what_there_is() -> None:
    for _, text in FILES.values():
        assert yaml.safe_load(text)
    script = yaml.safe_load(FILES["gitlab"][1])["pilothouse"]["script"]
    assert script[0].startswith("pilothouse eval ci --suite SUITE --base ")
