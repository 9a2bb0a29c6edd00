"""Where the files of a trace come from: small traces are read many at once, a large one portion by portion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pilothouse.records import depths_of
from pilothouse.store import TraceStore
from pilothouse.store.annotation_rows import notes_of
from pilothouse.store.content_reads import StoredContent, contents
from pilothouse.store.export_reads import (
    SPANS_A_READ,
    Changed,
    events_of_traces,
    scores_of_traces,
    signals_of_traces,
    spans_of_traces,
    whole_spans,
)
from pilothouse.store.trace_reads import Found, trace_rows
from pilothouse.traces import head, load, logs, render
from pilothouse.traces.detail import light_values, note_view, score_view, trace_notes
from pilothouse.traces.load import light_span, number
from pilothouse.traces.logs_many import log_subject, logs_of_many
from pilothouse.traces.model import Form, LogGroup, NoteView, ScoreView, Trace, TranscriptStep
from pilothouse.traces.render import render_loaded
from pilothouse.traces.rows import trace_row
from pilothouse.traces.transcripts import loaded_steps

SPANS_AT_ONCE = 2_000
"""Spans of several traces that are held in memory together; a trace with more is read in portions."""
LINES_EACH, LINES_NEAR = 200, 50
"""Log lines of one reason that go along with a trace; of those joined by place and time alone the worst and nearest."""
NOTES_MAX = 100_000
"""Notes and labels of the traces that are in memory together."""
_MARGIN_NS = 600_000_000_000

Row = Mapping[str, Any]
Contents = Mapping[str, StoredContent]


class TraceSource(Protocol):
    """A trace, and its content as it is asked for."""

    @property
    def trace(self) -> Trace: ...
    @property
    def scores(self) -> Sequence[ScoreView]: ...
    @property
    def notes(self) -> Sequence[NoteView]:
        """Notes and labels on it and on its spans, oldest first."""
        ...

    @property
    def events(self) -> Mapping[str, Sequence[Row]]:
        """Span events by span id, in order."""
        ...

    @property
    def signals(self) -> str:
        """The JSON list of its signals, as stored; empty where it has none."""
        ...

    @property
    def logs(self) -> Sequence[LogGroup]:
        """The log lines that belong to it, by reason, the surest first."""
        ...

    def text(self, form: Form, budget: int, marker: str) -> str:
        """The trace in a text form."""
        ...

    def portions(self) -> Iterator[tuple[Sequence[Row], Contents]]:
        """Whole rows in step order, and the contents they refer to."""
        ...


@dataclass(slots=True)
class LoadedTrace:
    """A trace that is in memory as a whole."""

    trace: Trace
    scores: Sequence[ScoreView]
    notes: Sequence[NoteView]
    events: Mapping[str, Sequence[Row]]
    rows: Sequence[Row]
    """In step order."""
    contents: Contents
    steps: Sequence[TranscriptStep]
    logs: Sequence[LogGroup]
    signals: str

    def text(self, form: Form, budget: int, marker: str) -> str:
        """The trace in a text form."""
        return render_loaded(self.trace, self.steps, form, budget, marker=marker, scores=self.scores, notes=self.notes)

    def portions(self) -> Iterator[tuple[Sequence[Row], Contents]]:
        """All of it at once."""
        yield self.rows, self.contents


class StoredTrace:
    """A trace too large to be held: its content is read again and again, in portions."""

    def __init__(self, store: TraceStore, project: str, trace_id: str, *, texts: bool) -> None:
        self._store = store
        self._project = project
        self._texts = texts
        self.trace = load(store, project, trace_id)
        self.scores = [score_view(row) for row in scores_of_traces(store, project, [trace_id])]
        self.notes = trace_notes(store, project, trace_id)
        self.events = _by_span(events_of_traces(store, project, [trace_id]))
        near = logs(store, project, trace_id, reason="time", limit=LINES_NEAR)
        sure = logs(store, project, trace_id, limit=LINES_EACH)
        self.signals = signals_of_traces(store, project, [trace_id]).get(trace_id, "")
        self.logs = (*sure.groups, *near.groups)

    def text(self, form: Form, budget: int, marker: str) -> str:
        """The trace in a text form."""
        return render(self._store, self._project, self.trace, form, budget, marker=marker)

    def portions(self) -> Iterator[tuple[Sequence[Row], Contents]]:
        """A few hundred spans at a time."""
        store, project, trace_id = self._store, self._project, self.trace.row.trace_id
        stretch = head(store, project, trace_id).stretch
        ids = [span.span_id for span in self.trace.spans]
        for first in range(0, len(ids), SPANS_A_READ):
            rows = list(whole_spans(store, project, trace_id, stretch, ids[first : first + SPANS_A_READ]))
            yield rows, _contents(store, project, rows) if self._texts else {}


def sources(
    store: TraceStore, project: str, chosen: Sequence[Changed], *, texts: bool
) -> Iterator[tuple[Changed, TraceSource | None]]:
    """Each trace's source, in the order given; None for a trace that is gone. Without ``texts`` no content is read."""
    found = [Found(trace_id=item.trace_id, key=0, received_day=item.received_day) for item in chosen]
    rows = trace_rows(store, project, found, chars=1_000)
    group: list[Changed] = []
    held = 0
    for item in chosen:
        spans = int(rows[item.trace_id]["spans"]) if item.trace_id in rows else 0
        if group and held + spans > SPANS_AT_ONCE:
            yield from _loaded(store, project, group, rows, texts)
            group, held = [], 0
        if spans > SPANS_AT_ONCE:
            yield item, StoredTrace(store, project, item.trace_id, texts=texts)
            continue
        group.append(item)
        held += spans
    if group:
        yield from _loaded(store, project, group, rows, texts)


