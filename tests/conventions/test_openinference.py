"""OpenInference spans."""

from __future__ import annotations

import json

import pytest

from .making import event, reading

SCOPE = "openinference.instrumentation.openai"


@pytest.mark.parametrize(
    ("span_kind", "kind"),
    [
        ("LLM", "model"),
        ("EMBEDDING", "embedding"),
        ("CHAIN", "chain"),
        ("RETRIEVER", "retrieval"),
        ("RERANKER", "retrieval"),
        ("TOOL", "tool"),
        ("AGENT", "agent"),
        ("GUARDRAIL", "guard"),
        ("EVALUATOR", "evaluator"),
        ("PROMPT", "other"),
    ],
)
def test_the_span_kind_decides_the_kind(span_kind: str, kind: str) -> None:
    found = reading({"openinference.span.kind": span_kind}, scope="any")
    assert (found.kind, found.dialect) == (kind, "openinference")


def test_flattened_messages_are_put_together_in_the_order_of_their_numbers() -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.10.message.role": "user",
        "llm.input_messages.10.message.contents.1.message_content.type": "image",
        "llm.input_messages.10.message.contents.1.message_content.image.image.url": "https://x/a.png",
        "llm.input_messages.10.message.contents.0.message_content.type": "text",
        "llm.input_messages.10.message.contents.0.message_content.text": "Look",
        "llm.input_messages.9.message.role": "tool",
        "llm.input_messages.9.message.tool_call_id": "c1",
        "llm.input_messages.9.message.content": "42",
        "llm.input_messages.2.message.role": "assistant",
        "llm.input_messages.2.message.tool_calls.0.tool_call.id": "c1",
        "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "look",
        "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"a": 1}',
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be kind.",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "A duck",
        "llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "look"}}',
        "llm.invocation_parameters": '{"temperature": 0.5, "tools": [1]}',
        "llm.model_name": "gpt-4o",
    }

    found = reading(attributes, scope=SCOPE)

    assert [item.role for item in found.input] == ["system", "assistant", "tool", "user"]
    assert found.input[1].parts[0].arguments == {"a": 1}
    assert [(part.type, part.text or part.uri) for part in found.input[3].parts] == [
        ("text", "Look"),
        ("media", "https://x/a.png"),
    ]
    assert found.output[0].text == "A duck"
    assert [tool.name for tool in found.tools] == ["look"]
    assert found.parameters == {"temperature": 0.5}
    assert found.consumed == {key for key in attributes if key.startswith(("llm.input_m", "llm.output_m", "llm.tools"))}


def test_a_value_that_repeats_the_messages_is_dropped_and_one_that_differs_is_kept() -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Hi",
    }
    same = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    other = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi, again"}]}

    assert "input.value" in reading({**attributes, "input.value": json.dumps(same)}).consumed
    assert "input.value" not in reading({**attributes, "input.value": json.dumps(other)}).consumed


def test_a_whole_response_gives_its_id_and_reason() -> None:
    response = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "service_tier": "priority",
        "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "Hi"}}],
    }
    found = reading({"openinference.span.kind": "LLM", "output.value": json.dumps(response)}, scope=SCOPE)

    assert (found.response_id, found.finish_reason) == ("chatcmpl-1", "length")
    assert found.output[0].text == "Hi"
    assert found.parameters == {"service_tier": "priority"}


def test_a_model_span_without_messages_reads_them_from_its_values() -> None:
    request = {"system": "Be kind.", "messages": [{"role": "user", "content": "Hi"}]}
    found = reading({"openinference.span.kind": "LLM", "input.value": json.dumps(request), "output.value": "Hello"})

    assert [(item.role, item.text) for item in found.input] == [("system", "Be kind."), ("user", "Hi")]
    assert [(item.role, item.text) for item in found.output] == [("assistant", "Hello")]


