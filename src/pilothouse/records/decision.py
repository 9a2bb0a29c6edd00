"""What a model call decided: the exact prompt as text and its SHA-256, the next action, and whether that can be done.

The prompt is ``{"messages": […], "parameters": {…}, "tools": […]}`` as canonical JSON: keys sorted, no spaces, UTF-8.
Messages are in the form of the OpenTelemetry GenAI convention (:func:`wire_message`), so that whoever has the span's
attributes can compute the same hash. Marks that steer a provider's cache are no part of it; neither is the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from .message import Message, Part

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_DEPTH_MAX: Final = 20


def canonical_json(value: Any) -> str:
    """The one text of plain data: keys sorted, no spaces, nothing escaped that need not be."""
    return _encode(value)


def wire_message(role: str, parts: Sequence[Part], *, finish_reason: str = "") -> dict[str, Any]:
    """A message in the form of the GenAI convention; reading it gives the same role and parts back."""
    wire: dict[str, Any] = {"role": role, "parts": [_wire_part(part) for part in parts]}
    if finish_reason:
        wire["finish_reason"] = finish_reason
    return wire


def prompt_text(messages_json: str, tools_json: str, parameters_json: str) -> str:
    """The prompt from its three parts, each canonical JSON."""
    return f'{{"messages":{messages_json},"parameters":{parameters_json},"tools":{tools_json}}}'


def prompt_sha256(prompt: str) -> str:
    """64 hex digits over the prompt's UTF-8."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def stored_prompt(messages: Sequence[Message], tools: Sequence[Any], parameters: Mapping[str, Any]) -> str:
    """The prompt as it can be told from what is stored."""
    wire = [wire_message(item.role, item.parts) for item in messages]
    return prompt_text(canonical_json(wire), canonical_json(list(tools)), canonical_json(dict(parameters)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether what a model wants to do next can be done."""

    valid: bool
    reason: str = ""
    """Why not; empty where it is valid."""


def next_actions(answer: Sequence[Message]) -> list[dict[str, Any]]:
    """What a model wants next: its tool calls in order, else its answer, else nothing (``{"type": "none"}``)."""
    calls: list[dict[str, Any]] = []
    words: list[str] = []
    for item in answer:
        for part in item.parts:
            # What the provider runs itself is part of the answer, not a wish.
            if part.type == "tool_call" and not part.extra.get("server"):
                calls.append({"type": "tool_call", "tool": part.name, "arguments": part.arguments, "id": part.id})
            elif part.type in ("text", "media") and (part.text.strip() or part.uri):
                words.append(part.text)
    if calls:
        return calls
    return [{"type": "answer", "text": "\n".join(words)}] if words else [{"type": "none"}]


def judge(actions: Sequence[Mapping[str, Any]], tools: Sequence[Any]) -> Verdict:
    """Whether the actions can be done: known tools, arguments that are JSON and fit the schema; an answer with words.

    ``tools`` are definitions as sent to the provider. Where none are known, a call's name cannot be checked.
    """
    schemas = {name: schema for definition in tools for name, schema in _schemas(definition)}
    for action in actions:
        if action.get("type") == "none":
            return Verdict(valid=False, reason="the answer is empty: neither text nor a tool call")
        if action.get("type") != "tool_call":
            continue
        reason = _wrong_call(str(action.get("tool") or ""), action.get("arguments"), schemas)
        if reason:
            return Verdict(valid=False, reason=reason)
    return Verdict(valid=True)


def tool_names(tools: Sequence[Any]) -> list[str]:
    """The names of the tools in definitions as sent."""
    return [name for definition in tools for name, _ in _schemas(definition)]


def _wrong_call(tool: str, arguments: Any, schemas: Mapping[str, Any]) -> str:
    if not tool:
        return "a tool call names no tool"
    if schemas and tool not in schemas:
        return f"no tool {tool!r} was offered: {', '.join(list(schemas)[:20])}"
    if isinstance(arguments, str):
        return f"the arguments of {tool} are not JSON: {arguments[:100]!r}"
    if arguments is not None and not isinstance(arguments, dict):
        return f"the arguments of {tool} are no object but {type(arguments).__name__}"
    wrong = _misfit(cast("Any", arguments) or {}, schemas.get(tool), "", 0)
    return f"the arguments of {tool} do not fit: {wrong}" if wrong else ""


def _misfit(value: Any, schema: Any, path: str, depth: int) -> str:
    """The first way in which a value does not fit a JSON Schema's type, required, enum, properties and items."""
    if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
        return ""
    rules = cast("Mapping[str, Any]", schema)
    where = path or "arguments"
    wanted = rules.get("type")
    names = [wanted] if isinstance(wanted, str) else cast("list[Any]", wanted) if isinstance(wanted, list) else []
    if names and not any(_is(value, name) for name in names):
        return f"{where} is no {' or '.join(map(str, names))}"
    allowed = rules.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        return f"{where} is none of {_encode(allowed)[:200]}"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        required = rules.get("required")
        for name in cast("list[Any]", required) if isinstance(required, list) else []:
            if name not in fields:
                return f"{path + '.' if path else ''}{name} is missing"
        properties = rules.get("properties")
        known = cast("Mapping[str, Any]", properties) if isinstance(properties, Mapping) else dict[str, Any]()
        for name, inner in fields.items():
            if name not in known and rules.get("additionalProperties") is False:
                return f"{path + '.' if path else ''}{name} is unknown"
            if wrong := _misfit(inner, known.get(name), f"{path}.{name}" if path else name, depth + 1):
                return wrong
    elif isinstance(value, list):
        for position, inner in enumerate(cast("list[Any]", value)[:1000]):
            if wrong := _misfit(inner, rules.get("items"), f"{where}[{position}]", depth + 1):
                return wrong
    return ""


def _is(value: Any, name: Any) -> bool:
    expected = _TYPES.get(name) if isinstance(name, str) else None
    if expected is None:
        return True
    if isinstance(value, bool):
        return bool in expected
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, expected)


def _schemas(definition: Any, depth: int = 0) -> list[tuple[str, Any]]:
    """The tools in one definition: OpenAI, Anthropic, Gemini, Bedrock and MCP forms."""
    if not isinstance(definition, Mapping) or depth > _DEPTH_MAX:
        return []
    body = cast("Mapping[str, Any]", definition)
    declared = body.get("functionDeclarations", body.get("function_declarations"))
    if isinstance(declared, list):
        return [pair for inner in cast("list[Any]", declared) for pair in _schemas(inner, depth + 1)]
    for wrapper in ("function", "toolSpec"):
        if isinstance(body.get(wrapper), Mapping):
            return _schemas(body[wrapper], depth + 1)
    name = body.get("name") or body.get("type")
    if not isinstance(name, str):
        return []
    for key in ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "json_schema"):
        schema = body.get(key)
        if isinstance(schema, Mapping):
            return [(name, cast("Mapping[str, Any]", schema).get("json", cast("Any", schema)))]
    return [(name, None)]


def _wire_part(part: Part) -> dict[str, Any]:
    extra = dict(part.extra)
    if part.type == "text" and extra.pop("refusal", False):
        return {"type": "refusal", "refusal": part.text}
    if part.type in ("text", "reasoning"):
        return {**extra, "type": part.type, "content": part.text}
    if part.type == "tool_call":
        server = extra.pop("server", False)
        kind = "server_tool_call" if server else "tool_call"
        return {**extra, "type": kind, "id": part.id, "name": part.name, "arguments": part.arguments}
    if part.type == "tool_result":
        server = extra.pop("server", False)
        kind = "server_tool_call_response" if server else "tool_call_response"
        return {**extra, "type": kind, "id": part.id, "response": part.text}
    if part.type == "media":
        return {**extra, "type": "uri", "mime_type": part.mime, "uri": part.uri}
    return extra or {"type": "other", "content": part.text}
