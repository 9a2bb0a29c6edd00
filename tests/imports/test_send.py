"""A server that is busy is waited for, one that refuses is told of, one that lets nobody in ends the import."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pilothouse.imports.encode import Labels
from pilothouse.imports.send import Outbox
from pilothouse.imports.trajectory import Scored, Step
from pilothouse.otlp.destination import Destination
from pilothouse.records import NotAllowed, Unreachable
from tests.cli.stub import Answer, Stub, stub_server

LABELS = Labels(format="atif")


def step(number: int, text: str = "") -> Step:
    return Step(trace="t", id=str(number), kind="model", start_ns=1, end_ns=2, input_value=text)


def outbox(stub: Stub, sleep: Callable[[float], None] = lambda _: None, size: int = 4_000) -> Outbox:
    return Outbox(Destination(endpoint=stub.url, key="k"), LABELS, sleep=sleep, request_bytes=size)


def posts(stub: Stub) -> list[str]:
    return [path for method, path, _, _ in stub.requests if method == "POST"]


def test_spans_go_out_in_requests_of_a_bounded_size() -> None:
    with stub_server() as stub:
        box = outbox(stub)
        for number in range(20):
            box.step(step(number, "x" * 1_000), "svc")
        box.score(Scored(trace="t", name="n", value=1.0, time_ns=1))
        box.flush()
        assert len(posts(stub)) > 5 and posts(stub)[-1].endswith("/v1/logs")
        assert all(len(body) < 6_000 for _, _, _, body in stub.requests)
        assert (box.sent.spans, box.sent.scores, box.sent.refused) == (20, 1, [])


def test_a_busy_server_is_asked_again_and_nothing_is_lost() -> None:
    with stub_server() as stub:
        stub.answers["/v1/traces"] = Answer(status=503, headers={"Retry-After": "7"})
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                stub.answers["/v1/traces"] = Answer()

        box = outbox(stub, wait)
        box.step(step(1), "svc")
        box.flush()
        assert waits == [7.0, 14.0, 15.0]
        assert len(posts(stub)) == 4 and box.sent.refused == []


def test_a_server_that_stays_away_ends_the_import() -> None:
    with stub_server() as stub:
        stub.answers["/v1/traces"] = Answer(status=503)
        waits: list[float] = []
        box = outbox(stub, waits.append)
        box.step(step(1), "svc")
        with pytest.raises(Unreachable, match="takes nothing"):
            box.flush()
        assert 100 < sum(waits) < 200


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_may_not_write_ends_the_import(status: int) -> None:
    with stub_server() as stub:
        stub.answers["/v1/traces"] = Answer(status=status, body={"error": {"message": "this key may read"}})
        box = outbox(stub)
        box.step(step(1), "svc")
        with pytest.raises(NotAllowed, match="this key may read"):
            box.flush()


@pytest.mark.parametrize("status", [400, 413])
def test_a_request_that_is_refused_is_told_of_and_the_next_goes_on(status: int) -> None:
    with stub_server() as stub:
        stub.answers["/v1/traces"] = Answer(status=status)
        box = outbox(stub)
        box.step(step(1, "x" * 3_000), "svc")
        box.step(step(2, "x" * 3_000), "svc")
        box.flush()
        assert [reason.startswith(f"1 traces: HTTP {status}") for reason in box.sent.refused] == [True, True]


def test_refused_spans_of_a_request_are_counted() -> None:
    with stub_server() as stub:
        stub.answers["/v1/traces"] = Answer(body={"partialSuccess": {"rejectedSpans": "1"}})
        box = outbox(stub)
        box.step(step(1), "svc")
        box.flush()
        assert box.sent.refused == ["1 of 1 traces were refused by the server"]


def test_a_dry_run_counts_and_sends_nothing() -> None:
    box = Outbox(None, LABELS)
    box.step(step(1), "svc")
    box.flush()
    box.close()
    assert (box.sent.spans, box.sent.requests) == (1, 0)
