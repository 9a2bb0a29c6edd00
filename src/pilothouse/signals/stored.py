"""Signals as they are stored with their trace: JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from pilothouse.records import Evidence, Signal


def to_json(signals: Sequence[Signal]) -> str:
    """The signals as a JSON list; empty text where there are none."""
    if not signals:
        return ""
    return json.dumps([asdict(signal) for signal in signals], ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> tuple[Signal, ...]:
    """The signals of a stored list; none where there is no list."""
    if not text:
        return ()
    found: list[Signal] = []
    for entry in cast("list[dict[str, Any]]", json.loads(text)):
        evidence: list[dict[str, Any]] = entry.pop("evidence", [])
        found.append(Signal(**entry, evidence=tuple(Evidence(**item) for item in evidence)))
    return tuple(found)
