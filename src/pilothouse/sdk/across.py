"""What a recorder does so that its traces go on in other processes: subprocesses, MCP, A2A."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from .on_import import when_imported
from .propagation import carry_into_subprocesses, continue_environment


def carry_across(instrument: str | bool | Iterable[str]) -> None:
    """Continue the trace of whoever started this process, and let what it starts and calls continue its own.

    MCP and A2A are libraries like others: left alone where ``instrument`` is False or names others only.
    """
    continue_environment()
    carry_into_subprocesses()
    everything = isinstance(instrument, str | bool)
    chosen = {"mcp", "a2a"} if everything and instrument else set[str]() if everything else set(instrument)
    if "mcp" in chosen:
        when_imported("mcp", _mcp)
    if "a2a" in chosen:
        when_imported("a2a", _a2a)


def _mcp(_: ModuleType) -> None:
    from .mcp_context import watch_mcp

    watch_mcp()


def _a2a(_: ModuleType) -> None:
    from .a2a_context import watch_a2a

    watch_a2a()
