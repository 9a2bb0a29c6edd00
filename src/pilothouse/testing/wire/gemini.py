"""Gemini: POST /v1beta/models/{model}:generateContent and :streamGenerateContent.

The model and the kind of call are in the address; the server copies them into the body as `model` and `stream`.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

from pilothouse.testing.exchange import Answer, ModelRequest, Segment, ToolCall, ToolOffer, ToolResult, Turn, pieces
from pilothouse.testing.jsons import JsonObject, as_count, as_list, as_object, as_text, compact, objects
from pilothouse.testing.wire.format import Wire, WireError, event, list_of, model_of, prompt_text

_FINISH = {"stop": "STOP", "tools": "STOP", "length": "MAX_TOKENS"}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def read(body: JsonObject) -> ModelRequest:
    """Understand the body of a generateContent call."""
    contents = list_of(body, "contents")
    config = as_object(_field(body, "generationConfig"))
    system = as_object(_field(body, "systemInstruction"))
    tools = [
        function for tool in objects(body.get("tools")) for function in objects(_field(tool, "functionDeclarations"))
    ]
    thinking = as_object(_field(config, "thinkingConfig"))
    prompt = [*objects(body.get("tools")), *([system] if system else []), *contents]
    return ModelRequest(
        wire="gemini",
        model=model_of(body),
        stream=body.get("stream") is True,
        system=_text(system.get("parts")),
        turns=tuple(turn for content in contents for turn in _turns(content)),
        tools=tuple(_offer(function) for function in tools),
        segments=tuple(Segment(text=prompt_text(part)) for part in prompt),
        tool_choice=_choice(as_object(_field(as_object(_field(body, "toolConfig")), "functionCallingConfig"))),
        output_schema=as_object(_field(config, "responseJsonSchema") or _field(config, "responseSchema")) or None,
        output_tokens_max=as_count(_field(config, "maxOutputTokens")),
        reasoning=bool(thinking) and _field(thinking, "thinkingBudget") != 0,
        body=body,
    )


def render(request: ModelRequest, answer: Answer) -> JsonObject:
    """Write the answer as one GenerateContentResponse."""
    parts = _parts(request, answer)
    return {
        "candidates": [_candidate(parts, _FINISH[answer.stop])],
        "usageMetadata": usage(answer),
        "modelVersion": answer.model,
        "responseId": answer.key,
    }


def stream(request: ModelRequest, answer: Answer) -> Iterator[str]:
    """Write the answer as a row of GenerateContentResponse events, each with the token counts so far."""
    parts: list[JsonObject] = []
    for part in _parts(request, answer):
        text = as_text(part.get("text"))
        parts += [{**part, "text": piece} for piece in pieces(text, 40)] if text else [part]
    head: JsonObject = {"modelVersion": answer.model, "responseId": answer.key}
    counts = usage(answer)
    early = {key: counts[key] for key in counts if key not in ("candidatesTokenCount", "thoughtsTokenCount")}
    early["totalTokenCount"] = counts["promptTokenCount"]
    for number, part in enumerate(parts, start=1):
        last = number == len(parts)
        candidate = _candidate([part], _FINISH[answer.stop] if last else None)
        yield event({"candidates": [candidate], "usageMetadata": counts if last else early, **head})


def error(status: int, message: str) -> JsonObject:
    """Write an error as Google does."""
    return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "INTERNAL")}}


def usage(answer: Answer) -> JsonObject:
    """Write token counts: thoughts are counted beside the candidates, not inside them."""
    counts = answer.usage
    data: JsonObject = {
        "promptTokenCount": counts.input_tokens,
        "candidatesTokenCount": counts.output_tokens - counts.reasoning_tokens,
        "totalTokenCount": counts.input_tokens + counts.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.input_tokens}],
    }
    if counts.cache_read_tokens:
        data["cachedContentTokenCount"] = counts.cache_read_tokens
        data["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": counts.cache_read_tokens}]
    if counts.reasoning_tokens:
        data["thoughtsTokenCount"] = counts.reasoning_tokens
    return data


def _field(value: JsonObject, name: str) -> Any:
    """Return a field by its JSON name or by its protobuf name, since Google accepts both and its clients mix them."""
    return value.get(name, value.get(re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)))


def _candidate(parts: list[JsonObject], finish: str | None) -> JsonObject:
    candidate: JsonObject = {"content": {"parts": parts, "role": "model"}, "index": 0}
    return {**candidate, "finishReason": finish} if finish else candidate


def _parts(request: ModelRequest, answer: Answer) -> list[JsonObject]:
    thinking = as_object(_field(as_object(_field(request.body, "generationConfig")), "thinkingConfig"))
    parts: list[JsonObject] = []
    if answer.reasoning and _field(thinking, "includeThoughts"):
        parts.append({"text": answer.reasoning, "thought": True})
    if answer.text or not answer.calls:
        parts.append({"text": answer.text})
    for call in answer.calls:
        part: JsonObject = {"functionCall": {"id": call.call_id, "name": call.name, "args": call.arguments}}
        if answer.reasoning:
            part["thoughtSignature"] = base64.b64encode(answer.key.encode()).decode()
        parts.append(part)
    return parts


def _turns(content: JsonObject) -> list[Turn]:
    parts = objects(content.get("parts"))
    text = _text(parts)
    if content.get("role") == "model":
        calls = tuple(_call(found) for part in parts if (found := as_object(_field(part, "functionCall"))))
        return [Turn(role="assistant", text=text, calls=calls)]
    if content.get("role") not in ("user", "function", None):
        raise WireError(f"Please use a valid role: user, model; got {content.get('role')!r}")
    results = tuple(_result(found) for part in parts if (found := as_object(_field(part, "functionResponse"))))
    turns = [Turn(role="tool", results=results)] if results else []
    return [*turns, Turn(role="user", text=text)] if text or not results else turns


def _text(parts: Any) -> str:
    return "\n".join(
        as_text(part.get("text")) for part in objects(parts) if part.get("text") and not part.get("thought")
    )


def _call(call: JsonObject) -> ToolCall:
    return ToolCall(
        name=as_text(call.get("name")), arguments=as_object(call.get("args")), call_id=as_text(call.get("id"))
    )


def _result(response: JsonObject) -> ToolResult:
    return ToolResult(
        call_id=as_text(response.get("id")),
        name=as_text(response.get("name")),
        text=compact(response.get("response")),
        error="error" in as_object(response.get("response")),
    )


def _offer(function: JsonObject) -> ToolOffer:
    return ToolOffer(
        name=as_text(function.get("name")),
        description=as_text(function.get("description")),
        parameters=as_object(_field(function, "parametersJsonSchema") or function.get("parameters")),
    )


def _choice(config: JsonObject) -> str:
    mode = as_text(config.get("mode"))
    allowed = as_list(_field(config, "allowedFunctionNames"))
    if mode == "ANY":
        return f"={allowed[0]}" if len(allowed) == 1 else "required"
    return "none" if mode == "NONE" else "auto"


WIRE = Wire(name="gemini", read=read, render=render, stream=stream, error=error)
