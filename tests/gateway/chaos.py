"""An upstream that misbehaves as the model's name says: on a real socket, with every byte under control."""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "chaos-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
}


def chunk(text: str, **more: Any) -> bytes:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "chaos-1", "choices": [delta], **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


@dataclass(kw_only=True)
class Seen:
    """One request as it came."""

    at: float
    head: str
    body: bytes


@dataclass
class Chaos:
    """Listens until it is closed."""

    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    closed_by_gateway: threading.Event = field(default_factory=threading.Event)
    """Set when the other side ended a connection over which an answer was under way."""
    endless_bytes: int = 0
    """What the endless answer has sent."""
    good_after: int = 0
    """So many calls of the model ``flaky`` fail first."""

    def __enter__(self) -> Self:
        owner = self
        self.release = threading.Event()
        self.drop = threading.Event()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                owner.connections += 1
                owner.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                """The other side may leave."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                piece = connection.recv(65_536)
                if not piece:
                    return
                buffer += piece
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            text = head.decode("latin-1")
            length = next(
                (int(line.split(":")[1]) for line in text.split("\r\n") if line.lower().startswith("content-length:")),
                0,
            )
            while len(buffer) < length:
                buffer += connection.recv(65_536)
            body, buffer = buffer[:length], buffer[length:]
            self.seen.append(Seen(at=time.monotonic(), head=text, body=body))
            model = json.loads(body)["model"] if body else "good"
            if not getattr(self, "do_" + model.replace("-", "_"))(connection, text):
                return

    # ── what it does, by the model's name; True keeps the connection ─────────

    def do_good(self, connection: socket.socket, head: str) -> bool:
        whole(connection, 200, json.dumps(COMPLETION).encode())
        return True

    def do_flaky(self, connection: socket.socket, head: str) -> bool:
        asked = sum(1 for seen in self.seen if b'"flaky"' in seen.body)
        if asked > self.good_after:
            return self.do_good(connection, head)
        whole(connection, 503, b'{"error": {"message": "not now", "type": "server_error"}}')
        return True

    def do_limited(self, connection: socket.socket, head: str) -> bool:
        body = b'{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}'
        whole(connection, 429, body, "retry-after: 7")
        return True

    def do_limited_silent(self, connection: socket.socket, head: str) -> bool:
        whole(connection, 429, b'{"error": {"message": "Rate limit reached", "type": "requests"}}')
        return True

    def do_broken(self, connection: socket.socket, head: str) -> bool:
        whole(connection, 500, b'{"error": {"message": "The server had an error", "type": "server_error"}}')
        return True

    def do_wrong(self, connection: socket.socket, head: str) -> bool:
        whole(connection, 400, b'{"error": {"message": "no such field", "type": "invalid_request_error"}}')
        return True

    def do_hang(self, connection: socket.socket, head: str) -> bool:
        self.wait_for_close(connection)
        return False

    def do_half(self, connection: socket.socket, head: str) -> bool:
        begin_stream(connection)
        for text in ("one ", "two "):
            send_chunk(connection, chunk(text))
        reset(connection)
        return False

    def do_half_whole(self, connection: socket.socket, head: str) -> bool:
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"id":')
        return False

    def do_malformed(self, connection: socket.socket, head: str) -> bool:
        whole(connection, 200, b'{"id": "chatcmpl-1", "choices": [')
        return True

    def do_malformed_stream(self, connection: socket.socket, head: str) -> bool:
        begin_stream(connection)
        for piece in (chunk("one "), b"data: {not json\n\n", b"data: [DONE]\n\n"):
            send_chunk(connection, piece)
        connection.sendall(b"0\r\n\r\n")
        return True

    def do_not_http(self, connection: socket.socket, head: str) -> bool:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        return False

    def do_slow_first(self, connection: socket.socket, head: str) -> bool:
        begin_stream(connection)
        time.sleep(0.4)
        for text in ("late ", "but here"):
            send_chunk(connection, chunk(text))
            time.sleep(0.02)
        send_chunk(connection, b"data: [DONE]\n\n")
        connection.sendall(b"0\r\n\r\n")
        return True

    def do_slow(self, connection: socket.socket, head: str) -> bool:
        time.sleep(0.4)
        return self.do_good(connection, head)

    def do_slow_broken(self, connection: socket.socket, head: str) -> bool:
        time.sleep(0.3)
        return self.do_broken(connection, head)

    def do_cut_silently(self, connection: socket.socket, head: str) -> bool:
        """A stream that ends like a whole one, in the middle of its answer."""
        begin_stream(connection)
        send_chunk(connection, chunk("one "))
        connection.sendall(b"0\r\n\r\n")
        return True

    def do_filtered(self, connection: socket.socket, head: str) -> bool:
        choice = {**COMPLETION["choices"][0], "finish_reason": "content_filter"}
        whole(connection, 200, json.dumps({**COMPLETION, "choices": [choice]}).encode())
        return True

    def do_declined(self, connection: socket.socket, head: str) -> bool:
        message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole(connection, 200, json.dumps({**COMPLETION, "choices": [choice]}).encode())
        return True

    def do_pause(self, connection: socket.socket, head: str) -> bool:
        begin_stream(connection)
        send_chunk(connection, chunk("one "))
        self.wait_for_close(connection)
        return False

    def do_endless(self, connection: socket.socket, head: str) -> bool:
        begin_stream(connection)
        piece = chunk("x" * 10_000)
        try:
            while not self.release.is_set():
                send_chunk(connection, piece)
                self.endless_bytes += len(piece)
        except OSError:
            self.closed_by_gateway.set()
        return False

    def do_leak(self, connection: socket.socket, head: str) -> bool:
        sent = next(line for line in head.split("\r\n") if line.lower().startswith("authorization:"))
        whole(connection, 400, json.dumps({"error": {"message": f"bad header {sent}", "type": "invalid"}}).encode())
        return True

    def do_refused(self, connection: socket.socket, head: str) -> bool:
        sent = next(line for line in head.split("\r\n") if line.lower().startswith("authorization:"))
        whole(connection, 401, json.dumps({"error": {"message": f"Incorrect API key: {sent}"}}).encode())
        return True

    def do_one_key(self, connection: socket.socket, head: str) -> bool:
        if "Bearer sk-second" in head:
            return self.do_good(connection, head)
        return self.do_limited(connection, head)

    def do_gzip(self, connection: socket.socket, head: str) -> bool:
        whole(connection, 200, gzip.compress(json.dumps(COMPLETION).encode()), "content-encoding: gzip")
        return True

    def do_closing(self, connection: socket.socket, head: str) -> bool:
        """Says that the connection stays, and closes it."""
        whole(connection, 200, json.dumps(COMPLETION).encode())
        return False

    def do_until_close(self, connection: socket.socket, head: str) -> bool:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + json.dumps(COMPLETION).encode()
        )
        return False

    def do_error_event(self, connection: socket.socket, head: str) -> bool:
        begin_stream(connection)
        send_chunk(connection, chunk("one "))
        send_chunk(connection, b'data: {"error": {"message": "overloaded just now", "type": "overloaded"}}\n\n')
        connection.sendall(b"0\r\n\r\n")
        return True

    def wait_for_close(self, connection: socket.socket) -> None:
        connection.settimeout(0.05)
        while not self.release.is_set() and not self.drop.is_set():
            try:
                if not connection.recv(1):
                    self.closed_by_gateway.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.closed_by_gateway.set()
                return


def whole(connection: socket.socket, status: int, body: bytes, *headers: str) -> None:
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(body)}", *headers]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def begin_stream(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")


def send_chunk(connection: socket.socket, data: bytes) -> None:
    connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.05)
