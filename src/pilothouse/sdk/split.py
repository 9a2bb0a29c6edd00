"""Halving a request that a server finds too large, without any schema but the place of the items."""

from __future__ import annotations

from collections.abc import Iterator

from .encode import sized, varint


def items_in(body: bytes) -> int:
    """How many spans or log records a request holds.

    Raises:
        ValueError: the body is damaged.
    """
    return sum(
        1 for tag, block in _fields(body) if tag == 0x0A
        for part, scope in _fields(block) if part == 0x12
        for inner, _ in _fields(scope) if inner == 0x12
    )  # fmt: skip


def halves(body: bytes) -> list[bytes]:
    """Two requests with the first and the second half of the items; one request where there is but one item.

    Raises:
        ValueError: the body is damaged.
    """
    total = items_in(body)
    if total < 2:
        return [body]
    return [_slice(body, 0, total // 2), _slice(body, total // 2, total)]


def _slice(body: bytes, first: int, last: int) -> bytes:
    """The request with only the items from ``first`` up to ``last``; resources and scopes without any are left out."""
    out: list[bytes] = []
    number = 0
    for tag, block in _fields(body):
        if tag != 0x0A:
            continue
        kept: list[bytes] = []
        around: list[bytes] = []
        for part, scope in _fields(block):
            if part != 0x12:
                around.append(_field(part, scope))
                continue
            inside: list[bytes] = []
            found = False
            for inner, item in _fields(scope):
                if inner == 0x12:
                    if first <= number < last:
                        inside.append(_field(inner, item))
                        found = True
                    number += 1
                else:
                    inside.append(_field(inner, item))
            if found:
                kept.append(sized(b"\x12", b"".join(inside)))
        if kept:
            out.append(sized(b"\x0a", b"".join(around + kept)))
    return b"".join(out)


def _field(tag: int, content: bytes) -> bytes:
    return sized(varint(tag), content)


def _fields(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields, the only kind that resources and scopes are made of."""
    place = 0
    while place < len(body):
        tag, place = _varint(body, place)
        if tag & 7 != 2:
            raise ValueError(f"unexpected field {tag:#x}")
        size, place = _varint(body, place)
        if place + size > len(body):
            raise ValueError("cut off")
        yield tag, body[place : place + size]
        place += size


def _varint(body: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(body) and shift < 64:
        byte = body[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
        shift += 7
    raise ValueError("cut off")
