"""The frames between the storage process and its clients.

One frame each way: 4 bytes header length, 8 bytes body length (big endian), a JSON header, the body.
Request header: ``sql``, ``params``, ``format``, ``load`` (true: the body is data for the INSERT).
Answer header: ``ok``, ``error``.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import orjson

HEAD = struct.Struct(">IQ")


def read_frame(connection: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """Read one frame; None where the other side has gone."""
    head = _read(connection, HEAD.size)
    if head is None:
        return None
    header_size, body_size = HEAD.unpack(head)
    header = _read(connection, header_size)
    body = _read(connection, body_size) if body_size else b""
    if header is None or body is None:
        return None
    return orjson.loads(header), body


def write_frame(connection: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Write one frame."""
    encoded = orjson.dumps(header)
    connection.sendall(HEAD.pack(len(encoded), len(body)) + encoded)
    if body:
        connection.sendall(body)


def _read(connection: socket.socket, size: int) -> bytes | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:], min(size - done, 1 << 20))
        if count == 0:
            return None
        done += count
    return bytes(buffer)
