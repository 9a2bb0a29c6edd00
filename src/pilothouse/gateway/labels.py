"""Who a call is for: what the caller says of itself in headers."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

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
_GIVEN: Final = {header.encode(): attribute for header, attribute in HEADERS.items()}


class Labels(NamedTuple):
    """Where a call stands. A tuple: every call makes one, and a frozen dataclass costs ten times as much."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, str]
    """Attributes of the trace, by their names there."""
    parent_span_id: str = ""


def read(headers: Mapping[str, str]) -> Labels:
    """Read a request's headers, whose names are lower-case.

    ``traceparent`` puts the call into the caller's trace; one that is no trace parent is left aside, as the standard
    wants it, and the call gets a trace of its own.
    """
    attributes = {
        HEADERS[header]: value for header, given in headers.items() if header in HEADERS and (value := _clean(given))
    }
    return _labels(headers.get("traceparent", ""), attributes)


def of_call(given: Mapping[bytes, bytes]) -> Labels:
    """The same from the headers of a call as they came."""
    attributes: dict[str, str] = {}
    for header in given.keys() & _GIVEN.keys():
        if value := _clean(given[header].decode("utf-8", "replace")):
            attributes[_GIVEN[header]] = value
    parent = given.get(b"traceparent")
    return _labels(parent.decode("latin-1") if parent else "", attributes)


def _labels(parent: str, attributes: Mapping[str, str]) -> Labels:
    ids = _dice.randbytes(24).hex()
    found = _PARENT.fullmatch(parent.strip().lower()) if parent else None
    if found is not None and int(found[1], 16) and int(found[2], 16):
        return Labels(found[1], ids[32:], attributes, found[2])
    return Labels(ids[:32], ids[32:], attributes)


def below(labels: Labels) -> Labels:
    """The labels of a call that is made for the sake of another."""
    return Labels(labels.trace_id, _dice.randbytes(8).hex(), labels.attributes, labels.span_id)


def _clean(value: str) -> str:
    value = value.strip()
    if not value.isprintable():
        value = "".join(character for character in value if character.isprintable())
    return value[:_CHARS_MAX]
