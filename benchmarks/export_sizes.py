"""What a trace costs to read, on real runs: bytes of each form of an export beside the spans as they were sent.

The runs are the conversations of tau-bench's airline agent (``PILOTHOUSE_FIXTURES``, else the folder beside the
project): each model call is one span that repeats its whole prompt, each tool call another, as instrumentors send them.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pilothouse.files.folder import ExportFolder
from pilothouse.files.spec import ExportSpec
from pilothouse.files.stream import stream
from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.intake.segment import Record
from pilothouse.records import SystemClock
from pilothouse.store import open_store

PROJECT = "p"
_SECOND_NS = 1_000_000_000
_RUNS = "tau_bench/gpt-4o-airline_10tasks.json"
EARLIER: dict[str, str] = {
    "spans as sent": "137 kB median, 312 kB p90",
    "transcript.md": "13.2 kB, 20.6 kB",
    "preview.json": "4.4 kB, 7.6 kB",
    "tree.txt": "1.6 kB, 2.6 kB",
}
"""Measured before there was an export, on 200 runs of the same bench."""


def fixtures_folder() -> Path:
    """Where the runs lie."""
    return Path(os.environ.get("PILOTHOUSE_FIXTURES", Path(__file__).parents[2] / "shared/fixtures"))


def report(data: Path, runs: Sequence[dict[str, Any]] | None = None) -> Iterator[str]:
    """The lines of the table."""
    if runs is None:
        file = fixtures_folder() / _RUNS
        if not file.is_file():
            yield f"no runs at {file}: name the folder in PILOTHOUSE_FIXTURES"
            return
        found: list[dict[str, Any]] = json.loads(file.read_text())
        yield from report(data, found)
        return
    sizes, took_s, export_bytes = measure(data, runs)
    yield f"{len(runs)} runs, pulled in {took_s:.1f} s, {export_bytes / 1e6:.1f} MB with index.db, load {os.getloadavg()[0]:.1f}"
    yield f"{'a trace as':<16}{'median':>10}{'p90':>10}{'largest':>10}   measured earlier"
    for name, values in sizes.items():
        ordered = sorted(values)
        p90 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
        shown = [f"{value / 1000:.1f} kB" for value in (statistics.median(ordered), p90, ordered[-1])]
        yield f"{name:<16}{shown[0]:>10}{shown[1]:>10}{shown[2]:>10}   {EARLIER.get(name, '')}".rstrip()


def measure(data: Path, runs: Sequence[dict[str, Any]]) -> tuple[dict[str, list[int]], float, int]:
    """Bytes of each form by trace, how long the pull took, and the bytes of the whole export."""
    store = open_store("", data / "store")
    try:
        store.migrate()
        ingest = Ingest(store, SystemClock(), read_maskers({}))
        sent: list[int] = []
        for number, run in enumerate(runs):
            spans = _spans(run, number)
            sent.append(len(json.dumps(spans, ensure_ascii=False).encode()))
            ingest.run([_record(spans)])
        spec = ExportSpec(kind="query", since="7d")
        began = time.perf_counter()
        folder = ExportFolder(data / "export", spec)
        complete = False
        while not complete:
            complete = folder.take(stream(store, PROJECT, spec, after=folder.watermark, now_ns=time.time_ns())).complete
        folder.finish(complete=True)
        folder.close()
        took_s = time.perf_counter() - began
    finally:
        store.close()
    places = sorted((data / "export").glob("traces/*/*"))
    assert len(places) == len(runs), f"{len(places)} of {len(runs)} traces arrived"
    sizes: dict[str, list[int]] = {"spans as sent": sent}
    for name in ("spans.jsonl", "messages.jsonl", "transcript.md", "preview.json", "trace.md", "tree.txt"):
        sizes[name] = [(place / name).stat().st_size for place in places]
    sizes["whole folder"] = [
        sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) for place in places
    ]
    whole = sum(file.stat().st_size for file in (data / "export").rglob("*") if file.is_file())
    return sizes, took_s, whole


def _spans(run: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """The OTLP spans of a run: an agent, each model call with all it was sent, each tool call."""
    trace = hashlib.sha256(f"run {number}".encode()).hexdigest()[:32]
    start = time.time_ns() - 3_600 * _SECOND_NS + number * _SECOND_NS
    traj: list[dict[str, Any]] = run["traj"]
    root = _span(trace, "root", "", "invoke_agent airline", start, len(traj) * 100)
    root["attributes"] = _attributes(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "airline",
            "input.value": next((str(entry["content"]) for entry in traj if entry["role"] == "user"), ""),
            "output.value": str(traj[-1].get("content") or ""),
        }
    )
    spans = [root]
    results = {entry.get("tool_call_id"): entry for entry in traj if entry["role"] == "tool"}
    for place, entry in enumerate(traj):
        if entry["role"] != "assistant":
            continue
        at = start + place * 100_000_000
        call = _span(trace, f"model {place}", "root", "chat gpt-4o", at, 80)
        call["attributes"] = _attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.input.messages": json.dumps([_wire(one) for one in traj[:place]], ensure_ascii=False),
                "gen_ai.output.messages": json.dumps([_wire(entry)], ensure_ascii=False),
            }
        )
        spans.append(call)
        for wanted in entry.get("tool_calls") or ():
            tool = _span(
                trace, f"tool {wanted['id']}", "root", f"execute_tool {wanted['function']['name']}", at + 85_000_000, 10
            )
            result = results.get(wanted["id"], {})
            tool["attributes"] = _attributes(
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": wanted["function"]["name"],
                    "gen_ai.tool.call.id": wanted["id"],
                    "gen_ai.tool.call.arguments": wanted["function"]["arguments"],
                    "gen_ai.tool.call.result": str(result.get("content") or ""),
                }
            )
            spans.append(tool)
    return spans


def _wire(entry: dict[str, Any]) -> dict[str, Any]:
    """A message as the GenAI conventions write it."""
    if entry["role"] == "tool":
        part = {"type": "tool_call_response", "id": entry.get("tool_call_id", ""), "response": entry["content"]}
        return {"role": "tool", "parts": [part]}
    parts: list[dict[str, Any]] = [{"type": "text", "content": entry["content"]}] if entry.get("content") else []
    for call in entry.get("tool_calls") or ():
        given = json.loads(call["function"]["arguments"])
        parts.append({"type": "tool_call", "id": call["id"], "name": call["function"]["name"], "arguments": given})
    return {"role": entry["role"], "parts": parts}


def _span(trace: str, name: str, parent: str, label: str, start: int, ms: int) -> dict[str, Any]:
    def identity(of: str) -> str:
        return hashlib.sha256(f"{trace} {of}".encode()).hexdigest()[:16]

    return {
        "traceId": trace,
        "spanId": identity(name),
        "parentSpanId": identity(parent) if parent else "",
        "name": label,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + ms * 1_000_000),
        "status": {},
    }


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items() if value]


def _record(spans: list[dict[str, Any]]) -> Record:
    scope = {"scope": {"name": "tau-bench"}, "spans": spans}
    body = {
        "resourceSpans": [{"resource": {"attributes": _attributes({"service.name": "airline"})}, "scopeSpans": [scope]}]
    }
    return Record(project_id=PROJECT, signal="traces", content_type="application/json", encoding="",
                  received_ns=time.time_ns(), body=json.dumps(body).encode())  # fmt: skip
