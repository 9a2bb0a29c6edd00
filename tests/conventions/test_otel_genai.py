"""Spans of the OpenTelemetry GenAI convention, current and older."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .making import event, reading


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("chat", "model"),
        ("generate_content", "model"),
        ("text_completion", "model"),
        ("fetch_response", "model"),
        ("embeddings", "embedding"),
        ("retrieval", "retrieval"),
        ("search_memory", "retrieval"),
        ("create_agent", "agent"),
        ("invoke_agent", "agent"),
        ("execute_tool", "tool"),
        ("invoke_workflow", "chain"),
        ("plan", "chain"),
        ("apply_guardrail", "guard"),
        ("update_memory", "other"),
        ("something_new", "other"),
    ],
)
def test_the_operation_decides_the_kind(operation: str, kind: str) -> None:
    found = reading({"gen_ai.operation.name": operation})
    assert (found.kind, found.operation, found.dialect) == (kind, operation, "otel_genai")


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.tool.name": "search"}, "tool"),
        ({"gen_ai.request.model": "gpt-4o"}, "model"),
        ({"mcp.method.name": "tools/call"}, "tool"),
        ({"mcp.method.name": "tools/list"}, "other"),
    ],
)
def test_without_an_operation_the_attributes_decide(attributes: dict[str, Any], kind: str) -> None:
    assert reading(attributes).kind == kind


def test_a_call_is_read_whole() -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "json",
        "gen_ai.conversation.id": "c1",
        "gen_ai.agent.name": "planner",
        "gen_ai.agent.id": "a1",
        "gen_ai.prompt.name": "greeting",
        "gen_ai.prompt.version": 3,
        "gen_ai.usage.cost": "0.125",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be kind."}]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}]
        ),
        "gen_ai.tool.definitions": json.dumps([{"type": "function", "name": "look", "parameters": {}}]),
    }

    found = reading(attributes)

    assert [(item.role, item.text) for item in found.input] == [("system", "Be kind."), ("user", "Hi")]
    assert [(item.role, item.text) for item in found.output] == [("assistant", "Hello")]
    assert (found.provider, found.model, found.request_model) == ("azure", "gpt-4o-2024-08-06", "gpt-4o")
    assert (found.response_id, found.finish_reason, found.ttft_ns) == ("chatcmpl-1", "stop", 500_000_000)
    assert found.parameters == {"temperature": 0.2, "max_tokens": 100, "stream": True, "output_type": "json"}
    assert (found.session_id, found.agent, found.agent_id) == ("c1", "planner", "a1")
    assert (found.prompt_name, found.prompt_version) == ("greeting", "3")
    assert str(found.cost_given_usd) == "0.125"
    assert [tool.name for tool in found.tools] == ["look"]
    assert found.consumed == {
        "gen_ai.system_instructions",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.definitions",
    }


def test_messages_arrive_as_structures_too() -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    as_text = reading({"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(messages)})
    as_values = reading({"gen_ai.operation.name": "chat", "gen_ai.input.messages": messages})

    assert as_text.input == as_values.input


def test_instructions_that_the_conversation_repeats_are_there_once() -> None:
    found = reading(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system_instructions": "Be kind.",
            "gen_ai.input.messages": json.dumps(
                [{"role": "system", "parts": [{"type": "text", "content": "Be kind."}]}]
            ),
        }
    )

    assert [item.text for item in found.input] == ["Be kind."]


def test_a_tool_keeps_what_it_got_and_gave_as_sent() -> None:
    arguments, result = '{ "city":  "Paris" }', "[1,\n2]"
    found = reading(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "weather",
            "gen_ai.tool.call.id": "c1",
            "gen_ai.tool.call.arguments": arguments,
            "gen_ai.tool.call.result": result,
        }
    )

    assert (found.tool_name, found.tool_call_id) == ("weather", "c1")
    assert (found.input_value, found.output_value) == (arguments, result)
    assert found.consumed == {"gen_ai.tool.call.arguments", "gen_ai.tool.call.result"}


def test_older_emitters_put_messages_into_span_events() -> None:
    call = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    found = reading(
        {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"},
        events=(
            event("gen_ai.system.message", {"content": "Be kind."}),
            event("gen_ai.user.message", {"content": '{"is": "json"}'}),
            event("gen_ai.assistant.message", {"tool_calls": json.dumps(call)}),
            event("gen_ai.tool.message", {"content": "[1, 2]", "id": "c1"}),
            event("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"content": "Done"}'}),
        ),
    )

    assert [item.role for item in found.input] == ["system", "user", "assistant", "tool"]
    assert found.input[1].text == '{"is": "json"}'
    assert found.input[2].parts[0].name == "look"
    assert (found.input[3].parts[0].id, found.input[3].text) == ("c1", "[1, 2]")
    assert [(item.text, item.finish_reason) for item in found.output] == [("Done", "stop")]
    assert found.finish_reason == "stop"


def test_retrieved_documents_are_read() -> None:
    documents = [{"id": "d1", "content": "ducks", "score": 0.5, "metadata": {"page": 3}, "lang": "en"}]
    found = reading(
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.query.text": "birds",
            "gen_ai.retrieval.documents": json.dumps(documents),
        }
    )

    (document,) = found.documents
    assert (document.id, document.content, document.score) == ("d1", "ducks", 0.5)
    assert document.metadata == {"page": 3, "lang": "en"}
    assert found.input_value == "birds"


@pytest.mark.parametrize("text", ["{broken", "[{]", "plain words", '"a json string"', "{}", "[]", "null"])
def test_malformed_messages_fall_back_to_the_text(text: str) -> None:
    found = reading({"gen_ai.operation.name": "chat", "gen_ai.input.messages": text})

    assert "".join(item.text for item in found.input) in (text, text.strip('"'), "")
    assert found.input or text in ("{}", "[]", "null")


def test_a_framework_in_the_place_of_the_provider_is_not_one() -> None:
    found = reading({"gen_ai.system": "Langchain", "gen_ai.request.model": "claude-sonnet-4-5"})
    assert found.provider == "anthropic"


def test_a_replayed_call_has_no_usage() -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 90, "gen_ai.usage.output_tokens": 10}
    spent = reading(attributes)
    assert spent.usage is not None and spent.usage.total == 100
    replayed = reading(attributes | {"pilothouse.replayed": True})
    assert replayed.usage is None and "nothing was spent" in " ".join(replayed.notes)
