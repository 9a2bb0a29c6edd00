"""What real clients send is read into the same canonical spans, whichever instrumentation sends it.

Each capture is the traffic of one client with the scripted model server: a concierge asked for the weather and the
time (two tools at once), then for the weather elsewhere (streamed), a summary, an embedding, and a refusal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from pilothouse.conventions import read, read_log, settle, span_facts
from pilothouse.records import RawSpan, Reading

from .otlp_json import CAPTURES, bodies, logs, spans

QUESTION = "What are the weather and the time in Paris?"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a capture must come to."""

    dialects: set[str]
    kinds: dict[str, int]
    tokens: dict[str, int]
    """Tokens that count, by bucket, over all traces."""
    tools: set[str] = field(default_factory=lambda: {"get_weather", "get_time"})
    agents: set[str] = field(default_factory=lambda: {"concierge"})
    models: set[str] = field(default_factory=lambda: {"gpt-4.1-mini-2025-04-14"})
    providers: set[str] = field(default_factory=lambda: {"openai"})
    errors: int = 2
    duplicates: int = 0
    aggregates: int = 0
    sessions: set[str] = field(default_factory=lambda: {"session-7"})
    users: set[str] = field(default_factory=lambda: {"user-42"})
    environments: set[str] = field(default_factory=lambda: {"staging"})
    answers_in_history: int = 2
    """How often an answer with tool calls is followed by a call that has it in its history."""
    content: bool = True
    """False where the client keeps messages off its spans."""


OPENAI_TOKENS = {"uncached": 785, "cache_read": 640, "cache_write": 0, "text": 113, "reasoning": 24}
OPENAI_KINDS = {"model": 6, "embedding": 1, "tool": 3, "agent": 4}
OPENAI_MODELS = {"gpt-4.1-mini-2025-04-14", "gpt-5-mini-2025-08-07", "text-embedding-3-small"}
ANTHROPIC_TOKENS = {"uncached": 217, "cache_read": 702, "cache_write": 338, "text": 80, "reasoning": 52}
ANTHROPIC_KINDS = {"model": 10, "tool": 3, "agent": 3}
HAIKU = "claude-haiku-4-5-20251001"

