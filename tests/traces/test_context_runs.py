"""The context inspector on real runs: what clients sent, an agent whose history is trimmed, and tau-bench conversations."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.records import Message, Part, message
from pilothouse.store import TraceStore

from .recorded import ingest_captures, scripted_agent
from .support import PROJECT, TraceBuilder, said, trace_id

PAGES = 6
READER: dict[str, Any] = {
    "rules": [
        {"after_tool": "", "reply": {"calls": [{"name": "read_page", "arguments": {"page": 1}}]}},
        *(
            {
                "result": f"page {page} of",
                "reply": {"calls": [{"name": "read_page", "arguments": {"page": page + 1}}]},
            }
            for page in range(1, PAGES)
        ),
        {"result": f"page {PAGES} of", "reply": {"text": "I have read them all, but what was the question?"}},
    ]
}


def read_page(page: int) -> str:
    return f"page {page} of {PAGES}: " + f"words of page {page} " * 40


@pytest.mark.parametrize("at_most", [pytest.param(1_000, marks=pytest.mark.slow, id="all"), 6])
def test_what_real_clients_sent_is_told_without_a_gap(store: TraceStore, at_most: int) -> None:
    """Every model call of a capture: shares add up, each call in one thread, nothing falls out where nothing did."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    seen = 0
    captured = ingest_captures(store)
    for project, id in random.Random(seed).sample(captured, min(len(captured), at_most)):
        told = traces.context(store, project, id)
        assert sorted(step for thread in told.threads for step in thread.steps) == [call.step for call in told.calls]
        apart = {call.step for call in told.calls[:1] + told.calls[-1:]}
        for call in told.calls:
            seen += 1
            assert sum(part.tokens for part in call.parts) == call.tokens, (project, call.step)
            assert call.dropped_messages == 0 and not call.question_lost, (project, call.step)
            assert call.question in ("in_view", "unknown") or not call.agent, (project, call.step)
            assert call.content or call.notes
            if call.step not in apart:
                continue
            alone = traces.context(store, project, id, call.step).calls[0]
            assert (alone.tokens, alone.question) == (call.tokens, call.question)
    assert seen > (60 if at_most > 6 else 0)


def test_a_trimmed_history_on_the_real_sdk_loses_the_question(store: TraceStore) -> None:
    """An agent that keeps its last four messages: where the question is in each window is known from what it sent."""
    question = "On which of the six pages is the word sauna, and how often?"
    with scripted_agent(READER) as agent:
        windows = agent.run(
            question, {"read_page": read_page}, system="You read pages one by one.", trim=lambda messages: messages[-4:]
        )
        (id,) = agent.store(store, PROJECT)
    told = traces.context(store, PROJECT, id)
    truth = [any(m.get("content") == question for m in window) for window in windows]
    assert truth == [True, True, False, False, False, False, False]
    assert [call.question == "in_view" for call in told.calls] == truth
    assert {call.question for call in told.calls} == {"in_view", "gone"}
    first_gone = told.calls[truth.index(False)]
    assert [call.step for call in told.calls if call.question_lost] == [first_gone.step]
    assert told.threads[0].question_gone_step == first_gone.step
    for before, window, call in zip([[], *windows], windows, told.calls, strict=False):
        lost = [json.dumps(m) for m in before if json.dumps(m) not in {json.dumps(m) for m in window}]
        assert call.dropped_messages == len(lost), call.step
        assert sum(part.tokens for part in call.parts) == call.tokens and call.tokens_are == "reported"
        assert {part.kind for part in call.parts} >= {"system", "tools"}
    assert [call.messages for call in told.calls] == [len(window) for window in windows]


def test_a_history_that_is_summed_up_on_the_real_sdk(store: TraceStore) -> None:
    def compact(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(messages) < 8:
            return messages
        note = "Summary of the conversation so far: the first pages hold nothing."
        return [{"role": "user", "content": note}, *messages[-2:]]

    with scripted_agent(READER) as agent:
        agent.run("Where is the word sauna?", {"read_page": read_page}, system="You read pages.", trim=compact)
        (id,) = agent.store(store, PROJECT)
    told = traces.context(store, PROJECT, id)
    compacted = [call for call in told.calls if call.compacted]
    assert compacted[0].step == next(call.step for call in told.calls if call.question == "gone")
    assert compacted[0].summary is not None and compacted[0].dropped_tokens > 0


def test_conversations_of_tau_bench(store: TraceStore, fixtures_folder: Path) -> None:
    """Real customer conversations, replayed with a window of random size: in view means that it is among the messages."""
    seed = 7
    random_ = random.Random(seed)
    runs = json.loads((fixtures_folder / "tau_bench/gpt-4o-airline_10tasks.json").read_text())
    for number, run in enumerate(random_.sample(runs, 12), 1):
        conversation = [_message(entry) for entry in run["traj"]]
        system, rest = conversation[0], conversation[1:]
        kept = random_.choice([4, 8, 1_000])
        trace = TraceBuilder(trace_id(number))
        trace.span(number * 1_000, "agent", agent="airline", ms=1e6)
        truth: list[bool] = []
        for place, item in enumerate(rest):
            if item.role != "assistant":
                continue
            window = rest[:place][-kept:]
            asked = [m for m in rest[:place] if m.role == "user" and m.text][-1]
            truth.append(any(m.hash == asked.hash for m in window))
            sent = [system, *window]
            trace.span(
                number * 1_000 + place + 1, "model", parent=number * 1_000, at_ms=100 * place + 10, ms=50,
                input=sent, output=[item], model="gpt-4o", provider="openai",
                tokens={"input_uncached": sum(len(m.text) for m in sent) // 4},
            )  # fmt: skip
        told = traces.context(store, PROJECT, trace.store(store))
        assert [call.question in ("in_view", "quoted") for call in told.calls] == truth, (seed, number, kept)
        assert len(told.threads) == 1, (seed, number, kept)
        for call in told.calls:
            assert sum(part.tokens for part in call.parts) == call.tokens


def _message(entry: dict[str, Any]) -> Message:
    if entry.get("tool_calls"):
        return message(
            "assistant",
            tuple(
                Part(
                    type="tool_call",
                    id=call["id"],
                    name=call["function"]["name"],
                    arguments=json.loads(call["function"]["arguments"]),
                )
                for call in entry["tool_calls"]
            ),
        )
    if entry["role"] == "tool":
        return message("tool", (Part(type="tool_result", id=entry.get("tool_call_id", ""), text=entry["content"]),))
    return said(entry["role"], entry["content"] or "")
