"""The pipeline of the recorder: what is recorded arrives, and whatever goes wrong stays out of the program's way."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.trace import SpanContext, TraceFlags

from pilothouse.otlp.sender import judge
from pilothouse.records import BadRequest, names
from pilothouse.sdk.log_entry import LogEntry
from pilothouse.sdk.settings import read_settings
from pilothouse.testing import OtlpSink

from .pipeline_making import Made, ended, log_records, recording, until

pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


def test_spans_and_logs_arrive_with_key_resource_and_instance(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        made.record(3)
        made.pipeline.emit_log(LogEntry(time_ns=1, body="hello"))
        assert made.pipeline.flush()
        assert ended(sink) == ["step 0", "step 1", "step 2"]
        assert [record["body"] for record in log_records(sink)] == [{"stringValue": "hello"}]
        request = sink.requests[0]
        assert request.headers["authorization"] == "Bearer ph_key"
        resource = request.as_json()["resourceSpans"][0]["resource"]["attributes"]
        assert {a["key"]: a["value"]["stringValue"] for a in resource} == {
            "service.name": "t",
            "service.instance.id": made.pipeline.instance,
        }
        stats = made.pipeline.stats()
        assert (stats.queued, stats.sent, stats.dropped, stats.state) == (0, 4, 0, "ok")


def test_nothing_that_is_recorded_reaches_the_program_as_an_exception(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        processor = made.pipeline.processor
        for wrong in (None, 7, object()):
            processor.on_start(wrong)  # type: ignore[arg-type]
            processor.on_end(wrong)  # type: ignore[arg-type]
            made.pipeline.emit_log(wrong)  # type: ignore[arg-type]
        made.record()
        assert made.pipeline.flush()
        assert ended(sink) == ["step 0"]
        assert made.pipeline.stats().dropped_by_reason == {"not_encodable": 9}


def test_memory_is_bounded_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with OtlpSink() as sink:
        sink.hanging = True
        # Where the folder should be is a file: nothing can be put on disk.
        with recording(sink.address, tmp_path / "file", queue_bytes_max=1 << 20) as made:
            made.record(200, text="x" * 20_000)
            assert made.pipeline.queue.held <= 1 << 20
            # By the queue, and on a busy machine by the folder that takes nothing: who was first is chance.
            dropped = made.pipeline.stats().dropped_by_reason
            assert set(dropped) <= {"queue_full", "spill_failed"} and 120 < sum(dropped.values()) < 200
            made.record(200, text="x" * 20_000)
            assert made.pipeline.queue.held <= 1 << 20
            sink.hanging = False
            until(lambda: made.pipeline.flush(1.0))
            stats = made.pipeline.stats()
            assert stats.sent + stats.dropped == 400
            until(lambda: made.pipeline.queue.held == 0)


def test_a_mask_is_applied_before_anything_leaves_or_reaches_the_disk(tmp_path: Path) -> None:
    def mask(text: str) -> str:
        if "bad" in text:
            raise ValueError(text)
        return text.replace("hunter2", "***")

    with OtlpSink() as sink:
        sink.status = 503
        with recording(sink.address, tmp_path, mask=mask) as made:
            made.record(password="hunter2", other="bad hunter2")
            made.pipeline.emit_log(LogEntry(time_ns=1, body="hunter2 said"))
            assert not made.pipeline.flush(2)
            assert made.pipeline.stats().spill_files
            sink.status = 200
            until(lambda: made.pipeline.flush(1.0))
        values = {a["key"]: a["value"] for a in sink.spans()[0]["attributes"]}
        assert values["password"] == {"stringValue": "***"}
        assert values["other"] == {"stringValue": "[masking failed]"}
        assert log_records(sink)[0]["body"] == {"stringValue": "*** said"}
        assert all(b"hunter2" not in request.body for request in sink.requests)


@pytest.mark.parametrize("gives", [None, 3, b"bytes"])
def test_a_mask_that_gives_no_text_lets_nothing_through(tmp_path: Path, gives: Any) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path, mask=lambda _: gives) as made:
        made.record(password="hunter2")
        assert made.pipeline.flush()
        values = {a["key"]: a["value"] for a in sink.spans()[0]["attributes"]}
        assert values["password"] == {"stringValue": "[masking failed]"}


def test_groups_of_guard_rules_mask_by_name(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path, mask=("secrets", "personal")) as made:
        made.record(text="write to anna@example.org")
        assert made.pipeline.flush()
        assert b"[masked: email]" in sink.requests[0].body
    with pytest.raises(BadRequest):
        Made("http://127.0.0.1:1", tmp_path, mask=("nonsense",))


def test_a_running_span_is_shown_early_and_again_when_it_changes(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path, heartbeat_interval_s=0.1) as made:
        with made.tracer.start_as_current_span("long") as span:
            span.set_attribute("gen_ai.agent.name", "refunds")
            span.set_attribute("long text", "x" * 100_000)
            until(lambda: len(sink.spans()) == 1)
            span.set_attribute("gen_ai.input.messages", "[]")
            span.add_event(names.STATE_EVENT, {names.STATE_TO: "waiting"})
            until(lambda: len(sink.spans()) == 2)
            until(lambda: any("waiting" in r["body"]["stringValue"] for r in log_records(sink, names.HEARTBEAT_EVENT)))
        assert made.pipeline.flush()
        first, second, last = sink.spans()
        assert first["spanId"] == second["spanId"] == last["spanId"]
        running = [{a["key"]: a["value"] for a in copy["attributes"]} for copy in (first, second, last)]
        assert [names.RUNNING in values for values in running] == [True, True, False]
        assert "endTimeUnixNano" not in first and "endTimeUnixNano" in last
        assert running[0]["gen_ai.agent.name"] == {"stringValue": "refunds"}
        assert len(running[0]["long text"]["stringValue"]) < 20_000
        assert len(running[2]["long text"]["stringValue"]) == 100_000
        beat = json.loads(log_records(sink, names.HEARTBEAT_EVENT)[-1]["body"]["stringValue"])
        assert beat["instance"] == made.pipeline.instance
        (open_span,) = beat["open"]
        assert (open_span["span_id"], open_span["name"], open_span["state"]) == (last["spanId"], "long", "waiting")
        # The copies are not counted: one span was recorded.
        assert made.pipeline.stats().sent == 1


def test_a_span_that_ends_in_time_is_sent_once(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        made.record(500)
        assert made.pipeline.flush()
        assert len(sink.spans()) == 500


def test_a_span_that_the_program_forgets_does_not_stay_open_for_ever(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        span = made.tracer.start_span("forgotten")
        assert len(made.pipeline.open) == 1
        del span
        until(lambda: len(made.pipeline.open) == 0)


def test_goodbye_is_said_at_the_end_and_names_what_is_still_open(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        made = Made(sink.address, tmp_path)
        span = made.tracer.start_span("open")
        made.pipeline.close()
        (goodbye,) = log_records(sink, names.GOODBYE_EVENT)
        assert [s["name"] for s in json.loads(goodbye["body"]["stringValue"])["open"]] == ["open"]
        assert [s["name"] for s in sink.spans()] == ["open"]
        span.end()
        assert made.pipeline.stats().dropped_by_reason == {"closed": 1}


def test_unsampled_spans_are_not_sent(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        provider = TracerProvider(sampler=sampling.ALWAYS_OFF, shutdown_on_exit=False)
        provider.add_span_processor(made.pipeline.processor)
        provider.get_tracer("x").start_span("unsampled").end()
        made.record()
        assert made.pipeline.flush()
        assert ended(sink) == ["step 0"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_it_names(tmp_path: Path, status: int) -> None:
    with OtlpSink() as sink:
        sink.status, sink.retry_after_s = status, 300
        with recording(sink.address, tmp_path) as made:
            made.record(5)
            assert not made.pipeline.flush(2)
            tries = made.pipeline._delivery.attempts
            assert made.pipeline._delivery._retry_at - time.monotonic() > 250
            sink.status = 200
            made.record(5, name="later")
            until(lambda: made.pipeline.stats().spilled == 10)
            assert made.pipeline._delivery.attempts == tries, "it did not wait"
            # An explicit flush is somebody asking for it.
            until(lambda: made.pipeline.flush(1.0))
            assert ended(sink) == [*(f"step {n}" for n in range(5)), *(f"later {n}" for n in range(5))]
            assert made.pipeline.stats().delivered_from_spill == 10


def test_a_body_that_is_too_large_for_the_server_is_halved_until_it_fits(tmp_path: Path) -> None:
    with PickySink(largest=20_000) as sink, recording(sink.address, tmp_path) as made:
        made.record(30, text="x" * 3_000)
        until(lambda: made.pipeline.flush(1.0))
        assert len(ended(sink)) == 30
        assert sink.refused
        assert made.pipeline.stats().dropped == 0
        # Learnt: what follows is cut to fit from the start, or nearly.
        before = len(sink.refused)
        made.record(30, text="x" * 3_000)
        until(lambda: made.pipeline.flush(1.0))
        assert len(ended(sink)) == 60
        assert len(sink.refused) - before <= before


def test_one_span_that_never_fits_is_set_aside_with_the_reason_and_the_others_arrive(tmp_path: Path) -> None:
    with PickySink(largest=20_000) as sink, recording(sink.address, tmp_path) as made:
        made.record(2, text="x" * 3_000)
        made.record(1, name="huge", text="x" * 50_000)
        made.record(2, name="after", text="x" * 3_000)
        until(lambda: made.pipeline.flush(1.0))
        assert ended(sink) == ["step 0", "step 1", "after 0", "after 1"]
        assert made.pipeline.stats().dropped_by_reason == {"refused": 1}
        (reason,) = made.pipeline._delivery.spill.folder.glob("refused/*.json")
        assert "413" in json.loads(reason.read_text())["reason"]


def test_what_the_server_calls_wrong_is_kept_with_the_reason_and_not_sent_again(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        sink.status = 400
        made.record(3)
        until(lambda: made.pipeline.flush(1.0))
        sink.status = 200
        made.record(1, name="after")
        assert made.pipeline.flush()
        assert ended(sink) == ["after 0"]
        assert made.pipeline.stats().dropped_by_reason == {"refused": 3}
        refused = made.pipeline._delivery.spill.folder / "refused"
        assert len(list(refused.glob("*.otlp.gz"))) == 1
        assert "400" in json.loads(next(refused.glob("*.json")).read_text())["reason"]


def test_a_wrong_key_loses_nothing_and_is_said_once_with_the_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        sink.status = 401
        with caplog.at_level(logging.WARNING, "pilothouse"):
            for number in range(4):
                made.record(2, name=f"round {number}")
                assert not made.pipeline.flush(2)
        (line,) = [record.getMessage() for record in caplog.records]
        assert "401" in line and "PILOTHOUSE_API_KEY" in line
        sink.status = 200
        until(lambda: made.pipeline.flush(1.0))
        assert len(ended(sink)) == 8
        assert made.pipeline.stats().dropped == 0


def test_what_the_server_rejects_within_a_request_is_counted(tmp_path: Path) -> None:
    assert judge(200, b"\x0a\x04\x08\x03\x12\x00", "").rejected == 3
    assert judge(200, b"", "").rejected == judge(200, b'{"partialSuccess": {}}', "").rejected == 0
    assert judge(200, b'{"partialSuccess": {"rejectedLogRecords": "2"}}', "").rejected == 2
    assert judge(401, b'{"error": {"message": "no such key"}}', "").reason == "HTTP 401: no such key"
    assert judge(400, b"{[", "").reason == "HTTP 400: {["


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "taken"), (204, "taken"), (301, "unwelcome"), (400, "refused"), (401, "unwelcome"), (403, "unwelcome"),
     (404, "unwelcome"), (408, "later"), (413, "too_large"), (415, "refused"), (422, "refused"), (429, "later"),
     (500, "later"), (502, "later"), (503, "later"), (504, "later")],
)  # fmt: skip
def test_each_status_has_one_meaning(status: int, verdict: str) -> None:
    assert judge(status, b"", "").verdict == verdict


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("", 0.0), ("soon", 0.0), ("-4", 0.0), ("nan", 0.0), ("1e99", 300.0),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2099 07:28:00 GMT", 300.0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_bounded(header: str, seconds: float) -> None:
    assert judge(503, b"", header).retry_after_s == seconds


def test_delivering_makes_no_spans_of_its_own(tmp_path: Path) -> None:
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value

    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        seen: list[object] = []
        post = made.pipeline._delivery._sender.post

        def spy(*given: Any) -> Any:
            seen.append(get_value(_SUPPRESS_INSTRUMENTATION_KEY))
            return post(*given)

        made.pipeline._delivery._sender.post = spy  # type: ignore[method-assign]
        made.record()
        assert made.pipeline.flush()
        assert set(seen) == {True}


def test_many_threads_record_at_once_and_all_arrives(tmp_path: Path) -> None:
    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        threads = [threading.Thread(target=made.record, args=(300, f"thread {n}")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made.pipeline.flush()
        assert len(set(ended(sink))) == 2_400
        assert made.pipeline.queue.held == 0


def test_a_link_to_another_trace_keeps_its_ids(tmp_path: Path) -> None:
    from opentelemetry.trace import Link

    with OtlpSink() as sink, recording(sink.address, tmp_path) as made:
        made.tracer.start_span("x", links=[Link(SpanContext(7, 8, True, TraceFlags(1)))]).end()
        assert made.pipeline.flush()
        assert sink.spans()[0]["links"][0]["traceId"] == f"{7:032x}"


class TestSettings:
    """What the environment says, and what a caller says instead."""

    def test_the_defaults_are_the_server_of_this_machine(self, tmp_path: Path) -> None:
        found = read_settings(variables={"PILOTHOUSE_DATA": str(tmp_path)})
        assert (found.endpoint, found.key, found.local_data) == ("http://127.0.0.1:4318", "", tmp_path)
        assert found.spill_dir == tmp_path / "spill"

    def test_standard_variables_serve_where_ours_are_silent(self, tmp_path: Path) -> None:
        standard = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example/otlp/",
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20x, bad",
            "OTEL_SERVICE_NAME": "svc",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,service.version=3",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        found = read_settings(variables=standard)
        assert (found.endpoint, found.headers) == ("https://c.example/otlp", (("authorization", "Bearer x"),))
        assert (found.service, found.environment, found.version, found.compression) == ("svc", "prod", "3", "none")
        ours = read_settings(variables=standard | {"PILOTHOUSE_URL": "http://a:1", "PILOTHOUSE_API_KEY": "k"})
        assert (ours.endpoint, ours.key, ours.headers) == ("http://a:1", "k", ())

    def test_a_wrong_variable_never_keeps_an_agent_from_starting(self, caplog: pytest.LogCaptureFixture) -> None:
        wrong = {
            "PILOTHOUSE_FLUSH_INTERVAL_S": "soon",
            "PILOTHOUSE_URL": "nonsense",
            "PILOTHOUSE_SPILL_BYTES_MAX": "-1",
        }
        found = read_settings(variables=wrong)
        assert (found.flush_interval_s, found.spill_bytes_max) == (0.5, 512 << 20)
        assert found.endpoint.startswith("http://127.0.0.1")
        assert len(caplog.records) == 3

    def test_a_wrong_argument_is_a_mistake_in_the_program(self) -> None:
        with pytest.raises(BadRequest):
            read_settings(endpoint="localhost:4318")
        with pytest.raises(BadRequest):
            read_settings(flush_interval_s=0)
        with pytest.raises(BadRequest):
            read_settings(compression="zip")

    def test_no_key_is_ever_shown(self) -> None:
        found = read_settings(endpoint="http://a:1", key="ph_secret", variables={})
        assert "ph_secret" not in repr(found) + repr(found.destination)


class PickySink(OtlpSink):
    """Answers 413 to bodies over a size, and remembers their sizes."""

    def __init__(self, *, largest: int) -> None:
        super().__init__()
        self.refused: list[int] = []
        inner = self._handler

        class Handler(inner):  # type: ignore[misc, valid-type]
            def do_POST(handler) -> None:
                size = int(handler.headers["Content-Length"])
                if size > largest:
                    handler.read_body()
                    self.refused.append(size)
                    return handler.send_json(413, {"message": "too large"})
                return super().do_POST()

        self._handler = Handler
