"""pydantic-ai and Logfire: the OTel convention, older formats of it, run totals, and spans still pending."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pilothouse.conventions import values
from pilothouse.conventions.bodies import request_messages
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.emitters import emission_of, habit_of
from pilothouse.conventions.messages import read_messages
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import CountTable, settle_usage
from pilothouse.records import Message, RawSpan

from . import otel_genai

NAME: Final = "logfire"

_RUN_TOTALS: Final = CountTable(
    (key.replace("gen_ai.usage.", "gen_ai.aggregated_usage."), slot)
    for key, slot in otel_genai.USAGE_KEYS
    if key.startswith("gen_ai.usage.")
)
_RUN_KEYS: Final = ("pydantic_ai.all_messages", "all_messages_events", "all_messages")
_NO_PARENT: Final = "0000000000000000"


def read(span: RawSpan, draft: Draft) -> None:
    """Read the run's own attributes, then what the OTel convention covers."""
    attributes = span.attributes
    get = attributes.get
    if get("logfire.span_type") == "pending_span":
        draft.running = True
        draft.span_id = span.parent_span_id
        parent = values.word(get("logfire.pending_parent_id")).lower()
        draft.parent_span_id = "" if parent == _NO_PARENT else parent
    draft.name = draft.name or values.word(get("logfire.msg"))
    is_run = any(key in attributes for key in _RUN_KEYS) or "final_result" in attributes
    if draft.kind is None and (is_run or span.name == "agent run") and "gen_ai.tool.name" not in attributes:
        draft.kind = "agent"
    if draft.kind is None and span.name.startswith("running ") and "tools" in attributes:
        draft.kind = "chain"
    if draft.kind == "agent" or is_run:
        draft.agent = draft.agent or values.first_word(attributes, ("gen_ai.agent.name", "agent_name"))
        draft.agent_id = draft.agent_id or values.word(get("gen_ai.agent.call.id"))
    _read_tool(attributes, draft)
    _read_messages(attributes, draft)
    _read_request_parameters(attributes, draft)
    _read_totals(span, draft)
    if not draft.model and draft.kind == "agent":
        draft.request_model = draft.request_model or values.first_word(
            attributes, ("gen_ai.request.model", "model_name")
        )
        draft.model = values.word(get("gen_ai.response.model")) or draft.request_model
    otel_genai.read(span, draft)


def _read_tool(attributes: Mapping[str, Any], draft: Draft) -> None:
    for key, slot in (("tool_arguments", "input_value"), ("tool_response", "output_value")):
        if key in attributes and not getattr(draft, slot):
            setattr(draft, slot, values.text(attributes[key]))
            draft.consumed.add(key)


def _read_messages(attributes: Mapping[str, Any], draft: Draft) -> None:
    for key in _RUN_KEYS:
        if key in attributes and not draft.input and not draft.output:
            draft.input, draft.output = _run(read_messages(attributes[key]))
            draft.consumed.add(key)
            # Where the run went on with a conversation, this says so.
            draft.begins_with_request = not attributes.get("pydantic_ai.new_message_index")
    if "events" in attributes and not draft.input:
        draft.input, draft.output = _events(attributes["events"])
        if draft.input or draft.output:
            draft.consumed.add("events")
    final = attributes.get("final_result")
    if final is not None:
        text = values.text(final)
        if not (draft.output and draft.output[-1].text == text):
            draft.output_value = draft.output_value or text
        draft.consumed.add("final_result")
    if "request_data" in attributes and not draft.input:
        draft.input = request_messages(values.mapping(attributes["request_data"]))
    if "response_data" in attributes and not draft.output:
        body = values.mapping(attributes["response_data"])
        draft.output = read_messages(body.get("message"), "assistant") or read_messages(
            body.get("combined_chunk_content"), "assistant"
        )
    if not draft.input and draft.kind == "agent" and "prompt" in attributes:
        draft.input = read_messages([values.text(attributes["prompt"])])
        draft.consumed.add("prompt")


def _run(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """A whole run split into what came before and the answer that ended it."""
    if messages and messages[-1].role == "assistant":
        return messages[:-1], messages[-1:]
    return messages, ()


def _events(value: Any) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    sent: list[Message] = []
    received: list[Message] = []
    for item in values.items(value):
        if not isinstance(item, Mapping):
            continue
        body = cast("Mapping[str, Any]", item)
        name = values.word(body.get("event.name"))
        (received if name == "gen_ai.choice" else sent).extend(otel_genai.event_message(name, body))
    return tuple(sent), tuple(received)


def _read_request_parameters(attributes: Mapping[str, Any], draft: Draft) -> None:
    if "model_request_parameters" not in attributes:
        return
    given = values.mapping(attributes["model_request_parameters"])
    if not given:
        return
    tools = [*values.items(given.get("function_tools")), *values.items(given.get("output_tools"))]
    if not draft.tools:
        # The same tools, in the shape that the convention wants, where both are there.
        definitions = attributes.get("gen_ai.tool.definitions", values.json_text(tools) if tools else None)
        draft.tools = tool_definitions(definitions)
        if draft.tools and "gen_ai.tool.definitions" in attributes:
            draft.consumed.add("gen_ai.tool.definitions")
    # The instructions are repeated here where they stand under the convention's own name.
    held = {"function_tools", "output_tools"} | (
        {"instruction_parts"} if "gen_ai.system_instructions" in attributes else set[str]()
    )
    rest = {key: value for key, value in given.items() if key not in held and value is not None and value != []}
    otel_genai.read_parameters(attributes, draft)
    if rest:
        draft.parameters = {**draft.parameters, "model_request": rest}
    if len(draft.tools) == len(tools):
        draft.consumed.add("model_request_parameters")


def _read_totals(span: RawSpan, draft: Draft) -> None:
    """The totals of a run, which its model calls report again one by one."""
    counts = _RUN_TOTALS.take(span.attributes)
    if not counts.reported and not counts.malformed:
        return
    emission = emission_of(span.emitter.scope_name, NAME)
    settle_usage(
        draft, counts, rule=f"{emission.rule} run total", habit=habit_of(emission, draft.provider), scope="aggregate"
    )
