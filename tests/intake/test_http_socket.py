"""OTLP/HTTP on a real socket: bombs, slow senders, and senders that leave."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from pilothouse.intake import Settings
from pilothouse.intake.http import routes
from tests.intake.otlp_requests import KEY, PROTOBUF, Running, running, traces

HEADERS = {"content-type": PROTOBUF, "authorization": f"Bearer {KEY}"}
PARSERS = ["httptools", "h11"]


@asynccontextmanager
async def serving(folder: Path, settings: Settings | None = None, parser: Any = "httptools") -> AsyncIterator[Any]:
    """A running intake, and the port uvicorn serves it on."""
    async with running(folder, settings) as found:
        config = uvicorn.Config(
            Starlette(routes=routes(found.intake)), host="127.0.0.1", port=0, http=parser, log_level="error"
        )
        server = uvicorn.Server(config)
        serving_task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield found, server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            await serving_task


async def post(port: int, body: Any, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        sent = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.post(f"http://127.0.0.1:{port}/v1/traces", content=body, headers=sent)


async def refused_reason(found: Running, reason: str) -> None:
    """Wait until a refusal is counted."""
    async with asyncio.timeout(10):
        while reason not in found.counters.snapshot().refused_by_reason:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("parser", PARSERS)
def test_a_request_is_stored_and_answered(tmp_path, parser):
    async def run() -> None:
        async with serving(tmp_path, parser=parser) as (found, port):
            response = await post(port, traces({"name": "a"}).SerializeToString())
            assert (response.status_code, response.content) == (200, b"")
            assert found.names() == ["a"]

    asyncio.run(run())


@pytest.mark.parametrize("parser", PARSERS)
def test_a_bomb_is_refused_and_the_server_stays_up(tmp_path, parser):
    async def run() -> None:
        async with serving(tmp_path, parser=parser) as (found, port):
            bomb = gzip.compress(bytes(200 << 20), 9)
            done = await asyncio.gather(*(post(port, bomb, content_encoding="gzip") for _ in range(4)))
            assert {response.status_code for response in done} == {413}
            assert (await post(port, traces({}).SerializeToString())).status_code == 200
            assert found.intake.load.in_flight_bytes == 0

    asyncio.run(run())


@pytest.mark.parametrize("parser", PARSERS)
def test_an_endless_body_is_cut_off_at_the_limit(tmp_path, parser):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    async def run() -> None:
        async with serving(tmp_path, Settings(body_bytes_max=1 << 20), parser) as (found, port):
            # The server closes the connection; the sender sees the answer or a broken pipe, as the timing has it.
            with suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
                assert (await post(port, endless())).status_code == 413
            await refused_reason(found, "too_large")
            assert (await post(port, traces({}).SerializeToString())).status_code == 200

    asyncio.run(run())


def test_a_slow_body_is_refused_and_holds_up_nobody(tmp_path):
    async def run() -> None:
        async with serving(tmp_path, Settings(body_seconds_max=0.2)) as (found, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
            writer.write(f"POST /v1/traces HTTP/1.1\r\nhost: x\r\n{head}content-length: 1000\r\n\r\nabc".encode())
            await writer.drain()
            assert (await post(port, traces({}).SerializeToString())).status_code == 200
            status = await reader.readline()
            assert b" 408 " in status
            writer.close()
            await refused_reason(found, "too_slow")
            assert found.intake.load.in_flight_bytes == 0

    asyncio.run(run())


def test_a_sender_that_leaves_half_way_stores_nothing_and_is_counted(tmp_path):
    async def run() -> None:
        async with serving(tmp_path) as (found, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
            writer.write(f"POST /v1/traces HTTP/1.1\r\nhost: x\r\n{head}content-length: 1000\r\n\r\nabc".encode())
            await writer.drain()
            writer.close()
            await refused_reason(found, "disconnected")
            assert len(found.stored()) == 0
            assert found.intake.load.in_flight_bytes == 0

    asyncio.run(run())


def test_a_body_without_a_declared_length_is_taken(tmp_path):
    async def pieces() -> AsyncIterator[bytes]:
        whole = traces({"name": "chunked"}).SerializeToString()
        for at in range(0, len(whole), 7):
            yield whole[at : at + 7]

    async def run() -> None:
        async with serving(tmp_path) as (found, port):
            assert (await post(port, pieces())).status_code == 200
            assert found.names() == ["chunked"]

    asyncio.run(run())


def test_refusals_keep_the_connection_usable(tmp_path):
    async def run() -> None:
        async with (
            serving(tmp_path) as (_found, port),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            for _ in range(3):
                refused = await client.post("/v1/traces", content=b"x" * 10_000, headers={"content-type": PROTOBUF})
                assert refused.status_code == 401
                bad = await client.post(
                    "/v1/traces", content=b"{", headers=HEADERS | {"content-type": "application/json"}
                )
                assert bad.status_code == 400
                assert json.loads(bad.content)["code"] == 3

    asyncio.run(run())
