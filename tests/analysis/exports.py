"""Exports for tests, made by the real writer from traces that a test describes in a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilothouse.files.folder import ExportFolder
from pilothouse.files.spec import SCHEMA, ExportSpec

SPEC = ExportSpec(kind="query", text="agent:shop", since="2026-01-01")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a tool and what it returned."""

    tool: str
    output: str
    status: str = "ok"
    error: str = ""
    input: str = "{}"


@dataclass(frozen=True, kw_only=True)
class Told:
    """One trace."""

    number: int
    calls: Sequence[Call] = ()
    answer: str = "Done."
    question: str = ""
    status: str = "ok"
    row: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    bare: bool = False
    """True: it ended before it called a model or a tool."""
    code: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.number + 1:032x}"

    @property
    def folder(self) -> str:
        return f"traces/2026-11-20/{self.number:06d}-{self.id}-shop"


def make_export(path: Path, traces: Sequence[Told]) -> Path:
    """Write an export, or bring one up to date."""
    folder = ExportFolder(path, SPEC)
    try:
        folder.take(_lines(traces))
        folder.finish(complete=True)
    finally:
        folder.close()
    return path


def _lines(traces: Sequence[Told]) -> Iterator[bytes]:
    yield _line({"t": "start", "schema": SCHEMA, "spec": SPEC.canonical, "total": len(traces)})
    for told in traces:
        about = {"t": "trace", "id": told.id, "version": told.version, "folder": told.folder}
        yield _line({**about, "row": _row(told), "cut": 0})
        for name, text in _files(told):
            yield _line({"t": "file", "path": f"{told.folder}/{name}", "text": text})
        yield _line({"t": "done", "id": told.id, "version": told.version})
    yield _line({"t": "end", "more": False})


def _row(told: Told) -> dict[str, Any]:
    question = told.question or f"What about order {told.number}?"
    return {
        "trace_id": told.id,
        "start_time": f"2026-11-20T10:{told.number // 60 % 60:02d}:{told.number % 60:02d}.000Z",
        "duration_ms": 1000.0,
        "status": told.status,
        "agent": "shop",
        "spans": 2 + 2 * len(told.calls),
        "model_calls": 1 + len(told.calls),
        "tool_calls": len(told.calls),
        "errors": sum(call.status == "error" for call in told.calls),
        "models": ["gpt-4o"],
        "tools": sorted({call.tool for call in told.calls}),
        "input_text": question,
        "output_text": told.answer,
        "first_error": next((call.error for call in told.calls if call.error), ""),
        **told.row,
    }


def _files(told: Told) -> Iterator[tuple[str, str]]:
    spans: list[dict[str, Any]] = [_span(told, 1, kind="agent", label="shop", agent="shop", status=told.status)]
    messages: list[dict[str, Any]] = [{"id": f"u{told.number}", "first_step": "002", "role": "user", "text": "hello"}]
    if told.bare:
        yield "spans.jsonl", json.dumps(spans[0]) + "\n"
        return
    for call in told.calls:
        spans.append(_span(told, len(spans) + 1, kind="model", label="gpt-4o", model="gpt-4o"))
        more = {"error": call.error} if call.error else {}
        spans.append(
            _span(told, len(spans) + 1, kind="tool", label=call.tool, tool=call.tool, status=call.status, input=call.input, output=call.output, **more)
        )  # fmt: skip
    messages.append({"id": f"a{told.number}", "first_step": "003", "role": "assistant", "text": told.answer})
    last = _span(
        told, len(spans) + 1, kind="model", label="gpt-4o", model="gpt-4o", output_messages=[f"a{told.number}"]
    )
    spans.append(last)
    yield "spans.jsonl", "".join(json.dumps(span) + "\n" for span in spans)
    yield "messages.jsonl", "".join(json.dumps(message) + "\n" for message in messages)
    yield "trace.md", f"# trace {told.id} agent=shop\n\n{told.answer}\n"
    yield "tree.txt", "".join(f"{span['step']} {span['kind']} {span['label']}\n" for span in spans)
    yield "transcript.md", "\n".join(f"## {message['role']}\n{message['text']}" for message in messages) + "\n"
    yield "code.json", json.dumps({"service": "shop", **told.code}) + "\n"


def _span(told: Told, step: int, **fields: Any) -> dict[str, Any]:
    span = {"step": f"{step:03d}", "status": "ok", "span_id": f"{told.number + 1:08x}{step:08x}", "depth": 1, "ms": 5.0}
    return {**span, "parent": "" if step == 1 else f"{told.number + 1:08x}{1:08x}", **fields}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
