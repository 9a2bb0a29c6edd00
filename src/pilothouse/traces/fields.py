"""One part of one step as text: what the commands in cut notes fetch."""

from __future__ import annotations

import re

from pilothouse.records import BadRequest, NotFound
from pilothouse.store import TraceStore
from pilothouse.store.content_reads import contents

from .filters import check_text
from .jsons import dumps
from .model import MessageView, SpanDetail
from .scripts import message_words
from .text import Fence, clean
from .trees import step_text

FIELDS = ("input", "output", "tools", "documents", "attributes", "resource", "parameters", "error", "events", "scores")
"""Parts that can be fetched alone; also ``attributes.KEY``."""

_REFERENCE = re.compile(r"… \[\d+ characters: content ([0-9a-f]{32})\]$")


def field_text(
    store: TraceStore, project: str, detail: SpanDetail, field: str, *, offset: int, budget: int, fence: Fence
) -> str:
    """A part of a step as fenced text in at most ``budget`` characters, from ``offset`` on.

    Raises:
        BadRequest: there is no such part.
        NotFound: the step has no such attribute.
    """
    text = clean(_whole(store, project, detail, field))
    command = f"pilothouse show {detail.trace_id} --step {step_text(detail.span.step)} --field {field}"
    heading = f"# step {step_text(detail.span.step)} {field}: {len(text):,} characters; {fence.note}\n"
    space = budget - len(heading) - fence.cost - len(command) - 60
    shown = text[offset : offset + max(space, 100)]
    end = offset + len(shown)
    note = f"\ncut: {len(text) - end:,} characters; next: {command} --offset {end}" if end < len(text) else ""
    return f"{heading}{fence.around(shown)}{note}\n"


def _whole(store: TraceStore, project: str, detail: SpanDetail, field: str) -> str:
    check_text(field, "a field", 300)
    if field == "input":
        return _said(detail.input) or detail.input_value
    if field == "output":
        return _said(detail.output) or detail.output_value
    if field == "error":
        parts = [detail.span.error_type, detail.error_message, detail.span.tool_error, detail.error_stack]
        return "\n".join(part for part in parts if part)
    if field.startswith("attributes."):
        return attribute_text(store, project, detail, field.removeprefix("attributes."))
    if field in FIELDS:
        return dumps(getattr(detail, field), indent=True).decode()
    raise BadRequest(
        "a step has no such part",
        got=field,
        allowed=[*FIELDS, "attributes.KEY"],
        fix=f"pilothouse show {detail.trace_id} --step {step_text(detail.span.step)} --field output",
    )


def attribute_text(store: TraceStore, project: str, detail: SpanDetail, key: str) -> str:
    """An attribute of a step as text, whole: a long one is fetched from where contents are kept.

    Raises:
        NotFound: the step has no such attribute.
    """
    if key not in detail.attributes:
        raise NotFound("the step has no such attribute", got=key, allowed=list(detail.attributes)[:50])
    value = detail.attributes[key]
    text = value if isinstance(value, str) else dumps(value, indent=True).decode()
    reference = _REFERENCE.search(text)
    if reference is None:
        return text
    scopes = [detail.session_id or detail.trace_id, detail.trace_id]
    stored = contents(store, project, scopes, [reference[1]])
    return stored[reference[1]].content if reference[1] in stored else text


def _said(messages: tuple[MessageView, ...]) -> str:
    return "\n\n".join(f"[{message.role or 'value'}]\n{message_words(message)}" for message in messages)
