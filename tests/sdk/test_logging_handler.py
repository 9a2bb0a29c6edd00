"""What a program logs arrives with the trace it was logged in, and logging never hurts the program."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pilothouse
from pilothouse.sdk.logging_handler import LoggingHandler, entry_of, severity_number
from pilothouse.sdk.recorder import current
from pilothouse.testing import OtlpSink


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as running:
        yield running


@pytest.fixture
def recorder(sink: OtlpSink, tmp_path: Path) -> Iterator[Any]:
    yield pilothouse.init(
        service="shop",
        endpoint=sink.address,
        key="k",
        spill_dir=tmp_path,
        instrument=False,
        mask=_mask,
        flush_interval_s=0.05,
    )
    pilothouse.shutdown(2)


def _mask(text: str) -> str:
    return text.replace("4111111111111111", "[card]")


@pytest.fixture
def log(recorder: Any) -> logging.Logger:
    # Of no tree: the test runner listens at the root, and raises where a record is broken.
    logger = logging.Logger("shop.payments")
    logger.addHandler(pilothouse.logging_handler())
    return logger


def value(data: dict[str, Any]) -> Any:
    ((kind, found),) = data.items()
    if kind == "intValue":
        return int(found)
    if kind == "kvlistValue":
        return {pair["key"]: value(pair["value"]) for pair in found.get("values", [])}
    return [value(item) for item in found.get("values", [])] if kind == "arrayValue" else found


def arrived(sink: OtlpSink) -> list[dict[str, Any]]:
    """The log records that came, attributes as a dict, heartbeats left out."""
    assert pilothouse.flush(10)
    body = sink.as_json("logs")
    found: list[dict[str, Any]] = []
    for resource in body.get("resourceLogs", []):
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                if not record.get("eventName"):
                    attributes = {pair["key"]: value(pair["value"]) for pair in record.get("attributes", [])}
                    found.append({**record, "attributes": attributes, "body": value(record["body"])})
    return found


def test_a_record_arrives_with_its_trace(log: logging.Logger, sink: OtlpSink) -> None:
    with pilothouse.span("work"):
        trace_id = pilothouse.current_trace_id()
        log.warning("card %s declined", "4111111111111111", extra={"request_id": "r-1", "order": {"id": 7}})
    (record,) = arrived(sink)
    assert record["body"] == "card [card] declined"
    assert record["traceId"] == trace_id
    assert len(record["spanId"]) == 16
    assert (record["severityNumber"], record["severityText"]) in ((13, "WARNING"), ("SEVERITY_NUMBER_WARN", "WARNING"))
    attributes = record["attributes"]
    assert attributes["logger.name"] == "shop.payments"
    assert attributes["request_id"] == "r-1"
    assert attributes["order"] == {"id": 7}
    assert attributes["code.function"] == "test_a_record_arrives_with_its_trace"


def test_an_exception_comes_with_its_stack(log: logging.Logger, sink: OtlpSink) -> None:
    try:
        raise KeyError("4111111111111111")
    except KeyError:
        log.exception("oops")
    (record,) = arrived(sink)
    assert record["attributes"]["exception.type"] == "KeyError"
    assert record["attributes"]["exception.message"] == "'[card]'"
    assert "test_an_exception_comes_with_its_stack" in record["attributes"]["exception.stacktrace"]
    assert "traceId" not in record or not record["traceId"]


def test_a_record_through_a_queue_keeps_the_trace_it_was_written_in(recorder: Any, sink: OtlpSink) -> None:
    queue: SimpleQueue[Any] = SimpleQueue()
    logger = logging.getLogger("queued")
    handler = QueueHandler(queue)
    handler.addFilter(pilothouse.logging_filter())
    logger.addHandler(handler)
    listener = QueueListener(queue, pilothouse.logging_handler())
    listener.start()
    with pilothouse.span("work"):
        trace_id = pilothouse.current_trace_id()
        logger.error("late")
    listener.stop()
    logger.removeHandler(handler)
    (record,) = arrived(sink)
    assert record["traceId"] == trace_id


def test_lines_of_a_file_can_carry_the_trace(recorder: Any) -> None:
    stream = io.StringIO()
    plain = logging.StreamHandler(stream)
    plain.setFormatter(pilothouse.logging_formatter(logging.Formatter("%(levelname)s %(message)s")))
    named = logging.StreamHandler(stream)
    named.addFilter(pilothouse.logging_filter())
    named.setFormatter(logging.Formatter("[%(trace_id)s] %(message)s"))
    logger = logging.getLogger("lines")
    logger.handlers = [plain, named]
    with pilothouse.span("work"):
        trace_id = pilothouse.current_trace_id()
        try:
            raise ValueError("bad")
        except ValueError:
            logger.exception("inside")
    logger.error("outside")
    lines = stream.getvalue().splitlines()
    logger.handlers = []
    assert lines[0].startswith(f"ERROR inside trace_id={trace_id} span_id=")
    assert lines[1] == "Traceback (most recent call last):"
    assert f"[{trace_id}] inside" in lines
    assert lines[-2:] == ["ERROR outside", "[] outside"]


def test_nothing_goes_round_in_a_circle(recorder: Any, sink: OtlpSink) -> None:
    class Loud:
        def __repr__(self) -> str:
            logging.getLogger("loud").error("told again")
            return "loud"

    root = logging.getLogger()
    handler = pilothouse.logging_handler()
    root.addHandler(handler)
    try:
        logging.getLogger("pilothouse").error("of the recorder")
        logging.getLogger("opentelemetry.sdk.trace").error("of the SDK")
        thread = threading.Thread(
            target=lambda: logging.getLogger("x").error("of our thread"), name="pilothouse-delivery"
        )
        thread.start()
        thread.join()
        logging.getLogger("y").error("kept", extra={"loud": Loud()})
    finally:
        root.removeHandler(handler)
    assert [record["body"] for record in arrived(sink)] == ["kept"]


def test_a_broken_record_does_not_raise(log: logging.Logger, sink: OtlpSink) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    log.error("%d items", "many")
    log.error("broken %s", Broken())
    log.error(Broken())
    log.error("fine", extra={"thing": Broken(), "deep": [[[[["x"]]]]], "set": {1}})
    log.error("x" * 200_000, extra={f"k{number}": "y" * 50_000 for number in range(100)})
    records = arrived(sink)
    assert records[0]["body"].startswith("%d items")
    assert any(record["body"] == "fine" for record in records)
    long = records[-1]
    assert len(long["body"]) < 33_000
    assert len(long["attributes"]) < 75
    assert all(len(str(held)) < 9_000 for held in long["attributes"].values())


def test_without_a_recorder_it_does_nothing() -> None:
    assert current() is None
    logger = logging.getLogger("nobody")
    handler = pilothouse.logging_handler("ERROR")
    logger.addHandler(handler)
    logger.error("heard by nobody")
    logger.removeHandler(handler)
    assert pilothouse.structlog_processor()(None, "info", {"event": "x"}) == {"event": "x"}
    assert handler.level == logging.ERROR


def test_structlog_events_arrive_and_are_given_the_trace(recorder: Any, sink: OtlpSink) -> None:
    stream = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            pilothouse.structlog_processor(),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    with pilothouse.span("work"):
        trace_id = pilothouse.current_trace_id()
        logger.info("paid", amount=3, request_id="r-9")
        try:
            raise ValueError("4111111111111111")
        except ValueError as error:
            logger.error("failed", exc_info=error)
    first, second = arrived(sink)
    assert (first["body"], first["traceId"], first["attributes"]["amount"]) == ("paid", trace_id, 3)
    assert first["attributes"]["request_id"] == "r-9"
    assert second["attributes"]["exception.type"] == "ValueError"
    assert second["attributes"]["exception.message"] == "[card]"
    assert f'"trace_id": "{trace_id}"' in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "number"), [(0, 1), (5, 1), (10, 5), (20, 9), (25, 11), (30, 13), (40, 17), (50, 21)]
)
def test_levels_become_otlp_numbers(level: int, number: int) -> None:
    assert severity_number(level) == number


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    message=st.text(max_size=100),
    args=st.lists(ANYTHING, max_size=3),
    extra=st.dictionaries(st.text(), ANYTHING, max_size=8),
)
def test_no_record_makes_the_handler_raise(recorder: Any, message: str, args: list[Any], extra: dict[str, Any]) -> None:
    record = logging.LogRecord("any", logging.INFO, __file__, 1, message, tuple(args), None)
    record.__dict__.update({key: held for key, held in extra.items() if key not in record.__dict__})
    dropped = recorder.pipeline.counters
    LoggingHandler().emit(record)
    assert entry_of(record, recorder).body is not None
    assert dropped is recorder.pipeline.counters
