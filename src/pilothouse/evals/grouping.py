"""What the cases of a run may be grouped by: each part of their metadata and each tag, as a key with a short value.

The tag ``customer:acme`` is the key ``customer`` with the value ``acme``; a tag without a colon is a key of its own with
the value ``yes``. Of the provenance, single values count: ``{customer: acme, week: 2026-W48}`` gives both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .case import Metadata

KEYS_MAX: Final = 20
"""Of one case; those beyond it are left out."""
VALUE_CHARS_MAX: Final = 120
_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
_OF_ONE_CASE: Final = ("trace", "trace_id", "step", "captured", "did", "verdict")
"""Provenance that tells cases apart instead of bringing them together."""


def groups_of(metadata: Metadata) -> dict[str, str]:
    """What a case may be grouped by, beside its capability, severity and cluster."""
    found: dict[str, str] = {}
    for key, value in _told(metadata):
        text = str(value).strip()[:VALUE_CHARS_MAX]
        if text and _KEY.fullmatch(key) and len(found) < KEYS_MAX:
            found.setdefault(key, text)
    return found


def is_group_key(text: str) -> bool:
    """Whether something may be grouped by this."""
    return _KEY.fullmatch(text) is not None


def _told(metadata: Metadata) -> Iterator[tuple[str, Any]]:
    for tag in metadata.tags:
        key, colon, value = tag.partition(":")
        yield key.strip(), value if colon else "yes"
    yield from (("difficulty", metadata.difficulty), ("kind", metadata.kind), ("scenario", metadata.scenario))
    provenance: Mapping[str, Any] = metadata.provenance
    for key, value in provenance.items():
        if key not in _OF_ONE_CASE and isinstance(value, str | int | float) and not isinstance(value, bool):
            yield str(key), value
