"""HTTP on a caller's connection, byte by byte: what is for the gateway is answered at once, everything else is handed over."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from pilothouse.gateway.serving import CallerConnection, CallerExchange
from tests.live_server import LiveServer

from .chaos import Chaos
from .harness import KEY, Running, running_gateway

PATH = "/gateway/openai/v1/chat/completions"
BODY = json.dumps({"model": "good", "messages": [{"role": "user", "content": "hello?"}]}).encode()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with (
        Chaos() as upstream,
        running_gateway({"upstreams": {"main": {"wire": "openai", "url": upstream.url}}}) as running,
    ):
        yield running


class Caller:
    """One connection, whose answers are read one by one."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self._read = b""

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> bytes:
        """The next head."""
        while b"\r\n\r\n" not in self._read:
            data = self.socket.recv(65_536)
            assert data, f"closed within a head: {self._read!r}"
            self._read += data
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return head.lower()

    def answer(self) -> tuple[bytes, bytes]:
        """The next answer that has a length: its head and its body."""
        head = self.head()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(self._read) < length:
            data = self.socket.recv(65_536)
            assert data, "closed within an answer"
            self._read += data
        body, self._read = self._read[:length], self._read[length:]
        return head, body

    def closed(self) -> bool:
        """Whether nothing more comes but the end."""
        return not self._read and self.socket.recv(1) == b""


def request(*headers: str, body: bytes = BODY, path: str = PATH, key: str = KEY, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: here", f"Authorization: Bearer {key}", *headers]
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def good(answer: tuple[bytes, bytes]) -> bool:
    head, body = answer
    return head.startswith(b"http/1.1 200 ") and b"x-pilothouse-trace-id: " in head and b'"choices"' in body


def test_a_request_may_come_byte_by_byte_and_the_next_over_the_same_connection(gateway: Running) -> None:
    with Caller(gateway.url) as caller:
        caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request():
            caller.send(bytes([byte]))
        assert good(caller.answer())
        caller.send(request())
        assert good(caller.answer())


def test_requests_that_were_sent_ahead_are_answered_in_their_order(gateway: Running) -> None:
    with Caller(gateway.url) as caller:
        wrong = request(key="ph_not_a_key_of_the_tests")
        caller.send(request() + wrong + request())
        assert good(caller.answer())
        assert caller.answer()[0].startswith(b"http/1.1 401 ")
        assert good(caller.answer())


def test_what_is_not_for_the_gateway_behind_a_call_in_one_piece_is_asked_once_more(gateway: Running) -> None:
    with Caller(gateway.url) as caller:
        caller.send(request() + b"GET /elsewhere HTTP/1.1\r\nHost: here\r\n\r\n")
        head, body = caller.answer()
        assert good((head, body))
        assert b"connection: close" in head
        assert caller.closed()


@pytest.mark.parametrize("first", [True, False])
def test_other_addresses_are_served_over_a_connection_that_calls_of_models_use(
    live_server: LiveServer, first: bool
) -> None:
    elsewhere = b"GET /v1/nowhere-at-all HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    call = request(key="ph_not_a_key_of_the_tests")
    with Caller(live_server.url) as caller:
        if first:
            caller.send(elsewhere)
            assert caller.answer()[0].startswith(b"http/1.1 404 ")
        caller.send(call)
        assert caller.answer()[0].startswith(b"http/1.1 401 ")
        caller.send(elsewhere[:3])
        caller.send(elsewhere[3:])
        assert caller.answer()[0].startswith(b"http/1.1 404 ")
        caller.send(call)
        assert caller.answer()[0].startswith(b"http/1.1 401 ")


def test_who_waits_for_a_word_before_the_body_gets_it(gateway: Running) -> None:
    with Caller(gateway.url) as caller:
        whole = request("Expect: 100-continue")
        caller.send(whole[: -len(BODY)])
        assert caller.head().startswith(b"http/1.1 100 ")
        caller.send(BODY)
        assert good(caller.answer())


def test_a_body_in_chunks_and_one_that_does_not_fit_into_a_buffer_arrive_whole(gateway: Running) -> None:
    with Caller(gateway.url) as caller:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:])) + b"0\r\n\r\n"
        caller.send(request("Transfer-Encoding: chunked", body=chunks))
        assert good(caller.answer())
        large = json.dumps({"model": "good", "messages": [{"role": "user", "content": "word " * 200_000}]}).encode()
        caller.send(request(body=large))
        assert good(caller.answer())


@pytest.mark.parametrize("how", [{"headers": ("Connection: close",)}, {"version": "1.0"}])
def test_a_connection_is_closed_where_its_caller_wants_it(gateway: Running, how: dict[str, Any]) -> None:
    with Caller(gateway.url) as caller:
        caller.send(request(*how.get("headers", ()), version=how.get("version", "1.1")))
        head, body = caller.answer()
        assert good((head, body))
        assert b"connection: close" in head
        assert caller.closed()


def test_an_offer_of_another_protocol_is_left_aside(gateway: Running) -> None:
    with Caller(gateway.url) as caller:
        for _ in range(2):
            caller.send(request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"))
            assert good(caller.answer())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /gateway/openai/v1/models NOT-HTTP\r\n\r\n", b"400"),
        (b"GET /gateway/openai/v1/models HTTP/1.1\r\nX: " + b"x" * 300_000, b"431"),
        (request("Content-Length: 1", "Transfer-Encoding: chunked"), b"400"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(gateway: Running, sent: bytes, status: bytes) -> None:
    with Caller(gateway.url) as caller:
        caller.send(sent)
        assert caller.answer()[0].startswith(b"http/1.1 " + status)
        assert caller.closed()


def test_a_header_with_a_line_break_in_it_is_never_sent(gateway: Running) -> None:
    sent: list[bytes] = []

    async def answer() -> None:
        connection = CallerConnection(Config(gateway.gateway), ServerState(), {})
        connection.send = sent.append
        exchange = CallerExchange(connection, "POST", PATH, [], stays=True)
        for value in (b"a\r\nset-cookie: b", b"a\nb", b"a\0"):
            with pytest.raises(ValueError, match="line break"):
                await exchange.begin(200, [(b"x-request-id", value)])
        assert not sent
        with pytest.raises(ValueError, match="as long as"):
            await exchange.begin(200, [(b"content-length", b"3")])
            await exchange.write(b"four", more=False)

    asyncio.run(answer())
