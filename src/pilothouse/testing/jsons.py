"""Reading JSON that a stranger sent: every accessor returns the wanted shape or its empty value."""

import json
from typing import Any, TypeAlias, cast

# JSON values arrive untyped by nature; each reader narrows the part it uses.
JsonObject: TypeAlias = dict[str, Any]


def as_object(value: Any) -> JsonObject:
    """Return the value if it is an object, else an empty one."""
    return cast(JsonObject, value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return cast(list[Any], value) if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return the value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int | None:
    """Return the value if it is a whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects(value: Any) -> list[JsonObject]:
    """Return the objects of a list and leave out everything else in it."""
    return [cast(JsonObject, item) for item in as_list(value) if isinstance(item, dict)]


def compact(value: Any) -> str:
    """Return the shortest JSON text of a value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def parsed_object(text: str) -> JsonObject:
    """Return the object written in a JSON text, or an empty one when it is not that."""
    try:
        return as_object(json.loads(text))
    except ValueError:
        return {}