EXPECTED: dict[str, Expected] = {
    "openai-openinference": Expected(
        dialects={"openinference"},
        kinds=OPENAI_KINDS,
        tokens=OPENAI_TOKENS,
        agents={"concierge", "summariser"},
        models=OPENAI_MODELS,
    ),
    # Our own recorder: the wait before the summary is a span too, and the failed call is repeated by nobody.
    "pilothouse": Expected(
        dialects={"pilothouse"},
        kinds={**OPENAI_KINDS, "waiting": 1},
        tokens=OPENAI_TOKENS,
        agents={"concierge", "summariser"},
        models=OPENAI_MODELS,
    ),
    "openai-openllmetry": Expected(
        dialects={"openllmetry"},
        kinds=OPENAI_KINDS,
        tokens=OPENAI_TOKENS,
        agents={"concierge", "summariser"},
        models=OPENAI_MODELS,
    ),
    "openai-otel": Expected(
        dialects={"otel_genai"},
        kinds=OPENAI_KINDS,
        tokens=OPENAI_TOKENS,
        agents={"concierge", "summariser"},
        models=OPENAI_MODELS,
        users=set(),
    ),
    # The older contrib instrumentation reports no cached tokens, and its agents are hand-made spans of no convention.
    "openai-otel-legacy": Expected(
        dialects={"otel_genai", "plain"},
        kinds={"model": 5, "embedding": 1, "other": 7},
        tokens={"uncached": 1329, "cache_read": 0, "cache_write": 0, "text": 83, "reasoning": 0},
        tools=set(),
        agents=set(),
        models={"gpt-4.1-mini-2025-04-14", "text-embedding-3-small"},
        users=set(),
        sessions=set(),
        content=False,
    ),
    # Anthropic's own SDK sends spans beside the instrumentation's: every call arrives twice and counts once.
    "anthropic-openinference": Expected(
        dialects={"openinference", "otel_genai"},
        kinds=ANTHROPIC_KINDS,
        tokens=ANTHROPIC_TOKENS,
        models={HAIKU},
        providers={"anthropic"},
        errors=3,
        duplicates=4,
    ),
    "anthropic-openllmetry": Expected(
        dialects={"openllmetry", "otel_genai"},
        kinds=ANTHROPIC_KINDS,
        tokens=ANTHROPIC_TOKENS,
        models={HAIKU},
        providers={"anthropic"},
        errors=3,
        duplicates=4,
    ),
    # In 2025 streamed calls carried no usage, and messages were flattened.
    "openai-openllmetry-old": Expected(
        dialects={"openllmetry"},
        kinds={"model": 5, "embedding": 1, "tool": 3, "agent": 4},
        tokens={"uncached": 412, "cache_read": 128, "cache_write": 0, "text": 50, "reasoning": 0},
        agents={"concierge", "summariser"},
        models={"gpt-4.1-mini-2025-04-14", "text-embedding-3-small"},
    ),
    "anthropic-openllmetry-old": Expected(
        dialects={"openllmetry", "otel_genai"},
        kinds={"model": 9, "tool": 3, "agent": 3},
        tokens=ANTHROPIC_TOKENS,
        models={HAIKU, "claude-haiku-4-5"},
        providers={"anthropic"},
        duplicates=2,
        answers_in_history=1,
    ),
    "pydantic-ai-format-2": Expected(
        dialects={"logfire"},
        kinds={"model": 2, "tool": 2, "agent": 1},
        tokens={"uncached": 428, "cache_read": 128, "cache_write": 0, "text": 50, "reasoning": 0},
        errors=0,
        aggregates=1,
        answers_in_history=1,
    ),
    "pydantic-ai-format-6": Expected(
        dialects={"logfire"},
        kinds={"model": 2, "tool": 2, "agent": 1},
        tokens={"uncached": 428, "cache_read": 128, "cache_write": 0, "text": 50, "reasoning": 0},
        errors=0,
        aggregates=1,
        answers_in_history=1,
    ),
    "anthropic-otel": Expected(
        dialects={"otel_genai"},
        kinds=ANTHROPIC_KINDS,
        tokens=ANTHROPIC_TOKENS,
        models={HAIKU},
        providers={"anthropic"},
        errors=3,
        duplicates=4,
        users=set(),
    ),
    "pydantic-ai": Expected(
        dialects={"logfire", "otel_genai"},
        kinds={"model": 13, "tool": 6, "agent": 5},
        tokens={"uncached": 628, "cache_read": 1203, "cache_write": 633, "text": 160, "reasoning": 0},
        models={"gpt-4.1-mini-2025-04-14", HAIKU},
        providers={"openai", "anthropic"},
        duplicates=4,
        aggregates=4,
    ),
    "openai-agents": Expected(
        dialects={"openinference"},
        kinds={"model": 7, "tool": 4, "chain": 11, "agent": 9},
        tokens={"uncached": 1021, "cache_read": 1024, "cache_write": 0, "text": 120, "reasoning": 0},
        tools={"get_weather", "get_time", "handoff to housekeeping"},
        agents={"concierge", "housekeeping", "Agent workflow"},
    ),
    "langgraph": Expected(
        dialects={"openinference"},
        kinds={"model": 5, "chain": 8, "tool": 3, "agent": 3},
        tokens={"uncached": 705, "cache_read": 640, "cache_write": 0, "text": 86, "reasoning": 0},
        models={"gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"},
        errors=3,
    ),
    "langfuse": Expected(
        dialects={"langfuse"},
        kinds={"model": 7, "tool": 3, "agent": 4, "embedding": 1},
        tokens={"uncached": 815, "cache_read": 1152, "cache_write": 128, "text": 125, "reasoning": 24},
        agents={"concierge", "summariser"},
        models={*OPENAI_MODELS, "claude-haiku-4-5"},
        providers={"openai", "anthropic"},
    ),
    "mlflow": Expected(
        dialects={"mlflow"},
        kinds=OPENAI_KINDS,
        tokens={**OPENAI_TOKENS, "uncached": 755},
        agents={"concierge", "summariser"},
        models=OPENAI_MODELS,
        # Its spans carry neither session nor environment, and a streamed answer loses its tool calls.
        sessions=set(),
        users=set(),
        environments={""},
        answers_in_history=1,
    ),
    "google-adk": Expected(
        dialects={"google_adk"},
        kinds={"model": 5, "tool": 3, "chain": 4, "agent": 3},
        tokens={"uncached": 867, "cache_read": 896, "cache_write": 0, "text": 93, "reasoning": 97},
        models={"gemini-2.5-flash"},
        providers={"google"},
        errors=3,
        users=set(),
        content=False,
    ),
    "google-adk-content": Expected(
        dialects={"google_adk"},
        kinds={"model": 5, "tool": 3, "chain": 4, "agent": 3},
        tokens={"uncached": 867, "cache_read": 896, "cache_write": 0, "text": 93, "reasoning": 97},
        models={"gemini-2.5-flash"},
        providers={"google"},
        errors=3,
        users=set(),
    ),
    # Spans known by name only, whole Gemini bodies, and an agent run as a span of no attributes.
    "google-adk-old": Expected(
        dialects={"google_adk"},
        kinds={"model": 5, "tool": 3, "chain": 4, "agent": 3},
        tokens={"uncached": 616, "cache_read": 768, "cache_write": 0, "text": 93, "reasoning": 0},
        models={"gemini-2.5-flash"},
        providers={"google"},
        errors=3,
        users=set(),
    ),
    "vercel-ai-legacy": Expected(
        dialects={"vercel_ai"},
        kinds={"model": 7, "tool": 4, "agent": 4},
        tokens={"uncached": 908, "cache_read": 576, "cache_write": 192, "text": 113, "reasoning": 50},
        models={"gpt-4.1-mini-2025-04-14", "gpt-5-mini-2025-08-07", HAIKU},
        providers={"openai", "anthropic"},
        aggregates=3,
    ),
    "vercel-ai": Expected(
        dialects={"vercel_ai"},
        kinds={"model": 7, "tool": 4, "agent": 4, "chain": 7},
        tokens={"uncached": 908, "cache_read": 576, "cache_write": 192, "text": 113, "reasoning": 50},
        models={"gpt-4.1-mini-2025-04-14", "gpt-5-mini-2025-08-07", HAIKU},
        providers={"openai", "anthropic"},
        errors=3,
        aggregates=3,
    ),
}
CLIENTS = sorted(EXPECTED)
CLAUDE_CODE = "claude-code"
"""Has a test file of its own: it is told by logs as much as by spans."""


