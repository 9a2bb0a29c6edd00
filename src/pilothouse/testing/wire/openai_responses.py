"""OpenAI responses: POST /v1/responses."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from pilothouse.testing.exchange import Answer, ModelRequest, Segment, ToolCall, ToolOffer, ToolResult, Turn, pieces
from pilothouse.testing.jsons import JsonObject, as_count, as_object, as_text, compact, objects, parsed_object
from pilothouse.testing.wire.format import Wire, WireError, event, model_of, needed, prompt_text, text_of
from pilothouse.testing.wire.openai_chat import ALWAYS_REASONING, error

STORED_MAX = 1_000


class StoredResponses:
    """The conversations behind `previous_response_id`, the oldest forgotten first. Not thread-safe."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, list[JsonObject]] = OrderedDict()

    def expanded(self, body: JsonObject) -> JsonObject:
        """Return the body with the earlier items in front of its input; raises WireError for an unknown one."""
        previous = body.get("previous_response_id")
        if not isinstance(previous, str):
            return body
        if previous not in self._items:
            raise WireError(f"previous response with id '{previous}' not found")
        return {**body, "input": [*self._items[previous], *_items(body.get("input"))]}

    def keep(self, body: JsonObject, response: JsonObject) -> None:
        """Remember a finished response together with the expanded body that led to it."""
        self._items[as_text(response.get("id"))] = [*_items(body.get("input")), *objects(response.get("output"))]
        if len(self._items) > STORED_MAX:
            self._items.popitem(last=False)


def read(body: JsonObject) -> ModelRequest:
    """Understand the body of a response."""
    needed(body, "input")
    items = _items(body["input"])
    if not items:
        raise WireError("invalid 'input': expected a text or a list of items")
    model = model_of(body)
    instructions = as_text(body.get("instructions"))
    system = [instructions] if instructions else []
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for item in items:
        kind = as_text(item.get("type")) or "message"
        if kind == "message":
            _read_message(item, system, turns)
        elif kind == "function_call":
            call = _read_call(item)
            names[call.call_id] = call.name
            turns.append(Turn(role="assistant", calls=(call,)))
        elif kind == "function_call_output":
            call_id = as_text(item.get("call_id"))
            output = item.get("output")
            text = output if isinstance(output, str) else text_of(output)
            turns.append(
                Turn(role="tool", results=(ToolResult(call_id=call_id, name=names.get(call_id, ""), text=text),))
            )
    tools = [tool for tool in objects(body.get("tools")) if tool.get("type") == "function"]
    schema = as_object(as_object(body.get("text")).get("format")).get("schema")
    prompt = [*objects(body.get("tools")), *([{"instructions": instructions}] if instructions else []), *items]
    return ModelRequest(
        wire="openai-responses",
        model=model,
        stream=body.get("stream") is True,
        system="\n".join(system),
        turns=tuple(turns),
        tools=tuple(_offer(tool) for tool in tools),
        segments=tuple(Segment(text=prompt_text(_without_ids(part))) for part in prompt),
        tool_choice=_choice(body.get("tool_choice")),
        parallel_calls=body.get("parallel_tool_calls") is not False,
        output_schema=as_object(schema) or None,
        output_tokens_max=as_count(body.get("max_output_tokens")),
        reasoning=ALWAYS_REASONING.match(model) is not None,
        body=body,
    )


def render(request: ModelRequest, answer: Answer) -> JsonObject:
    """Write the answer as a response object."""
    counts = answer.usage
    cut = answer.stop == "length"
    return {
        **_head(request, answer),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": _output(answer),
        "usage": {
            "input_tokens": counts.input_tokens,
            "input_tokens_details": {
                "cached_tokens": counts.cache_read_tokens,
                "cache_write_tokens": counts.cache_write_tokens,
            },
            "output_tokens": counts.output_tokens,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
            "total_tokens": counts.input_tokens + counts.output_tokens,
        },
    }


