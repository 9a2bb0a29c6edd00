"""Annotation queues: what people are asked about traces, and what they said."""

from .finding import FoundTargets, Wanted, find_targets
from .model import (
    VERDICTS,
    Category,
    CategoryChange,
    Example,
    Given,
    Handed,
    Progress,
    Queue,
    QueueInfo,
    QueueItem,
    QueueLabel,
    Record,
    RecordPart,
    Taxonomy,
)
from .queues import Added, Labels, Queues
from .record import record_of, record_text

__all__ = [
    "VERDICTS",
    "Added",
    "Category",
    "CategoryChange",
    "Example",
    "FoundTargets",
    "Given",
    "Handed",
    "Labels",
    "Progress",
    "Queue",
    "QueueInfo",
    "QueueItem",
    "QueueLabel",
    "Queues",
    "Record",
    "RecordPart",
    "Taxonomy",
    "Wanted",
    "find_targets",
    "record_of",
    "record_text",
]
