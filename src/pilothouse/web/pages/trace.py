"""One trace: its facts, where time and money went, and four views of its steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pilothouse.records import NotFound, command
from pilothouse.traces.model import (
    AgentGraph,
    TraceBreakdown,
    TraceLogs,
    TracePlan,
    TraceRow,
    TraceStates,
    Transcript,
    TranscriptStep,
    Transition,
    Why,
)
from pilothouse.web.charts import Segment, money_bar, stacked, time_bar
from pilothouse.web.context import as_plain, told
from pilothouse.web.format import count, duration, moment_ns, own_name, tokens
from pilothouse.web.graph_layout import GraphPicture, layout
from pilothouse.web.model import Written
from pilothouse.web.reader import Reader
from pilothouse.web.repeats import Stretch, folded
from pilothouse.web.spans_table import SpanLine, TraceColumns, columns_of, lines
from pilothouse.web.visit import PageContext, PageSpec, Visit, link, trace_url

View = Literal["transcript", "waterfall", "graph", "logs", "raw"]
VIEWS: tuple[View, ...] = ("transcript", "waterfall", "graph", "logs", "raw")
FORMS: dict[View, str] = {"transcript": "transcript", "waterfall": "tree", "graph": "card", "logs": "", "raw": "json"}
"""The form of the command line that comes nearest to each view."""
LEVELS = ("", "info", "warn", "error")
"""The least level of log lines that can be asked for."""
NO_STATE = "none said"
TRANSCRIPT_STEPS = 40
SAID_MAX, SAID_FEW, SAID_PAGE = 6, 2, 100
"""Messages of one step that a transcript shows; few, where the page would show more than a hundred in all."""
TEXT_MAX = 90_000
"""Characters of all texts of one page of a transcript: about 40 kB on the wire where they are hard to pack."""
HEADS = (1200, 600, 300, 150, 80)
ROWS = 100
"""Rows of the waterfall and the raw view that are written into the page itself."""
LATER_FROM = 5_000
"""Spans from which the page shows before the sums of time and money are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePage(PageContext):
    """One trace."""

    trace: TraceRow = field(metadata=told("the trace as a whole"))
    view: View = field(metadata=told("transcript, waterfall, graph or raw"))
    step: int = field(metadata=told("the step marked in the view; 0: none"))
    after: int = field(metadata=told("the step after which this page of the view begins"))
    follow: bool = field(metadata=told("true where the newest step is kept in sight while the trace runs"))
    next_after: int | None = field(metadata=told("the same of the next page; nothing at the end"))
    breakdown: TraceBreakdown | None = field(
        metadata=told("where time and money went; of huge traces only with part=breakdown")
    )
    states: TraceStates | None = field(
        metadata=told("what agents were doing when: states they told of, waits, retries; nothing for huge traces")
    )
    plan: TracePlan | None = field(
        metadata=told("what agents planned and what the runtime did to keep them to it; nothing where none tells of it")
    )
    transcript: Transcript | None = field(
        metadata=told("in view transcript: what was said and done, each message once")
    )
    rows: tuple[SpanLine, ...] = field(metadata=told("in views waterfall and raw: one page of steps in tree order"))
    why: Why | None = field(
        metadata=told("what is wrong with it, with the steps that show it; nothing where nothing is")
    )
    graph: AgentGraph | None = field(metadata=told("in view graph: who worked with whom"))
    logs: TraceLogs | None = field(metadata=told("in view logs: the log lines that belong to it, each with its reason"))
    infra: bool = field(metadata=told("in view logs: true where lines joined by place and time alone are shown"))
    level: str = field(metadata=told("in view logs: the least level shown; empty: all"))
    written: tuple[Written, ...] = field(metadata=told("notes, scores and labels on it and on its steps, oldest first"))
    may_write: bool = field(metadata=told("true where the visitor may add to them"))
    expand: str = field(metadata=told("in view graph: the folded node that is unfolded, * for all; empty: none"))

    @property
    def url(self) -> str:
        """The address of the trace."""
        return trace_url(self.trace.trace_id)

    def here(self, **changed: Any) -> str:
        """The same page with something changed."""
        # What is shown where no view is named: it follows from the trace, which may grow its first model call.
        values: dict[str, Any] = {"view": "" if self.view == "transcript" and self.trace.model_calls else self.view}
        if self.follow and "after" not in changed:
            values["follow"] = 1
        return link(self.url, **(values | changed))

    def step_url(self, step: int) -> str:
        """The page of one step."""
        return f"{self.url}/spans/{step}"

    @property
    def head(self) -> int:
        """Characters of each text the transcript shows: fewer where there is much, so that the page stays light."""
        texts = list(_texts(self.transcript.steps)) if self.transcript else []
        fitting = (head for head in HEADS if sum(min(len(text), head) for text in texts) <= TEXT_MAX)
        return next(fitting, HEADS[-1])

    @property
    def said_max(self) -> int:
        """Messages new to a step that are shown of it: a call that brings a long history has hundreds."""
        steps = self.transcript.steps if self.transcript else ()
        return SAID_MAX if sum(min(len(step.said), SAID_MAX) for step in steps) <= SAID_PAGE else SAID_FEW

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """The transcript with what repeats folded."""
        return folded(self.transcript.steps) if self.transcript else ()

    def elapsed_ms(self, now_ns: int) -> float:
        """How long it took; while it runs: how long it has been running."""
        if not self.live:
            return self.trace.duration_ms
        return max((now_ns - moment_ns(self.trace.start_time)) / 1e6, self.trace.duration_ms)

    @property
    def events(self) -> str:
        """The address of what happens to this trace."""
        return link("/api/v1/live/events", trace=self.trace.trace_id)

    @property
    def live(self) -> bool:
        """True while the trace runs: what is shown of it may change."""
        return self.trace.status == "running"

    @property
    def previous_after(self) -> int | None:
        """Where the page before begins; nothing on the first."""
        size = TRANSCRIPT_STEPS if self.view == "transcript" else ROWS
        return max(self.after - size, 0) if self.after else None

    @property
    def time(self) -> tuple[Segment, ...]:
        """Where the time went, as a bar."""
        return time_bar(self.breakdown.by_kind) if self.breakdown else ()

    @property
    def money(self) -> tuple[Segment, ...]:
        """Where the money went, as a bar."""
        return money_bar(self.breakdown.by_label)[:8] if self.breakdown else ()

    @property
    def state_bar(self) -> tuple[Segment, ...]:
        """The time by state, as a bar."""
        shares = self.states.by_state if self.states else ()
        return stacked([(share.state or NO_STATE, share.ms, duration(share.ms)) for share in shares])

    @property
    def changes(self) -> Mapping[int, Sequence[Transition]]:
        """By step of the transcript shown: the states entered just before it began."""
        if not (self.states and self.transcript):
            return {}
        found: dict[int, list[Transition]] = {}
        steps = [(step.span.offset_ms, step.span.step) for step in self.transcript.steps]
        for change in self.states.transitions:
            if change.to_state == "waiting" and not change.said:
                continue  # the step itself says that it waits
            later = next((step for offset, step in steps if offset >= change.offset_ms), None)
            if later is not None and (self.after == 0 or change.offset_ms >= steps[0][0]):
                found.setdefault(later, []).append(change)
        return found

    @property
    def marks(self) -> str:
        """For the waterfall: ``[[step, microseconds, state], …]`` as JSON."""
        transitions = self.states.transitions if self.states else ()
        return json.dumps([[change.step, round(change.offset_ms * 1000), change.to_state] for change in transitions])

    @property
    def buckets(self) -> tuple[Segment, ...]:
        """The tokens by bucket, as a bar."""
        sums = self.trace.tokens
        named = (
            ("input", sums.input_uncached),
            ("cache read", sums.cache_read),
            ("cache write", sums.cache_write),
            ("audio in", sums.audio_input),
            ("output", sums.output),
            ("reasoning", sums.reasoning),
            ("audio out", sums.audio_output),
        )
        return stacked([(name, float(number), tokens(number)) for name, number in named])

    @property
    def picture(self) -> GraphPicture | None:
        """The agent graph, placed."""
        return layout(self.graph) if self.graph else None

    @property
    def raw(self) -> str:
        """The trace as a whole, as JSON."""
        return json.dumps(as_plain(self.trace), ensure_ascii=False, indent=2)

    @property
    def summary(self) -> str:
        """The trace in a line."""
        row = self.trace
        return f"{count(row.spans)} spans, {row.model_calls} model calls, {row.tool_calls} tool calls"


