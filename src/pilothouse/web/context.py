"""Page contexts: frozen dataclasses whose every field says what it holds, and their JSON form.

The same object makes the HTML, the ``.json`` and the ``.md`` of a page, and the reference page of the documentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def told(help: str) -> Mapping[str, str]:
    """The metadata of a context field: ``name: str = field(metadata=told("…"))``."""
    return {"help": help}


_PLAIN = {str, int, float, bool, type(None)}


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
        # A column of ten thousand numbers needs no look at each.
        return entries if set(map(type, entries)) <= _PLAIN else [as_plain(entry) for entry in entries]
    if isinstance(value, bytes):
        return value.hex()
    return value


def describe(context: type[Any]) -> list[tuple[str, str, str]]:
    """Name, type as written, and help of every field of a context."""
    return [(f.name, str(f.type), str(f.metadata.get("help", ""))) for f in dataclasses.fields(context)]
