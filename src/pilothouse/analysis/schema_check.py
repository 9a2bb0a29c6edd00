"""Whether an answer fits its JSON Schema: the part of the standard that playbooks need, and an error for the rest.

A keyword that is not checked here is refused when the playbook is read, so that no answer passes for checked that was not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from pilothouse.records import BadRequest

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
KEYWORDS = {
    *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "pattern"),
    *("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"),
}
_ABOUT = {"$schema", "$id", "title", "description", "examples", "default", "$comment"}
_DEPTH_MAX = 20
ERRORS_MAX = 10


def check_schema(schema: Any, place: str = "schema") -> dict[str, Any]:
    """The schema, once it is known that all of it can be checked.

    Raises:
        BadRequest: it is none, or it has a keyword that is not checked here.
    """
    _known(schema, place, 0)
    return cast("dict[str, Any]", schema)


def _known(schema: Any, place: str, depth: int) -> None:
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        raise BadRequest("an output schema is an object of JSON Schema", got=place)
    fields = cast("dict[str, Any]", schema)
    unknown = sorted(set(fields) - KEYWORDS - _ABOUT)
    if unknown:
        raise BadRequest("the output schema has a keyword that is not checked", got=f"{place}: {unknown[0]}", allowed=sorted(KEYWORDS))  # fmt: skip
    types = fields.get("type", [])
    for name in cast("list[Any]", types) if isinstance(types, list) else [types]:
        if name not in _TYPES:
            raise BadRequest("the output schema names no such type", got=f"{place}: {name}", allowed=sorted(_TYPES))
    if "pattern" in fields:
        try:
            re.compile(str(fields["pattern"]))
        except re.error as error:
            raise BadRequest("a pattern of the output schema is wrong", got=f"{place}: {fields['pattern']}") from error
    for name, inner in cast("dict[str, Any]", fields.get("properties", {})).items():
        _known(inner, f"{place}.{name}", depth + 1)
    for name in ("items", "additionalProperties"):
        if name in fields and not isinstance(fields[name], bool):
            _known(fields[name], f"{place}.{name}", depth + 1)


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    """What does not fit, one sentence each, at most ten."""
    found: list[str] = []
    for problem in _problems(value, schema, "answer", 0):
        found.append(problem)
        if len(found) == ERRORS_MAX:
            break
    return found


def _problems(value: Any, schema: dict[str, Any], place: str, depth: int) -> Iterator[str]:
    if depth > _DEPTH_MAX:
        yield f"{place} is nested too deeply"
        return
    types = schema.get("type")
    if types is not None:
        names = cast("list[str]", types if isinstance(types, list) else [types])
        if not any(_is(value, name) for name in names):
            yield f"{place} must be {' or '.join(names)}, not {_name(value)}"
            return
    if "const" in schema and value != schema["const"]:
        yield f"{place} must be {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} must be one of {', '.join(map(str, schema['enum']))}, not {str(value)[:60]!r}"
    if isinstance(value, str):
        yield from _text(value, schema, place)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield f"{place} must be at least {schema['minimum']}, not {value}"
        if "maximum" in schema and value > schema["maximum"]:
            yield f"{place} must be at most {schema['maximum']}, not {value}"
    elif isinstance(value, list):
        yield from _list(cast("list[Any]", value), schema, place, depth)
    elif isinstance(value, dict):
        yield from _object(cast("dict[str, Any]", value), schema, place, depth)


def _text(value: str, schema: dict[str, Any], place: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{place} must have at least {schema['minLength']} characters, not {len(value)}"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{place} must have at most {schema['maxLength']} characters, not {len(value)}"
    # Patterns come from the playbook, which the user chose; values are bounded by the size of an answer.
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{place} must match {schema['pattern']}, not {value[:60]!r}"


def _list(value: list[Any], schema: dict[str, Any], place: str, depth: int) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{place} must have at least {schema['minItems']} entries, not {len(value)}"
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{place} must have at most {schema['maxItems']} entries, not {len(value)}"
    inner = schema.get("items")
    if isinstance(inner, dict):
        for number, one in enumerate(value):
            yield from _problems(one, cast("dict[str, Any]", inner), f"{place}[{number}]", depth + 1)


def _object(value: dict[str, Any], schema: dict[str, Any], place: str, depth: int) -> Iterator[str]:
    known: dict[str, Any] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{place}.{name} is missing"
    others = schema.get("additionalProperties", True)
    for name, one in value.items():
        if name in known:
            yield from _problems(one, known[name], f"{place}.{name}", depth + 1)
        elif others is False:
            yield f"{place}.{name[:60]} is not asked for"
        elif isinstance(others, dict):
            yield from _problems(one, cast("dict[str, Any]", others), f"{place}.{name[:60]}", depth + 1)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _name(value: Any) -> str:
    return next((name for name in _TYPES if _is(value, name)), type(value).__name__)
