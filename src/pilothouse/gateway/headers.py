"""Which headers pass: to the upstream what the caller's library says of the call, back what the provider says of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from .config import Upstream, UpstreamKey, auth_header
from .connection import Header

_HOP: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade"),
    )
)
_OURS: Final = frozenset(
    (
        *(b"host", b"content-length", b"expect", b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"),
        *(b"cookie", b"accept-encoding", b"forwarded", b"via", b"x-real-ip"),
    )
)
"""What belongs between the caller and this server: its key with us, and who it is."""
_OUR_PREFIXES: Final = (b"x-pilothouse-", b"x-forwarded-")
_NOT_BACK: Final = _HOP | {b"set-cookie", b"server", b"date", b"alt-svc", b"strict-transport-security"}

TRACE_HEADER: Final = b"x-pilothouse-trace-id"


def to_upstream(
    given: Iterable[Header], upstream: Upstream, key: UpstreamKey | None, length: int | None
) -> list[Header]:
    """The headers of a call as they are sent on. Names in ``given`` are lower-case. ``length``: of the body, if any."""
    found: list[Header] = []
    gzip = False
    own = {name.encode() for name in upstream.headers} if upstream.headers else set[bytes]()
    if key is not None:
        auth = auth_header(upstream, key)
        found.append(auth)
        own.add(auth[0])
    for name, value in given:
        if name == b"accept-encoding":
            # An encoding that only the caller can read could not be read into the trace.
            gzip = b"gzip" in value.lower()
        if _passes(name) and name not in own:
            found.append((name, value))
    found += [(name.encode(), value.encode()) for name, value in upstream.headers.items()]
    found.append((b"accept-encoding", b"gzip" if gzip else b"identity"))
    if length is not None:
        found.append((b"content-length", str(length).encode()))
    return found


@lru_cache(maxsize=1_024)
def _passes(name: bytes) -> bool:
    return not (name in _HOP or name in _OURS or name.startswith(_OUR_PREFIXES))


def to_caller(given: Sequence[Header], trace_id: str) -> list[Header]:
    """The headers of an answer as the caller gets them, with the trace to look the call up by."""
    found = [(name, value) for name, value in given if name not in _NOT_BACK]
    if trace_id:
        found.append((TRACE_HEADER, trace_id.encode()))
    return found


def value_of(headers: Iterable[Header], name: bytes) -> str:
    """The first header of a name; empty where there is none."""
    for known, value in headers:
        if known == name:
            return value.decode("latin-1")
    return ""
