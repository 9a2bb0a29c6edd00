"""Writing from the command line, against a real server that is killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.live import record_captures
from tests.live_server import LiveServer, start_server


@dataclass
class Shell:
    """Commands in an environment that finds the server by its folder, as on its own machine."""

    server: LiveServer

    def run(self, *words: str, **environment: str) -> tuple[int, dict[str, Any]]:
        """Exit code, and the answer or the error."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}
        done = subprocess.run(
            [sys.executable, "-m", "pilothouse.cli", *words],
            env={**clean, "PILOTHOUSE_DATA": str(self.server.data), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, json.loads(done.stdout or done.stderr)

    def data(self, *words: str, **environment: str) -> Any:
        """The data of a good answer."""
        code, answer = self.run(*words, **environment)
        assert code == 0, answer
        return answer["data"]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A server of its own: these tests write, and kill it."""
    data = tmp_path_factory.mktemp("annotated") / "data"
    shell = Shell(start_server(data))
    try:
        record_captures(_Poster(shell.server))  # type: ignore[arg-type]
        shell.server.wait_until_stored()
        yield shell
    finally:
        shell.server.stop()


@dataclass
class _Poster:
    server: LiveServer

    def post(self, path: str, body: Any) -> None:
        status, answer = self.server.post(path, json.dumps(body).encode(), {"content-type": "application/json"})
        assert status == 200, answer


@pytest.fixture(scope="module")
def trace(shell: Shell) -> str:
    return str(shell.data("ls", "--limit", "1")[0]["trace_id"])


def test_a_run_writes_is_listed_and_is_taken_back(shell: Shell, trace: str) -> None:
    note = shell.data("note", trace, "asked twice", "--step", "1", "--run", "r1")
    assert note["undo"] == "pilothouse undo --run r1" and note["items"][0]["outcome"] == "added"
    assert note["items"][0]["annotation"]["step"] == 1
    assert shell.data("note", trace, "asked twice", "--step", "1", "--run", "r1")["items"][0]["outcome"] == "unchanged"
    score = shell.data("score", trace, "helpful", "0.25", "--explanation", "half", PILOTHOUSE_RUN="r1")
    assert (score["run"], score["items"][0]["annotation"]["value"]) == ("r1", 0.25)
    word = shell.data("score", trace, "verdict", "fail", "--run", "r1")["items"][0]["annotation"]
    assert (word["value"], word["label"]) == (None, "fail")
    shell.data("label", trace, "loop", "--run", "r1")
    dry = shell.data("label", trace, "other", "--dry-run")
    assert dry["dry_run"] and dry["undo"] == ""
    listed = shell.data("notes", trace)
    assert [(row["kind"], row["name"], row["run"]) for row in listed] == [
        ("note", "", "r1"),
        ("score", "helpful", "r1"),
        ("score", "verdict", "r1"),
        ("label", "loop", "r1"),
    ]
    assert shell.data("notes", trace, "--step", "1", "--kind", "note")[0]["text"] == "asked twice"
    assert shell.data("notes", "--run", "r1") == listed
    assert [(row["run"], row["writes"]) for row in shell.data("notes", "--runs")] == [("r1", 4)]
    undone = shell.data("undo", "--run", "r1")
    assert (undone["removed"], undone["kept_count"]) == (4, 0)
    assert shell.data("undo", "--run", "r1")["removed"] == 0
    assert shell.data("notes", trace) == []


def test_an_agent_on_this_machine_reads_unless_it_is_told(shell: Shell, trace: str) -> None:
    agent = {"CLAUDECODE": "1"}
    assert shell.data("notes", trace, **agent) == []
    code, answer = shell.run("note", trace, "x", **agent)
    assert code == 4 and "PILOTHOUSE_MODE=annotate" in answer["error"]["fix"], answer
    code, answer = shell.run("keys", "new", "--mode", "admin", **agent, PILOTHOUSE_MODE="write")
    assert code == 4 and "PILOTHOUSE_MODE=admin" in answer["error"]["fix"]
    written = shell.data("note", trace, "x", "--run", "r2", **agent, PILOTHOUSE_MODE="annotate")
    stamped = written["items"][0]["annotation"]
    assert (stamped["actor"], stamped["actor_kind"]) == ("claude-code", "agent")
    # Another agent on this machine did not write it.
    code, answer = shell.run("undo", "--run", "r2", PILOTHOUSE_AGENT="someone", PILOTHOUSE_MODE="annotate")
    assert code == 4, answer
    assert shell.data("undo", "--run", "r2", **agent, PILOTHOUSE_MODE="annotate")["removed"] == 1
    code, answer = shell.run("ls", PILOTHOUSE_MODE="everything")
    assert code == 2 and answer["error"]["got"] == "everything"


def test_a_key_for_an_agent_reads_and_is_stamped(shell: Shell, trace: str) -> None:
    made = shell.data("keys", "new", "--for", "agent", "--name", "triage")
    assert (made["mode"], made["actor_kind"]) == ("read", "agent")
    keyed = {"PILOTHOUSE_URL": shell.server.url, "PILOTHOUSE_API_KEY": made["secret"]}
    assert shell.data("notes", trace, **keyed) == []
    code, answer = shell.run("label", trace, "x", **keyed)
    assert code == 4 and "annotate" in answer["error"]["message"]
    more = shell.data("keys", "new", "--for", "evaluator", "--name", "judge 2")
    assert more["mode"] == "annotate"
    keyed["PILOTHOUSE_API_KEY"] = more["secret"]
    row = shell.data("score", trace, "s", "1", "--run", "r3", **keyed)["items"][0]["annotation"]
    assert (row["actor"], row["actor_kind"]) == ("judge 2", "evaluator")
    shell.data("undo", "--run", "r3", **keyed)


def test_errors_name_the_value_and_the_remedy(shell: Shell, trace: str) -> None:
    code, answer = shell.run("label", trace, "two words")
    assert (code, answer["error"]["got"]) == (2, "two words") and "two-words" in answer["error"]["fix"]
    code, answer = shell.run("note", "ffffffff", "x")
    assert code == 3
    code, answer = shell.run("note", trace, "x", "--step", "99999")
    assert code == 3 and answer["error"]["allowed"]
    code, answer = shell.run("undo", "--run", "r4")
    assert code == 3 and "r1" in str(answer["error"]["allowed"])
    code, answer = shell.run("note", "note_00", "--remove")
    assert code == 3


@pytest.mark.slow
def test_what_was_answered_survives_kill_9(shell: Shell, trace: str) -> None:
    kept = shell.data("note", trace, "kept", "--run", "r5")["items"][0]["annotation"]
    shell.server.kill()
    shell.server = start_server(shell.server.data, key=shell.server.key)
    assert shell.data("notes", trace, "--kind", "note") == [kept]
    assert shell.data("note", kept["annotation_id"], "--remove")["items"][0]["outcome"] == "removed"
