"""The context inspector on windows of known truth: what is in, what fell out, and when the question was last in view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pilothouse import traces
from pilothouse.records import BadRequest, Message, NotFound, Part, message
from pilothouse.store import TraceStore
from pilothouse.traces.model import Context, ContextCall

from .support import PROJECT, TraceBuilder, said, trace_id

SYSTEM = said("system", "You are a patient clerk who looks things up before answering. " * 4)
QUESTION = said("user", "Which of the forty hotels in the list below has a pool, a sauna and a free room in May?")
TOKENS_A_CHAR = 0.4


def calls(name: str, id: str, arguments: Any) -> Message:
    return message("assistant", (Part(type="tool_call", id=id, name=name, arguments=arguments),))


def result(id: str, text: str, name: str = "") -> Message:
    return message("tool", (Part(type="tool_result", id=id, name=name, text=text),))


def size(items: Sequence[Message]) -> int:
    """Tokens as the provider of these tests counts them."""
    return round(sum(len(p.text) + len(str(p.arguments or "")) for m in items for p in m.parts) * TOKENS_A_CHAR)


class Run:
    """A scripted agent: each call is given its whole window."""

    def __init__(self, number: int = 1) -> None:
        self.trace = TraceBuilder(trace_id(number))
        self.trace.span(1, "agent", agent="clerk", ms=100_000)
        self.spans = 1
        self.at_ms = 10.0

    def agent(self, name: str, at_ms: float = 0) -> int:
        self.spans += 1
        self.trace.span(self.spans, "agent", parent=1, agent=name, at_ms=at_ms or self.at_ms, ms=90_000)
        return self.spans

    def call(
        self,
        window: Sequence[Message],
        answer: Message | None = None,
        *,
        parent: int = 1,
        at_ms: float | None = None,
        tokens: int | None = None,
        **columns: Any,
    ) -> int:
        self.spans += 1
        start = self.at_ms if at_ms is None else at_ms
        reported = size(window) if tokens is None else tokens
        self.trace.span(
            self.spans, "model", parent=parent, at_ms=start, ms=50, input=window, output=[answer] if answer else [],
            tokens={"input_uncached": reported, "output_text": 5} if reported else None,
            **{"model": "gpt-4o", "provider": "openai", **columns},
        )  # fmt: skip
        self.at_ms = max(self.at_ms, start + 100)
        return self.spans

    def told(self, store: TraceStore) -> Context:
        return traces.context(store, PROJECT, self.trace.store(store))


def shares(call: ContextCall) -> dict[str, int]:
    return {part.kind: part.tokens for part in call.parts}


def lookups(rounds: int, chars: int = 600) -> list[Message]:
    """Calls of a tool and their results, two messages a round."""
    made: list[Message] = []
    for number in range(rounds):
        made.append(calls("lookup", f"c{number}", {"hotel": number}))
        made.append(result(f"c{number}", f"hotel {number}: " + f"room {number} " * (chars // 8)))
    return made


def test_parts_add_up_to_what_the_provider_counted(store: TraceStore) -> None:
    run = Run()
    history = lookups(3)
    for rounds in range(4):
        run.call(
            [SYSTEM, QUESTION, *history[: 2 * rounds]], history[2 * rounds] if rounds < 3 else said("assistant", "4")
        )
    told = run.told(store)
    assert [call.tokens for call in told.calls] == [size([SYSTEM, QUESTION, *history[: 2 * n]]) for n in range(4)]
    for call in told.calls:
        assert sum(part.tokens for part in call.parts) == call.tokens
        assert sum(part.share for part in call.parts) == pytest.approx(1)
        assert (call.tokens_are, call.question, call.dropped_messages) == ("reported", "in_view", 0)
        assert call.window == 128_000 and call.full == pytest.approx(call.tokens / 128_000)
    assert [call.previous_step for call in told.calls] == [None, 2, 3, 4]
    assert [call.new_messages for call in told.calls] == [2, 2, 2, 2]
    assert [call.grew for call in told.calls[1:]] == [call.new_tokens for call in told.calls[1:]]
    # What was there before keeps its size while a window only grows.
    assert {shares(call)["system"] for call in told.calls} == {shares(told.calls[0])["system"]}
    assert shares(told.calls[3])["tool_output"] > shares(told.calls[3])["assistant"] > 0
    (thread,) = told.threads
    assert (thread.agent, thread.steps, thread.question_gone_step) == ("clerk", (2, 3, 4, 5), None)


def test_history_that_is_trimmed_takes_the_question_along(store: TraceStore) -> None:
    """A framework that keeps the system prompt and the last six messages: the question is gone from the fourth call on."""
    run, conversation = Run(), [QUESTION, *lookups(6)]
    for rounds in range(7):
        window = conversation[: 1 + 2 * rounds]
        run.call([SYSTEM, *window[-6:]], conversation[1 + 2 * rounds] if rounds < 6 else said("assistant", "none"))
    told = run.told(store)
    assert [call.question for call in told.calls] == ["in_view"] * 3 + ["gone"] * 4
    assert [call.step for call in told.calls if call.question_lost] == [5]
    (thread,) = told.threads
    assert thread.question_gone_step == 5
    (question,) = thread.questions
    assert (question.last_step, question.gone_step) == (4, 5) and question.head.startswith("Which of the forty")
    fourth = told.calls[3]
    assert [(m.role, m.kind, m.fate, m.tokens > 0) for m in fourth.dropped] == [("user", "question", "gone", True)]
    assert [call.dropped_messages for call in told.calls] == [0, 0, 0, 1, 2, 2, 2]
    assert fourth.dropped_tokens == fourth.dropped[0].tokens and not fourth.compacted
    assert fourth.grew == size(conversation[1:7]) - size(conversation[:5])


def test_a_question_that_comes_back_is_in_view_again(store: TraceStore) -> None:
    run, work = Run(), lookups(3)
    run.call([SYSTEM, QUESTION], work[0])
    run.call([SYSTEM, *work[:2]], work[2])
    run.call([SYSTEM, QUESTION, *work[2:4]], said("assistant", "done"))
    told = run.told(store)
    assert [call.question for call in told.calls] == ["in_view", "gone", "in_view"]
    assert [call.question_lost for call in told.calls] == [False, True, False]
    assert (told.threads[0].questions[0].last_step, told.threads[0].questions[0].gone_step) == (4, 3)


def test_a_summary_takes_the_place_of_what_it_sums_up(store: TraceStore) -> None:
    run, work = Run(), lookups(5, 2_000)
    run.call([SYSTEM, QUESTION, *work[:8]], work[8])
    summary = said("user", "Summary of the conversation so far: hotels 0 to 3 have no pool.")
    run.call([SYSTEM, summary, *work[8:]], said("assistant", "hotel 4"))
    told = run.told(store)
    second = told.calls[1]
    assert second.compacted == "summary" and second.summary is not None and second.summary.head.startswith("Summary of")
    assert second.dropped_messages == 9 and {m.fate for m in second.dropped} == {"summarised"}
    assert second.question == "gone" and second.question_lost
    assert (second.grew or 0) < 0 and told.threads[0].compactions == 1
    assert shares(second)["history"] == second.summary.tokens


def test_a_summary_that_quotes_the_question_keeps_it_in_view(store: TraceStore) -> None:
    run, work = Run(), lookups(4)
    run.call([SYSTEM, QUESTION, *work[:4]], work[4])
    run.call([SYSTEM, said("user", f"The user asked: {QUESTION.text}\nNothing was found yet."), *work[4:6]], work[6])
    told = run.told(store)
    # It stands where they stood and says nothing of itself: still a summary.
    assert told.calls[1].compacted == "summary"
    assert (told.calls[1].question, told.threads[0].question_gone_step) == ("quoted", None)
    assert told.threads[0].questions[0].last_step == 3


def test_a_tool_output_that_was_cleared_is_rewritten_not_gone(store: TraceStore) -> None:
    run, work = Run(), lookups(2, 4_000)
    run.call([SYSTEM, QUESTION, *work[:2]], work[2])
    cleared = [work[0], result("c0", "[old output cleared]")]
    run.call([SYSTEM, QUESTION, *cleared, *work[2:]], said("assistant", "none"))
    second = run.told(store).calls[1]
    (message_,) = second.dropped
    assert message_.fate == "rewritten" and message_.kept_tokens < message_.tokens / 10
    assert second.dropped_tokens == message_.tokens - message_.kept_tokens
    assert second.question == "in_view" and not second.compacted


def test_earlier_turns_are_history_and_the_newest_question_counts(store: TraceStore) -> None:
    run = Run()
    turns = [said("user", "Good morning, can you help me?"), said("assistant", "With pleasure.")]
    second = said("user", "What does a sauna cost at the hotel by the lake?")
    run.call([SYSTEM, *turns, QUESTION], said("assistant", "Hotel seven."))
    run.call([SYSTEM, *turns, QUESTION, said("assistant", "Hotel seven."), second], said("assistant", "Twelve."))
    run.call([SYSTEM, second, said("assistant", "Twelve."), said("user", "And at the other one?")])
    told = run.told(store)
    first, then, last = told.calls
    assert set(shares(first)) == {"system", "question", "history"}
    assert shares(then)["history"] > shares(first)["history"]
    assert [call.question for call in told.calls] == ["in_view"] * 3
    heads = [(one.head[:8], one.gone_step) for one in told.threads[0].questions]
    assert heads == [("Which of", 4), ("What doe", None), ("And at t", None)]
    assert not last.question_lost


def test_a_plan_is_told_from_other_words(store: TraceStore) -> None:
    run = Run()
    todos = {"todos": [{"content": f"look at hotel {n}", "status": "pending"} for n in range(10)]}
    window = [
        SYSTEM,
        QUESTION,
        calls("TodoWrite", "t1", todos),
        result("t1", "Todos have been modified successfully"),
        calls("get_data_plan", "d1", {"id": 7}),
        result("d1", "a plan of 10 gigabytes"),
        said("assistant", "## Plan\n1. look at all hotels\n2. answer"),
    ]
    run.call(window)
    run.trace.store(store)
    told = traces.context(store, PROJECT, run.trace.id, 2)
    assert told.detail is not None
    assert [m.kind for m in told.detail.messages] == [
        *("system", "question", "plan", "plan", "assistant", "tool_output", "plan"),
    ]


def test_parallel_agents_are_threads_of_their_own(store: TraceStore) -> None:
    """Two workers of one name, same prompt and same question, at the same time and one after the other."""
    run = Run()
    left, right = run.agent("worker", 10), run.agent("worker", 12)
    work, other = lookups(2), [calls("lookup", "x0", {"hotel": 9}), result("x0", "hotel 9: no pool")]
    run.call([SYSTEM, QUESTION], work[0], parent=left, at_ms=20)
    run.call([SYSTEM, QUESTION], other[0], parent=right, at_ms=30)
    run.call([SYSTEM, QUESTION, *work[:2]], said("assistant", "a"), parent=left, at_ms=100)
    run.call([SYSTEM, QUESTION, *other], said("assistant", "b"), parent=right, at_ms=110)
    third = run.agent("worker", 300)
    run.call([SYSTEM, QUESTION], said("assistant", "c"), parent=third, at_ms=310)
    told = run.told(store)
    assert [len(thread.steps) for thread in told.threads] == [2, 2, 1]
    assert all(call.dropped_messages == 0 for call in told.calls)
    assert [call.new_messages for call in told.calls] == [2, 2, 2, 2, 2]


def test_a_conversation_goes_on_below_another_span_of_its_agent(store: TraceStore) -> None:
    run = Run()
    first, second = run.agent("clerk"), run.agent("clerk", 500)
    answer = said("assistant", "Hotel seven it is.")
    run.call([SYSTEM, QUESTION], answer, parent=first)
    run.call([SYSTEM, QUESTION, answer, said("user", "Book it")], parent=second, at_ms=600)
    told = run.told(store)
    assert [len(thread.steps) for thread in told.threads] == [2]
    assert told.calls[1].new_messages == 2


def test_independent_calls_of_one_agent_are_no_conversation(store: TraceStore) -> None:
    run = Run()
    for number in range(5):
        run.call([SYSTEM, said("user", f"Translate sentence number {number} into Finnish, please")])
    told = run.told(store)
    assert len(told.threads) == 5 and all(call.question == "in_view" for call in told.calls)


def test_a_call_seen_twice_is_told_once_with_the_content_of_either(store: TraceStore) -> None:
    run = Run()
    twin = run.call([SYSTEM, QUESTION], said("assistant", "Hotel seven."))
    run.spans += 1
    run.trace.span(
        run.spans, "model", parent=1, at_ms=11, ms=40, model="gpt-4o", provider="openai",
        tokens={"input_uncached": 300}, scope_name="other",
    )  # fmt: skip
    run.trace.spans[twin - 1]["duplicate_of"] = run.trace.spans[run.spans - 1]["span_id"]
    told = run.told(store)
    assert told.duplicates == 1 and len(told.calls) == 1
    assert told.calls[0].content and told.calls[0].tokens == 300 and told.calls[0].question == "in_view"


def test_calls_without_content_say_so(store: TraceStore) -> None:
    run = Run()
    run.call([], tokens=900)
    run.call([], tokens=1_500)
    told = run.told(store)
    assert [(call.tokens, call.grew, call.content, call.question) for call in told.calls] == [
        (900, None, False, "unknown"),
        (1_500, 600, False, "unknown"),
    ]
    assert [shares(call) for call in told.calls] == [{"unseen": 900}, {"unseen": 1_500}]
    assert told.notes == ("no content was recorded: only the size of each window is known",)


def test_what_the_provider_keeps_is_unseen(store: TraceStore) -> None:
    run = Run()
    run.call([SYSTEM, QUESTION], calls("lookup", "c0", {}), response_id="resp_1")
    run.call(
        [result("c0", "hotel 0 has a pool")], tokens=4_000, parameters='{"previous_response_id":"resp_1"}',
        response_id="resp_2",
    )  # fmt: skip
    told = run.told(store)
    second = told.calls[1]
    assert len(told.threads) == 1 and second.server_state and second.question == "unknown"
    assert shares(second)["unseen"] > 3_900 and sum(shares(second).values()) == 4_000
    assert "keeps this conversation" in second.notes[0] and told.threads[0].question_gone_step is None


def test_more_than_was_recorded_is_called_unseen_not_stretched(store: TraceStore) -> None:
    run = Run()
    run.call([SYSTEM, QUESTION], tokens=6_000, tools_offered=["lookup"])
    call = run.told(store).calls[0]
    assert shares(call)["unseen"] > 5_000 and "definitions of the tools" in call.notes[0]


def test_tool_definitions_take_room(store: TraceStore) -> None:
    run = Run()
    definitions = '[{"name":"lookup","description":"' + "looks a hotel up " * 60 + '"}]'
    reference = run.trace.value("t" * 32, definitions)
    run.call([SYSTEM, QUESTION], tokens=size([SYSTEM, QUESTION]) + 350, tools_ref=reference, tools_offered=["lookup"])
    call = run.told(store).calls[0]
    assert shares(call)["tools"] > shares(call)["system"] and sum(shares(call).values()) == call.tokens


def test_the_same_output_again_is_waste(store: TraceStore) -> None:
    run, page = Run(), "the same long page of results " * 100
    window = [SYSTEM, QUESTION]
    for number in range(3):
        window += [calls("fetch", f"f{number}", {"page": 1}), result(f"f{number}", page, "fetch")]
    run.call(window)
    told = run.told(store)
    (repeat,) = told.calls[0].repeats
    assert (repeat.tool, repeat.times, repeat.chars) == ("fetch", 3, len(page))
    assert repeat.wasted_tokens == pytest.approx(shares(told.calls[0])["tool_output"] * 2 / 3, rel=0.05)
    assert told.threads[0].wasted_tokens == told.calls[0].wasted_tokens == repeat.wasted_tokens


def test_images_take_room_of_their_own(store: TraceStore) -> None:
    run = Run()
    photo = Part(type="media", mime="image/png", uri="data:image/png;base64," + "QUJD" * 50_000)
    run.call([SYSTEM, message("user", (Part(type="text", text="What is this?"), photo))], tokens=900)
    call = run.told(store).calls[0]
    assert shares(call)["media"] > shares(call)["system"] > 0 and call.question == "in_view"


def test_sizes_are_estimated_where_none_are_reported(store: TraceStore) -> None:
    run = Run()
    run.call([SYSTEM, QUESTION], tokens=0)
    call = run.told(store).calls[0]
    assert call.tokens_are == "estimated" and 60 < call.tokens < 120 and sum(shares(call).values()) == call.tokens


def test_one_step_is_shown_message_by_message(store: TraceStore) -> None:
    run, work = Run(), lookups(2)
    run.call([SYSTEM, QUESTION, *work[:2]], work[2])
    run.call([SYSTEM, *work], tools_offered=["lookup"])
    run.trace.store(store)
    told = traces.context(store, PROJECT, run.trace.id, "003")
    assert told.detail is not None and [call.step for call in told.calls] == [3]
    assert [m.new for m in told.detail.messages] == [False, False, False, True, True]
    assert sum(m.tokens for m in told.detail.messages) + shares(told.calls[0]).get("unseen", 0) == told.calls[0].tokens
    assert [m.kind for m in told.detail.dropped] == ["question"] and told.detail.tools == ("lookup",)
    with pytest.raises(BadRequest, match="no model call"):
        traces.context(store, PROJECT, run.trace.id, 1)
    with pytest.raises(NotFound, match="no such step"):
        traces.context(store, PROJECT, run.trace.id, 99)


def test_three_hundred_calls_of_a_long_run(store: TraceStore) -> None:
    """All of them are told, and the last step alone says the same of itself."""
    run, work = Run(), lookups(150, 200)
    for rounds in range(150):
        run.call([SYSTEM, QUESTION, *work[: 2 * rounds]], work[2 * rounds])
    for rounds in range(150):
        run.call([SYSTEM, QUESTION, *work[: 2 * rounds + 1], said("user", f"note {rounds}")])
    told = run.told(store)
    assert len(told.calls) == 300 and told.left_out == 0
    last = traces.context(store, PROJECT, run.trace.id, told.calls[149].step)
    assert shares(last.calls[0]) == shares(told.calls[149])


def test_a_trace_without_model_calls_says_so(store: TraceStore) -> None:
    assert Run().told(store).notes == ("this trace has no model call",)
