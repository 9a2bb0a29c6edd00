"""What went wrong: exceptions, error attributes, and tools that fail politely on a span that says ok."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilothouse.records import RawSpan, failure_in

from . import values
from .draft import Draft

_SIGNS: Final = ("rror", "ok", "success", "status")
"""Without one of these a result holds none of the fields that say a failure."""
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
    """Why a tool's result is a failure although nothing was raised; empty where it is not plainly one."""
    if len(result) > _BODY_BYTES_MAX or not any(sign in result for sign in _SIGNS):
        return ""
    return failure_in(values.parsed(result))


def _fill_from_exception(attributes: Mapping[str, Any], draft: Draft) -> None:
    draft.error_type = draft.error_type or values.word(attributes.get("exception.type"))
    draft.error_message = draft.error_message or values.text(attributes.get("exception.message"))
    draft.error_stack = draft.error_stack or values.text(attributes.get("exception.stacktrace"))
