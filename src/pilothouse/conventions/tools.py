"""Tool definitions, in whatever shape they are offered to a model, remembered like messages are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.records import ToolDefinition

from . import values

_REMEMBERED_MAX: Final = 256
_REMEMBERED_BYTES_MAX: Final = 100_000
_remembered: dict[Any, tuple[ToolDefinition, ...]] = {}


def tool_definitions(value: Any) -> tuple[ToolDefinition, ...]:
    """The tools in a list, a JSON list, a list of JSON texts, or an object by tool name; nothing else gives any."""
    key: Any = None
    if isinstance(value, str):
        key = value
    elif isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in cast("list[Any]", value)):
        key = tuple(cast("list[str]", value))
    if key is not None and (known := _remembered.get(key)) is not None:
        return known
    found = _read(value)
    if key is not None and sum(map(len, key)) <= _REMEMBERED_BYTES_MAX:
        if len(_remembered) >= _REMEMBERED_MAX:
            _remembered.clear()
        _remembered[key] = found
    return found


def _read(value: Any) -> tuple[ToolDefinition, ...]:
    content = values.structure(value)
    if isinstance(content, Mapping):
        fields = cast("Mapping[str, Any]", content)
        if any(key in fields for key in ("name", "function", "functionDeclarations", "function_declarations")):
            content = [fields]
        else:
            content = [
                {"name": name, **cast("Mapping[str, Any]", body)}
                for name, body in fields.items()
                if isinstance(body, Mapping)
            ]
    if not isinstance(content, (list, tuple)):
        return ()
    found: list[ToolDefinition] = []
    for item in cast("list[Any]", content):
        found.extend(_definitions(values.structure(item)))
    return tuple(found)


def _definitions(item: Any) -> list[ToolDefinition]:
    if not isinstance(item, Mapping):
        return []
    body = cast("Mapping[str, Any]", item)
    declared = body.get("functionDeclarations", body.get("function_declarations"))
    if isinstance(declared, (list, tuple)):
        # Gemini groups its functions under one tool.
        return [one for inner in cast("list[Any]", declared) for one in _definitions(inner)]
    for wrapper in ("function", "toolSpec"):
        inner = body.get(wrapper)
        if isinstance(inner, Mapping):
            name = values.word(cast("Mapping[str, Any]", inner).get("name"))
            if name:
                return [ToolDefinition(name=name, definition=dict(body))]
    name = values.word(body.get("name")) or values.word(body.get("type"))
    return [ToolDefinition(name=name, definition=dict(body))] if name else []
