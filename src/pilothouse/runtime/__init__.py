"""What keeps an agent to its task whatever the size of the data: framework-free cores, plain functions and state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters.harness import harness

__all__ = ["harness"]


def __getattr__(name: str) -> Any:
    # The cores are imported one by one and stay light; the framework comes in with the first capability.
    if name != "harness":
        raise AttributeError(f"module 'pilothouse.runtime' has no attribute {name!r}")
    try:
        from .adapters.harness import harness
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pydantic_ai":
            raise
        raise ModuleNotFoundError(
            "harness() needs pydantic-ai: pip install 'pilothouse[runtime]'", name=error.name
        ) from error
    globals()[name] = harness
    return harness
