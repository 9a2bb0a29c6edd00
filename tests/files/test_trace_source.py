"""A trace read together with others, and one read in portions, give the same files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.files import trace_source
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.store import TraceStore
from tests.traces.support import NOW_NS, PROJECT, TraceBuilder, said, trace_id


def streamed(store: TraceStore) -> list[dict[str, Any]]:
    spec = ExportSpec(kind="query", text="", since="7d")
    return [json.loads(line) for line in stream(store, PROJECT, spec, now_ns=NOW_NS)]


def test_read_together_or_in_portions_the_files_are_the_same(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        trace = TraceBuilder(trace_id(number))
        history = [said("system", "be kind"), said("user", f"question {number} " + "x" * 3_000)]
        trace.span(1, "agent", "desk", input=history[1:], output=[said("assistant", "the answer")])
        for call in range(2, 8):
            answer = said("assistant", f"answer {call}")
            trace.span(call, "model", parent=1, at_ms=call * 2, input=list(history), output=[answer])
            history.append(answer)
            status = {"status": "error", "error_type": "Timeout"} if call == 5 else {}
            trace.span(100 + call, "tool", parent=1, at_ms=call * 2 + 1, tool_name="look", input_text="{}", **status)
        trace.store(store)

    together = streamed(store)
    monkeypatch.setattr(trace_source, "SPANS_AT_ONCE", 0)
    monkeypatch.setattr(trace_source, "SPANS_A_READ", 3)
    in_portions = streamed(store)

    def files(lines: list[dict[str, Any]]) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in lines:
            if line["t"] == "file":
                found[line["path"]] = (found.get(line["path"], "") if line.get("append") else "") + line["text"]
        return found

    assert len(files(together)) >= 3 * 12
    assert files(together) == files(in_portions)
    assert [line["t"] for line in together].count("done") == 3
