"""The receiver: keys, backpressure, full disks, and every refusal counted where somebody can see it."""

from __future__ import annotations

import asyncio
import base64
import errno
import gzip
import logging
import threading
from typing import Any

import pytest

from pilothouse.intake import Intake, Journal, Settings
from pilothouse.intake.counters import KEYS_MAX, Counters
from pilothouse.intake.credentials import token
from pilothouse.records import BadRequest, Forbidden, NotAllowed
from tests.intake.faulty_disk import FaultyDisk
from tests.intake.otlp_requests import JSON, KEY, PROTOBUF, json_span, json_traces, running, spans, traces

BODY = traces({"name": "sound"}).SerializeToString()


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


# ── keys ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer   k "}, "k"),
        ({"x-api-key": "k"}, "k"),
        ({"authorization": basic("public", "k")}, "k"),
        ({"authorization": basic("k", "")}, "k"),
        ({"authorization": "Basic ???", "x-api-key": "k"}, "k"),
        ({"authorization": "Basic ???"}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer ", "x-api-key": "k"}, "k"),
        ({"authorization": "Digest x"}, None),
        ({"x-api-key": " "}, None),
    ],
)
def test_the_key_is_found_in_every_header_it_may_come_in(headers, expected):
    assert token(headers) == expected


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"authorization": basic("pk-public", KEY)}]
)
def test_a_good_key_is_taken_in_any_of_them(tmp_path, headers):
    async def run() -> None:
        async with running(tmp_path) as found:
            response = await found.client.post(
                "/api/public/otel/v1/traces", content=BODY, headers={"content-type": PROTOBUF, **headers}
            )
            assert response.status_code == 200
            assert found.names() == ["sound"]
            (entry,) = found.stored()
            assert entry.record.project_id == "project"

    asyncio.run(run())


