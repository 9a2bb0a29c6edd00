"""pydantic-ai and Logfire: runs, older formats, and spans that are still open."""

from __future__ import annotations

import json

from pilothouse.conventions import span_facts

from .making import PARENT, reading, span

ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "Hello"}]}
QUESTION = {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}


def test_a_pending_span_stands_for_its_parent() -> None:
    attributes = {
        "logfire.span_type": "pending_span",
        "logfire.pending_parent_id": "00000000000000ab",
        "logfire.msg": "agent run",
        "gen_ai.agent.name": "helper",
    }
    found = reading(attributes, scope="pydantic-ai", name="agent run")

    assert found.running
    assert (found.span_id, found.parent_span_id) == (PARENT, "00000000000000ab")
    facts = span_facts(span(attributes, scope="pydantic-ai"), found)
    assert (facts.span_id, facts.parent_span_id) == (PARENT, "00000000000000ab")


def test_a_pending_root_has_no_parent() -> None:
    found = reading(
        {"logfire.span_type": "pending_span", "logfire.pending_parent_id": "0000000000000000"}, scope="logfire"
    )
    assert found.parent_span_id == ""


def test_an_ended_span_is_not_running() -> None:
    found = reading({"logfire.span_type": "span", "logfire.msg": "hello"}, scope="logfire")

    assert (found.running, found.span_id, found.parent_span_id, found.name) == (False, "", None, "hello")


def test_a_run_is_split_into_history_and_answer() -> None:
    found = reading(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "helper",
            "gen_ai.agent.call.id": "call-1",
            "pydantic_ai.all_messages": json.dumps([QUESTION, ANSWER]),
            "final_result": "Hello",
            "model_name": "gpt-4o",
        },
        scope="pydantic-ai",
    )

    assert (found.kind, found.agent, found.agent_id, found.model) == ("agent", "helper", "call-1", "gpt-4o")
    assert [item.text for item in found.input] == ["Hi"]
    assert [item.text for item in found.output] == ["Hello"]
    assert found.output_value == ""
    assert found.consumed == {"pydantic_ai.all_messages", "final_result"}


def test_a_structured_result_is_a_value() -> None:
    found = reading(
        {"pydantic_ai.all_messages": json.dumps([QUESTION, ANSWER]), "final_result": '{"quality":"good"}'},
        scope="pydantic-ai",
        name="agent run",
    )
    assert (found.kind, found.output_value) == ("agent", '{"quality":"good"}')


def test_the_events_of_older_versions() -> None:
    events = [
        {"event.name": "gen_ai.system.message", "content": "Be kind.", "role": "system"},
        {"event.name": "gen_ai.user.message", "content": "Hi", "role": "user"},
        {
            "event.name": "gen_ai.assistant.message",
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": {"a": 1}}}],
        },
        {"event.name": "gen_ai.tool.message", "content": "42", "role": "tool", "id": "c1", "name": "look"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Hello"}},
    ]
    found = reading(
        {"gen_ai.operation.name": "chat", "events": json.dumps(events), "gen_ai.system": "openai"}, scope="pydantic-ai"
    )

    assert [item.role for item in found.input] == ["system", "user", "assistant", "tool"]
    assert found.input[2].parts[0].arguments == {"a": 1}
    assert (found.input[3].parts[0].id, found.input[3].name) == ("c1", "look")
    assert [item.text for item in found.output] == ["Hello"]
    assert "events" in found.consumed


def test_a_tool_of_version_two() -> None:
    found = reading(
        {
            "gen_ai.tool.name": "look",
            "gen_ai.tool.call.id": "c1",
            "tool_arguments": '{"a":1}',
            "tool_response": "42",
            "logfire.msg": "running tool: look",
        },
        scope="pydantic-ai",
        name="running tool",
    )

    assert (found.kind, found.tool_name, found.tool_call_id) == ("tool", "look", "c1")
    assert (found.input_value, found.output_value) == ('{"a":1}', "42")


def test_the_tools_on_offer_are_kept_and_what_is_left_of_the_request() -> None:
    request = {
        "function_tools": [{"name": "look", "parameters_json_schema": {}}],
        "output_tools": [{"name": "final_result", "parameters_json_schema": {}}],
        "output_mode": "tool",
        "output_object": None,
    }
    found = reading(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.temperature": 0,
            "model_request_parameters": json.dumps(request),
        },
        scope="pydantic-ai",
    )

    assert [tool.name for tool in found.tools] == ["look", "final_result"]
    assert found.parameters == {"temperature": 0, "model_request": {"output_mode": "tool"}}
    assert found.consumed == {"model_request_parameters"}


def test_logfires_own_instrumentation_of_a_client() -> None:
    found = reading(
        {
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "request_data": json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}),
            "response_data": json.dumps({"message": {"role": "assistant", "content": "Hello"}}),
            "operation.cost": 0.25,
        },
        scope="logfire.openai",
    )

    assert (found.kind, found.input[0].text, found.output[0].text) == ("model", "Hi", "Hello")
    assert str(found.cost_given_usd) == "0.25"


def test_the_group_of_tools_is_no_tool() -> None:
    assert reading({"tools": ["a", "b"]}, scope="pydantic-ai", name="running 2 tools").kind == "chain"
