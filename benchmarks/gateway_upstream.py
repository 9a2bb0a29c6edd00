"""The upstream of the gateway's benchmark: answers at once, whole or in pieces, at a few microseconds a call."""

from __future__ import annotations

import asyncio
import json
import sys

WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 150}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 150, "total_tokens": 650},
    }
).encode()
PIECES = 30
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_GAP_S = 0.01


class Upstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if b'"stream": true' in body:
                self._task = asyncio.ensure_future(self._stream())
            else:
                self._transport.write(_HEAD % len(WHOLE) + WHOLE)

    async def _stream(self) -> None:
        self._transport.write(_STREAM)
        for number in range(PIECES):
            delta = {"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}
            event = b"data: " + json.dumps({"id": "c", "model": "gpt-4.1-mini", "choices": [delta]}).encode() + b"\n\n"
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            await asyncio.sleep(_GAP_S)
        end = b"data: [DONE]\n\n"
        self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end))


async def serve() -> None:
    """Listen on a free port, say which, and serve until ended."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