def stream(request: ModelRequest, answer: Answer) -> Iterator[str]:
    """Write the answer as response.* events, numbered in order."""
    started: JsonObject = {**_head(request, answer), "status": "in_progress", "output": [], "usage": None}
    finished = render(request, answer)
    events: list[tuple[str, JsonObject]] = [
        ("response.created", {"response": started}),
        ("response.in_progress", {"response": started}),
        *(pair for index, item in enumerate(_output(answer)) for pair in _item_events(index, item)),
        ("response.incomplete" if answer.stop == "length" else "response.completed", {"response": finished}),
    ]
    for number, (name, data) in enumerate(events):
        yield event({"type": name, "sequence_number": number, **data}, name)


def _item_events(index: int, item: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    place: JsonObject = {"output_index": index, "item_id": item["id"]}
    empties: dict[str, JsonObject] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    status = {} if item["type"] == "reasoning" else {"status": "in_progress"}
    yield "response.output_item.added", {"output_index": index, "item": {**item, **empties[item["type"]], **status}}
    if item["type"] == "function_call":
        for piece in pieces(item["arguments"]):
            yield "response.function_call_arguments.delta", {**place, "delta": piece}
        done = {**place, "name": item["name"], "arguments": item["arguments"]}
        yield "response.function_call_arguments.done", done
    elif item["type"] == "message":
        part = item["content"][0]
        inner = {**place, "content_index": 0}
        yield "response.content_part.added", {**inner, "part": {**part, "text": ""}}
        for piece in pieces(part["text"]):
            yield "response.output_text.delta", {**inner, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**inner, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {**inner, "part": part}
    elif item["summary"]:
        part = item["summary"][0]
        inner = {**place, "summary_index": 0}
        yield "response.reasoning_summary_part.added", {**inner, "part": {**part, "text": ""}}
        for piece in pieces(part["text"]):
            yield "response.reasoning_summary_text.delta", {**inner, "delta": piece}
        yield "response.reasoning_summary_text.done", {**inner, "text": part["text"]}
        yield "response.reasoning_summary_part.done", {**inner, "part": part}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _output(answer: Answer) -> list[JsonObject]:
    output: list[JsonObject] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        output.append({"id": f"rs_{answer.key}", "type": "reasoning", "summary": summary})
    if answer.text or not answer.calls:
        text: JsonObject = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        output.append(
            {
                "id": f"msg_{answer.key}",
                "type": "message",
                "status": "incomplete" if answer.stop == "length" else "completed",
                "role": "assistant",
                "content": [text],
            }
        )
    for index, call in enumerate(answer.calls):
        output.append(
            {
                "id": f"fc_{answer.key}{index}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": compact(call.arguments),
            }
        )
    return output


def _head(request: ModelRequest, answer: Answer) -> JsonObject:
    body = request.body
    return {
        "id": f"resp_{answer.key}",
        "object": "response",
        "created_at": answer.created_s,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": as_object(body.get("metadata")),
        "model": answer.model,
        "parallel_tool_calls": request.parallel_calls,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": objects(body.get("tools")),
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "user": body.get("user"),
    }


def _items(value: Any) -> list[JsonObject]:
    return [{"role": "user", "content": value}] if isinstance(value, str) else objects(value)


def _without_ids(item: JsonObject) -> JsonObject:
    return {key: value for key, value in item.items() if key not in ("id", "status")}


def _read_message(item: JsonObject, system: list[str], turns: list[Turn]) -> None:
    role = as_text(item.get("role"))
    text = text_of(item.get("content"))
    if role in ("system", "developer"):
        system.append(text)
    elif role == "user":
        turns.append(Turn(role="user", text=text))
    elif role == "assistant":
        turns.append(Turn(role="assistant", text=text))
    else:
        raise WireError(f"invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer' and 'user'")


def _read_call(item: JsonObject) -> ToolCall:
    arguments = parsed_object(as_text(item.get("arguments")))
    return ToolCall(name=as_text(item.get("name")), arguments=arguments, call_id=as_text(item.get("call_id")))


def _offer(tool: JsonObject) -> ToolOffer:
    return ToolOffer(
        name=as_text(tool.get("name")),
        description=as_text(tool.get("description")),
        parameters=as_object(tool.get("parameters")),
    )


def _choice(value: object) -> str:
    if isinstance(value, dict):
        return "=" + as_text(as_object(value).get("name"))
    return value if isinstance(value, str) else "auto"


WIRE = Wire(name="openai-responses", read=read, render=render, stream=stream, error=error)
