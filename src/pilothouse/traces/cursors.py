"""Opaque cursors: where a list goes on. They carry the time range and the total, so pages agree with each other."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

import orjson

from pilothouse.records import BadRequest

_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last row seen, and the list it is of."""

    key: int
    """The value sorted by."""
    id: str
    since_ns: int
    until_ns: int
    total: int
    assumed: bool
    """The range was not named by the caller."""
    exact: bool = True
    """Whether the total is."""


def digest(*parts: object) -> str:
    """Marks a query, so that a cursor is not used with another one."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "replace"), digest_size=6).hexdigest()


def write_cursor(cursor: Cursor, query: str) -> str:
    """The cursor as text, good for the query with this digest."""
    fields = [query, cursor.key, cursor.id, cursor.since_ns, cursor.until_ns, cursor.total]
    fields += [int(cursor.assumed), int(cursor.exact)]
    return base64.urlsafe_b64encode(orjson.dumps(fields)).decode().rstrip("=")


def read_cursor(text: str, query: str) -> Cursor:
    """The inverse of :func:`write_cursor`.

    Raises:
        BadRequest: the text is no cursor, or one of another query.
    """
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        fields = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        found, key, id, since_ns, until_ns, total, assumed, exact = fields
        numbers = (key, since_ns, until_ns, total)
        if not isinstance(id, str) or len(id) > 2_000 or any(type(n) is not int or abs(n) > _INT64 for n in numbers):
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise BadRequest("this is no cursor", got=text[:80], fix="start again without a cursor") from None
    if found != query:
        raise BadRequest("this cursor belongs to another query or order", fix="start again without a cursor")
    return Cursor(
        key=key,
        id=id,
        since_ns=since_ns,
        until_ns=until_ns,
        total=total,
        assumed=bool(assumed),
        exact=bool(exact),
    )
