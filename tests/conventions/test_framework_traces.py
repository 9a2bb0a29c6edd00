"""Real traces of three frameworks: kinds, tokens and money come to the known figures."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pilothouse.conventions import read, settle, span_facts
from pilothouse.costs import price
from pilothouse.records import Emitter, RawSpan, Reading

TRACE_ID = "a" * 32


def observations(folder: Path, name: str) -> list[dict[str, Any]]:
    data = json.loads((folder / "framework_traces" / f"{name}.trace.json").read_text())
    return data.get("observations") or data["trace"]["observations"]


def nanoseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000) * 1_000_000


def span(observation: dict[str, Any], scope: str, attributes: dict[str, Any]) -> RawSpan:
    return RawSpan(
        trace_id=TRACE_ID,
        span_id=observation["id"],
        parent_span_id=observation["parentObservationId"] or "",
        name=observation["name"],
        start_ns=nanoseconds(observation["startTime"]),
        end_ns=nanoseconds(observation["endTime"]),
        attributes=attributes,
        emitter=Emitter(scope_name=scope),
    )


def as_langfuse(observation: dict[str, Any]) -> RawSpan:
    """The span as Langfuse's SDK would send it."""
    attributes: dict[str, Any] = {"langfuse.observation.type": observation["type"].lower()}
    if observation["model"]:
        attributes["langfuse.observation.model.name"] = observation["model"]
    if observation["usageDetails"]:
        details = {key: value for key, value in observation["usageDetails"].items() if "." not in key}
        attributes["langfuse.observation.usage_details"] = json.dumps(details)
    if observation["totalCost"]:
        attributes["langfuse.observation.cost_details"] = json.dumps({"total": observation["totalCost"]})
    return span(observation, "langfuse-sdk", attributes)


def as_sent(observation: dict[str, Any]) -> RawSpan:
    """The span with the attributes that its emitter sent, messages put back where they were."""
    metadata = observation["metadata"]
    scope = metadata["scope"]["name"]
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.get("attributes", {}).items()
    }
    if observation["type"] == "GENERATION":
        attributes["gen_ai.input.messages"] = json.dumps(observation["input"])
        attributes["gen_ai.output.messages"] = json.dumps(observation["output"])
        attributes["gen_ai.response.model"] = observation["model"]
        attributes["gen_ai.usage.input_tokens"] = str(observation["usageDetails"]["input"])
        attributes["gen_ai.usage.output_tokens"] = str(observation["usageDetails"]["output"])
    if scope == "langfuse-sdk":
        attributes["langfuse.observation.type"] = "span"
    return span(observation, scope, attributes)


def figures(pairs: list[tuple[RawSpan, Reading]]) -> tuple[int, Decimal]:
    """Tokens and money that count."""
    settled = settle([span_facts(raw, reading) for raw, reading in pairs])
    tokens, money = 0, Decimal(0)
    for raw, reading in pairs:
        if reading.usage is not None and settled[raw.span_id].counts:
            cost = price(reading.usage, model=reading.model, provider=reading.provider, at_ns=raw.start_ns)
            assert cost.usd is not None
            tokens += reading.usage.total
            money += cost.usd
    return tokens, money


def test_openai_agents(fixtures_folder: Path) -> None:
    raws = [as_langfuse(one) for one in observations(fixtures_folder, "openai-agents-2025-09-30")]
    pairs = [(raw, read(raw)) for raw in raws]

    assert Counter(reading.kind for _, reading in pairs) == {"agent": 2, "model": 2, "tool": 1}
    assert figures(pairs) == (184, Decimal("0.000632"))


def test_langgraph(fixtures_folder: Path) -> None:
    raws = [as_langfuse(one) for one in observations(fixtures_folder, "langgraph-python-2025-08-22")]
    pairs = [(raw, read(raw)) for raw in raws]

    assert Counter(reading.kind for _, reading in pairs) == {"chain": 7, "model": 2}
    tokens, money = figures(pairs)
    assert tokens == 234
    # 168 x 2.50 + 66 x 10.00 dollars a million; the platform it comes from had a price of one dollar for both.
    assert money == Decimal("0.00108")
    assert sum(reading.cost_given_usd or 0 for _, reading in pairs) == Decimal("0.000234")


def test_pydantic_ai_with_tools(fixtures_folder: Path) -> None:
    raws = [as_sent(one) for one in observations(fixtures_folder, "pydantic-ai-tools-2025-12-04")]
    pairs = [(raw, read(raw)) for raw in raws]
    by_name = Counter((reading.kind, reading.name or raw.name) for raw, reading in pairs)

    assert Counter(reading.kind for _, reading in pairs) == {"model": 4, "tool": 3, "agent": 3, "chain": 2}
    assert by_name["agent", "joke_agent run"] == 2
    assert by_name["chain", "running 3 tools"] == 1
    assert figures(pairs) == (1524, Decimal("0.00032265"))
    settled = settle([span_facts(raw, reading) for raw, reading in pairs])
    agents = [settled[raw.span_id] for raw, reading in pairs if reading.kind == "agent"]
    assert {agent.scope for agent in agents} == {"aggregate"}
    assert [agent.gap_tokens for agent in agents] == [0, 0, 0]


def test_pydantic_ai_messages_are_what_another_platform_reads(fixtures_folder: Path) -> None:
    name = "pydantic-ai-tools-2025-12-04"
    told = json.loads((fixtures_folder / "framework_traces" / f"{name}.chatml.json").read_text())
    compared = 0
    for observation in observations(fixtures_folder, name):
        if observation["type"] != "GENERATION":
            continue
        reading = read(as_sent(observation))
        for ours, side in ((reading.input, "input"), (reading.output, "output")):
            theirs = told[observation["id"]][side]["data"]
            for one, other in zip(ours, theirs, strict=False):
                if other["role"] == "tool":
                    break
                assert one.role == other["role"]
                assert one.text == (other.get("content") or "")
                calls = [part for part in one.parts if part.type == "tool_call"]
                assert [(part.id, part.name, part.arguments) for part in calls] == [
                    (call["id"], call["name"], json.loads(call["arguments"])) for call in other.get("tool_calls", [])
                ]
                compared += 1

    assert compared >= 12


@pytest.mark.parametrize("name", ["pydantic-ai-tools-2025-12-04"])
def test_a_runs_history_is_one_conversation(fixtures_folder: Path, name: str) -> None:
    readings = [read(as_sent(one)) for one in observations(fixtures_folder, name)]
    runs = [reading for reading in readings if reading.kind == "agent"]
    calls = [reading for reading in readings if reading.kind == "model"]
    answers = {item.hash for reading in calls for item in reading.output}

    for run in runs:
        # A run that ends in a structured result has no last words, but a value.
        assert run.output or run.output_value
        assert {item.hash for item in run.output} <= answers
