"""Spans that follow no agent convention: HTTP, databases, and hand-made spans with common attribute names."""

from __future__ import annotations

from typing import Final

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.records import RawSpan

NAME: Final = "plain"

_INPUTS: Final = ("input.value", "input")
_OUTPUTS: Final = ("output.value", "output")


def read(span: RawSpan, draft: Draft) -> None:
    """Keep the span as it is, with what it got and gave where it says so under a common name."""
    attributes = span.attributes
    for key in _INPUTS:
        if key in attributes and not draft.input_value:
            draft.input_value = values.text(attributes[key])
            draft.consumed.add(key)
    for key in _OUTPUTS:
        if key in attributes and not draft.output_value:
            draft.output_value = values.text(attributes[key])
            draft.consumed.add(key)
