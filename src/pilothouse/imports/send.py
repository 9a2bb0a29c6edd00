"""Posting what is read, in requests of a few megabytes, with patience for a server that is busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pilothouse.otlp.destination import Destination
from pilothouse.otlp.sender import Answer, Sender
from pilothouse.records import NotAllowed, Unreachable

from .encode import Labels, request, score, span
from .trajectory import Posted, Scored, Step

REQUEST_BYTES = 4 << 20
"""Spans are gathered to about this much: a quarter of what the server takes."""
_REPLY_TIMEOUT_S = 60.0
_PATIENCE_S = 120.0
"""How long a server may be away or busy before the import gives up."""
_GZIP_OVER_NETWORK = 1


@dataclass(slots=True)
class Sent:
    """What became of it."""

    spans: int = 0
    scores: int = 0
    records: int = 0
    """Log records and data points of OTLP files."""
    requests: int = 0
    bytes: int = 0
    refused: list[str] = field(default_factory=list[str])
    """Why the server did not take something."""


class Outbox:
    """Gathers spans and scores and posts them. Without a destination it only counts."""

    def __init__(
        self,
        destination: Destination | None,
        labels: Labels,
        *,
        sleep: Callable[[float], None] = time.sleep,
        request_bytes: int = REQUEST_BYTES,
    ) -> None:
        self._sender = Sender(destination, reply_timeout_s=_REPLY_TIMEOUT_S) if destination else None
        self._gzip = bool(destination and not destination.on_this_machine)
        self._labels = labels
        self._sleep = sleep
        self._request_bytes = request_bytes
        self._spans: dict[str, list[bytes]] = {}
        self._scores: list[bytes] = []
        self._size = 0
        self.sent = Sent()

    def step(self, item: Step, service: str) -> None:
        """Send a step, soon."""
        self.sent.spans += 1
        if self._sender is None:
            return
        encoded = span(item, self._labels)
        if self._size and self._size + len(encoded) > self._request_bytes:
            self.flush()
        self._spans.setdefault(service, []).append(encoded)
        self._size += len(encoded)

    def score(self, item: Scored) -> None:
        """Send a score, soon."""
        self.sent.scores += 1
        if self._sender is not None:
            self._scores.append(score(item, self._labels))
            self._size += len(self._scores[-1])
            if self._size > self._request_bytes:
                self.flush()

    def posted(self, item: Posted) -> None:
        """Send OTLP as it is, at once."""
        if item.signal == "traces":
            self.sent.spans += item.items
        else:
            self.sent.records += item.items
        if self._sender is not None:
            self._post(item.signal, item.body, item.content_type, item.items)

    def flush(self) -> None:
        """Send what was gathered."""
        spans, self._spans = self._spans, {}
        scores, self._scores = self._scores, []
        self._size = 0
        for service, pieces in spans.items():
            self._post("traces", request(service, pieces), "application/x-protobuf", len(pieces))
        if scores:
            self._post("logs", request(self._labels.format, scores), "application/x-protobuf", len(scores))

    def close(self) -> None:
        """Let go of the connection."""
        if self._sender is not None:
            self._sender.close()

    def _post(self, signal: str, body: bytes, content_type: str, count: int) -> None:
        answer = self._insist(signal, body, content_type)
        self.sent.requests += 1
        self.sent.bytes += len(body)
        if answer.verdict == "taken":
            if answer.rejected:
                self.sent.refused.append(f"{answer.rejected} of {count} {signal} were refused by the server")
            return
        self.sent.refused.append(f"{count} {signal}: {answer.reason}")

    def _insist(self, signal: str, body: bytes, content_type: str) -> Answer:
        """Post until it is taken or refused.

        Raises:
            NotAllowed: the key does not let spans in.
            Unreachable: nobody answered for two minutes.
        """
        assert self._sender is not None
        if self._gzip:
            import gzip

            body = gzip.compress(body, _GZIP_OVER_NETWORK)
        waited, pause = 0.0, 0.25
        while True:
            answer = self._sender.post(signal, body, self._gzip, content_type)
            if answer.verdict == "unwelcome":
                if answer.status in (401, 403):
                    raise NotAllowed(answer.reason, fix="pilothouse keys new --mode write")
                raise Unreachable(answer.reason, got=self._sender.destination.endpoint, fix="check PILOTHOUSE_URL")
            if answer.verdict != "later":
                return answer
            if waited >= _PATIENCE_S:
                raise Unreachable(
                    f"the server takes nothing: {answer.reason}",
                    got=self._sender.destination.endpoint,
                    fix="run the same import again: what arrived is not doubled",
                )
            pause = min(max(pause * 2, answer.retry_after_s), 15.0)
            self._sleep(pause)
            waited += pause
