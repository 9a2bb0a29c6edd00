"""One annotation queue: how far it is, who labels, what the labels add up to, and what its choices were called."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from pilothouse.queues import QueueInfo, QueueLabel, Taxonomy
from pilothouse.records import iso
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit, session_url, trace_url

BARS = 30
"""Days that a category's picture shows, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage(PageContext):
    """A queue and its labels."""

    info: QueueInfo = field(metadata=told("the queue and how far it is"))
    taxonomy: Taxonomy = field(metadata=told("how often each choice was made, when, with examples, and its history"))
    labels: tuple[QueueLabel, ...] = field(metadata=told("the newest labels, newest first"))
    more_labels: int = field(metadata=told("how many older labels there are"))
    may_change: bool = field(metadata=told("true where the visitor may fill the queue and change its choices"))

    @property
    def days(self) -> tuple[str, ...]:
        """The thirty days up to the newest label; none where there is no label."""
        known = [day for one in self.taxonomy.categories for day in one.by_day]
        if not known:
            return ()
        last = date.fromisoformat(max(known))
        return tuple((last - timedelta(days=back)).isoformat() for back in reversed(range(BARS)))

    @property
    def most(self) -> int:
        """The greatest count of a category and day."""
        return max((count for one in self.taxonomy.categories for count in one.by_day.values()), default=1)

    def url(self, trace_id: str, span_id: str, session_id: str) -> str:
        """The page of what was labelled, a step by its place in the trace."""
        if session_id:
            return session_url(session_id)
        return f"{trace_url(trace_id)}/spans/{span_id}" if span_id else trace_url(trace_id)

    def time(self, ns: int) -> str:
        """A moment as pages show it."""
        return iso(ns)


def gather(visit: Visit) -> QueuePage:
    """Read one queue."""
    found = visit.reader.queue(visit.parts["queue"])
    return QueuePage(
        title=found.info.queue.name,
        command=f"pilothouse queues show {found.info.queue.name}",
        info=found.info,
        taxonomy=found.taxonomy,
        labels=found.labels,
        more_labels=found.more_labels,
        may_change=found.may_change,
    )


QUEUE = PageSpec(name="queue", path="/queues/{queue}", context=QueuePage, gather=gather, nav="queues")
