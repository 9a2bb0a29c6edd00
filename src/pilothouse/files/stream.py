"""An export as a stream of JSON lines: the traces that changed after a watermark, file by file.

::

    {"t": "start", "schema": …, "spec": …, "total": 812, "server": "0.1.0"}
    {"t": "trace", "id": …, "version": …, "folder": "traces/…", "row": {…}}
    {"t": "file", "path": "traces/…/trace.md", "text": "…"}          with "append": true where it goes on; "base64" for bytes
    {"t": "done", "id": …, "version": …}                              the watermark now
    {"t": "paper", "path": "sessions/…/session.md", "text": "…"}      of a session, when all its traces came
    {"t": "end", "more": false}

A trace counts when its ``done`` came. A stream that breaks is asked for again from the last one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from pilothouse import __version__
from pilothouse.records import NotFound, PilothouseError, clean, visible
from pilothouse.store import TraceStore
from pilothouse.store.conditions import LATEST_NS
from pilothouse.store.deletion import gone_traces
from pilothouse.store.export_reads import Changed, changed_traces, count_traces, named_traces, session_traces
from pilothouse.traces import as_json, dumps, parse_filter, parse_moment

from .binaries import without
from .export_file import ExportFile
from .session_folder import session_files
from .spec import SCHEMA, ExportSpec
from .trace_folder import folder_name, trace_files
from .trace_source import TraceSource, sources

TRACES_A_STREAM = 200
"""Traces in one answer; whoever wants more asks again from the watermark."""


def stream(
    store: TraceStore,
    project: str,
    spec: ExportSpec,
    *,
    after: tuple[int, str] = (0, ""),
    limit: int = TRACES_A_STREAM,
    now_ns: int,
) -> Iterator[bytes]:
    """The lines of an export. Problems with the spec are raised before the first line.

    Raises:
        BadRequest: the filter or a time is not understood.
        NotFound: there is no such trace or session.
    """
    chosen, total = _chosen(store, project, spec, after, limit, now_ns)
    return _lines(store, project, spec, chosen, total, more=len(chosen) < total)


def _chosen(
    store: TraceStore, project: str, spec: ExportSpec, after: tuple[int, str], limit: int, now_ns: int
) -> tuple[list[Changed], int]:
    if spec.kind == "query":
        conditions = parse_filter(spec.text)
        until_ns = parse_moment(spec.until, now_ns=now_ns, name="until") if spec.until else LATEST_NS
        since_ns = parse_moment(spec.since, now_ns=now_ns) if spec.since else 0
        total = count_traces(store, project, since_ns, until_ns, conditions, after)
        changed = changed_traces(store, project, since_ns, until_ns, conditions, after=after, limit=limit)
        # An export that has nothing yet has nothing to let go of.
        gone = gone_traces(store, project, after=after, limit=limit) if after[0] else []
        return _in_order(changed, gone)[:limit], total + len(gone)
    ids = [spec.id] if spec.kind == "trace" else session_traces(store, project, spec.id)
    of = {"trace_id": spec.id} if spec.kind == "trace" else {"session_id": spec.id}
    gone = gone_traces(store, project, after=after, limit=1_000, **of) if after[0] else []
    if not gone and not named_traces(store, project, ids, after=(0, "")):
        raise NotFound(f"no such {spec.kind}", got=spec.id, fix="pilothouse ls")
    later = _in_order(named_traces(store, project, ids, after=after), gone)
    return later[:limit], len(later)


def _in_order(changed: list[Changed], gone: list[Changed]) -> list[Changed]:
    """Both by the moment of the change; a trace that came back after it was deleted is not gone."""
    there = {item.trace_id for item in changed}
    both = [*changed, *(item for item in gone if item.trace_id not in there)]
    return sorted(both, key=lambda item: (item.version, item.trace_id))


def _lines(
    store: TraceStore, project: str, spec: ExportSpec, chosen: list[Changed], total: int, *, more: bool
) -> Iterator[bytes]:
    yield _line({"t": "start", "schema": SCHEMA, "spec": spec.canonical, "total": total, "server": __version__})
    try:
        for item, source in sources(store, project, chosen, texts=spec.content == "full"):
            yield from _trace_lines(item, source, spec)
        if spec.kind == "session" and not more:
            for file in session_files(store, project, spec.id, spec.content):
                yield _line({"t": "paper", "path": file.path, "text": _harmless(file)})
    except PilothouseError as error:
        # The status line is gone: the reader learns of it here, and asks again from the last `done`.
        yield _line({"t": "error", **error.as_dict()})
        return
    yield _line({"t": "end", "more": more})


def _trace_lines(item: Changed, source: TraceSource | None, spec: ExportSpec) -> Iterator[bytes]:
    if source is None:
        # Deleted since it was found: it leaves the export as it left the store.
        yield _line({"t": "gone", "id": item.trace_id, "version": item.version})
        return
    trace = source.trace
    row = as_json(trace.row)
    for name in ("input_text", "output_text", "first_error"):
        row[name] = "" if spec.content == "meta" else without(row[name])
    about = {"t": "trace", "id": item.trace_id, "version": item.version, "folder": folder_name(trace.row)}
    yield _line({**about, "row": row, "cut": trace.cut})
    for file in trace_files(source, version=item.version, content=spec.content):
        line: dict[str, Any] = {"t": "file", "path": file.path}
        line |= {"base64": b64encode(file.data).decode()} if file.data else {"text": _harmless(file)}
        yield _line({**line, "append": True} if file.append else line)
    yield _line({"t": "done", "id": item.trace_id, "version": item.version})


def _harmless(file: ExportFile) -> str:
    """The text of a file without anything that acts on who reads it; JSON keeps its values, written so that they show."""
    return visible(file.text) if file.path.endswith((".json", ".jsonl")) else clean(file.text)


def _line(value: dict[str, Any]) -> bytes:
    return dumps(value) + b"\n"
