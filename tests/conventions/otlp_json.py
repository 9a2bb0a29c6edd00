"""Captured OTLP/JSON request bodies as raw spans and logs, through the product's own decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pilothouse.intake.decode_json import decode
from pilothouse.records import RawLog, RawSpan

CAPTURES = Path(__file__).parent / "captures"


def bodies(path: Path) -> list[dict[str, Any]]:
    """The request bodies in a capture file: one, or a list of them."""
    found = json.loads(path.read_text())
    return found if isinstance(found, list) else [found]


def spans(body: dict[str, Any]) -> list[RawSpan]:
    """The spans of a trace request, in the order sent."""
    return list(decode("traces", json.dumps(body).encode()).spans)


def logs(body: dict[str, Any]) -> list[RawLog]:
    """The log records of a logs request, in the order sent."""
    return list(decode("logs", json.dumps(body).encode()).logs)
