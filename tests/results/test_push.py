"""``pilothouse eval push`` and ``eval results`` against a real server, as an agent uses them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.cli.root import run as run_command
from pilothouse.records import iso
from tests.cli.test_cli_schemas import KNOWN as SCHEMAS
from tests.cli.test_cli_schemas import check
from tests.live import LiveServer

from .support import make_run

Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], live_server: LiveServer
) -> Iterator[Call]:
    """Runs ``pilothouse eval …`` in a folder of its own; exit code and data, or the error. What was sent goes again."""
    for name in ("PILOTHOUSE_URL", "PILOTHOUSE_API_KEY", "PILOTHOUSE_SUITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PILOTHOUSE_DATA", str(live_server.data))
    monkeypatch.chdir(tmp_path)
    sent: list[str] = []

    def call(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = run_command(["eval", *words, "--json", "--budget", "200000"])
        out, err = capsys.readouterr()
        if not out:
            return code, json.loads(err.splitlines()[-1])["error"]
        answer = json.loads(out)
        name = "eval " + " ".join(words[: 2 if words[0] == "results" else 1])
        if name in SCHEMAS["commands"]:
            check(name, answer)
        if words[0] == "push":
            sent.append(answer["data"]["run_id"])
        return code, answer["data"]

    yield call
    for one in set(sent):
        run_command(["eval", "unpush", one])
    capsys.readouterr()


@pytest.fixture
def folder(tmp_path: Path, call: Call) -> Path:
    """A suite with two runs: of the second, three of forty cases fail."""
    folder = tmp_path / "evals/refunds"
    (folder / "cases").mkdir(parents=True)
    (folder / "suite.yaml").write_text("gate: {margin: 0.05}\n")
    make_run(folder, "v1")
    make_run(folder, "v2", failing=lambda n: n < 3, started=iso(1_800_000_000_000_000_000))
    return folder


def test_runs_are_pushed_told_of_compared_and_taken_back(call: Call, folder: Path, live_server: LiveServer) -> None:
    code, first = call("push", "v1")
    assert (code, first["cases"], first["passed"], first["batches"], first["sent"]) == (0, 40, 40, 1, 1)
    assert first["url"] == f"{live_server.url}/evals/runs/{first['run_id']}"
    code, second = call("push", "--baseline", "v1")
    assert (code, second["failed"], second["baseline"], second["verdict"]) == (0, 3, first["run_id"], "not_enough_data")
    assert call("push")[1]["sent"] == 0
    code, listed = call("results", "ls", "--of", "refunds")
    assert [(one["version"], one["totals"]["passed"]) for one in listed] == [("v2", 37), ("v1", 40)]
    code, shown = call("results", "show", "last")
    assert (shown["held"]["regressed"], shown["keys"]["customer"]) == (3, 3)
    code, parts = call("results", "groups", "v2", "--by", "customer")
    assert {one["value"]: one["totals"]["failed"] for one in parts["groups"]} == {"acme": 1, "bolt": 1, "core": 1}
    code, cases = call("results", "cases", "last", "--only", "fail", "--where", "customer=bolt")
    assert [(one["case"], one["why"]) for one in cases] == [("case-0001", "no refund was made")]
    code, case = call("results", "case", second["run_id"], "case-0001")
    assert case["attempts"][0]["text"] == "sorry, no"
    code, compared = call("results", "compare", "last-1", "last")
    assert (compared["verdict"], compared["counts"], compared["margin"]) == (
        "not_enough_data", {"regressed": 3, "passed": 37}, 0.05,
    )  # fmt: skip
    code, gone = call("unpush", "v1")
    assert (code, gone["run_id"]) == (0, first["run_id"])
    code, error = call("results", "compare", "v1", "last")
    assert (code, error["kind"]) == (3, "not_found")
    code, error = call("unpush", "v1")
    assert (code, error["kind"]) == (3, "not_found")
    assert call("push", "v1")[1]["run_id"] == first["run_id"]
    audited = {row[0] for row in _audit(live_server, "evals.")}
    assert {"evals.push", "evals.unpush"} <= audited


def _audit(server: LiveServer, action: str) -> list[tuple[str, str]]:
    import sqlite3

    database = sqlite3.connect(server.data / "control.db")
    try:
        found = "SELECT action, detail FROM audit WHERE action LIKE ?"
        return database.execute(found, (f"{action}%",)).fetchall()
    finally:
        database.close()


def test_a_run_is_pushed_as_it_ends(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"echoing_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("def agent(text):\n    return text\n")
    assert call("init", "echo", "--target", f"{name}:agent")[0] == 0
    case = "id: one\ninput: hello\nchecks: [{contains: hello}]\nmetadata: {tags: ['customer:acme']}\n"
    (tmp_path / "one.yaml").write_text(case)
    assert call("add", "one.yaml")[0] == 0 and call("rm", "first")[0] == 0
    code, data = call("run", "--push")
    assert (code, data["pushed"]["passed"], data["pushed"]["sent"]) == (0, 1, 1)
    code, groups = call("results", "groups", data["pushed"]["run_id"], "--by", "customer")
    assert [(one["value"], one["totals"]["passed"]) for one in groups["groups"]] == [("acme", 1)]
    # Where the suite says so, each run is; and a server that does not answer costs no result.
    suite = tmp_path / "evals/echo/suite.yaml"
    suite.write_text(f"target: {name}:agent\nrun: {{push: true}}\n")
    monkeypatch.setenv("PILOTHOUSE_DATA", str(tmp_path / "nowhere"))
    code, data = call("run", "--fresh")
    assert (code, data["passed"]) == (9, 1)
    assert "no server is known" in data["pushed"]["error"]


def test_a_body_is_bounded_and_odd_ones_are_refused(live_server: LiveServer) -> None:
    def ask(method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(  # our own server
            f"{live_server.url}/api/v1/evals{path}", data=body, method=method,
            headers={"Authorization": f"Bearer {live_server.key}", "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    status, answer = ask("POST", "/runs/evr_bounded01/cases", b" " * (17 << 20))
    assert (status, answer["error"]["kind"]) == (413, "too_large")
    assert ask("PUT", "/runs/nonsense", b'{"suite": "s", "started": "2026-11-29"}')[0] == 400
    status, answer = ask("PUT", "/runs/evr_bounded01", b'{"suite": "s", "started": "yesterday"}')
    assert (status, answer["error"]["got"]) == (400, "yesterday")
    case = {"case": "a", "attempts": [{"repeat": 1, "outcome": "pass", "said": [{"nonsense": 1}]}]}
    body = json.dumps({"digest": "ab" * 8, "cases": [case]}).encode()
    status, answer = ask("POST", "/runs/evr_bounded01/cases", body)
    assert (status, answer["error"]["got"]) == (400, "a")
    body = json.dumps(
        {"digest": "ab" * 8, "cases": [{**case, "attempts": [{"repeat": 1, "outcome": "pass"}]}]}
    ).encode()
    assert ask("POST", "/runs/evr_bounded01/cases", body)[0] == 404
