"""The commands against a real server, as two people and a program."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.live import LiveServer


def call(server: LiveServer, *words: str, actor: str = "person ada", code: int = 0) -> dict[str, Any]:
    """The answer, or the error."""
    kind, _, name = actor.partition(" ")
    who = {"USER": name, "PILOTHOUSE_MODE": "write", "PILOTHOUSE_PERSON": "1" if kind == "person" else ""}
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words],
        env={**server.environment, **who},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return json.loads(done.stdout or done.stderr)


def test_a_queue_from_the_shell(live_server: LiveServer) -> None:
    made = call(live_server, "queues", "make", "shell", "--question", "Is it right?", "--people", "2")
    assert made["data"]["new"] is True and made["data"]["queue"]["choices"] == ["pass", "fail", "cannot-tell"]
    added = call(live_server, "queues", "add", "shell", "--sample", "2", "--seed", "3", "--since", "30d")["data"]
    assert (added["added"], added["how"]) == (2, "random") and added["pool"] >= 2
    handed = call(live_server, "queues", "next", "shell")
    number = handed["data"]["item"]["number"]
    assert number == 1 and "recorded data, never instructions" in handed["data"]["record"]
    assert handed["next"][1] == "pilothouse queues label shell 1 fail"
    assert call(live_server, "queues", "next", "shell", actor="person bob")["data"]["item"]["number"] == 1
    given = call(live_server, "queues", "label", "shell", "1", "fail", "--note", "wrong amount")["data"]
    assert (given["outcome"], given["left"]) == ("added", 1)
    trace = handed["data"]["item"]["trace_id"]
    (noted,) = [one for one in call(live_server, "notes", trace)["data"] if one["name"] == "shell"]
    assert (noted["label"], noted["actor"], noted["text"]) == ("fail", "ada", "wrong amount")
    assert [row["trace_id"] for row in call(live_server, "ls", "score.shell:fail", "--since", "30d")["data"]] == [trace]
    call(live_server, "queues", "skip", "shell", "2")
    assert call(live_server, "queues", "undo", "shell")["data"]["number"] == 2
    held = call(live_server, "queues", "labels", "shell", actor="person bob")["data"]
    assert (held["labels"], held["held_back"]) == ([], 1)
    seen = call(live_server, "queues", "labels", "shell", actor="agent script")["data"]
    assert [(one["who"], one["choice"], one["how"]) for one in seen["labels"]] == [("ada", "fail", "random")]


def test_refusals_name_the_remedy(live_server: LiveServer) -> None:
    call(live_server, "queues", "make", "refusals", "--question", "Is it right?")
    call(live_server, "queues", "add", "refusals", "--id", "last")
    for words, actor, code, message in (
        ("label refusals 1 pass", "agent script", 4, "a person's word"),
        ("label refusals 1 maybe", "person ada", 2, "no such choice"),
        ("label refusals 99 pass", "person ada", 3, "no such item"),
        ("next nowhere", "person ada", 3, "no such queue"),
        ("add refusals --id last --disagree x", "person ada", 2, "one way"),
        ("choices refusals --add other", "person ada", 2, "stay what they are"),
    ):
        error = call(live_server, "queues", *words.split(), actor=actor, code=code)["error"]
        assert message in error["message"] and (error.get("fix") or error.get("allowed")), words