def readings(client: str) -> list[tuple[RawSpan, Reading]]:
    path = CAPTURES / f"{client}.traces.json"
    if not path.exists():
        pytest.skip(f"no capture of {client}")
    return [(raw, read(raw)) for body in bodies(path) for raw in spans(body)]


def test_every_capture_has_its_expectations() -> None:
    recorded = {path.name.removesuffix(".traces.json") for path in CAPTURES.glob("*.traces.json")}
    assert recorded <= {*CLIENTS, CLAUDE_CODE}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_is_read(client: str) -> None:
    expected = EXPECTED[client]
    found = readings(client)
    calls = [reading for _, reading in found if reading.kind in ("model", "embedding") and not reading.error_type]

    assert {reading.dialect for _, reading in found} == expected.dialects
    assert Counter(reading.kind for _, reading in found) == expected.kinds
    assert {reading.tool_name for _, reading in found if reading.kind == "tool"} == expected.tools
    assert {reading.agent for _, reading in found if reading.kind == "agent"} == expected.agents
    assert {reading.model for reading in calls} == expected.models
    assert {reading.provider for reading in calls} == expected.providers
    assert {reading.session_id for _, reading in found} - {""} == expected.sessions
    assert {reading.user_id for _, reading in found} - {""} == expected.users
    assert {reading.environment for _, reading in found} == expected.environments
    assert sum(1 for _, reading in found if reading.error_type) == expected.errors
    assert not [note for _, reading in found for note in reading.notes if note.startswith("not read")]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_token_is_counted_once(client: str) -> None:
    expected = EXPECTED[client]
    traces: dict[str, list[tuple[RawSpan, Reading]]] = defaultdict(list)
    for raw, reading in readings(client):
        traces[raw.trace_id].append((raw, reading))
    tokens: Counter[str] = Counter(dict.fromkeys(expected.tokens, 0))
    scopes: Counter[str] = Counter()
    for trace in traces.values():
        settled = settle([span_facts(raw, reading) for raw, reading in trace])
        for raw, reading in trace:
            usage = reading.usage
            if usage is None:
                continue
            settlement = settled[raw.span_id]
            assert not settlement.gap_tokens
            assert not usage.ambiguous
            scopes["duplicates"] += bool(settlement.duplicate_of)
            scopes["aggregates"] += settlement.scope == "aggregate"
            if settlement.counts:
                tokens["uncached"] += usage.input_uncached
                tokens["cache_read"] += usage.cache_read
                tokens["cache_write"] += usage.cache_write
                tokens["text"] += usage.output_text
                tokens["reasoning"] += usage.reasoning

    assert tokens == expected.tokens
    assert (scopes["duplicates"], scopes["aggregates"]) == (expected.duplicates, expected.aggregates)


