"""OpenAI chat completions: POST /v1/chat/completions."""

import re
from collections.abc import Iterator

from pilothouse.testing.exchange import Answer, ModelRequest, Segment, ToolCall, ToolOffer, ToolResult, Turn, pieces
from pilothouse.testing.jsons import JsonObject, as_count, as_list, as_object, as_text, compact, objects, parsed_object
from pilothouse.testing.wire.format import Wire, WireError, event, list_of, model_of, prompt_text, text_of

ALWAYS_REASONING = re.compile(r"^(o\d|gpt-5)")
_FINISH = {"stop": "stop", "tools": "tool_calls", "length": "length"}


def read(body: JsonObject) -> ModelRequest:
    """Understand the body of a chat completion."""
    messages = list_of(body, "messages")
    if body.get("n", 1) != 1:
        raise WireError("the scripted model gives one choice; leave out 'n' or set it to 1")
    system: list[str] = []
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for message in messages:
        role = as_text(message.get("role"))
        text = text_of(message.get("content"))
        if role in ("system", "developer"):
            system.append(text)
        elif role == "user":
            turns.append(Turn(role="user", text=text))
        elif role == "assistant":
            calls = _calls(message)
            names.update({call.call_id: call.name for call in calls})
            turns.append(Turn(role="assistant", text=text, calls=calls))
        elif role == "tool":
            call_id = as_text(message.get("tool_call_id"))
            result = ToolResult(call_id=call_id, name=names.get(call_id, ""), text=text)
            turns.append(Turn(role="tool", results=(result,)))
        else:
            raise WireError(f"invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user' and 'tool'")
    model = model_of(body)
    tools = objects(body.get("tools"))
    schema = as_object(as_object(body.get("response_format")).get("json_schema")).get("schema")
    return ModelRequest(
        wire="openai-chat",
        model=model,
        stream=body.get("stream") is True,
        system="\n".join(system),
        turns=tuple(turns),
        tools=tuple(_offer(as_object(tool.get("function"))) for tool in tools),
        segments=tuple(Segment(text=prompt_text(part)) for part in [*tools, *messages]),
        tool_choice=_choice(body.get("tool_choice")),
        parallel_calls=body.get("parallel_tool_calls") is not False,
        output_schema=as_object(schema) or None,
        output_tokens_max=as_count(body.get("max_completion_tokens")) or as_count(body.get("max_tokens")),
        reasoning=ALWAYS_REASONING.match(model) is not None,
        stream_usage=as_object(body.get("stream_options")).get("include_usage") is True,
        body=body,
    )


def render(request: ModelRequest, answer: Answer) -> JsonObject:
    """Write the answer as a chat.completion object."""
    message: JsonObject = {"role": "assistant", "content": answer.text or None, "refusal": None, "annotations": []}
    if answer.calls:
        message["tool_calls"] = [_call(call) for call in answer.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[answer.stop]}
    return {**_head(answer, "chat.completion"), "choices": [choice], "usage": usage(answer)}


def stream(request: ModelRequest, answer: Answer) -> Iterator[str]:
    """Write the answer as chat.completion.chunk events."""
    head = _head(answer, "chat.completion.chunk")
    tail: JsonObject = {"usage": None} if request.stream_usage else {}

    def chunk(delta: JsonObject, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**head, "choices": [choice], **tail})

    yield chunk({"role": "assistant", "content": None if answer.calls else "", "refusal": None})
    for piece in pieces(answer.text):
        yield chunk({"content": piece})
    for index, call in enumerate(answer.calls):
        start = {**_call(call), "function": {"name": call.name, "arguments": ""}}
        yield chunk({"tool_calls": [{"index": index, **start}]})
        for piece in pieces(compact(call.arguments)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _FINISH[answer.stop])
    if request.stream_usage:
        yield event({**head, "choices": [], "usage": usage(answer)})
    yield "data: [DONE]\n\n"


def error(status: int, message: str) -> JsonObject:
    """Write an error as OpenAI does."""
    kinds = {
        400: ("invalid_request_error", None),
        401: ("invalid_request_error", "invalid_api_key"),
        404: ("invalid_request_error", "model_not_found"),
        429: ("tokens", "rate_limit_exceeded"),
    }
    kind, code = kinds.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def usage(answer: Answer) -> JsonObject:
    """Write token counts: cached and reasoning tokens are parts of the totals."""
    counts = answer.usage
    return {
        "prompt_tokens": counts.input_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.input_tokens + counts.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": counts.cache_read_tokens,
            "cache_write_tokens": counts.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _head(answer: Answer, kind: str) -> JsonObject:
    return {
        "id": f"chatcmpl-{answer.key}",
        "object": kind,
        "created": answer.created_s,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def _call(call: ToolCall) -> JsonObject:
    function = {"name": call.name, "arguments": compact(call.arguments)}
    return {"id": call.call_id, "type": "function", "function": function}


def _calls(message: JsonObject) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for call in as_list(message.get("tool_calls")):
        function = as_object(as_object(call).get("function"))
        arguments = parsed_object(as_text(function.get("arguments")))
        name = as_text(function.get("name"))
        calls.append(ToolCall(name=name, arguments=arguments, call_id=as_text(as_object(call).get("id"))))
    return tuple(calls)


def _offer(function: JsonObject) -> ToolOffer:
    return ToolOffer(
        name=as_text(function.get("name")),
        description=as_text(function.get("description")),
        parameters=as_object(function.get("parameters")),
    )


def _choice(value: object) -> str:
    if isinstance(value, dict):
        return "=" + as_text(as_object(as_object(value).get("function")).get("name"))
    return value if isinstance(value, str) else "auto"


WIRE = Wire(name="openai-chat", read=read, render=render, stream=stream, error=error)
