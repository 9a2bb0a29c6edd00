"""Page contexts: frozen dataclasses whose every field says what it holds, and their JSON form.

The same object makes the HTML, the ``.json`` and the ``.md`` of a page, and the reference page of the documentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_type_hints


def told(help: str) -> Mapping[str, str]:
    """The metadata of a context field: ``name: str = field(metadata=told("…"))``."""
    return {"help": help}


def as_plain(value: Any) -> Any:
    """A context as plain data for JSON: dataclasses become objects, money becomes a string, keys keep their order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, Mapping):
        items: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {str(key): as_plain(entry) for key, entry in items.items()}
    if isinstance(value, (list, tuple)):
        entries: list[Any] | tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        return [as_plain(entry) for entry in entries]
    if isinstance(value, bytes):
        return value.hex()
    return value


def describe(context: type[Any]) -> list[tuple[str, str, str]]:
    """Name, type and help of every field of a context."""
    hints = get_type_hints(context)
    return [(f.name, type_name(hints[f.name]), str(f.metadata.get("help", ""))) for f in dataclasses.fields(context)]


def type_name(hint: Any) -> str:
    """A type as people write it: ``Page[TraceRow]``, ``str``, ``tuple[Facet, ...]``."""
    if hint is type(None):
        return "None"
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        return hint.__name__
    return (
        str(hint).replace("pilothouse.traces.model.", "").replace("pilothouse.web.model.", "").split("pilothouse.")[-1]
    )
