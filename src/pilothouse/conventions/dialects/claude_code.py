"""Claude Code: ``claude_code.*`` spans, and spans made from its log events, under bare attribute names."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_messages
from pilothouse.conventions.usage import CountTable, settle_usage
from pilothouse.records import Kind, RawSpan

from . import otel_genai

NAME: Final = "claude_code"

_KINDS: Final[dict[str, Kind]] = {
    "interaction": "agent",
    "user_prompt": "agent",
    "llm_request": "model",
    "api_request": "model",
    "api_error": "model",
    "tool": "tool",
    "tool_result": "tool",
    "tool_decision": "tool",
    "tool.blocked_on_user": "waiting",
    "tool.execution": "other",
    "hook": "other",
    "assistant_response": "other",
}
_USAGE: Final = CountTable(
    (
        ("input_tokens", "input"),
        ("output_tokens", "output"),
        ("cache_read_tokens", "cache_read"),
        ("cache_creation_tokens", "cache_write"),
    )
)
_DETAILS: Final = ("full_command", "file_path", "skill_name", "subagent_type", "tool_parameters")
_REDACTED: Final = "<REDACTED>"


def read(span: RawSpan, draft: Draft) -> None:
    """Read a span, or a span made from a log event. Content is there only where the user turned its logging on."""
    attributes = span.attributes
    get = attributes.get
    kind = _event(span)
    draft.operation = kind
    draft.kind = _KINDS.get(kind)
    draft.session_id = values.word(get("session.id"))
    draft.agent = values.first_word(attributes, ("agent.name",)) or "claude-code"
    draft.agent_id = values.word(get("agent_id"))
    draft.agent_version = values.word(get("app.version"))
    if draft.kind == "model":
        _read_model(span, draft)
    elif draft.kind == "tool":
        _read_tool(span, draft)
    elif kind in ("interaction", "user_prompt"):
        draft.name = "claude-code"
        for key in ("user_prompt", "prompt"):
            text = _content(get(key))
            if text and not draft.input:
                draft.input = read_messages([text])
                draft.consumed.add(key)
    elif kind == "assistant_response":
        text = _content(get("response"))
        if text:
            draft.output = read_messages([text], "assistant")
            draft.consumed.add("response")
    elif kind == "tool.blocked_on_user":
        draft.name = "waiting for a person"
    if (
        values.word(get("success")).lower() == "false"
        or values.text(get("success")) == "false"
        or "error" in attributes
    ):
        _read_error(span, draft)
    otel_genai.read(span, draft)


def _event(span: RawSpan) -> str:
    for named in (span.attributes.get("span.type"), span.attributes.get("event.name"), span.name):
        kind = values.word(named).removeprefix("claude_code.")
        if kind in _KINDS:
            return kind
    return span.name.removeprefix("claude_code.")


def _content(value: Any) -> str:
    text = values.text(value)
    return "" if text == _REDACTED else text


def _read_model(span: RawSpan, draft: Draft) -> None:
    attributes = span.attributes
    get = attributes.get
    draft.request_model = draft.model = values.first_word(attributes, ("model", "gen_ai.request.model"))
    draft.provider = "anthropic"
    draft.response_id = values.first_word(attributes, ("request_id", "gen_ai.response.id", "client_request_id"))
    draft.finish_reason = values.word(get("stop_reason"))
    draft.ttft_ns = values.milliseconds_as_ns(get("ttft_ms"))
    draft.cost_given_usd = values.money(get("cost_usd"))
    draft.parameters = {
        key: attributes[key] for key in ("speed", "effort", "attempt", "query_source") if key in attributes
    }
    for key, slot, role in (("new_context", "input", "user"), ("response.model_output", "output", "assistant")):
        text = _content(get(key))
        if text:
            setattr(draft, slot, read_messages(text, role))
            draft.consumed.add(key)
    counts = _USAGE.take(attributes)
    if counts.reported or counts.malformed:
        settle_usage(draft, counts, rule="claude-code", habit="exclusive")


def _read_tool(span: RawSpan, draft: Draft) -> None:
    attributes = span.attributes
    draft.tool_name = values.word(attributes.get("tool_name"))
    draft.tool_call_id = values.first_word(attributes, ("tool_use_id", "gen_ai.tool.call.id"))
    draft.input_value = _content(attributes.get("tool_input"))
    if draft.input_value:
        draft.consumed.add("tool_input")
    for event in span.events:
        if event.name == "tool.output":
            draft.input_value = draft.input_value or _content(event.attributes.get("tool_input"))
            for key in ("output", "content", "diff"):
                draft.output_value = draft.output_value or _content(event.attributes.get(key))
    if not draft.input_value:
        details = {key: text for key in _DETAILS if (text := _content(attributes.get(key)))}
        if "tool_parameters" in details and len(details) == 1:
            draft.input_value = details["tool_parameters"]
        elif details:
            draft.input_value = values.json_text(details)
    if values.word(attributes.get("decision")) == "reject":
        draft.tool_error = f"rejected ({values.word(attributes.get('source')) or 'unknown source'})"


def _read_error(span: RawSpan, draft: Draft) -> None:
    attributes = span.attributes
    draft.error_message = values.text(attributes.get("error"))
    draft.error_type = values.first_word(attributes, ("error_type", "error_class", "status_code")) or "error"
    if draft.kind == "tool":
        draft.tool_error = draft.tool_error or draft.error_message or draft.error_type