def test_a_tool_is_read_as_sent() -> None:
    found = reading(
        {
            "openinference.span.kind": "TOOL",
            "tool.name": "weather",
            "tool.id": "c1",
            "input.value": '{"city": "Paris"}',
            "output.value": "rain",
        }
    )

    assert (found.tool_name, found.tool_call_id) == ("weather", "c1")
    assert (found.input_value, found.output_value) == ('{"city": "Paris"}', "rain")


def test_a_langchain_tool_message_gives_the_call_and_the_failure() -> None:
    result = {"type": "tool", "data": {"content": "no such city", "tool_call_id": "c9", "status": "error"}}
    found = reading({"openinference.span.kind": "TOOL", "output.value": json.dumps(result)}, name="weather")

    assert (found.tool_name, found.tool_call_id, found.tool_error) == ("weather", "c9", "no such city")


def test_documents_with_their_scores() -> None:
    found = reading(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "birds",
            "retrieval.documents.1.document.content": "swans",
            "retrieval.documents.0.document.content": "ducks",
            "retrieval.documents.0.document.id": 7,
            "retrieval.documents.0.document.score": 0.25,
            "retrieval.documents.0.document.metadata": '{"page": 3}',
        }
    )

    assert [item.content for item in found.documents] == ["ducks", "swans"]
    assert (found.documents[0].id, found.documents[0].score, found.documents[0].metadata) == ("7", 0.25, {"page": 3})


def test_session_user_tags_metadata_and_prompt() -> None:
    found = reading(
        {
            "openinference.span.kind": "CHAIN",
            "session.id": "s1",
            "user.id": "u1",
            "tag.tags": ["a", "b"],
            "llm.prompt_template.template": "Hello {name}",
            "llm.prompt_template.version": "v2",
            "llm.cost.total": 0.25,
        }
    )

    assert (found.session_id, found.user_id, found.tags) == ("s1", "u1", ("a", "b"))
    assert (found.prompt_template, found.prompt_version) == ("Hello {name}", "v2")
    assert str(found.cost_given_usd) == "0.25"


def test_a_conversation_in_the_metadata_is_a_session() -> None:
    found = reading({"openinference.span.kind": "CHAIN", "metadata": '{"thread_id": "t1", "user_id": 7}'})
    assert (found.session_id, found.user_id) == ("t1", "7")


def test_a_langchain_agent_is_an_agent_although_its_span_is_a_chain() -> None:
    attributes = {"openinference.span.kind": "CHAIN", "metadata": '{"lc_agent_name": "concierge"}'}

    assert (reading(attributes, name="concierge").kind, reading(attributes, name="model").kind) == ("agent", "chain")
    assert reading(attributes, name="model").agent == "concierge"


def test_the_openai_agents_instrumentation_names_spans_after_agents() -> None:
    scope = "openinference.instrumentation.openai_agents"
    assert reading({"openinference.span.kind": "AGENT"}, scope=scope, name="Hello world").agent == "Hello world"


def test_pieces_of_one_answer_are_one_message() -> None:
    prefix = "llm.output_messages"
    found = reading(
        {
            "openinference.span.kind": "LLM",
            f"{prefix}.0.message.role": "assistant",
            f"{prefix}.0.message.contents.0.message_content.type": "reasoning",
            f"{prefix}.0.message.contents.0.message_content.text": "Hm.",
            f"{prefix}.1.message.role": "assistant",
            f"{prefix}.1.message.content": "Hi",
        }
    )

    (answer,) = found.output
    assert [(part.type, part.text) for part in answer.parts] == [("reasoning", "Hm."), ("text", "Hi")]


def test_the_first_token_is_an_event() -> None:
    found = reading({"openinference.span.kind": "LLM"}, events=(event("First Token Stream Event", {}),))
    assert found.ttft_ns == 500_000_000


def test_completion_models_have_prompts_and_choices() -> None:
    found = reading(
        {
            "openinference.span.kind": "LLM",
            "llm.prompts.0.prompt.text": "Once",
            "llm.choices.0.completion.text": "upon a time",
        }
    )

    assert [item.text for item in (*found.input, *found.output)] == ["Once", "upon a time"]
