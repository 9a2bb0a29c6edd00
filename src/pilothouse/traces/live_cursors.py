"""Places in the order of arrival: where a stream of changes goes on, without missing anything or repeating it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pilothouse.records import BadRequest

_END_NS = 2**63 - 1
_FORM = re.compile(r"([0-9]{13})(?:\.([0-9]{1,19})\.([0-9a-f]{16}))?")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Behind a span, or behind all that arrived in one batch. Places compare in the order of arrival."""

    received_ms: int
    """When it was stored, milliseconds since 1970."""
    start_ns: int = _END_NS
    span_id: str = "~"

    @property
    def whole(self) -> bool:
        """True behind all of a batch."""
        return self.start_ns == _END_NS


def write_place(place: Place) -> str:
    """A place as text: a cursor."""
    return str(place.received_ms) if place.whole else f"{place.received_ms}.{place.start_ns}.{place.span_id}"


def read_place(text: str) -> Place:
    """The inverse of :func:`write_place`.

    Raises:
        BadRequest: the text is no cursor.
    """
    found = _FORM.fullmatch(text)
    if found is None or int(found[2] or 0) >= _END_NS:
        raise BadRequest("this is no cursor of the live stream", got=text[:80], fix="start again without a cursor")
    if found[2] is None:
        return Place(received_ms=int(found[1]))
    return Place(received_ms=int(found[1]), start_ns=int(found[2]), span_id=found[3])
