"""A trace goes on wherever its context can travel: headers, messages, child processes; junk never disturbs anybody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider

from pilothouse.sdk.propagation import (
    FIELDS,
    carry_into_subprocesses,
    child_environment,
    environment_context,
    extract,
    inject,
)

TRACER = TracerProvider().get_tracer("test")
HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def carried() -> Iterator[None]:
    original = subprocess.Popen.__init__
    carry_into_subprocesses()
    yield
    subprocess.Popen.__init__ = original  # type: ignore[method-assign]


def test_what_one_side_writes_the_other_continues() -> None:
    with TRACER.start_as_current_span("sender") as sender:
        token = otel_context.attach(baggage.set_baggage("tenant", "blue boats"))
        headers = inject({"Content-Type": "text/plain"})
        otel_context.detach(token)
    assert set(headers) == {"Content-Type", "traceparent", "baggage"}
    with extract(headers) as continued, TRACER.start_as_current_span("receiver") as receiver:
        assert baggage.get_baggage("tenant") == "blue boats"
    assert receiver.get_span_context().trace_id == sender.get_span_context().trace_id
    assert receiver.parent.span_id == sender.get_span_context().span_id  # type: ignore[attr-defined]
    assert continued.trace_id == trace.format_trace_id(sender.get_span_context().trace_id)
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    "carrier",
    [
        {"traceparent": HEADER},
        {"Traceparent": HEADER},
        {b"TRACEPARENT": HEADER.encode()},
        [(b"host", b"x"), (b"traceparent", HEADER.encode())],
        {"traceparent": [HEADER]},
    ],
    ids=["dict", "capitals", "bytes", "asgi", "lists"],
)
def test_every_usual_carrier_is_read(carrier: object) -> None:
    assert extract(carrier).trace_id == TRACE_ID  # type: ignore[arg-type]


def test_outside_of_a_span_nothing_is_written() -> None:
    headers = {"a": "b"}
    assert inject(headers) is headers == {"a": "b"}
    assert child_environment(None) is None
    assert inject() == {}


def test_an_older_context_in_the_carrier_is_replaced_whatever_its_case() -> None:
    with TRACER.start_as_current_span("sender"):
        headers = inject({"Traceparent": HEADER})
    assert set(headers) == {"traceparent"}
    assert extract(headers).trace_id != TRACE_ID


def test_an_empty_carrier_leaves_the_current_span_in_place() -> None:
    with TRACER.start_as_current_span("outer") as outer:
        for nothing in (None, {}, {"traceparent": "junk"}, {"baggage": "a=b"}, 7):
            with extract(nothing):  # type: ignore[arg-type]
                assert trace.get_current_span() is outer


anything = st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=4)


@given(st.dictionaries(st.sampled_from([*FIELDS, "Traceparent", b"traceparent", 3]), anything) | anything)
def test_junk_is_no_context_and_no_error(carrier: object) -> None:
    with extract(carrier) as continued:  # type: ignore[arg-type]
        assert continued.trace_id in ("", TRACE_ID)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.sampled_from([0, 1]))
def test_any_valid_parent_comes_through_exactly(trace_id: int, span_id: int, flags: int) -> None:
    header = f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"
    assert extract({"traceparent": header}).trace_id == f"{trace_id:032x}"
    with extract({"traceparent": header}):
        assert inject()["traceparent"] == header


def test_a_read_only_carrier_raises_nothing() -> None:
    class Sealed(dict[str, str]):
        def __setitem__(self, name: str, value: str) -> None:
            raise TypeError("sealed")

        def update(self, *_: object, **__: object) -> None:
            raise TypeError("sealed")

    with TRACER.start_as_current_span("sender"):
        assert inject(Sealed()) == {}


def test_the_environment_is_a_carrier() -> None:
    assert environment_context({"PATH": "/bin"}) is None
    context = environment_context({"TRACEPARENT": HEADER, "BAGGAGE": "tenant=blue"})
    assert context is not None
    assert trace.get_current_span(context).get_span_context().trace_id == int(TRACE_ID, 16)
    assert baggage.get_baggage("tenant", context) == "blue"


PRINT = [sys.executable, "-c", "import os; print(os.environ.get('TRACEPARENT', ''), os.environ.get('MINE', ''))"]


def test_a_child_process_is_started_in_the_trace(carried: None) -> None:
    carry_into_subprocesses()
    with TRACER.start_as_current_span("parent"):
        expected = inject()["traceparent"]
        inherited = subprocess.run(PRINT, capture_output=True, text=True, check=True).stdout.split()
        own = subprocess.run(PRINT, capture_output=True, text=True, check=True, env={"MINE": "yes"}).stdout.split()
        positional = subprocess.Popen(
            PRINT, -1, None, None, subprocess.PIPE, None, None, True, False, None, {"MINE": "2"}
        )
        third = positional.communicate()[0].decode().split()
    assert inherited == [expected]
    assert own == [expected, "yes"]
    assert third == [expected, "2"]
    assert "TRACEPARENT" not in os.environ


def test_a_child_of_asyncio_is_started_in_the_trace(carried: None) -> None:
    async def start() -> bytes:
        with TRACER.start_as_current_span("parent"):
            child = await asyncio.create_subprocess_exec(*PRINT, stdout=asyncio.subprocess.PIPE)
            return (await child.communicate())[0]

    assert asyncio.run(start()).startswith(b"00-")


def test_without_a_span_a_child_gets_the_environment_it_would_get(carried: None) -> None:
    done = subprocess.run(PRINT, capture_output=True, text=True, check=True, env={"MINE": "yes"})
    assert done.stdout.split() == ["yes"]