def gather(visit: Visit) -> TracePage:
    """Read what one view of a trace needs, and nothing else."""
    reader = visit.reader
    trace_id = find_trace(visit, visit.parts["id"])
    row = reader.row(trace_id)
    # A dialogue is what people want to read of an agent; a trace without model calls has none.
    views: tuple[View, ...] = VIEWS if row.model_calls else ("waterfall", "transcript", "graph", "logs", "raw")
    view: View = visit.word("view", views)  # pyright: ignore[reportAssignmentType]
    part = visit.text("part")
    step = visit.number("step", 0, at_most=10_000_000)
    after = visit.number("after", 0)
    expand = visit.text("expand", 300)
    follow = visit.number("follow", 0, at_most=1) == 1
    if follow and view == "transcript" and not after and not step:
        after = max(row.spans - 1, 0) // TRANSCRIPT_STEPS * TRANSCRIPT_STEPS
    if not after and step:
        size = TRANSCRIPT_STEPS if view == "transcript" else ROWS
        after = (step - 1) // size * size if view == "transcript" else 0
    transcript = graph = logs = None
    infra, level = visit.number("infra", 0, at_most=1) == 1, visit.word("level", LEVELS)
    rows: tuple[SpanLine, ...] = ()
    next_after: int | None = None
    if part in ("breakdown", "facts", "why"):
        pass  # the view beside it stays as it is
    elif view == "transcript":
        transcript = reader.transcript(trace_id, after_step=after, limit=TRANSCRIPT_STEPS)
        next_after = transcript.next_step
    elif view == "logs":
        logs = reader.logs(trace_id, infra=infra, level=level)
    elif view == "graph":
        graph = reader.graph(trace_id, expand=(expand,) if expand else ())
    else:
        columns = columns_of(reader, row)
        rows = lines(columns, after, ROWS)
        next_after = after + ROWS if after + ROWS < columns.total else None
    return TracePage(
        title=own_name(row.root_name, row.agent) or row.agent or row.trace_id,
        command=_command(row.trace_id[:12], view, step, infra=infra, level=level),
        trace=row,
        view=view,
        step=step,
        after=after,
        follow=follow,
        next_after=next_after,
        states=reader.states(trace_id) if row.spans <= LATER_FROM and part in ("", "facts", "steps") else None,
        plan=_planned(reader, row) if part == "" else None,
        breakdown=reader.breakdown(trace_id) if row.spans <= LATER_FROM or part == "breakdown" else None,
        transcript=transcript,
        rows=rows,
        why=reader.why(trace_id) if row.signals and part not in ("breakdown", "facts", "steps") else None,
        graph=graph,
        logs=logs,
        infra=infra,
        level=level,
        written=reader.written(trace_id=trace_id) if part == "" else (),
        may_write=visit.visitor.mode != "read",
        expand=expand,
    )


