"""The files of one trace: the short ones to read first, the long values whole beside them.

Made in one pass over the spans in step order, each file sent on as it grows, so that a trace of fifty thousand steps
needs no more memory than a portion of them. The step number is the same in every file and on every page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from json import loads
from typing import Any

from pilothouse.records import iso
from pilothouse.store.content_reads import StoredContent
from pilothouse.traces import as_json, dumps
from pilothouse.traces.code_places import short_path
from pilothouse.traces.detail import message_view
from pilothouse.traces.model import MessageView, NoteView, ScoreView, Span, TraceRow
from pilothouse.traces.scripts import message_words
from pilothouse.traces.text import clean

from .binaries import lift, without
from .code_file import CodeFile
from .export_file import ExportFile, slug
from .log_lines import log_lines
from .payloads import Payloads
from .prompts import Prompts
from .spec import Content
from .trace_source import TraceSource

SHORT_CHARS = 10_000
"""The size that trace.md, tree.txt and preview.json keep."""
_LINKS_MAX = 10_000
_CHUNK_CHARS = 1_000_000
_TRANSCRIPT_CHARS = 2_000_000


def folder_name(row: TraceRow) -> str:
    """Where a trace lies in an export: by day, then by time of day."""
    day, time = row.start_time[:10], row.start_time[11:19].replace(":", "")
    return f"traces/{day}/{time}-{row.trace_id}-{slug(row.agent or row.root_name, 30)}"


def trace_files(source: TraceSource, *, version: int, content: Content = "full") -> Iterator[ExportFile]:
    """Every file of a trace. ``version`` is that of its row: the same version gives the same bytes."""
    for file in _files(source, version, content):
        # Texts show heads of what payloads hold whole: no base64 comes in by that way.
        is_payload = file.data or "/payloads/" in file.path
        yield file if is_payload else replace(file, text=without(file.text))


def _files(source: TraceSource, version: int, content: Content) -> Iterator[ExportFile]:
    trace = source.trace
    folder = folder_name(trace.row)
    # Content cannot know it: the version is the moment of storing, in nanoseconds.
    marker = hashlib.sha256(f"{trace.row.trace_id} {version}".encode()).hexdigest()[:8]
    if content == "full":
        yield _text(folder, "trace.md", source.text("md", SHORT_CHARS, marker))
        yield _text(folder, "tree.txt", source.text("tree", SHORT_CHARS, marker))
        yield _text(folder, "transcript.md", source.text("transcript", _TRANSCRIPT_CHARS, marker))
        yield _text(folder, "preview.json", source.text("preview", SHORT_CHARS, marker))
    scores = "".join(dumps(_score(score, content)).decode() + "\n" for score in source.scores)
    if scores:
        yield _text(folder, "scores.jsonl", scores)
    numbers = {span.span_id: f"{span.step:03d}" for span in trace.spans}
    notes = "".join(dumps(_note(note, numbers, content)).decode() + "\n" for note in source.notes)
    if notes:
        yield _text(folder, "notes.jsonl", notes)
    signals = _Lines(f"{folder}/signals.jsonl")
    for line in _signals(source, content):
        yield from signals.add(line)
    yield from signals.rest()
    lines = _Lines(f"{folder}/logs.jsonl")
    for line in log_lines(source.logs, trace.row.trace_id, content):
        yield from lines.add(line)
    yield from lines.rest()
    yield from _span_files(source, folder, content)


def _note(note: NoteView, numbers: Mapping[str, str], content: Content) -> dict[str, Any]:
    line: dict[str, Any] = {"step": numbers.get(note.span_id, ""), **as_json(note)}
    return line if content == "full" else line | {"text": ""}


def _signals(source: TraceSource, content: Content) -> Iterator[dict[str, Any]]:
    """What is wrong with the trace, by rules, with the steps that show it."""
    steps = {span.span_id: f"{span.step:03d}" for span in source.trace.spans}
    for signal in loads(source.signals) if source.signals else ():
        shown = [
            {"step": steps.get(seen["span_id"], ""), "span_id": seen["span_id"], "note": seen.get("note", "")}
            for seen in signal.get("evidence", ())
        ]
        line: dict[str, Any] = {**signal, "evidence": sorted(shown, key=lambda seen: seen["step"])}
        if content == "meta":
            line |= {"message": "", "detail": {}, "evidence": [{**seen, "note": ""} for seen in line["evidence"]]}
        yield line


def _score(score: ScoreView, content: Content) -> dict[str, Any]:
    line: dict[str, Any] = as_json(score)
    return line if content == "full" else line | {"explanation": ""}


def _text(folder: str, name: str, text: str) -> ExportFile:
    return ExportFile(path=f"{folder}/{name}", text=text if text.endswith("\n") else text + "\n")


class _Lines:
    """A file of lines, sent on in portions."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[str] = []
        self._chars = 0
        self._begun = False

    def add(self, value: Any) -> Iterator[ExportFile]:
        line = dumps(value).decode() + "\n"
        self._lines.append(line)
        self._chars += len(line)
        if self._chars >= _CHUNK_CHARS:
            yield from self.rest()

    def rest(self) -> Iterator[ExportFile]:
        if self._lines:
            yield ExportFile(path=self._path, text="".join(self._lines), append=self._begun)
            self._begun, self._lines, self._chars = True, [], 0


