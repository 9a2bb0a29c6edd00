"""Plain data, looked at with types: whether a value is a list or a mapping of names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


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
