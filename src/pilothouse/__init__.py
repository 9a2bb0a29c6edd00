"""Record, watch and run LLM agents: the recorder's names. Each is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sdk.decorators import agent, span
    from .sdk.labels import feature, session, tags
    from .sdk.logging_handler import logging_filter, logging_formatter, logging_handler
    from .sdk.mcp_context import instrument_mcp
    from .sdk.model_calls import model_call
    from .sdk.propagation import extract, inject
    from .sdk.recorder import current_trace_id, flush, init, shutdown, stats
    from .sdk.retries import retry
    from .sdk.states import state, waiting
    from .sdk.structlog_processor import structlog_processor
    from .sdk.threads import carry
    from .sdk.tools import tool, wrap_tool

__version__ = "0.1.0"

_WHERE = {
    "agent": "decorators",
    "carry": "threads",
    "current_trace_id": "recorder",
    "extract": "propagation",
    "feature": "labels",
    "flush": "recorder",
    "init": "recorder",
    "model_call": "model_calls",
    "retry": "retries",
    "inject": "propagation",
    "instrument_mcp": "mcp_context",
    "logging_filter": "logging_handler",
    "logging_formatter": "logging_handler",
    "logging_handler": "logging_handler",
    "session": "labels",
    "shutdown": "recorder",
    "span": "decorators",
    "state": "states",
    "stats": "recorder",
    "structlog_processor": "structlog_processor",
    "tags": "labels",
    "tool": "tools",
    "waiting": "states",
    "wrap_tool": "tools",
}
"""The module of :mod:`pilothouse.sdk` in which a name is defined."""

__all__ = [
    "agent",
    "carry",
    "current_trace_id",
    "extract",
    "feature",
    "flush",
    "init",
    "inject",
    "instrument_mcp",
    "logging_filter",
    "logging_formatter",
    "logging_handler",
    "model_call",
    "retry",
    "session",
    "shutdown",
    "span",
    "state",
    "stats",
    "structlog_processor",
    "tags",
    "tool",
    "waiting",
    "wrap_tool",
]


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'pilothouse' has no attribute {name!r}")
    found = getattr(import_module(f"pilothouse.sdk.{where}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