def _span_files(source: TraceSource, folder: str, content: Content) -> Iterator[ExportFile]:
    payloads = Payloads(folder)
    spans_file, messages_file = _Lines(f"{folder}/spans.jsonl"), _Lines(f"{folder}/messages.jsonl")
    code, links = CodeFile(source.trace), list[dict[str, Any]]()
    prompts = Prompts(folder)
    spans = {span.span_id: span for span in source.trace.spans}
    known: set[str] = set()
    for rows, found in source.portions():
        for row in rows:
            span = spans[row["span_id"]]
            events = source.events.get(span.span_id, ())
            line = _span_line(span, row, content)
            if place := code.add(span, row, events):
                line["code"] = place.text
            links += _links(span, row, content)
            if content == "full":
                line["attributes"] = _attributes(f"{span.step:03d}.attribute", row["attributes"], row, payloads)
                line |= _values(span, row, found, payloads)
            line["events"] = [
                _event(event, f"{span.step:03d}.event-{place}", row, payloads, content)
                for place, event in enumerate(events, 1)
            ]
            line = {key: value for key, value in line.items() if value not in ("", None, [], {})}
            if content == "full":
                for view in _new_messages(row, found, known):
                    yield from messages_file.add(_message_line(span, view, payloads))
                if span.kind == "model" and not span.duplicate_of:
                    yield from prompts.files(span, row, found)
                yield from payloads.take()
            yield from spans_file.add(line)
    yield from spans_file.rest()
    yield from messages_file.rest()
    yield _text(folder, "code.json", dumps(code.whole(), indent=True).decode())
    if links:
        yield _text(folder, "links.json", dumps(links[:_LINKS_MAX], indent=True).decode())


def _event(
    event: Mapping[str, Any], name: str, row: Mapping[str, Any], payloads: Payloads, content: Content
) -> dict[str, Any]:
    shown: dict[str, Any] = {"time": iso(event["time_ns"]), "name": event["name"]}
    if content == "full":
        shown["attributes"] = _attributes(name, event["attributes"], row, payloads)
    return shown


def _attributes(name: str, attributes: Mapping[str, str], row: Mapping[str, Any], payloads: Payloads) -> dict[str, Any]:
    """Attributes by name, long values by reference, files of code without what is true of one machine alone."""
    root = row["resource"].get("process.working_directory", "")
    return {
        key: short_path(text, root)
        if key in ("code.file.path", "code.filepath")
        else payloads.value(f"{name}-{slug(key, 60)}", text)
        for key, text in sorted(attributes.items())
    }


def _links(span: Span, row: Mapping[str, Any], content: Content) -> Iterator[dict[str, Any]]:
    """The spans, of other traces mostly, to which a span links."""
    for link in loads(row["links"]) if row["links"] else ():
        told = {"step": f"{span.step:03d}", "span_id": span.span_id}
        told |= {"to_trace": link.get("trace_id", ""), "to_span": link.get("span_id", "")}
        attributes: dict[str, Any] = link.get("attributes") or {}
        yield told | {"attributes": attributes} if attributes and content == "full" else told


