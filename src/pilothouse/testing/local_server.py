"""A small HTTP server on a thread, for servers that tests and demos start and stop many times."""

import contextlib
import gzip
import json
import sys
import threading
import zlib
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

BODY_BYTES_MAX = 64 * 1024 * 1024
IDLE_TIMEOUT_S = 60.0


class BodyRefused(Exception):
    """The request's body cannot be read; carries the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LocalServer:
    """Owns one listening socket and the thread that serves it, from `start` (or `with`) to `close`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, host: str, port: int) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Address of the running server, such as http://127.0.0.1:40123."""
        if self._server is None:
            raise RuntimeError("the server is not running; use it in a with statement or call start first")
        return f"http://{self._host}:{self._server.server_address[1]}"

    @property
    def port(self) -> int:
        """Port of the running server."""
        return int(self.address.rpartition(":")[2])

    def start(self) -> Self:
        """Listen and serve; a second call changes nothing."""
        if self._server is not None:
            return self
        self._server = _Server((self._host, self._port), self._handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop listening; requests under way are left to end by themselves."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # A fleet of clients connects at once; the standard backlog of 5 would make some of them wait a second.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that went away, which is no news to a test; print anything else."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class LocalHandler(BaseHTTPRequestHandler):
    """Reads bodies and writes answers, whole or in chunks."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in separate writes, which Nagle's algorithm would hold back for 40 ms.
    disable_nagle_algorithm = True
    timeout = IDLE_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Keep standard error free for the tests."""

    def read_body(self) -> bytes:
        """Return the decoded body; raises BodyRefused for a body that is too large or wrongly encoded."""
        raw = (
            self._read_chunks()
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked"
            else self._read_sized()
        )
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        try:
            if encoding == "gzip":
                return gzip.decompress(raw)
            if encoding == "deflate":
                return zlib.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise BodyRefused(400, f"the body is not {encoding}") from error
        if encoding != "identity":
            raise BodyRefused(415, f"content encoding {encoding} is not supported; use gzip or deflate")
        return raw

    def send_body(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        """Send a JSON answer."""
        self.send_body(status, json.dumps(body).encode(), "application/json", headers)

    def send_stream(self, events: Iterable[str], headers: dict[str, str] | None = None) -> None:
        """Send server-sent events as they come; an error in the iterator breaks the connection, as it should look."""
        self.send_response(200)
        fixed = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
        for name, value in {**fixed, "Cache-Control": "no-cache", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        for event in events:
            data = event.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def break_off(self) -> None:
        """Close the connection without a proper end, as a crashing provider does."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)

    def _read_sized(self) -> bytes:
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError as error:
            raise BodyRefused(400, "Content-Length is not a number") from error
        if not 0 <= length <= BODY_BYTES_MAX:
            self.close_connection = True
            raise BodyRefused(413, f"the body is over {BODY_BYTES_MAX} bytes")
        return self.rfile.read(length)

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            try:
                size = int(self.rfile.readline(64).split(b";")[0], 16)
            except ValueError as error:
                self.close_connection = True
                raise BodyRefused(400, "a chunk's size is not a number") from error
            if len(body) + size > BODY_BYTES_MAX:
                self.close_connection = True
                raise BodyRefused(413, f"the body is over {BODY_BYTES_MAX} bytes")
            body += self.rfile.read(size)
            self.rfile.readline(64)
            if size == 0:
                return bytes(body)
