"""One log record on its way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """What becomes an OTLP log record."""

    time_ns: int
    severity_number: int = 9
    """OTLP's scale: 1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal."""
    severity_text: str = ""
    body: Any = ""
    """Text, or plain data: whatever an attribute may hold."""
    event_name: str = ""
    trace_id: str = ""
    """32 hex digits, or empty where no span was active."""
    span_id: str = ""
    """16 hex digits, or empty."""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
