"""Whatever an emitter puts into its attributes, a span is read and its fields have the right types."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.conventions import DIALECTS, read, read_log, span_facts
from pilothouse.conventions.detect import READERS
from pilothouse.conventions.draft import Draft
from pilothouse.conventions.failures import fill_failure
from pilothouse.conventions.identity import fill_identity
from pilothouse.records import (
    KINDS,
    Document,
    Emitter,
    Message,
    Part,
    RawEvent,
    RawLog,
    RawSpan,
    Reading,
    ToolDefinition,
    Usage,
    message_as_dict,
)

SCOPES = [
    "",
    "ai",
    "gen_ai",
    "langfuse-sdk",
    "pydantic-ai",
    "logfire",
    "gcp.vertex.agent",
    "com.anthropic.claude_code.tracing",
    "mlflow",
    "lmnr",
    "langsmith",
    "genkit-tracer",
    "livekit-agents",
    "openinference.instrumentation.openai",
    "openinference.instrumentation.bedrock",
    "opentelemetry.instrumentation.openai_agents",
    "opentelemetry.instrumentation.anthropic",
]


def _keys() -> list[str]:
    """Every attribute name that the dialects look for, read off their sources."""
    import re
    from pathlib import Path

    import pilothouse.conventions

    folder = Path(pilothouse.conventions.__file__).parent
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        names.update(re.findall(r'"([A-Za-z][\w:]*(?:[._:][\w:]+)+)"', path.read_text()))
    for key in ("input", "output", "type", "usage_details", "cost_details", "model.name", "model.parameters", "level"):
        names.add(f"langfuse.observation.{key}")
    for key in ("llm_request", "llm_response", "tool_call_args", "tool_response"):
        names.add(f"gcp.vertex.agent.{key}")
    for place in ("0", "1", "007", "99999999"):
        for name, rest in (
            ("llm.input_messages", "message.content"),
            ("llm.input_messages", "message.role"),
            ("llm.input_messages", "message"),
            ("llm.input_messages", "message.contents.0.message_content.text"),
            ("llm.input_messages", "message.tool_calls.1.tool_call.function.arguments"),
            ("llm.output_messages", "message.tool_calls.0.tool_call"),
            ("gen_ai.prompt", "content"),
            ("gen_ai.prompt", "role"),
            ("gen_ai.completion", "tool_calls.0.name"),
            ("llm.request.functions", "parameters"),
            ("retrieval.documents", "document.metadata"),
            ("llm.tools", "tool.json_schema"),
        ):
            names.add(f"{name}.{place}.{rest}")
    names.update({"model", "error", "prompt", "body", "events", "tool_input", "success", "duration_ms", "event.name"})
    return sorted(names)


KEYS = _keys()

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=10),
    st.sampled_from(["{}", "[]", "null", "NaN", "{", "[[", "-1", "1e999", "<REDACTED>", "\ud800", "LLM", "chat", "0"]),
)
INNER_KEYS = [
    "role",
    "content",
    "parts",
    "type",
    "text",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "id",
    "input",
    "output",
    "messages",
    "message",
    "choices",
    "candidates",
    "usage",
    "usage_metadata",
    "tools",
    "config",
    "image_url",
    "source",
    "summary",
    "toolUse",
    "functionResponse",
    "lc",
    "kwargs",
    "error",
    "isError",
    "tool_call_id",
    "refusal",
    "audio",
    "contents",
    "total",
    "value",
    "response",
    "result",
]
TYPES = ["text", "tool_call", "tool_result", "image_url", "reasoning", "message", "function_call_output", "human", "ai"]
structures = st.recursive(
    scalars | st.sampled_from(TYPES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER_KEYS), inner, max_size=4),
    max_leaves=12,
)


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


anything = structures | structures.map(_json)
attributes = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), anything, max_size=12)


def check(reading: Reading) -> None:
    assert reading.kind in KINDS
    for field in dataclasses.fields(Reading):
        value = getattr(reading, field.name)
        if field.type == "str":
            assert type(value) is str, field.name
        if field.type == "bool":
            assert type(value) is bool, field.name
    for message in (*reading.input, *reading.output):
        assert isinstance(message, Message)
        assert len(message.hash) == 32
        assert isinstance(message.name, str)
        assert isinstance(message.finish_reason, str)
        assert isinstance(message.role, str)
        assert message.role
        for part in message.parts:
            assert isinstance(part, Part)
            assert all(isinstance(word, str) for word in (part.text, part.id, part.name, part.mime, part.uri))
        json.dumps(message_as_dict(message), default=str)
    assert all(isinstance(tool, ToolDefinition) and isinstance(tool.name, str) for tool in reading.tools)
    assert all(isinstance(one, Document) and isinstance(one.content, str) for one in reading.documents)
    assert all(isinstance(tag, str) for tag in reading.tags)
    assert isinstance(reading.parameters, dict)
    assert reading.ttft_ns is None or type(reading.ttft_ns) is int
    assert reading.cost_given_usd is None or isinstance(reading.cost_given_usd, Decimal)
    assert reading.parent_span_id is None or isinstance(reading.parent_span_id, str)
    assert isinstance(reading.consumed, frozenset)
    assert all(isinstance(note, str) for note in reading.notes)
    if reading.usage is not None:
        check_usage(reading.usage)


def check_usage(usage: Usage) -> None:
    for field in dataclasses.fields(Usage):
        value = getattr(usage, field.name)
        if field.type == "int":
            assert type(value) is int, field.name
            assert value >= 0, field.name
    assert usage.total > 0
    assert usage.reported


def span(scope: str, given: dict[str, Any], events: tuple[RawEvent, ...] = (), name: str = "x") -> RawSpan:
    return RawSpan(
        trace_id="1" * 32,
        span_id="2" * 16,
        name=name,
        start_ns=1,
        end_ns=2,
        attributes=given,
        events=events,
        emitter=Emitter(scope_name=scope, resource=given),
    )


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scope=st.sampled_from(SCOPES), given_attributes=attributes)
def test_a_span_is_read_whatever_its_attributes_hold(scope: str, given_attributes: dict[str, Any]) -> None:
    raw = span(scope, given_attributes)

    reading = read(raw)

    check(reading)
    assert reading.consumed <= set(given_attributes)
    assert not any(note.startswith("not read as") for note in reading.notes)
    span_facts(raw, reading)


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_attributes=attributes, event=attributes)
def test_every_dialect_reads_any_span_without_the_safety_net(
    dialect: str, given_attributes: dict[str, Any], event: dict[str, Any]
) -> None:
    raw = span("", given_attributes, (RawEvent(time_ns=1, name="gen_ai.choice", attributes=event),))
    draft = Draft(dialect)

    READERS[dialect](raw, draft)
    fill_failure(raw, draft)
    fill_identity(raw, draft)

    check(draft.reading())


EVENTS = [
    "gen_ai.user.message",
    "gen_ai.tool.message",
    "gen_ai.choice",
    "gen_ai.client.inference.operation.details",
    "gen_ai.evaluation.result",
    "claude_code.api_request",
    "claude_code.tool_result",
    "claude_code.tool_decision",
    "claude_code.user_prompt",
    "",
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(EVENTS), body=anything, given_attributes=attributes, time=st.integers(0, 1 << 62))
def test_a_log_record_is_read_whatever_it_holds(
    name: str, body: Any, given_attributes: dict[str, Any], time: int
) -> None:
    from pilothouse.conventions.logs import _read

    raw = RawLog(time_ns=time, event_name=name, body=body, attributes={**given_attributes, "session.id": "s"})

    found = read_log(raw)

    assert found == _read(raw)
    if found is not None:
        for made, reading in found.spans:
            assert len(made.trace_id) == 32
            assert len(made.span_id) == 16
            assert made.start_ns <= made.end_ns
            check(reading)


def test_json_nested_a_hundred_thousand_deep_is_kept_as_text() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    reading = read(span("", {"gen_ai.operation.name": "chat", "gen_ai.input.messages": deep}))
    assert reading.input[0].text == deep


@pytest.mark.parametrize("depth", [200, 250, 300, 500, 900, 1020])
def test_structures_of_any_depth_are_read(depth: int) -> None:
    nested: Any = "x"
    for _ in range(depth):
        nested = [nested]
    text = '[{"role":"user","parts":[{"type":"tool_call","id":"a","name":"b","arguments":%s}]}]'
    for value in (text % ("[" * depth + "]" * depth), [{"role": "user", "content": nested}]):
        reading = read(span("", {"gen_ai.operation.name": "chat", "gen_ai.input.messages": value}))
        assert reading.dialect == "otel_genai"
        assert reading.input
