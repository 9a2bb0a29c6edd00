"""A trace as ATIF, the Agent Trajectory Interchange Format (Harbor RFC 0001, v1.7), for tools that read it.

What was imported from ATIF is given back as it came, from what the import kept; everything else is derived.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from pilothouse.records import BadRequest, names
from pilothouse.store import TraceStore
from pilothouse.store.content_reads import StoredContent, contents
from pilothouse.store.export_reads import whole_spans

from .atif_steps import Call, trajectory
from .detail import trace_scores
from .jsons import dumps
from .load import head
from .model import Trace
from .transcripts import loaded_steps

SPANS_MAX = 20_000
"""A trajectory is one document, held in memory as a whole."""
_REFERENCE = re.compile(r"… \[\d+ characters: content ([0-9a-f]{32})\]$")
_CUTS = (4_000, 1_000, 200, 60)
"""How long texts may be, tried one after the other, until a document fits its budget."""


def atif_text(store: TraceStore, project: str, trace: Trace, budget: int) -> str:
    """A trace as one ATIF document of at most ``budget`` characters; what is cut is told of in its notes.

    Raises:
        BadRequest: the trace has more than 20,000 spans.
    """
    short = trace.row.trace_id[:12]
    if len(trace.spans) > SPANS_MAX:
        raise BadRequest(
            f"a trajectory has at most {SPANS_MAX:,} spans",
            got=len(trace.spans),
            fix=f"pilothouse show {trace.row.trace_id} --as transcript",
        )
    document = trajectory(trace, _calls(store, project, trace), trace_scores(store, project, trace.row.trace_id))
    text = dumps(document).decode()
    if len(text) <= budget:
        return text
    whole = f"pilothouse show {trace.row.trace_id} --as atif --out {short}.trajectory.json"
    for chars in _CUTS:
        smaller = cast("dict[str, Any]", _shortened(document, chars))
        note = f"texts are cut to {chars:,} characters each; all of it: {whole}"
        smaller["notes"] = f"{smaller['notes']}\n{note}" if smaller.get("notes") else note
        text = dumps(smaller).decode()
        if len(text) <= budget:
            return text
    text = _skeleton(document, budget, whole)
    if len(text) <= budget:
        return text
    raise BadRequest(f"no valid trajectory fits into {budget:,} characters", got=budget, fix=whole)


def _skeleton(document: Mapping[str, Any], budget: int, whole: str) -> str:
    """The first and last steps, and of each who said what: the least that is a trajectory still."""
    steps: Sequence[Mapping[str, Any]] = document["steps"]
    agent = document["agent"]
    text = ""
    for shown in (400, 100, 40, 20, 8, 4, 2, 1):
        if shown > len(steps):
            continue
        chosen = [*steps[: shown - shown // 2], *steps[len(steps) - shown // 2 :]]
        text = dumps(
            {
                "schema_version": document["schema_version"],
                "agent": {"name": str(agent["name"])[:60], "version": str(agent["version"])[:60]},
                "notes": f"{shown} of {len(steps):,} steps; all of it: {whole}",
                "steps": [
                    {"step_id": number, "source": step["source"], "message": _said(step)[:60]}
                    for number, step in enumerate(chosen, 1)
                ],
            }
        ).decode()
        if len(text) <= budget:
            break
    return text


def _said(step: Mapping[str, Any]) -> str:
    message = step.get("message")
    return message if isinstance(message, str) else dumps(message).decode()


def _calls(store: TraceStore, project: str, trace: Trace) -> list[Call]:
    """Every span with its whole content, in step order."""
    top = head(store, project, trace.row.trace_id)
    ids = [span.span_id for span in trace.spans]
    rows = {row["span_id"]: row for row in whole_spans(store, project, trace.row.trace_id, top.stretch, ids)}
    refs = [ref for row in rows.values() for ref in (*row["input_refs"], *row["output_refs"], row["tools_ref"]) if ref]
    for row in rows.values():
        reference = _REFERENCE.search(_attribute(row))
        if reference:
            refs.append(reference[1])
    scopes = {str(row["message_scope"]) for row in rows.values()} | {trace.row.session_id, trace.row.trace_id} - {""}
    stored = contents(store, project, scopes, list(dict.fromkeys(refs))) if refs else {}
    steps = loaded_steps([span for span in trace.spans if span.span_id in rows], rows, stored)
    return [
        Call(
            step=step,
            start_ns=int(rows[step.span.span_id]["start_ns"]),
            end_ns=int(rows[step.span.span_id]["start_ns"]) + max(0, int(rows[step.span.span_id]["duration_ns"])),
            tools=_listed(stored.get(rows[step.span.span_id]["tools_ref"])),
            rest=_rest(rows[step.span.span_id], stored),
        )
        for step in steps
    ]


def _attribute(row: Mapping[str, Any]) -> str:
    return str(row["attributes"].get(names.IMPORTED_REST, ""))


def _rest(row: Mapping[str, Any], stored: Mapping[str, StoredContent]) -> Mapping[str, Any]:
    text = _attribute(row)
    if row["attributes"].get(names.IMPORTED_FROM) != "atif" or not text:
        return {}
    reference = _REFERENCE.search(text)
    if reference is not None and reference[1] in stored:
        text = stored[reference[1]].content
    try:
        found: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _listed(content: StoredContent | None) -> Sequence[Any]:
    if content is None:
        return ()
    try:
        found: object = orjson.loads(content.content)
    except orjson.JSONDecodeError:
        return ()
    return cast("list[Any]", found) if isinstance(found, list) else ()


_KEPT = frozenset({"schema_version", "session_id", "trajectory_id", "tool_call_id", "source_call_id", "timestamp"})
"""Texts that are no text: cut, they would name nothing."""


def _shortened(value: Any, chars: int, key: str = "") -> Any:
    if isinstance(value, str):
        return value if len(value) <= chars or key in _KEPT else value[: chars - 1] + "…"
    if isinstance(value, list):
        members = cast("list[Any]", value)
        if key in ("logprobs", "prompt_token_ids", "completion_token_ids"):
            return members[:0]
        return [_shortened(member, chars, key) for member in members]
    if isinstance(value, dict):
        told = cast("dict[str, Any]", value)
        return {name: _shortened(member, chars, name) for name, member in told.items()}
    return value
