"""What a wire format has to provide, and what several of them share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pilothouse.testing.exchange import Answer, ModelRequest
from pilothouse.testing.jsons import JsonObject, as_list, as_object, as_text, compact, objects

# Large providers charge a small picture with some 85 tokens, whatever the size of its bytes.
_PICTURE = "·" * 340


class WireError(ValueError):
    """The body is not a request of this wire format; the message is for the caller."""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A wire format as four plain functions."""

    name: str
    read: Callable[[JsonObject], ModelRequest]
    """Understand a body; raises WireError."""
    render: Callable[[ModelRequest, Answer], JsonObject]
    """Write the whole answer as one body."""
    stream: Callable[[ModelRequest, Answer], Iterator[str]]
    """Write the answer as server-sent events, each with its closing blank line."""
    error: Callable[[int, str], JsonObject]
    """Write the body of an error with this HTTP status and message."""


def event(data: JsonObject, name: str = "") -> str:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {compact(data)}\n\n" if name else f"data: {compact(data)}\n\n"


def text_of(content: Any, *kinds: str) -> str:
    """Return the text of a content field, which is a string or a list of typed parts."""
    if isinstance(content, str):
        return content
    wanted = kinds or ("text", "input_text", "output_text")
    return "\n".join(as_text(part.get("text")) for part in objects(content) if part.get("type") in wanted)


def prompt_text(value: Any) -> str:
    """Return what a message adds to the prompt: its JSON, with pictures at their usual price and no cache marks."""
    return compact(_lean(value))


def _lean(value: Any) -> Any:
    if isinstance(value, str):
        return _PICTURE if value.startswith("data:") and len(value) > len(_PICTURE) else value
    if isinstance(value, list):
        return [_lean(item) for item in as_list(value)]
    if isinstance(value, dict):
        return {
            key: _PICTURE if key in ("data", "file_data") and isinstance(item, str) else _lean(item)
            for key, item in as_object(value).items()
            if key != "cache_control"
        }
    return value


def needed(body: JsonObject, field: str) -> Any:
    """Return a field that every request must have."""
    if field not in body:
        raise WireError(f"missing required parameter: '{field}'")
    return body[field]


def model_of(body: JsonObject) -> str:
    """Return the model's name, which every request must have."""
    model = needed(body, "model")
    if not isinstance(model, str) or not model:
        raise WireError(f"invalid type for 'model': expected a name, got {model!r}")
    return model


def list_of(body: JsonObject, field: str) -> list[JsonObject]:
    """Return a field that must be a list of objects with at least one entry."""
    items = objects(needed(body, field))
    if not items:
        raise WireError(f"invalid '{field}': expected a list of objects with at least one entry")
    return items
