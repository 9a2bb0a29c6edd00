"""What a durable run records of pydantic-ai's messages and results, and what it reads back: JSON by its own adapters."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_ai.exceptions import ModelHTTPError, ModelRetry, ToolFailed
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ToolReturn,
    ToolReturnPart,
    UserPromptPart,
)

from pilothouse.jobs import RunFailed
from pilothouse.records import BadRequest
from pilothouse.runtime.budget import Spent
from pilothouse.runtime.steps import Json, shown_error


def recorded_response(response: ModelResponse) -> Json:
    """Of a response: itself, and what it cost. Not of the messages before it, which are recorded already."""
    (found,) = ModelMessagesTypeAdapter.dump_python([response], mode="json")
    # What is left out has its default when it is read.
    found = _without_none(found) | {"parts": [_without_none(part) for part in found["parts"]]}
    return {"response": found, "spent": spent_on(response).as_dict()}


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def spent_on(response: ModelResponse) -> Spent:
    """What a response cost."""
    usage = response.usage
    try:
        usd = Decimal(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        # No price is known for it.
        usd = Decimal(0)
    return Spent(calls=1, tokens=usage.input_tokens + usage.output_tokens, usd=usd)


def recorded_failure(error: Exception) -> Json:
    """Of a request that failed for good."""
    shown = dict(shown_error(error))
    if isinstance(error, ModelHTTPError):
        shown |= {"status_code": error.status_code, "model_name": error.model_name}
    return {"error": shown, "spent": Spent(calls=1).as_dict()}


def failure_of(shown: Mapping[str, Any]) -> Exception:
    """The error of a recorded failure, of its kind where others decide by it."""
    if "status_code" in shown:
        return ModelHTTPError(shown["status_code"], shown["model_name"], shown["message"])
    return RunFailed(shown["message"], type=shown["type"])


def may_pass(error: Exception) -> bool:
    """Whether a request may succeed when it is made again: not where the provider says that it is wrong."""
    if isinstance(error, ModelHTTPError):
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return True


def recorded_outcome(name: str, outcome: dict[str, Any]) -> Json:
    """Of a call: its value, or what the model is told instead.

    Raises:
        BadRequest: the value is no JSON.
    """
    if "value" not in outcome:
        return outcome
    value = outcome["value"]
    if isinstance(value, ToolReturn):
        more: dict[str, Any] = {"metadata": value.metadata, "tools": value.tools}
        found = {"value": _content(name, value.return_value), "tool_return": more}
        if value.content is not None:
            found["content"] = dump_prompt(value.content)
        return found
    return {"value": _content(name, value)}


def _content(name: str, value: Any) -> Json:
    """A tool's result as a message holds it."""
    message = ModelRequest(parts=[ToolReturnPart(tool_name=name, content=value, tool_call_id="x")])
    try:
        (found,) = ModelMessagesTypeAdapter.dump_python([message], mode="json")
    except Exception as error:
        raise BadRequest(
            f"what tool {name!r} returned is no JSON",
            got=type(value).__name__,
            fix="return dicts, lists, text, numbers",
        ) from error
    return found["parts"][0]["content"]


def returned(name: str, outcome: Json, *, live: bool = False) -> Any:
    """What a call gives, by its recorded outcome; ``live``: by one that was not recorded.

    Raises:
        ModelRetry: as the tool did.
        ToolFailed: as the tool did, or in its place.
        RunFailed: the tool raised something else.
    """
    if "retry" in outcome:
        raise ModelRetry(outcome["retry"])
    if "failed" in outcome:
        raise ToolFailed(outcome["failed"])
    if "error" in outcome:
        raise RunFailed(outcome["error"]["message"], type=outcome["error"]["type"])
    if live:
        return outcome["value"]
    part = {"part_kind": "tool-return", "tool_name": name, "tool_call_id": "x", "content": outcome["value"]}
    (message,) = ModelMessagesTypeAdapter.validate_python([{"kind": "request", "parts": [part]}])
    content: Any = cast("ToolReturnPart", message.parts[0]).content
    if "tool_return" not in outcome:
        return content
    prompt = load_prompt(outcome["content"]) if "content" in outcome else None
    return ToolReturn(content, content=prompt, **outcome["tool_return"])


def dump_prompt(prompt: Any) -> Json:
    """A prompt as it is recorded: text as it is, more as a message holds it."""
    if isinstance(prompt, str):
        return prompt
    (found,) = ModelMessagesTypeAdapter.dump_python([ModelRequest(parts=[UserPromptPart(content=prompt)])], mode="json")
    return {"parts": found["parts"]}


def load_prompt(found: Json) -> Any:
    """The inverse of :func:`dump_prompt`."""
    if isinstance(found, str):
        return found
    (message,) = ModelMessagesTypeAdapter.validate_python([{"kind": "request", "parts": found["parts"]}])
    content: Any = cast("UserPromptPart", message.parts[0]).content
    return content


def dump_output(output: Any) -> Json:
    """An agent's output as JSON."""
    kind = cast("Any", type(output))
    return TypeAdapter[Any](kind).dump_python(output, mode="json")
