"""The rules an item must pass, shared by every format, and the walk that applies them one by one.

The receiver applies them to answer (:class:`Checked`), the ingest worker to convert (:class:`Decoded`). Both run
:func:`sift` over the same items with the same rule, so they can not disagree about which items were refused.

The rules:

- A span needs a trace id of 16 bytes and a span id of 8, neither all zero. Else it is refused.
- A parent id that is empty or all zero means a root. One of another length makes the span a root too, and the id is
  kept, as sent, in the attribute ``pilothouse.bad_parent_span_id``.
- A link whose ids are wrong points nowhere and is left out.
- A log record is never refused for its ids: wrong ones are left empty and kept as sent in
  ``pilothouse.bad_trace_id`` and ``pilothouse.bad_span_id``.
- A data point needs a metric with a name.
- Times are kept as sent: 0, the far future, an end before its start.
- An attribute without a value counts as absent. Inside a list or an object it is ``None``.
- Of attributes with the same key the last wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from pilothouse.records import RawLog, RawPoint, RawSpan

Signal = Literal["traces", "logs", "metrics"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

REFUSALS_LISTED_MAX = 1000
"""Refusals described one by one; further ones are only counted."""

BAD_PARENT = "pilothouse.bad_parent_span_id"
BAD_TRACE = "pilothouse.bad_trace_id"
BAD_SPAN = "pilothouse.bad_span_id"

_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One item that was not taken, and why."""

    index: int
    """Its position in the request, counted from 0 over all blocks."""
    id: str
    """The span id as sent in hex, the metric's name, or empty where it can not be read."""
    reason: str
    """What is wrong, with the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a request holds, without converting it."""

    items: int
    """Spans, log records or data points sent."""
    refused_count: int
    refused: list[Refusal]
    """The first :data:`REFUSALS_LISTED_MAX` of them."""

    @property
    def accepted(self) -> int:
        """Items that will be stored."""
        return self.items - self.refused_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded(Checked):
    """A request as records. Only the list of its own signal is filled."""

    spans: list[RawSpan] = field(default_factory=list[RawSpan])
    logs: list[RawLog] = field(default_factory=list[RawLog])
    points: list[RawPoint] = field(default_factory=list[RawPoint])


class Damaged(NamedTuple):
    """Stands in a block for an item that can not be read."""

    reason: str
    id: str = ""


class Block(NamedTuple):
    """The items of one resource and scope, in the form of their format: messages or dicts."""

    # Any: each format converts its own items; the walk passes them through untouched.
    resource: Any
    scope: Any
    items: Iterable[Any]


class Parent(NamedTuple):
    """A parent id: ``id`` is 16 hex digits or empty, ``bad`` what was sent where it is no id."""

    id: str
    bad: str


Rule = Callable[[Any], Damaged | None]
"""Says what is wrong with an item, or None."""


def sift(blocks: Iterable[Block], rule: Rule, keep: Callable[[Block, Any], None] | None) -> Checked:
    """Apply ``rule`` to every item in order and hand the good ones to ``keep``."""
    refused: list[Refusal] = []
    index = 0
    refused_count = 0
    for block in blocks:
        for item in block.items:
            damage = item if item.__class__ is Damaged else rule(item)
            if damage is None:
                if keep is not None:
                    keep(block, item)
            else:
                refused_count += 1
                if refused_count <= REFUSALS_LISTED_MAX:
                    refused.append(Refusal(index=index, id=damage.id, reason=damage.reason))
            index += 1
    return Checked(items=index, refused_count=refused_count, refused=refused)


def span_damage(trace_id: bytes, span_id: bytes) -> Damaged | None:
    """What is wrong with a span's identity."""
    if len(trace_id) == 16 and len(span_id) == 8 and trace_id != _NO_TRACE and span_id != _NO_SPAN:
        return None
    reason = _id_reason("trace id", trace_id, 16) or _id_reason("span id", span_id, 8)
    return Damaged(reason, span_id[:32].hex())


def parent(parent_id: bytes) -> Parent:
    """The parent as the span will have it."""
    if len(parent_id) == 8:
        return Parent("" if parent_id == _NO_SPAN else parent_id.hex(), "")
    return Parent("", parent_id[:64].hex() if parent_id.strip(b"\0") else "")


def trace_hex(trace_id: bytes) -> str:
    """32 hex digits, or empty where the id is none."""
    return trace_id.hex() if len(trace_id) == 16 and trace_id != _NO_TRACE else ""


def span_hex(span_id: bytes) -> str:
    """16 hex digits, or empty where the id is none."""
    return span_id.hex() if len(span_id) == 8 and span_id != _NO_SPAN else ""


def severity(number: int) -> int:
    """A log's severity as OTLP numbers it, from 1 to 24; 0 where it is unknown."""
    return number if 0 <= number <= 24 else 0


def bad_log_ids(trace_id: bytes, span_id: bytes) -> dict[str, str]:
    """The attributes that keep a log record's ids where they are no ids."""
    kept: dict[str, str] = {}
    if len(trace_id) != 16 and trace_id.strip(b"\0"):
        kept[BAD_TRACE] = trace_id[:64].hex()
    if len(span_id) != 8 and span_id.strip(b"\0"):
        kept[BAD_SPAN] = span_id[:64].hex()
    return kept


def _id_reason(name: str, value: bytes, length: int) -> str:
    if not value:
        return f"{name} is missing"
    if len(value) != length:
        return f"{name} is {len(value)} bytes long, not {length}"
    if not value.strip(b"\0"):
        return f"{name} is all zero"
    return ""
