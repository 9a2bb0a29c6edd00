"""What is wrong, or may be, with a trace: a signal, with the spans that show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A span that shows a signal."""

    span_id: str
    """16 hex digits."""
    step: int = 0
    """Its number in the trace."""
    note: str = ""
    """What is to be seen there, at most 200 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One finding of a rule about a trace, made without any language model."""

    name: str
    """The rule's name, e.g. ``loop``: stable, lower case, with underscores."""
    severity: Severity = "warning"
    """``critical``: somebody should look now; ``info``: worth knowing."""
    message: str
    """One plain sentence that names the tool, the count, the value and the limit."""
    evidence: tuple[Evidence, ...] = ()
    """The spans that show it, in step order, at most 20."""
    value: float | None = None
    """What was measured, in ``unit``."""
    limit: float | None = None
    """The threshold it passed, in ``unit``."""
    unit: str = ""
    """``calls``, ``s``, ``usd``, ``tokens``, …"""
    detail: dict[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else the rule knows, as plain data."""