@pytest.mark.parametrize("client", [client for client in CLIENTS if EXPECTED[client].content])
def test_an_answer_is_found_again_in_the_history_of_the_next_call(client: str) -> None:
    traces: dict[str, list[tuple[RawSpan, Reading]]] = defaultdict(list)
    for raw, reading in readings(client):
        if reading.kind == "model" and reading.output and reading.input:
            traces[raw.trace_id].append((raw, reading))
    pairs = 0
    for trace in traces.values():
        trace.sort(key=lambda pair: pair[0].start_ns)
        for (_, call), (_, following) in pairwise(trace):
            if any(part.type == "tool_call" for item in call.output for part in item.parts):
                known = {item.hash for item in following.input}
                assert {item.hash for item in call.output} <= known
                pairs += 1

    assert pairs >= EXPECTED[client].answers_in_history


@pytest.mark.parametrize("client", [client for client in CLIENTS if EXPECTED[client].content])
def test_messages_and_tools_are_whole_and_are_not_kept_twice(client: str) -> None:
    found = readings(client)
    asked = [
        reading
        for _, reading in found
        if reading.kind == "model" and any(item.text == QUESTION and item.role == "user" for item in reading.input)
    ]
    first = min(asked, key=lambda reading: len(reading.input))

    assert [item.role for item in first.input] == ["system", "user"]
    (answer,) = first.output
    assert [(part.type, part.name, part.arguments) for part in answer.parts if part.type == "tool_call"] == [
        ("tool_call", "get_weather", {"city": "Paris"}),
        ("tool_call", "get_time", {"city": "Paris"}),
    ]
    assert {"get_weather", "get_time"} <= {tool.name for tool in first.tools}
    assert first.finish_reason or client in ("langfuse", "google-adk-old")
    assert first.response_id or client in ("langfuse", "google-adk-content", "google-adk-old")
    for raw, reading in found:
        if reading.kind == "model" and reading.input:
            left = {key: value for key, value in raw.attributes.items() if key not in reading.consumed}
            kept = [key for key, value in left.items() if QUESTION in str(value)]
            assert not kept, kept


def test_the_same_calls_have_the_same_messages_under_every_instrumentation() -> None:
    heard: dict[str, set[str]] = {}
    for client in ("openai-openinference", "openai-openllmetry", "openai-otel", "mlflow", "langfuse", "pilothouse"):
        heard[client] = {
            item.hash
            for _, reading in readings(client)
            if reading.kind == "model" and reading.model.startswith("gpt-4.1")
            for item in reading.input
        }
    for hashes in heard.values():
        assert hashes == heard["openai-otel"]


@pytest.mark.parametrize("client", ["openai-otel", "openai-otel-legacy", "anthropic-otel"])
def test_content_events_carry_the_messages(client: str) -> None:
    path = CAPTURES / f"{client}.logs.json"
    if not path.exists():
        pytest.skip(f"no logs of {client}")
    sent: list[str] = []
    answers: list[Any] = []
    for body in bodies(path):
        for record in logs(body):
            found = read_log(record)
            if found is not None:
                assert record.trace_id
                assert record.span_id
                sent.extend(item.text for item in found.input)
                answers.extend(found.output)

    assert QUESTION in sent
    assert any(part.name == "get_weather" for item in answers for part in item.parts)
    assert any("sunny, 21 degrees" in item.text for item in answers)
