"""OpenLLMetry spans, with flattened and with structured messages."""

from __future__ import annotations

import json

import pytest

from .making import event, reading


@pytest.mark.parametrize(
    ("span_kind", "kind"), [("workflow", "chain"), ("task", "chain"), ("agent", "agent"), ("tool", "tool")]
)
def test_the_span_kind_decides_the_kind(span_kind: str, kind: str) -> None:
    found = reading({"traceloop.span.kind": span_kind, "traceloop.entity.name": "helper"})
    assert (found.dialect, found.kind, found.name) == ("openllmetry", kind, "helper")


@pytest.mark.parametrize(
    ("request_type", "kind"),
    [("chat", "model"), ("completion", "model"), ("embedding", "embedding"), ("rerank", "retrieval")],
)
def test_the_request_type_decides_the_kind(request_type: str, kind: str) -> None:
    assert reading({"llm.request.type": request_type}).kind == kind


def test_a_flattened_call() -> None:
    attributes = {
        "llm.request.type": "chat",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": json.dumps([{"type": "text", "text": "Hi"}]),
        "gen_ai.prompt.1.role": "assistant",
        "gen_ai.prompt.1.tool_calls.0.id": "c1",
        "gen_ai.prompt.1.tool_calls.0.name": "look",
        "gen_ai.prompt.1.tool_calls.0.arguments": '{"a": 1}',
        "gen_ai.prompt.2.role": "tool",
        "gen_ai.prompt.2.tool_call_id": "c1",
        "gen_ai.prompt.2.content": "42",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "Hello",
        "gen_ai.completion.0.finish_reason": "stop",
        "llm.request.functions.0.name": "look",
        "llm.request.functions.0.parameters": '{"type": "object"}',
        "traceloop.association.properties.session_id": "s1",
        "traceloop.association.properties.user_id": "u1",
    }

    found = reading(attributes, scope="opentelemetry.instrumentation.openai.v1")

    assert (found.kind, found.provider, found.finish_reason) == ("model", "openai", "stop")
    assert [item.role for item in found.input] == ["user", "assistant", "tool"]
    assert found.input[0].text == "Hi"
    assert found.input[1].parts[0].arguments == {"a": 1}
    assert found.output[0].text == "Hello"
    assert found.tools[0].definition == {"name": "look", "parameters": {"type": "object"}}
    assert (found.session_id, found.user_id) == ("s1", "u1")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('{"args": [], "kwargs": {"city": "Paris"}}', '{"city":"Paris"}'),
        ('{"args": ["Where is it?"], "kwargs": {}}', "Where is it?"),
        ('{"args": [{"city": "Paris"}], "kwargs": {}}', '{"city":"Paris"}'),
        ('{"args": ["a", "b"], "kwargs": {}}', '{"args": ["a", "b"], "kwargs": {}}'),
        ('{"args": ["a"], "kwargs": {"b": 1}}', '{"args": ["a"], "kwargs": {"b": 1}}'),
        ('{"args": [], "kwargs": {}}', '{"args": [], "kwargs": {}}'),
        ('{"args": ["cut', '{"args": ["cut'),
    ],
)
def test_entities_keep_what_they_got_and_gave(sent: str, shown: str) -> None:
    found = reading(
        {
            "traceloop.span.kind": "tool",
            "traceloop.entity.name": "weather",
            "traceloop.entity.input": sent,
            "traceloop.entity.output": '"rain"',
        }
    )

    assert found.tool_name == "weather"
    assert (found.input_value, found.output_value) == (shown, "rain")


def test_a_vector_store_query_is_a_retrieval() -> None:
    found = reading(
        {"db.system": "chroma", "db.operation": "query", "traceloop.workflow.name": "w"},
        scope="opentelemetry.instrumentation.chromadb",
        events=(
            event(
                "db.query.result",
                {"db.query.result.id": "d1", "db.query.result.document": "ducks", "db.query.result.distance": 0.1},
            ),
        ),
    )

    assert found.kind == "retrieval"
    assert [(item.id, item.content, item.score) for item in found.documents] == [("d1", "ducks", 0.1)]


def test_prompts_managed_by_traceloop() -> None:
    found = reading({"llm.request.type": "chat", "traceloop.prompt.key": "greet", "traceloop.prompt.version": 4})
    assert (found.prompt_name, found.prompt_version) == ("greet", "4")
