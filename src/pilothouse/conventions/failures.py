"""What went wrong: exceptions, error attributes, and tools that fail politely on a span that says ok."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.records import RawSpan

from . import values
from .draft import Draft

_ERROR_FLAGS: Final = ("isError", "is_error")
_ERROR_TEXT_BYTES_MAX: Final = 2_000
_BODY_BYTES_MAX: Final = 200_000
"""A longer tool result is taken for data; parsing it to look for an error would cost more than it tells."""


def fill_failure(span: RawSpan, draft: Draft) -> None:
    """Fill the error fields from the span's exception events, its attributes and its status."""
    for event in span.events:
        if event.name in ("exception", "gen_ai.client.operation.exception") or "exception.type" in event.attributes:
            _fill_from_exception(event.attributes, draft)
    if "exception.type" in span.attributes or "exception.message" in span.attributes:
        _fill_from_exception(span.attributes, draft)
    kind = values.word(span.attributes.get("error.type"))
    if kind and (not draft.error_type or span.status_code == 2):
        # The attribute is the emitter's own classification; the exception's class stays in the event.
        draft.error_type = draft.error_type or kind
    if span.status_code == 2:
        draft.error_message = (
            draft.error_message
            or span.status_message
            or values.first_word(span.attributes, ("error.message", "langfuse.observation.status_message"))
        )
        draft.error_type = draft.error_type or "error"
    if draft.kind == "tool" and not draft.tool_error and span.status_code != 2:
        draft.tool_error = soft_error(draft.output_value)


def soft_error(result: str) -> str:
    """Why a tool's result is a failure although nothing was raised; empty where it is not plainly one.

    Plain are a true ``isError`` flag (MCP), and an object whose ``error`` says something while no ``result``, ``data``
    or ``output`` stands beside it. Words such as "failed" in the text prove nothing.
    """
    if len(result) > _BODY_BYTES_MAX or ("rror" not in result):
        return ""
    body = values.parsed(result)
    if isinstance(body, list) and len(cast("list[Any]", body)) == 1:
        body = cast("list[Any]", body)[0]
    if not isinstance(body, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", body)
    for flag in _ERROR_FLAGS:
        if fields.get(flag) is True:
            return _shortened(_content_text(fields) or result)
    error = fields.get("error")
    if not error or any(fields.get(key) for key in ("result", "results", "data", "output", "content")):
        return ""
    if error is True:
        return _shortened(values.text(fields.get("message")) or result)
    if isinstance(error, str):
        return _shortened(error)
    if isinstance(error, Mapping):
        inner = cast("Mapping[str, Any]", error)
        return _shortened(values.text(inner.get("message")) or values.json_text(inner))
    return ""


def _content_text(fields: Mapping[str, Any]) -> str:
    content = fields.get("content")
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for piece in values.items(content):
        if isinstance(piece, Mapping):
            words = cast("Mapping[str, Any]", piece).get("text")
            if isinstance(words, str):
                texts.append(words)
    return "\n".join(texts)


def _fill_from_exception(attributes: Mapping[str, Any], draft: Draft) -> None:
    draft.error_type = draft.error_type or values.word(attributes.get("exception.type"))
    draft.error_message = draft.error_message or values.text(attributes.get("exception.message"))
    draft.error_stack = draft.error_stack or values.text(attributes.get("exception.stacktrace"))


def _shortened(words: str) -> str:
    return words if len(words) <= _ERROR_TEXT_BYTES_MAX else words[:_ERROR_TEXT_BYTES_MAX] + "…"
