"""What people are asked about traces: the queues, how far each is, and the form that makes one."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.queues import QueueInfo
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuesPage(PageContext):
    """The annotation queues."""

    queues: tuple[QueueInfo, ...] = field(metadata=told("the queues and how far they are; closed ones at the end"))
    may_make: bool = field(metadata=told("true where the visitor may make one"))

    @property
    def left(self) -> int:
        """How many items wait for the visitor."""
        return sum(one.progress.left for one in self.queues)


def gather(visit: Visit) -> QueuesPage:
    """Read the queues."""
    return QueuesPage(
        title="Annotation queues",
        command="pilothouse queues ls",
        queues=visit.reader.queues(),
        may_make=visit.visitor.mode in ("write", "admin"),
    )


QUEUES = PageSpec(name="queues", path="/queues", context=QueuesPage, gather=gather)
