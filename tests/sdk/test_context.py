"""A span finds its parent across tasks, threads, pools and other providers; labels reach every span."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import pilothouse
from pilothouse.testing import OtlpSink

from .conftest import Recorded, Start


def leaf(name: str) -> str:
    with pilothouse.span(name):
        return pilothouse.current_trace_id()


async def leaf_later(name: str) -> None:
    with pilothouse.span(name):
        await asyncio.sleep(0)


def test_tasks_groups_and_gathered_coroutines_keep_their_parent(recorded: Recorded) -> None:
    @pilothouse.agent
    async def manager(name: str) -> None:
        await asyncio.gather(*(leaf_later(f"{name} gathered {i}") for i in range(3)))
        async with asyncio.TaskGroup() as group:
            for i in range(3):
                group.create_task(leaf_later(f"{name} grouped {i}"))
        task = asyncio.create_task(leaf_later(f"{name} task"))
        await asyncio.to_thread(leaf, f"{name} thread")
        await asyncio.get_running_loop().run_in_executor(None, leaf, f"{name} executor")
        await task

    async def run() -> None:
        await asyncio.gather(manager("a"), manager("b"))

    asyncio.run(run())
    traces = {}
    for span in recorded.spans:
        if span.parent is None:
            traces[span.get_span_context().trace_id] = span  # type: ignore[union-attr]
    assert len(traces) == 2
    for span in recorded.spans:
        where = span.get_span_context()
        assert where is not None
        root = traces[where.trace_id]
        if span.parent is not None:
            assert span.parent.span_id == root.get_span_context().span_id  # type: ignore[union-attr]
    assert len(recorded.spans) == 2 * 10


def test_a_thread_continues_the_trace_and_leaves_nothing_behind(recorded: Recorded) -> None:
    class Own(threading.Thread):
        def run(self) -> None:
            leaf("of a subclass")

    with pilothouse.span("outer"):
        threads = [threading.Thread(target=leaf, args=("of a thread",)), Own(), threading.Timer(0.0, leaf, ("timed",))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recorded.tree() == [
        " > outer",
        "outer > of a subclass",
        "outer > of a thread",
        "outer > timed",
    ]
    assert all("run" not in vars(thread) for thread in threads)


def test_a_thread_outside_of_any_span_is_left_alone(recorded: Recorded) -> None:
    thread = threading.Thread(target=leaf, args=("alone",))
    thread.start()
    thread.join()
    assert recorded.parent("alone") == ""


def test_a_pool_works_in_the_trace_of_whoever_submits(recorded: Recorded) -> None:
    with ThreadPoolExecutor(1) as pool:
        with pilothouse.span("first"):
            pool.submit(leaf, "one").result()
        with pilothouse.span("second"):
            pool.submit(leaf, "two").result()
            assert list(pool.map(leaf, ["three"])) != [""]
        pool.submit(leaf, "nobody's").result()
    assert recorded.parent("one") == "first"
    assert recorded.parent("two") == "second"
    assert recorded.parent("three") == "second"
    assert recorded.parent("nobody's") == ""


def test_without_threads_the_context_stays_where_it_is(start: Start) -> None:
    recorded = start(threads=False)
    with pilothouse.span("outer"):
        carried = threading.Thread(target=pilothouse.carry(leaf), args=("carried",))
        carried.start()
        carried.join()
    assert recorded.parent("carried") == "outer"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_continues_the_trace(start: Start, method: str, tmp_path: Path) -> None:
    with OtlpSink() as sink:
        recorded = start(endpoint=sink.address)
        with (
            ProcessPoolExecutor(2, mp_context=get_context(method)) as pool,
            pilothouse.session("s-1"),
            pilothouse.span("outer"),
        ):
            futures: list[Future[Any]] = [pool.submit(leaf, f"child {i}") for i in range(4)]
            mine = pilothouse.current_trace_id()
            assert {future.result(60) for future in futures} == {mine}
            assert set(pool.map(leaf, ["mapped"])) == {mine}
        assert pilothouse.flush(20)
        outer = recorded.span("outer").get_span_context()
        assert outer is not None
        deadline = threading.Event()
        for _ in range(200):
            children = {
                span["name"]: span for span in sink.spans() if "child" in span["name"] or span["name"] == "mapped"
            }
            if len(children) == 5:
                break
            deadline.wait(0.05)
        assert len(children) == 5
        for span in children.values():
            assert span["parentSpanId"] == f"{outer.span_id:016x}"
            assert {"key": "session.id", "value": {"stringValue": "s-1"}} in span["attributes"]


def test_another_providers_spans_do_not_make_orphans(recorded: Recorded) -> None:
    other = TracerProvider(shutdown_on_exit=False).get_tracer("somebody else")
    with other.start_as_current_span("request") as request, pilothouse.span("root"):
        with other.start_as_current_span("database"), pilothouse.span("below"):
            pass
        trace_id = pilothouse.current_trace_id()
    assert recorded.tree() == [" > root", "root > below"]
    root = recorded.span("root")
    assert f"{request.get_span_context().trace_id:032x}" == trace_id
    assert [link.context.span_id for link in root.links] == [request.get_span_context().span_id]
    assert recorded.span("below").get_span_context().trace_id == root.get_span_context().trace_id  # type: ignore[union-attr]


def test_a_remote_parent_is_a_parent(recorded: Recorded) -> None:
    sender = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
    with pilothouse.extract(sender):
        leaf("continued")
    parent = recorded.span("continued").parent
    assert parent is not None
    assert f"{parent.trace_id:032x} {parent.span_id:016x}" == "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331"


def test_labels_reach_every_span_inside_whoever_makes_it(start: Start) -> None:
    recorded = start()
    recorder = pilothouse.init()
    theirs = recorder.provider.get_tracer("an instrumentor")
    with pilothouse.session("s-1", user="u-1"), pilothouse.tags("a", "b"), pilothouse.tags("b", "c"):
        with pilothouse.feature("search"), theirs.start_as_current_span("inner"):
            leaf("own")
        leaf("after")
    leaf("outside")
    assert recorded.attributes("inner") == {
        "session.id": "s-1",
        "user.id": "u-1",
        "tag.tags": ("a", "b", "c"),
        "pilothouse.feature": "search",
    }
    assert recorded.attributes("own")["pilothouse.feature"] == "search"
    assert "pilothouse.feature" not in recorded.attributes("after")
    assert recorded.attributes("outside") == {"pilothouse.kind": "chain"}


def test_init_is_idempotent_and_can_start_anew(start: Start) -> None:
    start()
    first = pilothouse.init()
    assert pilothouse.init(service="another") is first
    assert first.settings.service == "test"
    pilothouse.shutdown(0.2)
    start(service="another")
    assert pilothouse.init().settings.service == "another"
    assert not isinstance(trace.get_tracer_provider(), type(first.provider))


def test_a_recorder_leaves_the_context_as_it_found_it(recorded: Recorded) -> None:
    before = otel_context.get_current()
    with pytest.raises(ZeroDivisionError), pilothouse.session("s"), pilothouse.span("a"), pilothouse.waiting("queue"):
        raise ZeroDivisionError
    assert otel_context.get_current() == before