def _loaded(
    store: TraceStore, project: str, group: Sequence[Changed], rows: Mapping[str, Row], texts: bool
) -> Iterator[tuple[Changed, TraceSource | None]]:
    there = [rows[item.trace_id] for item in group if item.trace_id in rows]
    ids = [str(row["trace_id"]) for row in there]
    spans: dict[str, list[Row]] = {trace_id: [] for trace_id in ids}
    if there:
        since = min(row["start_ns"] for row in there) - _MARGIN_NS
        until = max(row["start_ns"] + max(row["duration_ns"], 0) for row in there) + _MARGIN_NS
        for row in spans_of_traces(store, project, ids, max(0, since), until):
            spans[row["trace_id"]].append(row)
    stored = _contents(store, project, [row for some in spans.values() for row in some]) if texts else {}
    events = _by_trace(events_of_traces(store, project, ids)) if ids else {}
    scores = _by_trace(scores_of_traces(store, project, ids)) if ids else {}
    notes: dict[str, list[NoteView]] = {}
    for one in notes_of(store, project, trace_ids=ids, limit=NOTES_MAX) if ids else ():
        notes.setdefault(one.target.trace_id, []).append(note_view(one))
    signals = signals_of_traces(store, project, ids) if ids else {}
    lines = logs_of_many(
        store,
        project,
        [log_subject(rows[trace_id], spans[trace_id]) for trace_id in ids],
        each=LINES_EACH,
        infra=LINES_NEAR,
    )
    for item in group:
        row = rows.get(item.trace_id)
        if row is None:
            yield item, None
            continue
        ordered, trace = _in_steps(row, spans[item.trace_id])
        steps = loaded_steps(trace.spans, {one["span_id"]: one for one in ordered}, stored) if texts else ()
        yield (
            item,
            LoadedTrace(
                trace,
                [score_view(score) for score in scores.get(item.trace_id, ())],
                notes.get(item.trace_id, ()),
                _by_span(events.get(item.trace_id, ())),
                ordered,
                stored,
                steps,
                lines[item.trace_id].groups if item.trace_id in lines else (),
                signals.get(item.trace_id, ""),
            ),
        )


def _in_steps(row: Row, spans: Sequence[Row]) -> tuple[list[Row], Trace]:
    placed = [[span[name] for span in spans] for name in ("span_id", "parent_span_id", "start_ns")]
    numbers = number(placed)
    depths = depths_of(dict(zip(placed[0], placed[1], strict=True)))
    ordered = sorted(spans, key=lambda span: numbers[span["span_id"]])
    light = [
        light_span(light_values(span), numbers[span["span_id"]], depths[span["span_id"]], row["start_ns"])
        for span in ordered
    ]
    return ordered, Trace(row=trace_row(row), spans=tuple(light), cut=max(0, int(row["spans"]) - len(light)))


def _contents(store: TraceStore, project: str, rows: Sequence[Row]) -> dict[str, StoredContent]:
    refs: list[str] = []
    for row in rows:
        refs += [*row["input_refs"], *row["output_refs"], *filter(None, (row["tools_ref"], row["documents_ref"]))]
    return contents(store, project, {row["message_scope"] for row in rows}, refs) if refs else {}


def _by_trace(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["trace_id"], []).append(row)
    return found


def _by_span(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["span_id"], []).append(row)
    return found
