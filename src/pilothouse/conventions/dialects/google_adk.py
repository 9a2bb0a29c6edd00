"""Google's Agent Development Kit: whole Gemini requests and responses under ``gcp.vertex.agent.*``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pilothouse.conventions import values
from pilothouse.conventions.bodies import read_response, request_messages
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.messages import read_messages
from pilothouse.conventions.providers import provider_of_model
from pilothouse.conventions.tools import tool_definitions
from pilothouse.conventions.usage import Counts, CountTable, Slot, settle_usage
from pilothouse.records import Message, Part, RawSpan, message

from . import otel_genai

NAME: Final = "google_adk"

_A: Final = "gcp.vertex.agent."
_NOT_CAPTURED: Final = frozenset({"{}", "N/A", "<not specified>", "<not serializable>", "null", ""})
_GEMINI_USAGE: Final[tuple[tuple[str, str, Slot], ...]] = (
    ("prompt_token_count", "promptTokenCount", "input"),
    ("candidates_token_count", "candidatesTokenCount", "output"),
    ("total_token_count", "totalTokenCount", "total"),
    ("cached_content_token_count", "cachedContentTokenCount", "cache_read"),
    ("thoughts_token_count", "thoughtsTokenCount", "reasoning"),
)
_REASONING_KEY: Final = "gen_ai.usage.experimental.reasoning_tokens"
_USAGE: Final = CountTable((*otel_genai.USAGE_KEYS, (_REASONING_KEY, "reasoning")))


def read(span: RawSpan, draft: Draft) -> None:
    """Read ADK's own names, then what the OTel convention covers. ``{}`` means that content was not captured."""
    attributes = span.attributes
    get = attributes.get
    if values.word(get("gen_ai.tool.name")) == "(merged tools)":
        # A span made for ADK's own page: the tools it merges have spans of their own.
        draft.kind = "chain"
        draft.name = draft.name or "merged tools"
        draft.tool_call_id = ""
    elif draft.kind is None:
        if span.name == "call_llm" or span.name.startswith("generate_content"):
            draft.kind = "model"
        elif span.name == "invocation":
            draft.kind = "chain"
        elif span.name.startswith("agent_run "):
            draft.kind = "agent"
            draft.agent = draft.agent or span.name.removeprefix("agent_run ").strip("[]")
    draft.request_model = values.word(get("gen_ai.request.model"))
    draft.model = values.word(get("gen_ai.response.model")) or draft.request_model
    # The stated system is the kit itself; behind it any provider may answer.
    draft.provider = provider_of_model(draft.model) or ("google" if draft.model else "")
    for key, slot in (("tool_call_args", "input_value"), ("tool_response", "output_value")):
        content = _captured(attributes, _A + key)
        if content and not getattr(draft, slot):
            setattr(draft, slot, content)
            draft.consumed.add(_A + key)
    response = values.mapping(_captured(attributes, _A + "llm_response"))
    _read_request(attributes, draft)
    if response:
        _read_response(attributes, response, draft)
    _read_usage(attributes, response, draft)
    otel_genai.read(span, draft)
    if draft.tool_call_id in _NOT_CAPTURED or draft.kind == "chain":
        draft.tool_call_id = ""
    if draft.kind == "chain" and draft.tool_name == "(merged tools)":
        draft.tool_name = ""
    draft.output = _one_stream(draft.output)
    _drop_placeholders(attributes, draft)


def _one_stream(output: tuple[Message, ...]) -> tuple[Message, ...]:
    """A streamed answer, which ADK reports chunk by chunk as if each were an answer, as one message."""
    if len(output) < 2 or any(item.finish_reason for item in output[:-1]):
        return output
    if any(item.role != "assistant" for item in output):
        return output
    parts: list[Part] = []
    for part in (part for item in output for part in item.parts):
        last = parts[-1] if parts else None
        if last is not None and last.type == part.type and part.type in ("text", "reasoning"):
            parts[-1] = Part(type=part.type, text=last.text + part.text, extra=last.extra)
        else:
            parts.append(part)
    return (message("assistant", tuple(parts), finish_reason=output[-1].finish_reason),)


def _captured(attributes: Mapping[str, Any], key: str) -> str:
    text = values.text(attributes.get(key))
    return "" if text in _NOT_CAPTURED else text


def _read_request(attributes: Mapping[str, Any], draft: Draft) -> None:
    key = _A + "llm_request"
    body = values.mapping(_captured(attributes, key))
    if not body:
        return
    draft.input = request_messages(body)
    config = values.mapping(body.get("config"))
    if config.get("tools"):
        draft.tools = tool_definitions(config["tools"])
    settings = {
        name: value
        for name, value in config.items()
        if name not in ("system_instruction", "tools", "http_options", "labels") and value is not None
    }
    if settings:
        draft.parameters = settings
    if draft.input:
        draft.consumed.add(key)


def _read_response(attributes: Mapping[str, Any], body: Mapping[str, Any], draft: Draft) -> None:
    response = read_response(body)
    if response is not None:
        draft.output = response.messages
        draft.finish_reason = response.finish_reason.lower()
    error = values.word(body.get("error_code"))
    if error:
        draft.error_type = error
        draft.error_message = values.text(body.get("error_message"))
    if draft.output:
        draft.consumed.add(_A + "llm_response")
    elif "content" in body:
        draft.output = read_messages(body["content"], "assistant")


def _read_usage(attributes: Mapping[str, Any], response: Mapping[str, Any], draft: Draft) -> None:
    given = values.mapping(response.get("usage_metadata", response.get("usageMetadata")))
    counts = Counts()
    for snake, camel, slot in _GEMINI_USAGE:
        counts.take(slot, f"{_A}llm_response.usage_metadata.{snake}", given.get(snake, given.get(camel)))
    prompted = values.count(given.get("tool_use_prompt_token_count", given.get("toolUsePromptTokenCount")))
    if prompted and counts.input is not None:
        # Tokens of tool results that Gemini itself fetched: input beside the prompt.
        counts.input += prompted
        counts.reported.append((f"{_A}llm_response.usage_metadata.tool_use_prompt_token_count", prompted))
    apart = bool(counts.reported)
    if not apart:
        # Gemini counts thoughts beside the output; under the convention's own names ADK has added them up already.
        counts = _USAGE.take(attributes)
        apart = _REASONING_KEY in attributes
    if counts.reported or counts.malformed:
        scope = "aggregate" if draft.kind == "agent" else "leaf"
        settle_usage(draft, counts, rule="google-adk", habit="inclusive", reasoning_apart=apart, scope=scope)


def _drop_placeholders(attributes: Mapping[str, Any], draft: Draft) -> None:
    """Empty content attributes carry nothing worth keeping."""
    for name in ("llm_request", "llm_response", "tool_call_args", "tool_response", "data"):
        if _A + name in attributes and values.text(attributes[_A + name]) in ("{}", ""):
            draft.consumed.add(_A + name)
