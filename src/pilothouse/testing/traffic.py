"""What calls to model endpoints say: the model, its answer's size, the tool calls asked for and the results handed back.

It reads OpenAI chat completions and responses, Anthropic messages and Gemini generateContent, whole and streamed, by
the shapes that occur in them. That is less than a client library reads and more than enough to count and to compare.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.testing.model_proxy import ProxiedCall

_GENERATING = re.compile(r"/(chat/completions|responses|messages|completions)$|:(stream)?[gG]enerateContent$")
_GEMINI_MODEL = re.compile(r"/models/([^/:?]+):")
DEPTH_MAX = 60


@dataclass(frozen=True, kw_only=True)
class AskedTool:
    """A tool call that a model asked for."""

    id: str
    """The provider's id of the call; empty for Gemini, which has none."""
    name: str
    arguments: str
    """JSON with sorted keys."""


@dataclass(frozen=True, kw_only=True)
class HandedResult:
    """A tool's result as the agent handed it to the model."""

    id: str
    name: str
    """Empty where the provider's form does not repeat it."""
    text: str


@dataclass(frozen=True, kw_only=True)
class ModelTraffic:
    """One generation: what was asked and answered."""

    call: ProxiedCall
    model: str
    """The model that answered, else the one asked for."""
    response_id: str
    finish_reason: str
    output_tokens: int | None
    """None where the answer does not say."""
    asked: tuple[AskedTool, ...]
    """Tool calls in the request's history and in the answer."""
    handed: tuple[HandedResult, ...]
    """Tool results in the request."""

    @property
    def ok(self) -> bool:
        """True where the model answered."""
        return 200 <= self.call.status < 300


def read_traffic(calls: tuple[ProxiedCall, ...]) -> tuple[ModelTraffic, ...]:
    """The generations among what passed, oldest first; embeddings, model lists and the like are left out."""
    found = [_read(call) for call in sorted(calls, key=lambda call: call.start_ns)]
    return tuple(one for one in found if one is not None)


def _read(call: ProxiedCall) -> ModelTraffic | None:
    path = call.path.partition("?")[0].rstrip("/")
    if call.method != "POST" or not _GENERATING.search(path):
        return None
    request = _json(call.request)
    answer = list(_documents(call))
    gemini = _GEMINI_MODEL.search(path)
    asked_model = gemini[1] if gemini else _first_text([request], "model")
    return ModelTraffic(
        call=call,
        model=_first_text(answer, "model", "modelVersion") or asked_model,
        response_id=_first_text(answer, "id", "responseId"),
        finish_reason=_last_text(answer, "finish_reason", "stop_reason", "finishReason", "status"),
        output_tokens=_output_tokens(answer),
        asked=tuple(dict.fromkeys(tool for value in [request, *answer] for tool in _asked(value))),
        handed=tuple(dict.fromkeys(_handed(request))),
    )


def _documents(call: ProxiedCall) -> Iterator[Any]:
    """The JSON values of an answer: one, or those of a stream of events."""
    text = call.answer.decode("utf-8", "replace")
    if "event-stream" not in call.content_type:
        yield _json(text)
        return
    for line in text.splitlines():
        if line.startswith("data:") and line[5:].strip() not in ("", "[DONE]"):
            yield _json(line[5:])


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > DEPTH_MAX:
        return
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        yield fields
        for inner in fields.values():
            yield from _objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _objects(inner, depth + 1)


def _tops(values: list[Any]) -> Iterator[dict[str, Any]]:
    """The objects that carry an answer's own facts: the answer, and what events wrap it in."""
    for value in values:
        for row in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(row, dict):
                fields = cast("dict[str, Any]", row)
                for one in (fields.get("response"), fields.get("message"), fields):
                    if isinstance(one, dict):
                        yield cast("dict[str, Any]", one)


def _first_text(values: list[Any], *names: str) -> str:
    return next(
        (found for top in _tops(values) for name in names if isinstance(found := top.get(name), str) and found), ""
    )


def _last_text(values: list[Any], *names: str) -> str:
    found = [
        text
        for value in values
        for fields in _objects(value)
        for name in names
        if isinstance(text := fields.get(name), str)
        and text
        and (name != "status" or fields.get("object") == "response")
    ]
    return found[-1] if found else ""


def _output_tokens(values: list[Any]) -> int | None:
    found: int | None = None
    for value in values:
        for fields in _objects(value):
            usage = fields.get("usage") or fields.get("usageMetadata")
            if isinstance(usage, dict):
                counts = cast("dict[str, Any]", usage)
                for name in ("completion_tokens", "output_tokens", "candidatesTokenCount"):
                    if isinstance(count := counts.get(name), int):
                        thoughts = counts.get("thoughtsTokenCount")
                        found = count + (thoughts if isinstance(thoughts, int) else 0)
    return found


def _asked(value: Any) -> Iterator[AskedTool]:
    for fields in _objects(value):
        function = fields.get("function")
        if isinstance(function, dict) and fields.get("id"):
            inner = cast("dict[str, Any]", function)
            if isinstance(inner.get("arguments"), str) and _json(inner["arguments"]) is not None:
                yield _tool(fields["id"], inner.get("name"), inner["arguments"])
        elif fields.get("type") == "function_call" and fields.get("call_id") and fields.get("status") != "in_progress":
            yield _tool(fields["call_id"], fields.get("name"), fields.get("arguments"))
        elif fields.get("type") == "tool_use" and fields.get("input"):
            yield _tool(fields.get("id"), fields.get("name"), fields["input"])
        elif isinstance(fields.get("functionCall"), dict):
            inner = cast("dict[str, Any]", fields["functionCall"])
            yield _tool(inner.get("id"), inner.get("name"), inner.get("args"))


def _tool(id: Any, name: Any, arguments: Any) -> AskedTool:
    parsed = _json(arguments) if isinstance(arguments, str) else arguments
    # Canonical text: the same call read twice is one call.
    text = json.dumps(arguments if parsed is None else parsed, sort_keys=True)
    return AskedTool(id=str(id or ""), name=str(name or ""), arguments=text)


def _handed(value: Any) -> Iterator[HandedResult]:
    for fields in _objects(value):
        if fields.get("role") == "tool" and fields.get("tool_call_id"):
            yield _result(fields["tool_call_id"], fields.get("name"), fields.get("content"))
        elif fields.get("type") == "function_call_output":
            yield _result(fields.get("call_id"), "", fields.get("output"))
        elif fields.get("type") == "tool_result" and fields.get("tool_use_id"):
            yield _result(fields["tool_use_id"], "", fields.get("content"))
        elif isinstance(fields.get("functionResponse"), dict):
            inner = cast("dict[str, Any]", fields["functionResponse"])
            yield _result(inner.get("id"), inner.get("name"), inner.get("response"))


def _result(id: Any, name: Any, content: Any) -> HandedResult:
    return HandedResult(id=str(id or ""), name=str(name or ""), text=_words(content))


def _words(content: Any) -> str:
    """A result as text: text as it is, text parts joined, anything else as JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
        if texts and len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
            return "\n".join(cast("list[str]", texts))
    return json.dumps(content, sort_keys=True, ensure_ascii=False)