def _planned(reader: Reader, row: TraceRow) -> TracePlan | None:
    found = reader.plan(row.trace_id) if row.spans <= LATER_FROM else None
    return found if found is not None and found.events else None


def _command(short: str, view: View, step: int, *, infra: bool, level: str) -> str:
    """The command line that shows the same."""
    if view == "logs":
        return f"pilothouse logs {short}" + (" --infra" if infra else "") + (f" --level {level}" if level else "")
    return f"pilothouse show {short} --step {step}" if step else f"pilothouse show {short} --as {FORMS[view]}"


def _texts(steps: Sequence[TranscriptStep]) -> Iterator[str]:
    for step in steps:
        yield step.input_value
        yield step.output_value
        for message in (*step.said[:SAID_MAX], *step.output):
            for part in message.parts:
                yield str(part.get("text", ""))


def find_trace(visit: Visit, id: str) -> str:
    """The whole id of a trace: a full one as it is, else what the start of one, ``last`` or ``last-error`` means."""
    if len(id) == 32:
        return id
    found = visit.reader.resolve(id)
    if found.kind == "session":
        raise NotFound("that is a session, not a trace", got=id, fix=command("show", id))
    return found.trace_id


TRACE = PageSpec(name="trace", path="/traces/{id}", context=TracePage, gather=gather, nav="traces")

__all__ = ["TRACE", "TraceColumns", "TracePage", "find_trace"]
