"""Every token lands in exactly one bucket, whatever the emitter's habit of counting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.records import Usage

from .making import reading

ANTHROPIC = {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
LLM = {"openinference.span.kind": "LLM"}


def usage(attributes: dict[str, Any], **more: Any) -> Usage:
    found = reading(attributes, **more).usage
    assert found is not None
    return found


def buckets(found: Usage) -> tuple[int, int, int, int, int]:
    """Uncached, read, written, text, reasoning."""
    return (found.input_uncached, found.cache_read, found.cache_write, found.output_text, found.reasoning)


def otel(input: int, read: int = 0, write: int = 0, output: int = 10, **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": input,
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_creation.input_tokens": write,
        **more,
    }


def openinference(provider: str, input: int, read: int = 0, write: int = 0, **more: Any) -> dict[str, Any]:
    return {
        **LLM,
        "llm.provider": provider,
        "llm.token_count.prompt": input,
        "llm.token_count.completion": 10,
        "llm.token_count.prompt_details.cache_read": read,
        "llm.token_count.prompt_details.cache_write": write,
        **more,
    }


EMITTERS: dict[str, tuple[str, dict[str, Any], tuple[int, int, int, int, int]]] = {
    "the convention": ("opentelemetry.instrumentation.genai.openai", otel(100, 60), (40, 60, 0, 10, 0)),
    "pydantic-ai": ("pydantic-ai", otel(100, 60, 30, **ANTHROPIC), (10, 60, 30, 10, 0)),
    "logfire": ("logfire.anthropic", otel(100, 60, 30, **ANTHROPIC), (10, 60, 30, 10, 0)),
    "openinference anthropic": (
        "openinference.instrumentation.anthropic",
        openinference("anthropic", 100, 60, 30),
        (10, 60, 30, 10, 0),
    ),
    "openinference bedrock": (
        "openinference.instrumentation.bedrock",
        openinference("aws", 100, 60, 30),
        (100, 60, 30, 10, 0),
    ),
    "openinference claude-agent-sdk": (
        "openinference.instrumentation.claude_agent_sdk",
        openinference("anthropic", 100, 60, 30),
        (100, 60, 30, 10, 0),
    ),
    "openinference agno over anthropic": (
        "openinference.instrumentation.agno",
        openinference("anthropic", 100, 60),
        (100, 60, 0, 10, 0),
    ),
    "openinference agno over openai": (
        "openinference.instrumentation.agno",
        openinference("openai", 100, 60),
        (40, 60, 0, 10, 0),
    ),
    "openllmetry anthropic": (
        "opentelemetry.instrumentation.anthropic",
        {
            "llm.request.type": "chat",
            "gen_ai.system": "Anthropic",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 10,
            "gen_ai.usage.cache_read_input_tokens": 60,
            "gen_ai.usage.cache_creation_input_tokens": 30,
        },
        (10, 60, 30, 10, 0),
    ),
    "openllmetry bedrock": (
        "opentelemetry.instrumentation.bedrock",
        {
            "llm.request.type": "chat",
            "gen_ai.system": "AWS",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.cache_read_input_tokens": 60,
        },
        (100, 60, 0, 10, 0),
    ),
    "openllmetry llamaindex over anthropic": (
        "opentelemetry.instrumentation.llamaindex",
        {**otel(100, 60, **ANTHROPIC), "llm.request.type": "chat"},
        (100, 60, 0, 10, 0),
    ),
    "ai sdk 4 over anthropic": (
        "ai",
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.provider": "anthropic.messages",
            "ai.usage.promptTokens": 100,
            "ai.usage.completionTokens": 10,
            "ai.response.providerMetadata": json.dumps(
                {"anthropic": {"cacheReadInputTokens": 60, "cacheCreationInputTokens": 30}}
            ),
        },
        (100, 60, 30, 10, 0),
    ),
    "ai sdk 5 over openai": (
        "ai",
        {
            "ai.operationId": "ai.streamText.doStream",
            "ai.model.provider": "openai.responses",
            "ai.usage.inputTokens": 100,
            "ai.usage.cachedInputTokens": 60,
            "ai.usage.outputTokens": 10,
            "ai.usage.reasoningTokens": 4,
        },
        (40, 60, 0, 6, 4),
    ),
    "ai sdk 5 over anthropic": (
        "ai",
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.provider": "anthropic.messages",
            "ai.usage.inputTokens": 100,
            "ai.usage.cachedInputTokens": 60,
            "ai.usage.outputTokens": 10,
        },
        (100, 60, 0, 10, 0),
    ),
    "ai sdk 6 over anthropic": (
        "ai",
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.provider": "anthropic.messages",
            "ai.usage.inputTokens": 100,
            "ai.usage.inputTokenDetails.noCacheTokens": 10,
            "ai.usage.inputTokenDetails.cacheReadTokens": 60,
            "ai.usage.inputTokenDetails.cacheWriteTokens": 30,
            "ai.usage.outputTokens": 10,
        },
        (10, 60, 30, 10, 0),
    ),
    "ai sdk 7": ("gen_ai", otel(100, 60, 30, **ANTHROPIC), (10, 60, 30, 10, 0)),
    "google adk, gemini's own numbers": (
        "gcp.vertex.agent",
        {
            "gen_ai.request.model": "gemini-2.5-pro",
            "gen_ai.usage.output_tokens": 10,
            "gcp.vertex.agent.llm_response": json.dumps(
                {
                    "content": {"role": "model", "parts": [{"text": "hi"}]},
                    "usage_metadata": {
                        "prompt_token_count": 100,
                        "cached_content_token_count": 60,
                        "candidates_token_count": 10,
                        "thoughts_token_count": 4,
                        "total_token_count": 114,
                    },
                }
            ),
        },
        (40, 60, 0, 10, 4),
    ),
    "claude code": (
        "com.anthropic.claude_code.tracing",
        {
            "span.type": "llm_request",
            "model": "claude-opus-4-5",
            "input_tokens": 100,
            "output_tokens": 10,
            "cache_read_tokens": 60,
            "cache_creation_tokens": 30,
        },
        (100, 60, 30, 10, 0),
    ),
    "langfuse": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": json.dumps(
                {
                    "input": 10,
                    "input_cached_tokens": 60,
                    "input_cache_creation_5m": 20,
                    "input_cache_creation_1h": 10,
                    "output": 6,
                    "output_reasoning_tokens": 4,
                    "total": 110,
                }
            ),
        },
        (10, 60, 30, 6, 4),
    ),
    "langfuse with openai's own usage": (
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": json.dumps(
                {
                    "prompt_tokens": 100,
                    "completion_tokens": 10,
                    "prompt_tokens_details": {"cached_tokens": 60},
                    "completion_tokens_details": {"reasoning_tokens": 4},
                }
            ),
        },
        (40, 60, 0, 6, 4),
    ),
    "mlflow": (
        "mlflow.tracing.provider",
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 60}',
        },
        (40, 60, 0, 10, 0),
    ),
    "langsmith": (
        "langsmith",
        {
            "langsmith.span.kind": "llm",
            "langsmith.usage_metadata": json.dumps(
                {
                    "input_tokens": 100,
                    "output_tokens": 10,
                    "input_token_details": {"cache_read": 60, "cache_creation": 30},
                    "output_token_details": {"reasoning": 4},
                }
            ),
        },
        (10, 60, 30, 6, 4),
    ),
}


@pytest.mark.parametrize("emitter", EMITTERS)
def test_the_emitter_decides_what_its_input_holds(emitter: str) -> None:
    scope, attributes, expected = EMITTERS[emitter]

    found = usage(attributes, scope=scope)

    assert buckets(found) == expected
    assert not found.ambiguous
    assert found.scope == "leaf"


def test_more_cached_than_input_proves_that_the_input_is_without_it() -> None:
    found = reading(otel(10, 60, 30, **ANTHROPIC), scope="opentelemetry.instrumentation.genai.anthropic")

    assert found.usage is not None
    assert buckets(found.usage) == (10, 60, 30, 10, 0)
    assert not found.usage.ambiguous
    assert found.notes == ("90 cached tokens exceed 10 input tokens: the input is read as without them",)


def test_a_total_that_adds_the_cache_proves_it_too() -> None:
    found = usage(otel(100, 60, 30, **ANTHROPIC, **{"gen_ai.usage.total_tokens": 200}), scope="homemade")

    assert buckets(found) == (100, 60, 30, 10, 0)
    assert not found.ambiguous


def test_an_unknown_emitter_over_anthropic_is_ambiguous() -> None:
    found = usage(otel(100, 60, **ANTHROPIC), scope="homemade")

    assert buckets(found) == (40, 60, 0, 10, 0)
    assert found.ambiguous
    assert dict(found.reported)["gen_ai.usage.input_tokens"] == 100


def test_an_unknown_emitter_over_openai_is_not() -> None:
    found = usage(otel(100, 60, **{"gen_ai.provider.name": "openai"}), scope="homemade")

    assert buckets(found) == (40, 60, 0, 10, 0)
    assert not found.ambiguous


def test_without_cache_there_is_nothing_to_be_ambiguous_about() -> None:
    assert not usage(otel(100, **ANTHROPIC), scope="homemade").ambiguous


def test_cache_lifetimes_are_kept_apart() -> None:
    found = usage(
        {
            **otel(100, 0, 50, **ANTHROPIC),
            "gen_ai.usage.cache_creation.input_tokens.ephemeral_5m": 20,
            "gen_ai.usage.cache_creation.input_tokens.ephemeral_1h": 25,
        },
        scope="pydantic-ai",
    )

    assert (found.cache_write_5m, found.cache_write_1h, found.cache_write_other) == (20, 25, 5)
    assert found.input_uncached == 50


def test_cache_lifetimes_come_from_the_answer_where_the_attributes_lack_them() -> None:
    answer = {
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "text", "text": "hi"}],
        "usage": {"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}},
    }
    found = usage(
        openinference("anthropic", 100, 0, 30, **{"output.value": json.dumps(answer)}),
        scope="openinference.instrumentation.anthropic",
    )

    assert (found.cache_write_5m, found.cache_write_1h, found.cache_write_other) == (10, 20, 0)


def test_the_newer_name_of_cache_writes_is_read() -> None:
    attributes = otel(100, **ANTHROPIC)
    del attributes["gen_ai.usage.cache_creation.input_tokens"]

    assert usage({**attributes, "gen_ai.usage.cache_write.input_tokens": 30}, scope="pydantic-ai").cache_write == 30


def test_reasoning_is_taken_out_of_the_output() -> None:
    found = usage(otel(10, output=100, **{"gen_ai.usage.reasoning.output_tokens": 70}))

    assert (found.output_text, found.reasoning, found.output_total) == (30, 70, 100)


def test_more_reasoning_than_output_is_counted_apart_and_said() -> None:
    found = reading(otel(10, output=5, **{"gen_ai.usage.reasoning.output_tokens": 70}))

    assert found.usage is not None
    assert (found.usage.output_text, found.usage.reasoning) == (5, 70)
    assert found.notes == ("70 reasoning tokens exceed 5 output tokens: they are counted apart",)


def test_audio_is_taken_out_of_both_sides() -> None:
    audio = {"gen_ai.usage.audio.input_tokens": 30, "gen_ai.usage.audio.output_tokens": 4}
    found = usage(otel(100, 20, output=10, **audio), scope="gen_ai")

    assert (found.input_uncached, found.cache_read, found.audio_input) == (50, 20, 30)
    assert (found.output_text, found.audio_output) == (6, 4)
    assert found.total == 110


def test_numbers_that_contradict_each_other_leave_a_note_and_no_negative_count() -> None:
    found = reading(otel(100, 90, output=1, **{"gen_ai.usage.audio.input_tokens": 30}), scope="gen_ai")

    assert found.usage is not None
    assert (found.usage.input_uncached, found.usage.audio_input, found.usage.input_total) == (0, 10, 100)
    assert found.notes


@pytest.mark.parametrize("value", ["502", 502, 502.0])
def test_counts_are_read_from_text_and_whole_floats(value: Any) -> None:
    assert usage(otel(value)).input_uncached == 502


@pytest.mark.parametrize("value", [-1, 1.5, "many", True, float("nan"), 1 << 60, [1]])
def test_what_is_no_count_is_left_out_and_said(value: Any) -> None:
    found = reading(otel(value))

    assert found.usage is not None
    assert found.usage.input_uncached == 0
    assert found.notes == ("gen_ai.usage.input_tokens is not a token count and was left out",)


def test_nothing_but_zeros_is_unknown_usage() -> None:
    found = reading(otel(0, output=0))

    assert found.usage is None
    assert found.notes == ("the emitter reports zero tokens: usage is unknown",)


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        ("pydantic-ai", {"gen_ai.operation.name": "invoke_agent", "gen_ai.aggregated_usage.input_tokens": 7}),
        ("pydantic-ai", {"pydantic_ai.all_messages": "[]", "gen_ai.usage.input_tokens": 7}),
        ("gen_ai", {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 7}),
        ("ai", {"ai.operationId": "ai.streamText", "ai.usage.inputTokens": 7}),
        ("ai", {"ai.operationId": "ai.embed", "ai.usage.tokens": 7}),
        (
            "openinference.instrumentation.claude_agent_sdk",
            {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 7},
        ),
    ],
)
def test_a_run_total_is_an_aggregate(scope: str, attributes: dict[str, Any]) -> None:
    assert usage(attributes, scope=scope).scope == "aggregate"


def test_an_emitter_that_drops_cache_counts_is_called_out() -> None:
    low = reading(
        {**LLM, "llm.provider": "anthropic", "llm.token_count.prompt": 7},
        scope="@arizeai/openinference-instrumentation-anthropic",
    )
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7}
    high = reading(attributes, scope="opentelemetry.instrumentation.openai_v2")

    assert low.notes == ("the emitter drops cache counts: input tokens and cost are a lower bound",)
    assert high.notes == ("the emitter drops cache counts: cached input is priced in full, cost is an upper bound",)


def test_langfuse_buckets_that_only_add_up_inclusively_are_read_so() -> None:
    details = {"input": 100, "input_cached_tokens": 60, "output": 10, "total": 110}
    found = reading(
        {"langfuse.observation.type": "generation", "langfuse.observation.usage_details": json.dumps(details)},
        scope="langfuse-sdk",
    )

    assert found.usage is not None
    assert buckets(found.usage) == (40, 60, 0, 10, 0)
    assert found.notes


def test_older_adk_counts_thoughts_beside_the_output_and_newer_ones_inside() -> None:
    older = {
        "gen_ai.request.model": "gemini-2.5-pro",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 10,
    }
    beside = usage({**older, "gen_ai.usage.experimental.reasoning_tokens": 4}, scope="gcp.vertex.agent")
    inside = usage({**older, "gen_ai.usage.reasoning.output_tokens": 4}, scope="gcp.vertex.agent")

    assert (beside.output_text, beside.reasoning) == (10, 4)
    assert (inside.output_text, inside.reasoning) == (6, 4)
