"""What was in the context of each model call of a trace: a tab of the trace, with one call message by message."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pilothouse.traces.model import Context, ContextCall, TraceRow
from pilothouse.web.charts import Segment, stacked
from pilothouse.web.context import told
from pilothouse.web.context_chart import WORDS, ContextPicture, picture
from pilothouse.web.format import own_name, tokens
from pilothouse.web.visit import PageContext, PageSpec, Visit, link, trace_url

from .trace import VIEWS, find_trace

ROWS = 60
"""Calls listed on one page."""
PICTURES = 4
"""Conversations drawn at once: those of most calls."""
MESSAGES = 250
"""Messages of one window that are listed: the newest."""
QUESTIONS = {
    "in_view": "in view",
    "quoted": "quoted in another message",
    "gone": "out of view",
    "none": "nobody asked",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPage(PageContext):
    """What took the room in each model call's window."""

    trace: TraceRow = field(metadata=told("the trace as a whole"))
    context: Context = field(
        metadata=told("the conversations, and one page of model calls with what filled their windows")
    )
    chosen: Context | None = field(metadata=told("with a step asked for: that call alone, message by message"))
    step: int = field(metadata=told("the step looked at; 0: none"))
    thread: int = field(metadata=told("the conversation looked at; 0: all"))
    after: int = field(metadata=told("the step after which this page of calls begins"))
    next_after: int | None = field(metadata=told("the same of the next page; nothing at the end"))
    calls: int = field(metadata=told("calls of the conversations looked at"))
    pictures: tuple[ContextPicture, ...] = field(
        metadata=told("the conversations with most calls, drawn: all their calls as columns, and as SVG paths")
    )

    @property
    def url(self) -> str:
        """The address of the trace."""
        return trace_url(self.trace.trace_id)

    def here(self, **changed: Any) -> str:
        """The same page with something changed."""
        values: dict[str, Any] = {"thread": self.thread or "", "step": self.step or ""}
        return link(f"{self.url}/context", **(values | changed))

    def step_url(self, step: int) -> str:
        """The page of one step."""
        return f"{self.url}/spans/{step}"

    @property
    def views(self) -> tuple[tuple[str, str], ...]:
        """The other views of the trace, as its tabs name them."""
        return tuple((view, "Agent graph" if view == "graph" else view.capitalize()) for view in VIEWS)

    @property
    def call(self) -> ContextCall | None:
        """The call looked at."""
        return self.chosen.calls[0] if self.chosen and self.chosen.calls else None

    @property
    def bar(self) -> tuple[Segment, ...]:
        """The window of the call looked at, as a bar."""
        call = self.call
        return stacked([(part.kind, float(part.tokens), tokens(part.tokens)) for part in call.parts]) if call else ()

    @property
    def peak(self) -> int:
        """The largest window of the page's calls."""
        return max((call.tokens for call in self.context.calls), default=0)

    @property
    def words(self) -> dict[str, str]:
        """Parts of a window as people call them."""
        return WORDS

    @property
    def questions(self) -> dict[str, str]:
        """States of the question as people say them."""
        return QUESTIONS


def gather(visit: Visit) -> ContextPage:
    """Read the windows of a trace, and one of them in full."""
    reader = visit.reader
    trace_id = find_trace(visit, visit.parts["id"])
    row = reader.row(trace_id)
    step = visit.number("step", 0, at_most=10_000_000)
    thread = visit.number("thread", 0, at_most=1_000_000)
    after = visit.number("after", 0, at_most=10_000_000)
    found = reader.context(trace_id, 0)
    chosen = reader.context(trace_id, step) if step else None
    threads = [one for one in found.threads if thread in (0, one.number)]
    most = sorted(threads, key=lambda one: (-len(one.steps), one.number))[:PICTURES]
    drawn = [picture(one, found.calls, step) for one in sorted(most, key=lambda one: one.number)]
    calls = [call for call in found.calls if thread in (0, call.thread)]
    later = [call for call in calls if call.step > after]
    return ContextPage(
        title=f"Context of {own_name(row.root_name, row.agent) or row.agent or row.trace_id}",
        command=f"pilothouse context {trace_id[:12]}" + (f" --step {step}" if step else ""),
        trace=row,
        context=replace(found, calls=tuple(later[:ROWS])),
        chosen=_newest(chosen) if chosen else None,
        step=step,
        thread=thread,
        after=after,
        next_after=later[ROWS - 1].step if len(later) > ROWS else None,
        calls=len(calls),
        pictures=tuple(one for one in drawn if one is not None),
    )


def _newest(chosen: Context) -> Context:
    """With as many messages as a page can hold."""
    detail = chosen.detail
    if detail is None or len(detail.messages) <= MESSAGES:
        return chosen
    cut = len(detail.messages) - MESSAGES
    return replace(chosen, detail=replace(detail, messages=detail.messages[cut:], cut=detail.cut + cut))


CONTEXT = PageSpec(name="context", path="/traces/{id}/context", context=ContextPage, gather=gather, nav="traces")
