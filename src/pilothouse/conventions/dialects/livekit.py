"""LiveKit Agents: ``lk.*`` attributes of voice sessions."""

from __future__ import annotations

from typing import Final

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_messages
from pilothouse.records import Kind, RawSpan

from . import otel_genai

NAME: Final = "livekit"

_KINDS: Final[dict[str, Kind]] = {
    "agent_session": "agent",
    "agent_turn": "chain",
    "user_turn": "chain",
    "llm_node": "chain",
    "llm_request": "model",
    "function_tool": "tool",
}


def read(span: RawSpan, draft: Draft) -> None:
    """Read LiveKit's own names, then what the OTel convention covers."""
    attributes = span.attributes
    get = attributes.get
    draft.operation = span.name
    draft.kind = _KINDS.get(span.name)
    if "lk.function_tool.name" in attributes:
        draft.kind = "tool"
    draft.agent = values.first_word(attributes, ("lk.agent_name", "lk.agent_label"))
    draft.session_id = values.first_word(attributes, ("lk.room_name", "lk.job_id", "lk.session_id"))
    draft.user_id = values.word(get("lk.participant_identity"))
    draft.tool_name = values.word(get("lk.function_tool.name"))
    draft.tool_call_id = values.word(get("lk.function_tool.id"))
    for key, slot in (
        ("lk.function_tool.arguments", "input_value"),
        ("lk.function_tool.output", "output_value"),
        ("lk.user_transcript", "input_value"),
        ("lk.user_input", "input_value"),
        ("lk.input_text", "input_value"),
    ):
        if key in attributes and not getattr(draft, slot):
            setattr(draft, slot, values.text(attributes[key]))
            draft.consumed.add(key)
    if get("lk.function_tool.is_error") is True:
        draft.tool_error = draft.output_value or "is_error"
    if "lk.chat_ctx" in attributes:
        context = values.mapping(attributes["lk.chat_ctx"])
        draft.input = read_messages(context.get("items", attributes["lk.chat_ctx"]))
        draft.consumed.add("lk.chat_ctx")
    draft.output = read_messages(get("lk.response.text"), "assistant")
    if "lk.response.function_calls" in attributes:
        calls = values.items(attributes["lk.response.function_calls"])
        draft.output = (*draft.output, *read_messages([{"role": "assistant", "tool_calls": calls}], "assistant"))
    draft.ttft_ns = values.seconds_as_ns(get("lk.response.ttft"))
    otel_genai.read(span, draft)
    if draft.kind is None:
        draft.kind = "other"