def test_a_bad_key_is_401_on_every_signal_and_counted_with_its_sender(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            for signal in ("traces", "logs", "metrics"):
                for headers in ({}, {"authorization": "Bearer wrong"}):
                    response = await found.client.post(
                        f"/v1/{signal}", content=BODY, headers={"content-type": PROTOBUF, **headers}
                    )
                    assert response.status_code == 401
                    assert response.headers["www-authenticate"] == "Bearer"
                    assert b"key is missing or wrong" in response.content
            counted = found.counters.snapshot()
            assert counted.refused_by_reason == {"not_allowed": 6}
            assert {row.remote for row in counted.refused} == {"127.0.0.1"}
            assert all(row.status == 401 and row.last_ns and row.last_message for row in counted.refused)
            assert len(found.stored()) == 0

    asyncio.run(run())


def test_a_key_that_may_not_write_is_403(tmp_path):
    def authorise(key: str | None) -> str:
        raise Forbidden("this key may only read")

    async def run() -> None:
        async with running(tmp_path, authorise=authorise) as found:
            assert (await found.post(BODY)).status_code == 403

    asyncio.run(run())


def test_authorisation_may_be_awaited(tmp_path):
    async def authorise(key: str | None) -> str:
        await asyncio.sleep(0)
        return f"project of {key}"

    async def run() -> None:
        async with running(tmp_path, authorise=authorise) as found:
            assert (await found.post(BODY)).status_code == 200
            (entry,) = found.stored()
            assert entry.record.project_id == f"project of {KEY}"

    asyncio.run(run())


def test_without_a_good_key_the_body_is_not_read(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:

            async def body() -> Any:
                raise AssertionError("the body was read")
                yield b""

            answer = await found.intake.receive("traces", {"content-type": PROTOBUF}, body(), "10.0.0.1")
            assert answer.status == 401

    asyncio.run(run())


# ── what a sender is told ────────────────────────────────────────────────────


def test_an_error_for_a_json_sender_is_json(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            response = await found.post(b"{", content_type=JSON)
            assert response.status_code == 400
            assert response.json()["code"] == 3
            assert "not JSON" in response.json()["message"]

    asyncio.run(run())


def test_the_body_is_journaled_as_received(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            packed = gzip.compress(json_traces(json_span()))
            assert (await found.post(packed, content_type=f"{JSON}; charset=utf-8", content_encoding="gzip")).is_success
            (entry,) = found.stored()
            assert entry.record.body == packed
            assert (entry.record.signal, entry.record.encoding) == ("traces", "gzip")
            assert entry.record.content_type == f"{JSON}; charset=utf-8"
            assert entry.record.received_ns > 0

    asyncio.run(run())


@pytest.mark.parametrize("count", [1, 3000])
def test_small_bodies_are_checked_on_the_loop_and_large_ones_in_a_thread(tmp_path, count, monkeypatch):
    from pilothouse.intake import receive

    threads: set[str] = set()
    validate = receive.validate

    def watched(*args: Any, **options: Any) -> Any:
        threads.add(threading.current_thread().name)
        return validate(*args, **options)

    monkeypatch.setattr(receive, "validate", watched)

    async def run() -> None:
        async with running(tmp_path) as found:
            assert (await found.post(traces(*spans(count)).SerializeToString())).status_code == 200

    asyncio.run(run())
    assert any(name.startswith("intake-check") for name in threads) == (count > 1)


def test_a_small_bomb_is_inflated_in_a_thread_and_may_still_be_sound(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            packed = gzip.compress(traces({"attributes": {"big": "x" * 3_000_000}}).SerializeToString())
            assert len(packed) < found.intake.settings.inline_bytes_max
            assert (await found.post(packed, content_encoding="gzip")).status_code == 200

    asyncio.run(run())


def test_a_defect_is_a_500_that_is_counted_and_logged(tmp_path, caplog):
    def authorise(key: str | None) -> str:
        raise ZeroDivisionError

    async def run() -> None:
        async with running(tmp_path, authorise=authorise) as found:
            response = await found.post(BODY)
            assert response.status_code == 500
            assert found.counters.snapshot().refused_by_reason == {"bug": 1}

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "ZeroDivisionError" in caplog.text


def test_only_posts_are_answered_and_browsers_get_nothing_unless_configured(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            assert (await found.client.get("/v1/traces")).status_code == 405
            response = await found.post(BODY, origin="https://app.example")
            assert "access-control-allow-origin" not in response.headers
            assert (await found.client.options("/v1/traces")).status_code == 405

    asyncio.run(run())


def test_configured_origins_may_post_from_a_browser(tmp_path):
    async def run() -> None:
        async with running(tmp_path, Settings(cors_origins=("https://app.example",))) as found:
            headers = {"origin": "https://app.example", "access-control-request-method": "POST"}
            preflight = await found.client.options("/v1/traces", headers=headers)
            assert preflight.status_code == 204
            assert "authorization" in preflight.headers["access-control-allow-headers"]
            response = await found.post(BODY, origin="https://app.example")
            assert response.headers["access-control-allow-origin"] == "https://app.example"
            other = await found.post(BODY, origin="https://evil.example")
            assert "access-control-allow-origin" not in other.headers

    asyncio.run(run())


# ── backpressure ─────────────────────────────────────────────────────────────


def test_too_many_bytes_in_flight_are_429_with_retry_after_and_room_comes_back(tmp_path):
    settings = Settings(in_flight_bytes_max=100_000, retry_after_s=7)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        yield bytes(90_000)
        begun.set()
        await go_on.wait()

    async def run() -> None:
        async with running(tmp_path, settings) as found:
            first = asyncio.create_task(found.post(slow()))
            await begun.wait()
            assert found.intake.load.in_flight_bytes == 90_000
            refused = await found.post(bytes(20_000))
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
            streamed = await found.post(piece async for piece in pieces(20_000))
            assert streamed.status_code == 429
            go_on.set()
            assert (await first).status_code == 400
            assert found.intake.load.in_flight_bytes == 0
            assert (await found.post(BODY)).status_code == 200
            assert found.counters.snapshot().refused_by_reason["overloaded"] == 2

    async def pieces(size: int) -> Any:
        yield bytes(size)

    asyncio.run(run())


def test_a_backlog_over_the_bound_is_503_with_retry_after_until_it_is_consumed(tmp_path):
    backlog = 2000
    settings = Settings(backlog_bytes_max=1000, probe_seconds=0.01)

    async def run() -> None:
        nonlocal backlog
        async with running(tmp_path, settings, backlog=lambda: backlog) as found:
            refused = await found.post(BODY)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert b"wait in the journal" in refused.content
            backlog = 0
            async with asyncio.timeout(10):
                while (await found.post(BODY)).status_code != 200:
                    await asyncio.sleep(0.01)
            assert found.counters.snapshot().refused_by_reason["backlog_full"] >= 1

    asyncio.run(run())


def test_the_backlog_is_what_the_saved_checkpoint_does_not_cover(tmp_path):
    from pilothouse.intake import Checkpoint, JournalReader, backlog_bytes

    async def run() -> None:
        async with running(tmp_path) as found:
            await found.post(BODY)
            reader = JournalReader(found.root)
            assert backlog_bytes(found.root) == reader.pending(Checkpoint()) > len(BODY)
            reader.save(reader.read(reader.load()).after)
            assert backlog_bytes(found.root) == 0

    asyncio.run(run())


def test_free_disk_below_the_floor_is_503(tmp_path):
    async def run() -> None:
        async with running(tmp_path, Settings(disk_free_bytes_min=1 << 60)) as found:
            refused = await found.post(BODY)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert found.counters.snapshot().refused_by_reason == {"disk_low": 1}
            assert found.intake.load.disk_free_bytes > 0

    asyncio.run(run())


def test_a_full_disk_is_503_nothing_acknowledged_is_lost_and_it_recovers(tmp_path):
    disk = FaultyDisk()

    async def run() -> None:
        async with running(tmp_path, disk=disk) as found:
            assert (await found.post(traces({"name": "before"}).SerializeToString())).status_code == 200
            disk.write_error, disk.write_bytes_max = errno.ENOSPC, 20
            refused = await found.post(BODY)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert b"disk is full" in refused.content
            disk.write_error = disk.write_bytes_max = None
            assert (await found.post(traces({"name": "after"}).SerializeToString())).status_code == 200
            assert found.names() == ["before", "after"]
            assert found.counters.snapshot().refused_by_reason == {"disk_full": 1}

    asyncio.run(run())


def test_a_body_that_comes_too_slowly_is_408(tmp_path):
    async def slow() -> Any:
        yield b"\x0a"
        await asyncio.Event().wait()

    async def run() -> None:
        async with running(tmp_path, Settings(body_seconds_max=0.05)) as found:
            response = await found.post(slow())
            assert response.status_code == 408
            assert found.intake.load.in_flight_bytes == 0
            assert found.counters.snapshot().refused_by_reason == {"too_slow": 1}

    asyncio.run(run())


def test_before_start_and_after_stop_senders_are_told_to_come_back(tmp_path):
    async def run() -> None:
        intake = Intake(Journal(tmp_path / "r0"), lambda key: "p")
        for _ in range(2):
            answer = await intake.receive("traces", {"content-type": PROTOBUF}, BODY)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            await intake.start()
            await intake.stop()

    asyncio.run(run())


def test_many_senders_at_once_are_all_stored(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            bodies = [traces({"name": f"{number}"}).SerializeToString() for number in range(200)]
            done = await asyncio.gather(*(found.post(body) for body in bodies))
            assert {response.status_code for response in done} == {200}
            assert sorted(found.names(), key=int) == [f"{number}" for number in range(200)]

    asyncio.run(run())


# ── counters ─────────────────────────────────────────────────────────────────


def test_accepted_and_partly_refused_writes_are_counted_by_project_and_signal(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            await found.post(BODY)
            await found.post(traces({}, {"span_id": b"x"}).SerializeToString())
            (row,) = found.counters.snapshot().accepted
            assert (row.signal, row.project_id, row.requests) == ("traces", "project", 2)
            assert (row.items, row.items_refused) == (2, 1)
            assert "span id is 1 bytes long" in row.last_refusal

    asyncio.run(run())


def test_counters_stay_bounded_however_many_senders_there_are():
    counters = Counters()
    for number in range(KEYS_MAX + 50):
        counters.refuse(NotAllowed("no"), signal="traces", project_id="", remote=f"10.0.{number // 256}.{number % 256}")
    counters.refuse(BadRequest("no"), signal="traces", project_id="p", remote="10.9.9.9")
    snapshot = counters.snapshot()
    assert len(snapshot.refused) <= KEYS_MAX + 2
    assert snapshot.refused_by_reason == {"not_allowed": KEYS_MAX + 50, "bad_request": 1}
    assert snapshot.refused[0].remote == "other"
