"""One connection to the server, kept open, and what an answer means for what was sent."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from pilothouse import __version__

from .destination import Destination

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 10.0
"""A server that takes longer hangs as far as we are concerned: it is asked again later."""
RETRY_AFTER_S_MAX = 300.0
_ANSWER_BYTES_MAX = 1 << 20

Verdict = Literal["taken", "later", "unwelcome", "too_large", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request."""

    verdict: Verdict
    """``later``: the server is away or busy. ``unwelcome``: nothing will be taken before somebody mends something."""
    status: int = 0
    """Of HTTP; 0 where nobody answered."""
    reason: str = ""
    retry_after_s: float = 0.0
    """What the server asked for; 0 where it did not."""
    rejected: int = 0
    """Records that the server took note of and did not keep."""


class Sender:
    """Posts bodies over one kept connection. One thread uses it."""

    def __init__(self, destination: Destination, *, reply_timeout_s: float = REPLY_TIMEOUT_S) -> None:
        self.destination = destination
        self._reply_timeout_s = reply_timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._fresh = True
        self._through = ""

    def turn_to(self, destination: Destination) -> None:
        """Post to another address from now on."""
        self.close()
        self.destination = destination

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def post(self, signal: str, body: bytes, gzipped: bool, content_type: str = "application/x-protobuf") -> Answer:
        """Send a body of ``traces``, ``logs`` or ``metrics`` and read the answer; network trouble is an answer too."""
        for _ in range(2):
            try:
                return self._post(signal, body, gzipped, content_type)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                # A kept connection that the server closed meanwhile says nothing about the server: once more, anew.
                reused = not self._fresh
                self.close()
                if not reused:
                    return _away(error)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                return _away(error)
        return Answer(verdict="later", reason="the connection breaks off")

    def _post(self, signal: str, body: bytes, gzipped: bool, content_type: str) -> Answer:
        connection = self._connection or self._connect()
        where = self.destination
        headers = {
            **dict(where.headers),
            "content-type": content_type,
            "user-agent": f"pilothouse-python/{__version__}",
        }
        if where.key:
            headers["authorization"] = f"Bearer {where.key}"
        if gzipped:
            headers["content-encoding"] = "gzip"
        base = urlsplit(where.endpoint).path.rstrip("/")
        path = f"{self._through}{base}/v1/{signal}"
        connection.request("POST", path, body=body, headers=headers)
        if connection.sock is not None:
            connection.sock.settimeout(self._reply_timeout_s)
        answer = connection.getresponse()
        content = answer.read(_ANSWER_BYTES_MAX)
        self._fresh = False
        if answer.will_close or not answer.isclosed():
            self.close()
        return judge(answer.status, content, answer.headers.get("Retry-After", ""))

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.destination.endpoint)
        host, secure = parts.hostname or "", parts.scheme == "https"
        proxy = None if self.destination.on_this_machine else _proxy(parts.scheme, host)
        to = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else parts
        port = to.port or (443 if secure and not proxy else 80)
        if secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                to.hostname or "", port, timeout=CONNECT_TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(to.hostname or "", port, timeout=CONNECT_TIMEOUT_S)
        # A proxy is given the whole address, but for encrypted connections, which it only passes through.
        self._through = f"{parts.scheme}://{parts.netloc}" if proxy and not secure else ""
        if proxy and secure:
            connection.set_tunnel(host, parts.port or 443)
        connection.connect()
        self._connection = connection
        self._fresh = True
        return connection


def judge(status: int, content: bytes, retry_after: str) -> Answer:
    """What a status means. 4xx are final, but for those that a person or time mends."""
    if 200 <= status < 300:
        return Answer(verdict="taken", status=status, rejected=_rejected(content))
    said = _said(content)
    reason = f"HTTP {status}" + (f": {said}" if said.isprintable() and said else "")
    if status == 413:
        return Answer(verdict="too_large", status=status, reason=reason)
    if status in (408, 425, 429) or status >= 500:
        return Answer(verdict="later", status=status, reason=reason, retry_after_s=_seconds(retry_after))
    # 3xx: an address that moved. 404 and 405: an address that is not an OTLP receiver.
    if status < 400 or status in (401, 402, 403, 404, 405, 407):
        return Answer(verdict="unwelcome", status=status, reason=reason)
    return Answer(verdict="refused", status=status, reason=reason)


def _said(content: bytes) -> str:
    """The message of an error in JSON, ours or that of the specification; else the text as it is."""
    try:
        found: object = json.loads(content)
    except ValueError:
        found = None
    if isinstance(found, dict):
        told = cast("dict[str, object]", found)
        inner = told.get("error")
        message = (cast("dict[str, object]", inner) if isinstance(inner, dict) else told).get("message")
        if isinstance(message, str):
            return message.strip()[:300]
    return content[:300].decode("utf-8", "replace").strip()


def _away(error: Exception) -> Answer:
    if isinstance(error, TimeoutError):
        return Answer(verdict="later", reason="no answer in time")
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Answer(verdict="later", reason=f"{type(error).__name__}: {told}" if told else type(error).__name__)


def _seconds(text: str) -> float:
    """The value of a Retry-After header: seconds or a date; 0 where it is neither."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX) if seconds == seconds else 0.0


def _rejected(content: bytes) -> int:
    """The number in a partial success: in protobuf field 1, and field 1 within it."""
    if content[:1] == b"{":
        return _rejected_in_json(content)
    if len(content) < 4 or content[0] != 0x0A:
        return 0
    at = 1
    while at < len(content) and content[at] > 127:
        at += 1
    at += 1
    if at >= len(content) or content[at] != 0x08:
        return 0
    number = shift = 0
    for byte in content[at + 1 : at + 11]:
        number |= (byte & 127) << shift
        if byte < 128:
            return number if number < 1 << 31 else 0
        shift += 7
    return 0


def _rejected_in_json(content: bytes) -> int:
    try:
        found: Any = json.loads(content)
        told: Any = found.get("partialSuccess") or {}
        return max((int(told[name]) for name in told if name.startswith("rejected")), default=0)
    except (ValueError, AttributeError, TypeError):
        return 0


def _proxy(scheme: str, host: str) -> str:
    """The proxy that the environment names for an address; empty without one."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass  # 10 ms to import, for the few who need it

    return "" if proxy_bypass(host) else getproxies().get(scheme, "")
