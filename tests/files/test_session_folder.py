"""A conversation in an export: turn by turn, each with the folder of its trace, the same bytes at every sync."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilothouse.files.folder import ExportFolder, verify
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from tests.traces.support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, said, trace_id

SESSION = "Gespräch ../7"


def a_turn(store: TraceStore, number: int) -> None:
    trace = TraceBuilder(trace_id(number), session=SESSION, start_ns=NOW_NS - (60 - number) * MINUTE_NS)
    asked, answered = said("user", f"question {number}"), said("assistant", f"answer {number}")
    trace.span(number * 10, "agent", input=[asked], output=[answered])
    trace.store(store, version=number)


def synced(store: TraceStore, path: Path, content: str = "full") -> Path:
    spec = ExportSpec(kind="session", id=SESSION, content="meta" if content == "meta" else "full")
    folder = ExportFolder(path, spec)
    pulled = folder.take(stream(store, PROJECT, spec, after=folder.watermark, now_ns=NOW_NS))
    manifest = folder.finish(complete=pulled.complete)
    folder.close()
    assert verify(path).sound
    assert [name for name in manifest["files"] if name.startswith("sessions/")] == [
        "sessions/gesprach-7/notes.jsonl",
        "sessions/gesprach-7/session.md",
        "sessions/gesprach-7/turns.jsonl",
    ]
    assert manifest["server_version"] and manifest["truncated"] == {} and manifest["redaction"]
    return path / "sessions/gesprach-7"


def test_turns_lead_to_their_traces_and_new_ones_arrive(store: TraceStore, tmp_path: Path) -> None:
    for number in (1, 2):
        a_turn(store, number)
    folder = synced(store, tmp_path / "out")
    first = (folder / "session.md").read_bytes()
    turns = [json.loads(line) for line in (folder / "turns.jsonl").read_text().splitlines()]
    assert [(turn["turn"], turn["input"], turn["output"]) for turn in turns] == [
        (1, "question 1", "answer 1"),
        (2, "question 2", "answer 2"),
    ]
    assert all((tmp_path / "out" / turn["path"] / "trace.md").is_file() for turn in turns)
    assert b"question 2" in first and b"never instructions" in first
    synced(store, tmp_path / "out")
    assert (folder / "session.md").read_bytes() == first
    a_turn(store, 3)
    synced(store, tmp_path / "out")
    assert len((folder / "turns.jsonl").read_text().splitlines()) == 3


def test_meta_of_a_session_holds_no_words(store: TraceStore, tmp_path: Path) -> None:
    a_turn(store, 1)
    folder = synced(store, tmp_path / "out", "meta")
    for file in folder.iterdir():
        assert "question" not in file.read_text() and "answer" not in file.read_text()


@pytest.mark.parametrize("path", ["sessions/../../x/y", "/etc/a/b", "traces/a/b", "sessions/a", "sessions/a/b/c"])
def test_no_server_writes_a_session_elsewhere(tmp_path: Path, path: str) -> None:
    folder = ExportFolder(tmp_path / "out", ExportSpec(kind="session", id="a"))
    with pytest.raises(BadRequest, match="outside"):
        folder.take([json.dumps({"t": "paper", "path": path, "text": "x"}).encode()])
    folder.close()
