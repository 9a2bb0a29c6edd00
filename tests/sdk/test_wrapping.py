"""Whatever is decorated behaves as before, and every call of it is recorded."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, get_type_hints

import pytest
from opentelemetry.trace import StatusCode

import pilothouse

from .conftest import Recorded, Start


class Failure(Exception):
    """Raised by what is decorated."""


@pilothouse.tool
def add(a: int, b: int = 2, *more: int, scale: float = 1.0, **named: Any) -> float:
    """Add numbers.

    In any number.
    """
    return (a + b + sum(more)) * scale


@pilothouse.tool
async def slow_add(a: int, b: int) -> int:
    """Add numbers later."""
    await asyncio.sleep(0)
    return a + b


@pilothouse.tool
def count(to: int) -> Iterator[int]:
    """Count."""
    got = yield 0
    assert got is None or got == "sent"
    yield from range(1, to)
    return "counted"  # a generator's value is passed on


@pilothouse.agent
async def words(text: str) -> AsyncIterator[str]:
    """Say words."""
    for word in text.split():
        await asyncio.sleep(0)
        yield word


DECORATED: list[Callable[..., Any]] = [add, slow_add, count, words]


@pytest.mark.parametrize("function", DECORATED, ids=lambda function: function.__name__)
def test_a_decorated_function_looks_as_before(function: Any) -> None:
    original = function.__wrapped__
    assert inspect.signature(function) == inspect.signature(original)
    assert (function.__name__, function.__qualname__, function.__doc__, function.__module__) == (
        original.__name__,
        original.__qualname__,
        original.__doc__,
        original.__module__,
    )
    assert get_type_hints(function) == get_type_hints(original)
    for kind in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        asyncio.iscoroutinefunction,
    ):
        assert kind(function) == kind(original)


def test_without_a_recorder_nothing_is_recorded_and_all_works() -> None:
    assert add(1) == 3
    assert asyncio.run(slow_add(1, 2)) == 3
    assert list(count(3)) == [0, 1, 2]
    with pilothouse.span("x") as span, pilothouse.session("s"), pilothouse.tags("t"), pilothouse.waiting("human"):
        span.set(a=1)
        span.output({"b": 2})
        pilothouse.state("planning")
        with pilothouse.model_call(model="m", messages="hi") as call:
            assert call.response("raw") == "raw"
            assert list(call.stream([1, 2])) == [1, 2]
    assert pilothouse.current_trace_id() == ""
    assert pilothouse.flush()
    assert pilothouse.stats() is None
    pilothouse.shutdown()


def test_arguments_are_recorded_by_name_with_defaults(recorded: Recorded) -> None:
    assert add(1, 2, 3, scale=2, unit="kg") == 12
    assert recorded.json("execute_tool add", "gen_ai.tool.call.arguments") == {
        "a": 1,
        "b": 2,
        "more": [3],
        "scale": 2,
        "unit": "kg",
    }
    assert recorded.attributes("execute_tool add")["gen_ai.tool.call.result"] == "12"
    assert recorded.attributes("execute_tool add")["gen_ai.tool.description"] == "Add numbers."


def test_what_is_returned_is_the_same_object(recorded: Recorded) -> None:
    thing = object()

    @pilothouse.tool
    def give(value: object) -> object:
        return value

    assert give(thing) is thing
    assert recorded.span("execute_tool give").status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("kind", [Failure, KeyboardInterrupt, SystemExit, StopIteration, asyncio.CancelledError])
def test_an_exception_passes_as_it_is_with_one_frame_more(recorded: Recorded, kind: type[BaseException]) -> None:
    raised = kind("no")

    @pilothouse.agent
    def fail() -> None:
        raise raised

    with pytest.raises(kind) as caught:
        fail()
    assert caught.value is raised
    frames = [frame.name for frame in traceback.extract_tb(raised.__traceback__)]
    assert frames[1:] == ["wrapper", "fail"]
    span = recorded.span("invoke_agent fail")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    assert raised.__context__ is None
    assert raised.__cause__ is None


def test_a_coroutine_is_recorded_until_it_ends(recorded: Recorded) -> None:
    async def run() -> int:
        return await slow_add(20, 22)

    assert asyncio.run(run()) == 42
    assert recorded.attributes("execute_tool slow_add")["gen_ai.tool.call.result"] == "42"


def test_a_cancelled_coroutine_is_cancelled_and_recorded(recorded: Recorded) -> None:
    @pilothouse.agent
    async def forever() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(run())
    assert recorded.attributes("invoke_agent forever")["error.type"] == "asyncio.exceptions.CancelledError"


def test_a_plain_function_that_gives_a_coroutine_is_followed(recorded: Recorded) -> None:
    @pilothouse.tool
    def later(a: int) -> Any:
        return slow_add(a, 1)

    assert asyncio.run(later(1)) == 2
    assert recorded.attributes("execute_tool later")["gen_ai.tool.call.result"] == "2"
    assert recorded.parent("execute_tool slow_add") == "execute_tool later"


def test_a_generator_is_one_call_that_ends_when_it_is_exhausted(recorded: Recorded) -> None:
    stream = count(3)
    assert next(stream) == 0
    assert recorded.spans == []
    assert stream.send("sent") == 1  # type: ignore[attr-defined]
    rest = []
    try:
        while True:
            rest.append(next(stream))
    except StopIteration as stop:
        assert stop.value == "counted"
    assert rest == [2]
    assert recorded.json("execute_tool count", "gen_ai.tool.call.result") == [0, 1, 2]


def test_a_generator_that_is_closed_or_dropped_ends_its_span(recorded: Recorded) -> None:
    closed: list[str] = []

    @pilothouse.tool
    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(pilothouse.current_trace_id())

    stream = endless()
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    dropped = endless()
    next(dropped)
    del dropped
    gc.collect()
    assert len(recorded.spans) == 2
    assert all(span.attributes and span.attributes["pilothouse.stream.closed_early"] for span in recorded.spans)
    assert all(span.status.status_code is StatusCode.UNSET for span in recorded.spans)
    assert all(closed)


def test_what_is_thrown_into_a_generator_arrives_there(recorded: Recorded) -> None:
    @pilothouse.tool
    def patient() -> Iterator[str]:
        try:
            yield "a"
        except Failure:
            yield "caught"

    stream = patient()
    next(stream)
    assert stream.throw(Failure()) == "caught"  # type: ignore[attr-defined]
    assert list(stream) == []
    assert recorded.span("execute_tool patient").status.status_code is StatusCode.UNSET


def test_the_reader_of_a_generator_is_not_within_its_span(recorded: Recorded) -> None:
    @pilothouse.agent
    def speak() -> Iterator[int]:
        with pilothouse.span("inside"):
            pass
        yield 1
        with pilothouse.span("inside again"):
            pass

    for _ in speak():
        with pilothouse.span("outside"):
            pass
    assert recorded.parent("inside") == "invoke_agent speak"
    assert recorded.parent("inside again") == "invoke_agent speak"
    assert recorded.parent("outside") == ""


def test_an_async_generator_is_collected_as_one_answer(recorded: Recorded) -> None:
    async def run() -> list[str]:
        return [word async for word in words("one two")]

    assert asyncio.run(run()) == ["one", "two"]
    answer = recorded.json("invoke_agent words", "gen_ai.output.messages")
    assert answer[0]["parts"] == [{"content": "onetwo", "type": "text"}]


def test_an_async_generator_that_is_dropped_ends_its_span_quietly(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        stream = words("one two")
        assert await anext(stream) == "one"
        del stream
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert recorded.attributes("invoke_agent words")["pilothouse.stream.closed_early"] is True
    assert [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == [
        record for record in caplog.records if record.name == "pilothouse"
    ]


def test_methods_of_every_kind_leave_out_their_owner(recorded: Recorded) -> None:
    class Desk:
        @pilothouse.tool
        def plain(self, a: int) -> int:
            return a

        @pilothouse.tool
        @classmethod
        def of_class(cls, a: int) -> str:
            return f"{cls.__name__} {a}"

        @classmethod
        @pilothouse.tool
        def of_class_inside(cls, a: int) -> str:
            return f"{cls.__name__} {a}"

        @pilothouse.tool
        @staticmethod
        def alone(a: int) -> int:
            return a

    assert (Desk().plain(1), Desk.of_class(2), Desk().of_class_inside(3), Desk.alone(4)) == (1, "Desk 2", "Desk 3", 4)
    for name, value in (("plain", 1), ("of_class", 2), ("of_class_inside", 3), ("alone", 4)):
        assert recorded.json(f"execute_tool {name}", "gen_ai.tool.call.arguments") == {"a": value}


def test_a_long_stream_is_collected_within_a_bound(recorded: Recorded) -> None:
    @pilothouse.agent
    def talkative() -> Iterator[str]:
        for _ in range(3_000):
            yield "x" * 1_000

    assert sum(map(len, talkative())) == 3_000_000
    attributes = recorded.attributes("invoke_agent talkative")
    assert len(attributes["gen_ai.output.messages"]) < 1_100_000
    assert attributes["pilothouse.stream.dropped_items"] == 2_000


class Odd:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise Failure

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise Failure

    def __hash__(self) -> int:
        raise Failure

    def __bool__(self) -> bool:
        raise Failure

    def __getattr__(self, name: str) -> Any:
        raise Failure

    def __len__(self) -> int:
        raise Failure


def test_odd_arguments_and_results_are_no_trouble(recorded: Recorded) -> None:
    odd = Odd()

    @pilothouse.tool(idempotency_key=lambda value: 1 / 0)
    def give(value: Any) -> Any:
        return value

    @pilothouse.agent
    def ask(value: Any) -> Any:
        return give(value)

    @pilothouse.model_call
    def call(messages: Any, tools: Any = None) -> Any:
        return ask(messages)

    itself: dict[Any, Any] = {}
    itself["self"] = itself
    for value in (odd, [odd], {"a": odd}, itself, "\ud800", b"\xff", 10**6000, float("nan"), {1: {2}}):
        assert call(value) is value
    assert len(recorded.spans) == 27
    for span in recorded.spans:
        for key, text in (span.attributes or {}).items():
            if isinstance(text, str):
                text.encode()
            if key.endswith((".arguments", "input.value", "messages")):
                json.loads(str(text))


def test_an_iterator_given_as_argument_is_not_consumed(recorded: Recorded) -> None:
    @pilothouse.tool
    def total(numbers: Iterator[int]) -> int:
        return sum(numbers)

    assert total(iter([1, 2, 3])) == 6
    assert recorded.spans


def test_huge_values_are_cut_and_not_walked_to_their_end(recorded: Recorded) -> None:
    @pilothouse.tool
    def read(values: Any) -> int:
        return len(values)

    assert read(range(10**9)) == 10**9
    assert read(["y" * 100] * 1_000_000) == 1_000_000
    for span in recorded.spans:
        assert len(str((span.attributes or {})["gen_ai.tool.call.arguments"])) < 1_500_000
        assert "[cut]" in str((span.attributes or {})["gen_ai.tool.call.arguments"])


def test_without_content_only_sizes_and_hashes_leave(start: Start) -> None:
    recorded = start(capture_content=False)

    @pilothouse.tool
    def secret(word: str) -> str:
        if word == "bad":
            raise Failure
        return word * 2

    @pilothouse.agent
    def agent(question: str) -> str:
        with pilothouse.model_call(model="m", messages=question, tools=[{"name": "hidden"}]) as call:
            call.response({"role": "assistant", "content": "sesame"})
        with pytest.raises(Failure):
            secret("bad")
        return secret("sesame")

    agent("open sesame")
    for span in recorded.spans:
        told = json.dumps(dict(span.attributes or {}), default=str)
        assert "sesame" not in told
        assert "hidden" not in told
    attributes = recorded.attributes("chat m")
    assert attributes["gen_ai.input.messages.chars"] > 10
    assert len(attributes["pilothouse.decision.prompt_sha256"]) == 64
