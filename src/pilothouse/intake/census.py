"""How much memory a body may need when parsed, told before it is parsed.

A decompressed body is bounded, what the parser makes of it is not: an empty span is 2 bytes on the wire and 170 in
memory, an empty JSON object 3 bytes and 64. So a body of the allowed size could still need some GB. Bodies that can
not pass the bound whatever they hold are not looked at; larger ones are estimated from a sample; only those that look
dense are counted out. The sample is drawn by the body's checksum, so that receiver and worker judge alike.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from pilothouse.records import TooLarge

from .check import Signal
from .segment import crc32
from .shapes import request_class, shape

# Measured with the upb parser, rounded up: bytes per message, by what it is.
_ITEM_COST = 176
_OTHER_COST = 64
_PLAIN_GROWTH = 6
"""Growth of messages of 32 bytes and more: the cost of an item spread over its bytes."""
_SMALL_BYTES = bytes(range(32))
_SAMPLES = 256
_SAMPLE_BYTES = 1024

# CPython's objects, with their slot in the container that holds them.
_JSON_COSTS = {b"{": 200, b"[": 96, b'"': 30, b",": 40}
_JSON_TEXT_GROWTH = 4
_JSON_GROWTH_MAX = 40

_Fields = dict[int, Any]
"""The fields of a message type that are messages: number → (cost, fields). Any: the type contains itself."""


def check_protobuf(signal: Signal, body: bytes, bytes_max: int) -> None:
    """Raise TooLarge where parsing ``body`` would need more than ``bytes_max``."""
    if len(body) * (_ITEM_COST // 2) <= bytes_max:
        return
    if _estimate(body) <= bytes_max:
        return
    if _count(signal, body, bytes_max) > bytes_max:
        raise _too_dense(bytes_max)


def check_json(body: bytes, bytes_max: int) -> None:
    """The same for JSON. Characters inside of strings count too, so it errs on the safe side."""
    if len(body) * _JSON_GROWTH_MAX <= bytes_max:
        return
    needed = len(body) * _JSON_TEXT_GROWTH + sum(body.count(sign) * cost for sign, cost in _JSON_COSTS.items())
    if needed > bytes_max:
        raise _too_dense(bytes_max)


def _estimate(body: bytes) -> int:
    """An upper bound from a sample: a message under 32 bytes has a length byte below 32, so there are no more of
    the one than of the other."""
    chance = random.Random(crc32()(body, 0))  # noqa: S311 - drawn again from the same body, not a secret
    small = 0
    seen = 0
    for _ in range(_SAMPLES):
        start = chance.randrange(max(1, len(body) - _SAMPLE_BYTES))
        piece = body[start : start + _SAMPLE_BYTES]
        seen += len(piece)
        small += len(piece) - len(piece.translate(None, _SMALL_BYTES))
    return len(body) * _PLAIN_GROWTH + small * len(body) // max(1, seen) * _ITEM_COST


def _count(signal: Signal, body: bytes, bytes_max: int) -> int:
    """Walk the messages and add up what they cost; stops once it is too much, or where the body is broken."""
    needed = len(body)
    waiting: list[tuple[int, int, _Fields]] = [(0, len(body), _fields(signal))]
    while waiting:
        at, end, fields = waiting.pop()
        while at < end:
            # Nearly every tag and length is one byte, and a call for each would double the time.
            tag = body[at]
            at += 1
            if tag > 127:
                tag, at = _varint(body, at - 1, end)
            wire = tag & 7
            if wire == 2:
                if at < end and body[at] < 128:
                    length = body[at]
                    at += 1
                else:
                    length, at = _varint(body, at, end)
                if length > end - at:
                    break
                child = fields.get(tag >> 3)
                if child is not None:
                    needed += child[0]
                    if needed > bytes_max:
                        return needed
                    if length:
                        waiting.append((at, at + length, child[1]))
                at += length
            elif wire == 0:
                _, at = _varint(body, at, end)
            elif wire == 1:
                at += 8
            elif wire == 5:
                at += 4
            # Groups begin and end with a bare tag; what is between them is walked as if it were not in one.
    return needed


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            break
    return 0, end


@cache
def _fields(signal: Signal) -> _Fields:
    item = f"opentelemetry.proto.{shape(signal).package}.v1.{shape(signal).item_message}"
    known: dict[str, _Fields] = {}

    def fields_of(descriptor: Any) -> _Fields:
        name = descriptor.full_name
        if name not in known:
            known[name] = {}
            for field in descriptor.fields:
                if field.message_type is not None:
                    cost = _ITEM_COST if field.message_type.full_name == item else _OTHER_COST
                    known[name][field.number] = (cost, fields_of(field.message_type))
        return known[name]

    return fields_of(request_class(signal).DESCRIPTOR)


def _too_dense(bytes_max: int) -> TooLarge:
    return TooLarge(
        f"the body holds so many items that reading it would need more than {bytes_max >> 20} MiB",
        allowed=bytes_max,
        fix="send fewer items per request (the exporter's batch size)",
    )
