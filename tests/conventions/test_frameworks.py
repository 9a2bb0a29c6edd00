"""Spans of the frameworks that have attribute names of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .making import event, reading

TOOLS = ['{"type":"function","name":"look","inputSchema":{}}']


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("ai.generateText", "agent"),
        ("ai.streamText", "agent"),
        ("ai.generateObject", "agent"),
        ("ai.generateText.doGenerate", "model"),
        ("ai.streamObject.doStream", "model"),
        ("ai.toolCall", "tool"),
        ("ai.embed.doEmbed", "embedding"),
        ("ai.embedMany", "chain"),
    ],
)
def test_vercel_operations(operation: str, kind: str) -> None:
    found = reading({"ai.operationId": operation, "ai.telemetry.functionId": "helper"}, scope="ai")
    assert (found.dialect, found.kind, found.agent) == ("vercel_ai", kind, "helper")


def test_a_vercel_call() -> None:
    found = reading(
        {
            "ai.operationId": "ai.streamText.doStream",
            "ai.model.id": "gpt-4o",
            "ai.model.provider": "openai.responses",
            "ai.response.model": "gpt-4o-2024-08-06",
            "ai.response.id": "resp_1",
            "ai.response.finishReason": "tool-calls",
            "ai.response.msToFirstChunk": 250,
            "ai.response.reasoning": "Hm.",
            "ai.response.text": "Let me look.",
            "ai.response.toolCalls": json.dumps([{"toolCallId": "c1", "toolName": "look", "input": {"a": 1}}]),
            "ai.prompt.messages": json.dumps([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
            "ai.prompt.tools": TOOLS,
            "ai.settings.temperature": 0.5,
            "ai.telemetry.metadata.sessionId": "s1",
            "ai.telemetry.metadata.userId": "u1",
            "ai.telemetry.metadata.tags": ["a"],
        },
        scope="ai",
    )

    (answer,) = found.output
    assert [(part.type, part.text or part.arguments) for part in answer.parts] == [
        ("reasoning", "Hm."),
        ("text", "Let me look."),
        ("tool_call", {"a": 1}),
    ]
    assert (found.provider, found.model, found.response_id) == ("openai", "gpt-4o-2024-08-06", "resp_1")
    assert (found.ttft_ns, found.finish_reason) == (250_000_000, "tool-calls")
    assert [tool.name for tool in found.tools] == ["look"]
    assert found.parameters == {"temperature": 0.5}
    assert (found.session_id, found.user_id, found.tags) == ("s1", "u1", ("a",))


def test_a_vercel_agent_and_its_tool() -> None:
    agent = reading(
        {
            "ai.operationId": "ai.generateText",
            "ai.prompt": json.dumps({"system": "Be kind.", "messages": [{"role": "user", "content": "Hi"}]}),
            "ai.response.text": "Hello",
        },
        scope="ai",
    )
    tool = reading(
        {
            "ai.operationId": "ai.toolCall",
            "ai.toolCall.name": "look",
            "ai.toolCall.id": "c1",
            "ai.toolCall.args": '{"a":1}',
            "ai.toolCall.result": '"ok"',
        },
        scope="ai",
    )

    assert [item.role for item in agent.input] == ["system", "user"]
    assert agent.output[0].text == "Hello"
    assert (tool.tool_name, tool.tool_call_id, tool.input_value, tool.output_value) == ("look", "c1", '{"a":1}', '"ok"')


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("generation", "model"),
        ("span", "chain"),
        ("event", "other"),
        ("agent", "agent"),
        ("tool", "tool"),
        ("chain", "chain"),
        ("retriever", "retrieval"),
        ("evaluator", "evaluator"),
        ("guardrail", "guard"),
        ("embedding", "embedding"),
    ],
)
def test_langfuse_types(kind: str, expected: str) -> None:
    found = reading({"langfuse.observation.type": kind}, scope="langfuse-sdk")
    assert (found.dialect, found.kind) == ("langfuse", expected)


def test_a_langfuse_generation() -> None:
    found = reading(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.model.parameters": '{"temperature": 0}',
            "langfuse.observation.input": json.dumps(
                [
                    {"role": "user", "content": "Hi"},
                    {"role": "tool", "content": {"type": "function", "function": {"name": "look"}}},
                ]
            ),
            "langfuse.observation.output": json.dumps({"role": "assistant", "content": "Hello"}),
            "langfuse.observation.completion_start_time": '"1970-01-01T00:00:01.250000Z"',
            "langfuse.observation.cost_details": '{"input": 0.25, "output": 0.5}',
            "langfuse.observation.prompt.name": "greet",
            "langfuse.observation.prompt.version": 2,
            "langfuse.environment": "production",
            "langfuse.trace.tags": ["a"],
            "session.id": "s1",
            "user.id": "u1",
        },
        scope="langfuse-sdk",
    )

    assert [(item.role, item.text) for item in found.input] == [("user", "Hi")]
    assert [tool.name for tool in found.tools] == ["look"]
    assert [(item.role, item.text) for item in found.output] == [("assistant", "Hello")]
    assert found.ttft_ns == 250_000_000
    assert str(found.cost_given_usd) == "0.75"
    assert (found.prompt_name, found.prompt_version) == ("greet", "2")
    assert (found.environment, found.tags, found.session_id) == ("production", ("a",), "s1")


def test_a_langfuse_error_level_is_an_error() -> None:
    found = reading(
        {
            "langfuse.observation.type": "tool",
            "langfuse.observation.level": "ERROR",
            "langfuse.observation.status_message": "boom",
        },
        scope="langfuse-sdk",
    )
    assert (found.error_type, found.error_message) == ("error", "boom")


def test_langfuse_attributes_on_another_emitters_span_keep_that_emitters_kind() -> None:
    found = reading({"langfuse.observation.type": "span", "openinference.span.kind": "RETRIEVER"})
    assert (found.dialect, found.kind) == ("langfuse", "retrieval")


def test_mlflow_values_are_json() -> None:
    found = reading(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gpt-4o"',
            "mlflow.spanInputs": '{"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}',
            "mlflow.spanOutputs": '{"id": "x", "choices": [{"message": {"role": "assistant", "content": "Hello"}}]}',
            "mlflow.trace.session": '"s1"',
        }
    )

    assert (found.dialect, found.kind, found.model, found.session_id) == ("mlflow", "model", "gpt-4o", "s1")
    assert (found.input[0].text, found.output[0].text) == ("Hi", "Hello")
    assert found.parameters == {"temperature": 0}


def test_mlflow_retrievers_give_documents() -> None:
    outputs = [{"page_content": "ducks", "metadata": {"page": 1}, "id": "d1"}]
    found = reading({"mlflow.spanType": '"RETRIEVER"', "mlflow.spanOutputs": json.dumps(outputs)})

    assert found.kind == "retrieval"
    assert [(item.id, item.content, item.metadata) for item in found.documents] == [("d1", "ducks", {"page": 1})]


def adk(attributes: dict[str, Any], name: str) -> Any:
    return reading(attributes, scope="gcp.vertex.agent", name=name)


def test_an_adk_call() -> None:
    request = {
        "model": "gemini-2.5-flash",
        "config": {
            "system_instruction": "Be kind.",
            "temperature": 0.5,
            "tools": [{"function_declarations": [{"name": "look", "parameters": {}}]}],
        },
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }
    response = {"content": {"role": "model", "parts": [{"function_call": {"name": "look", "args": {"a": 1}}}]}}
    found = adk(
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gcp.vertex.agent.session_id": "s1",
            "gcp.vertex.agent.llm_request": json.dumps(request),
            "gcp.vertex.agent.llm_response": json.dumps(response),
        },
        "call_llm",
    )

    assert (found.dialect, found.kind, found.provider, found.session_id) == ("google_adk", "model", "google", "s1")
    assert [(item.role, item.text) for item in found.input] == [("system", "Be kind."), ("user", "Hi")]
    assert found.output[0].parts[0].arguments == {"a": 1}
    assert [tool.name for tool in found.tools] == ["look"]
    assert found.parameters == {"temperature": 0.5}


def test_adk_placeholders_mean_that_nothing_was_captured() -> None:
    found = adk(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look",
            "gen_ai.tool.call.id": "<not specified>",
            "gcp.vertex.agent.llm_request": "{}",
            "gcp.vertex.agent.tool_call_args": "{}",
            "gcp.vertex.agent.tool_response": '{"result": 1}',
        },
        "execute_tool look",
    )

    assert (found.kind, found.input_value, found.output_value) == ("tool", "", '{"result": 1}')
    assert (found.tool_call_id, found.input) == ("", ())


def test_adk_merged_tools_are_not_a_tool_call() -> None:
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "(merged tools)"}
    found = adk(attributes, "execute_tool (merged tools)")
    assert (found.kind, found.tool_name) == ("chain", "")


@pytest.mark.parametrize(
    ("name", "kind"), [("invocation", "chain"), ("agent_run [helper]", "agent"), ("call_llm", "model")]
)
def test_older_adk_spans_are_known_by_name(name: str, kind: str) -> None:
    assert adk({}, name).kind == kind


def test_an_adk_model_of_another_provider() -> None:
    assert adk({"gen_ai.request.model": "anthropic/claude-sonnet-4-5"}, "call_llm").provider == "anthropic"


def test_laminar() -> None:
    found = reading(
        {
            "lmnr.span.type": "LLM",
            "lmnr.span.input": json.dumps([{"role": "user", "content": "Hi"}]),
            "lmnr.span.output": json.dumps([{"role": "assistant", "content": "Hello"}]),
            "lmnr.association.properties.session_id": "s1",
            "lmnr.association.properties.user_id": "u1",
            "lmnr.span.prompt_hash": "abc",
            "gen_ai.request.model": "gpt-4o",
        }
    )
    tool = reading({"lmnr.span.type": "TOOL", "lmnr.span.input": '{"a": 1}'}, name="look")

    assert (found.dialect, found.kind, found.input[0].text, found.output[0].text) == ("laminar", "model", "Hi", "Hello")
    assert (found.session_id, found.user_id, found.prompt_version) == ("s1", "u1", "abc")
    assert (tool.kind, tool.tool_name, tool.input_value) == ("tool", "look", '{"a": 1}')
    assert reading({"lmnr.span.type": "DEFAULT"}).kind == "chain"


def test_langsmith() -> None:
    answer = {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": {"content": "Hello"}}
    found = reading(
        {
            "langsmith.span.kind": "llm",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.prompt": json.dumps({"messages": [[{"role": "user", "content": "Hi"}]]}),
            "gen_ai.completion": json.dumps({"generations": [[{"text": "Hello", "message": answer}]]}),
            "langsmith.span.tags": "a, b",
            "langsmith.metadata.thread_id": "t1",
            "langsmith.trace.session_id": "project",
        }
    )

    assert (found.dialect, found.kind) == ("langsmith", "model")
    assert [(item.role, item.text) for item in found.input] == [("user", "Hi")]
    assert [(item.role, item.text) for item in found.output] == [("assistant", "Hello")]
    assert (found.tags, found.session_id) == (("a", "b"), "t1")


def test_genkit() -> None:
    found = reading(
        {
            "genkit:type": "action",
            "genkit:metadata:subtype": "model",
            "genkit:name": "googleai/gemini-2.5-flash",
            "genkit:input": json.dumps({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
            "genkit:output": json.dumps(
                {
                    "message": {
                        "role": "model",
                        "content": [{"toolRequest": {"ref": "c1", "name": "look", "input": {"a": 1}}}],
                    },
                    "finishReason": "stop",
                    "usage": {"inputTokens": 5, "outputTokens": 7, "thoughtsTokens": 2},
                }
            ),
        }
    )

    assert (found.dialect, found.kind, found.model, found.provider) == ("genkit", "model", "gemini-2.5-flash", "google")
    assert found.input[0].text == "Hi"
    assert (found.output[0].parts[0].id, found.output[0].parts[0].arguments) == ("c1", {"a": 1})
    assert found.usage is not None
    assert (found.usage.output_text, found.usage.reasoning) == (7, 2)
    assert reading({"genkit:type": "flow", "genkit:name": "menu"}).kind == "chain"


def test_livekit() -> None:
    tool = reading(
        {"lk.function_tool.name": "look", "lk.function_tool.arguments": "{}", "lk.function_tool.is_error": True},
        scope="livekit-agents",
        name="function_tool",
    )
    session = reading({"lk.agent_name": "host", "lk.room_name": "r1"}, scope="livekit-agents", name="agent_session")

    assert (tool.kind, tool.tool_name, tool.tool_error) == ("tool", "look", "is_error")
    assert (session.kind, session.agent, session.session_id) == ("agent", "host", "r1")


@pytest.mark.parametrize(
    ("attributes", "name", "kind"),
    [
        ({"traceloop.span.kind": "workflow"}, "Agent Workflow", "chain"),
        ({"traceloop.span.kind": "agent", "gen_ai.operation.name": "invoke_agent"}, "helper.agent", "agent"),
        ({"gen_ai.operation.name": "execute_tool"}, "look.tool", "tool"),
        ({"gen_ai.operation.name": "handoff"}, "a → b.handoff", "chain"),
        ({"gen_ai.operation.name": "chat"}, "openai.response", "model"),
    ],
)
def test_openai_agents_over_openllmetry(attributes: dict[str, Any], name: str, kind: str) -> None:
    found = reading(attributes, scope="opentelemetry.instrumentation.openai_agents", name=name)
    assert (found.dialect, found.kind) == ("openai_agents", kind)


def test_a_span_of_no_convention_keeps_what_it_says() -> None:
    found = reading({"http.method": "GET", "input": "a", "output": {"b": 1}}, name="GET /")

    assert (found.dialect, found.kind) == ("plain", "other")
    assert (found.input_value, found.output_value) == ("a", '{"b":1}')
    assert found.consumed == {"input", "output"}


def test_the_emitter_goes_before_the_attributes() -> None:
    both = {"openinference.span.kind": "TOOL", "langfuse.observation.type": "generation"}

    assert reading(both, scope="openinference.instrumentation.openai").dialect == "openinference"
    assert reading(both, scope="anything").dialect == "langfuse"
    assert reading({}, scope="ai", events=(event("x", {}),)).dialect == "vercel_ai"
