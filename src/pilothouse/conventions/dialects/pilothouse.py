"""Our own recorder: the OTel convention, plus what it leaves out (kinds, exact parameters, outcomes, waiting)."""

from __future__ import annotations

from typing import Final

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.records import KINDS, Kind, RawSpan, names

from . import otel_genai

NAME: Final = "pilothouse"

_BY_NAME: Final[dict[str, Kind]] = {kind: kind for kind in KINDS}


def read(span: RawSpan, draft: Draft) -> None:
    """Read the recorder's own names, then the convention."""
    attributes = span.attributes
    get = attributes.get
    draft.kind = _BY_NAME.get(values.word(get(names.KIND)))
    if get(names.RUNNING) is True:
        draft.running = True
    if names.REQUEST_PARAMETERS in attributes:
        draft.parameters = values.mapping(attributes[names.REQUEST_PARAMETERS])
        if draft.parameters:
            draft.consumed.add(names.REQUEST_PARAMETERS)
    if draft.kind == "tool":
        draft.tool_error = values.text(get(names.TOOL_ERROR))
    for key, slot in (("input.value", "input_value"), ("output.value", "output_value")):
        if key in attributes:
            sent = values.text(attributes[key])
            shown = _said(sent, draft.kind)
            setattr(draft, slot, shown)
            # The argument's name stands in the raw attribute alone.
            if shown == sent:
                draft.consumed.add(key)
    otel_genai.read(span, draft)


def _said(value: str, kind: Kind | None) -> str:
    """What an agent was asked: its one argument where that is a text, else all arguments as they are."""
    if kind != "agent" or value[:1] != "{":
        return value
    given = list(values.mapping(value).values())
    return given[0] if len(given) == 1 and isinstance(given[0], str) else value
