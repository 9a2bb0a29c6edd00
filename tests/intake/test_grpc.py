"""OTLP over gRPC, with the genuine stubs on a real socket."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from pilothouse.intake import Settings, decode
from pilothouse.intake.grpc import GrpcServer
from pilothouse.records import Unreachable
from tests.intake.faulty_disk import FaultyDisk
from tests.intake.otlp_requests import KEY, Running, logs, metrics, running, spans, traces

METADATA = (("authorization", f"Bearer {KEY}"),)


@asynccontextmanager
async def serving(folder: Path, settings: Settings | None = None, **options: Any) -> AsyncIterator[tuple[Running, Any]]:
    """A running intake, and a channel to its gRPC server."""
    async with running(folder, settings, **options) as found:
        server = GrpcServer(found.intake, "127.0.0.1", 0)
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                yield found, channel
        finally:
            await server.stop(0)


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def retry_seconds(error: grpc.aio.AioRpcError) -> int | None:
    """What the RetryInfo in the error's details says, read back by hand."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    marker = b"google.rpc.RetryInfo\x12\x04\x0a\x02\x08"
    at = details.find(marker)
    return None if at < 0 else details[at + len(marker)]


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_all_three_signals_are_stored(tmp_path, compression):
    async def run() -> None:
        async with serving(tmp_path) as (found, channel):
            request, scope = metrics()
            scope.metrics.add(name="m").gauge.data_points.add(as_int=1)
            for stub, message in (
                (TraceServiceStub(channel), traces({"name": "span"})),
                (LogsServiceStub(channel), logs({"body": "log"})),
                (MetricsServiceStub(channel), request),
            ):
                answer = await stub.Export(message, metadata=METADATA, compression=compression)
                assert not answer.HasField("partial_success")
            records = [entry.record for entry in found.stored()]
            assert [one.signal for one in records] == ["traces", "logs", "metrics"]
            assert {one.project_id for one in records} == {"project"}
            assert decode("logs", records[1].content_type, records[1].encoding, records[1].body).logs[0].body == "log"

    asyncio.run(run())


def test_partial_success_names_the_refused(tmp_path):
    async def run() -> None:
        async with serving(tmp_path) as (found, channel):
            answer = await TraceServiceStub(channel).Export(traces({"name": "a"}, {"span_id": b""}), metadata=METADATA)
            assert answer.partial_success.rejected_spans == 1
            assert "span id is missing" in answer.partial_success.error_message
            assert found.names() == ["a"]

    asyncio.run(run())


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("x-api-key", "wrong"),)])
def test_a_bad_key_is_unauthenticated_and_counted(tmp_path, metadata):
    async def run() -> None:
        async with serving(tmp_path) as (found, channel):
            error = await refused(TraceServiceStub(channel).Export(traces({}), metadata=metadata))
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            assert retry_seconds(error) is None
            (row,) = found.counters.snapshot().refused
            assert (row.reason, row.remote) == ("not_allowed", "127.0.0.1")

    asyncio.run(run())


def test_the_key_may_come_as_x_api_key(tmp_path):
    async def run() -> None:
        async with serving(tmp_path) as (found, channel):
            await TraceServiceStub(channel).Export(traces({"name": "a"}), metadata=(("x-api-key", KEY),))
            assert found.names() == ["a"]

    asyncio.run(run())


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_resource_exhausted_and_counted(tmp_path, compression):
    async def run() -> None:
        async with serving(tmp_path, Settings(body_bytes_max=100_000)) as (found, channel):
            request = traces({"attributes": {"big": "x" * 5_000_000}})
            stub = TraceServiceStub(channel)
            error = await refused(stub.Export(request, metadata=METADATA, compression=compression))
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            async with asyncio.timeout(10):
                while not found.counters.snapshot().refused:
                    await asyncio.sleep(0.01)
            assert found.counters.snapshot().refused_by_reason == {"too_large": 1}
            assert not found.counters.snapshot().accepted
            await stub.Export(traces({"name": "small"}), metadata=METADATA)
            assert found.names() == ["small"]

    asyncio.run(run())


def test_backpressure_is_resource_exhausted_with_retry_info(tmp_path):
    async def run() -> None:
        async with serving(tmp_path, Settings(in_flight_bytes_max=10, retry_after_s=9)) as (_found, channel):
            error = await refused(TraceServiceStub(channel).Export(traces({}), metadata=METADATA))
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert retry_seconds(error) == 9

    asyncio.run(run())


def test_a_full_disk_is_unavailable_with_retry_info(tmp_path):
    disk = FaultyDisk()

    async def run() -> None:
        async with serving(tmp_path, disk=disk) as (found, channel):
            stub = TraceServiceStub(channel)
            disk.write_error = errno.ENOSPC
            error = await refused(stub.Export(traces({}), metadata=METADATA))
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            assert retry_seconds(error) == 5
            assert "disk is full" in str(error.details())
            disk.write_error = None
            await stub.Export(traces({"name": "after"}), metadata=METADATA)
            assert found.names() == ["after"]

    asyncio.run(run())


def test_bytes_that_are_no_request_are_invalid_argument(tmp_path):
    async def run() -> None:
        async with serving(tmp_path) as (_found, channel):
            call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            error = await refused(call(b"\x0a\xff", metadata=METADATA))
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "cut off" in str(error.details())

    asyncio.run(run())


def test_an_empty_message_is_an_empty_request(tmp_path):
    async def run() -> None:
        async with serving(tmp_path) as (found, channel):
            await TraceServiceStub(channel).Export(traces().__class__(), metadata=METADATA)
            assert len(found.stored()) == 0

    asyncio.run(run())


def test_many_calls_at_once_are_all_stored(tmp_path):
    async def run() -> None:
        async with serving(tmp_path) as (found, channel):
            stub = TraceServiceStub(channel)
            calls = (stub.Export(traces(*spans(5)), metadata=METADATA) for _ in range(100))
            await asyncio.gather(*calls)
            assert len(found.names()) == 500

    asyncio.run(run())


def test_a_port_that_is_taken_is_said_so(tmp_path):
    async def run() -> None:
        async with running(tmp_path) as found:
            first = GrpcServer(found.intake, "127.0.0.1", 0)
            await first.start()
            with pytest.raises(Unreachable, match=str(first.port)):
                await GrpcServer(found.intake, "127.0.0.1", first.port).start()
            await first.stop(0)

    asyncio.run(run())