def _span_line(span: Span, row: Mapping[str, Any], content: Content) -> dict[str, Any]:
    """One span as a line: short fields first, so that a cut line still says what it is."""
    line: dict[str, Any] = {
        "step": f"{span.step:03d}",
        "kind": span.kind,
        "label": span.label,
        "status": "soft_error" if span.tool_error and span.status != "error" else span.status,
        "start": span.start_time,
        "ms": span.duration_ms,
        "span_id": span.span_id,
        "parent": span.parent_span_id,
        "depth": span.depth,
        "name": span.name,
        "agent": span.agent,
        "model": span.model,
        "tool": span.tool_name,
        "tool_call_id": span.tool_call_id,
        "tokens": as_json(span.tokens) if span.tokens is not None else None,
        "cost_usd": as_json(span.cost_usd),
        "counted": span.counted,
        "duplicate_of": span.duplicate_of,
        "finish_reason": span.finish_reason,
        "ttft_ms": span.ttft_ms,
        "operation": row["operation"],
        "provider": span.provider,
        "request_model": row["request_model"] if row["request_model"] != span.model else "",
        "response_id": row["response_id"],
        "cost_source": row["cost_source"],
        "usage_rule": row["usage_rule"],
        "notes": list(span.notes),
        "error_type": span.error_type,
        "tools_offered": row["tools_offered"],
        "service": row["service"],
        "prompt": "@".join(filter(None, (row["prompt_name"], row["prompt_version"]))),
    }
    if content == "full":
        line["error"] = row["error_message"] or row["tool_error"]
        line["parameters"] = row["parameters"]
    return line


def _values(
    span: Span, row: Mapping[str, Any], found: Mapping[str, StoredContent], payloads: Payloads
) -> dict[str, Any]:
    """What went in and out: messages by their ids, values as they are or by reference."""
    step = f"{span.step:03d}"
    values: dict[str, Any] = {}
    for slot in ("input", "output"):
        refs: list[str] = row[f"{slot}_refs"]
        if any(found[ref].kind == "message" for ref in refs if ref in found):
            values[f"{slot}_messages"] = [ref[:12] for ref in refs]
        elif refs and refs[0] in found:
            values[slot] = payloads.value(f"{step}.{slot}", found[refs[0]].content, refs[0])
        elif row[f"{slot}_text"]:
            values[slot] = payloads.value(f"{step}.{slot}", row[f"{slot}_text"])
    for key, slot in (("tools_ref", "tool_definitions"), ("documents_ref", "documents")):
        if row[key] in found:
            values[slot] = payloads.value(f"{step}.{slot}", found[row[key]].content, row[key])
    if row["error_stack"]:
        values["error_stack"] = payloads.value(f"{step}.stack", row["error_stack"])
    return values


def _new_messages(row: Mapping[str, Any], found: Mapping[str, StoredContent], known: set[str]) -> Iterator[MessageView]:
    for ref in (*row["input_refs"], *row["output_refs"]):
        if ref in known or (ref in found and found[ref].kind != "message"):
            continue
        known.add(ref)
        yield message_view(ref, found.get(ref))


def _message_line(span: Span, view: MessageView, payloads: Payloads) -> dict[str, Any]:
    words = "" if view.missing else clean(message_words(view))
    line: dict[str, Any] = {"id": view.hash[:12], "first_step": f"{span.step:03d}", "role": view.role}
    line["chars"] = view.chars
    line["text"] = payloads.value(f"{span.step:03d}.message-{view.hash[:12]}", words, view.hash)
    media = [
        payloads.binary(binary)
        for part in view.parts
        if part.get("type") == "media"
        for binary in lift(str(part.get("uri", "")))[1]
    ]
    if media:
        line["media"] = media
    if view.missing:
        line["missing"] = True
    calls = [
        {"id": part.get("id", ""), "name": part.get("name", "")}
        for part in view.parts
        if part.get("type") == "tool_call"
    ]
    if calls:
        line["calls"] = calls
    return line
