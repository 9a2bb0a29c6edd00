"""A receiver for OTLP over HTTP that keeps everything it is sent, to see what a client really reports."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pilothouse.testing.jsons import JsonObject
from pilothouse.testing.local_server import BodyRefused, LocalHandler, LocalServer
from pilothouse.testing.otlp_json import as_otlp_json, merged

Signal = Literal["traces", "logs", "metrics"]
SIGNALS: tuple[Signal, ...] = ("traces", "logs", "metrics")


@dataclass(frozen=True, kw_only=True)
class SinkRequest:
    """One export as it arrived, the content encoding undone."""

    signal: Signal
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def as_json(self) -> JsonObject:
        """Return the export as OTLP/JSON; protobuf needs the package opentelemetry-proto."""
        return as_otlp_json(self.signal, self.body, self.headers.get("content-type", ""))


class OtlpSink(LocalServer):
    """Keeps every export sent to an address that ends in /v1/traces, /v1/logs or /v1/metrics."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        owner = self

        class Handler(_Handler):
            sink = owner

        super().__init__(Handler, host=host, port=port)
        self._arrived = threading.Condition()
        self._requests: list[SinkRequest] = []
        self.status = 200
        """Status of the next answers; set 429 or 503 to see what a client does then."""
        self.retry_after_s: int | None = None
        """Value of the Retry-After header beside a status other than 200."""
        self.hanging = False
        """True reads requests and never answers; set back to False, it drops those that hung."""
        self.delay_s = 0.0
        """What is accepted is answered so much later."""

    def __repr__(self) -> str:
        return f"OtlpSink(host={self._host!r}, port={self._port})"

    @property
    def requests(self) -> tuple[SinkRequest, ...]:
        """Accepted exports, oldest first."""
        with self._arrived:
            return tuple(self._requests)

    def hang(self) -> None:
        """Wait while the sink hangs; the handler calls this."""
        while self.hanging and self._server is not None:
            time.sleep(0.02)

    def take(self, request: SinkRequest) -> None:
        """Keep an export; the handler calls this before it answers."""
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify_all()

    def wait_for(self, signal: Signal, *, count: int = 1, timeout_s: float = 10.0) -> tuple[SinkRequest, ...]:
        """Return the exports of a signal once there are so many; raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._of(signal)) >= count, timeout_s):
                raise TimeoutError(f"{len(self._of(signal))} of {count} exports of {signal} after {timeout_s} s")
            return self._of(signal)

    def as_json(self, signal: Signal) -> JsonObject:
        """Return all exports of a signal as one OTLP/JSON body; empty when there are none."""
        return merged(signal, [request.as_json() for request in self.requests if request.signal == signal])

    def spans(self) -> list[JsonObject]:
        """Return every span that arrived, as OTLP/JSON."""
        body = self.as_json("traces")
        scopes = [scope for resource in body.get("resourceSpans", []) for scope in resource["scopeSpans"]]
        return [span for scope in scopes for span in scope.get("spans", [])]

    def _of(self, signal: Signal) -> tuple[SinkRequest, ...]:
        return tuple(request for request in self._requests if request.signal == signal)


class _Handler(LocalHandler):
    sink: ClassVar[OtlpSink]

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        signal = _signal_of(path)
        try:
            body = self.read_body()
        except BodyRefused as error:
            return self.send_json(error.status, {"message": str(error)})
        if signal is None:
            return self.send_json(404, {"message": f"no such address: {path}"})
        if self.sink.hanging:
            self.sink.hang()
            return self.break_off()
        if self.sink.status != 200:
            retry = {} if self.sink.retry_after_s is None else {"Retry-After": str(self.sink.retry_after_s)}
            return self.send_json(self.sink.status, {"message": "refused by the sink"}, retry)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.sink.take(SinkRequest(signal=signal, path=path, headers=headers, body=body))
        time.sleep(self.sink.delay_s)
        if headers.get("content-type", "").startswith("application/json"):
            return self.send_json(200, {})
        # An empty message is the protobuf for "everything was accepted".
        return self.send_body(200, b"", "application/x-protobuf")


def _signal_of(path: str) -> Signal | None:
    for signal in SIGNALS:
        if path.endswith(f"/v1/{signal}"):
            return signal
    return None
