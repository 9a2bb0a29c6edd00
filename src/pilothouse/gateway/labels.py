"""Who a call is for: what the caller says of itself in headers."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_CHARS_MAX: Final = 300
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")

# Ids have to differ, not to be guessed at: asking the system for each costs a twentieth of what the gateway may take.
_dice: Final = random.Random(os.urandom(32))  # noqa: S311

HEADERS: Final[Mapping[str, str]] = {
    "x-pilothouse-user": "user.id",
    "x-pilothouse-session": "session.id",
    "x-pilothouse-feature": "pilothouse.feature",
    "x-pilothouse-agent": "gen_ai.agent.name",
    "x-pilothouse-agent-version": "gen_ai.agent.version",
    "x-pilothouse-environment": "deployment.environment.name",
}
"""Header, and the attribute of the trace that it becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Where a call stands."""

    trace_id: str
    span_id: str
    parent_span_id: str = ""
    attributes: Mapping[str, str]
    """Attributes of the trace, by their names there."""


def read(headers: Mapping[str, str]) -> Labels:
    """Read a request's headers, whose names are lower-case.

    ``traceparent`` puts the call into the caller's trace; one that is no trace parent is left aside, as the standard
    wants it, and the call gets a trace of its own.
    """
    attributes = {
        HEADERS[header]: value for header, given in headers.items() if header in HEADERS and (value := _clean(given))
    }
    parent = headers.get("traceparent", "")
    found = _PARENT.fullmatch(parent.strip().lower()) if parent else None
    if found is not None and int(found[1], 16) and int(found[2], 16):
        trace_id, parent = found[1], found[2]
    else:
        trace_id, parent = f"{_dice.getrandbits(128) or 1:032x}", ""
    return Labels(
        trace_id=trace_id, span_id=f"{_dice.getrandbits(64) or 1:016x}", parent_span_id=parent, attributes=attributes
    )


def below(labels: Labels) -> Labels:
    """The labels of a call that is made for the sake of another."""
    span_id = f"{_dice.getrandbits(64) or 1:016x}"
    return Labels(
        trace_id=labels.trace_id, span_id=span_id, parent_span_id=labels.span_id, attributes=labels.attributes
    )


def _clean(value: str) -> str:
    value = value.strip()
    if not value.isprintable():
        value = "".join(character for character in value if character.isprintable())
    return value[:_CHARS_MAX]
