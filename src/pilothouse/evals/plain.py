"""Plain data, looked at with types: whether a value is a list or a mapping of names; and any value made plain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, cast

_TEXT_CHARS_MAX: Final = 10_000


def mapping_of(value: Any) -> Mapping[str, Any] | None:
    """The value where it is a mapping, else None."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def list_of(value: Any) -> list[Any] | None:
    """The value where it is a list, else None."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def is_texts(value: Any) -> bool:
    """Whether the value is a list of texts; an empty one is."""
    found = list_of(value)
    return found is not None and all(isinstance(one, str) for one in found)


def data_of(value: Any) -> Any:
    """What JSON can say of a value: models and dataclasses as mappings, all that it has no word for as text."""
    try:
        return json.loads(json.dumps(value, default=_told))
    except (ValueError, TypeError, RecursionError):
        return str(value)[:_TEXT_CHARS_MAX]


def _told(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)
