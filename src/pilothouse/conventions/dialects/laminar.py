"""Laminar: ``lmnr.*`` beside the OTel convention and its older flattened lists."""

from __future__ import annotations

from typing import Final

from pilothouse.conventions import values
from pilothouse.conventions.bodies import read_response, request_messages
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_messages
from pilothouse.records import Kind, RawSpan

from . import openllmetry

NAME: Final = "laminar"

_KINDS: Final[dict[str, Kind]] = {
    "LLM": "model",
    "TOOL": "tool",
    "EVALUATOR": "evaluator",
    "HUMAN_EVALUATOR": "evaluator",
    "EVALUATION": "chain",
    "EXECUTOR": "chain",
    "PIPELINE": "chain",
    "DEFAULT": "chain",
}


def read(span: RawSpan, draft: Draft) -> None:
    """Read Laminar's own names, then those it took over from OpenLLMetry and OTel."""
    attributes = span.attributes
    draft.operation = values.word(attributes.get("lmnr.span.type"))
    draft.kind = _KINDS.get(draft.operation.upper())
    generic = draft.kind == "chain" and draft.operation.upper() == "DEFAULT"
    if generic:
        draft.kind = None
    draft.prompt_version = values.word(attributes.get("lmnr.span.prompt_hash"))
    openllmetry.read(span, draft)
    if draft.kind is None and draft.operation:
        draft.kind = "chain"
    _read_content(span, draft)
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or span.name


def _read_content(span: RawSpan, draft: Draft) -> None:
    attributes = span.attributes
    if "lmnr.span.input" in attributes:
        value = attributes["lmnr.span.input"]
        if draft.kind == "model":
            if not draft.input:
                body = values.mapping(value)
                draft.input = (request_messages(body) if body else ()) or read_messages(value)
                draft.consumed.add("lmnr.span.input")
        elif not draft.input_value:
            draft.input_value = values.text(value)
            draft.consumed.add("lmnr.span.input")
    if "lmnr.span.output" in attributes:
        value = attributes["lmnr.span.output"]
        if draft.kind == "model":
            if not draft.output:
                body = values.mapping(value)
                response = read_response(body) if body else None
                draft.output = response.messages if response else read_messages(value, "assistant")
                draft.consumed.add("lmnr.span.output")
        elif not draft.output_value:
            draft.output_value = values.text(value)
            draft.consumed.add("lmnr.span.output")
