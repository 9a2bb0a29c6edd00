"""Sends records of followed logs as OTLP: batch by batch, each again until the server has it."""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pilothouse.otlp.destination import Destination
from pilothouse.otlp.sender import Answer, Sender
from pilothouse.records import BadRequest, NotAllowed
from pilothouse.records.names import LOG_CUT_BYTES, LOG_OFFSET

from .log_line import LogLine, Value

SCOPE: Final = "pilothouse.logs.follow"
BATCH_RECORDS: Final = 1_000
_WAIT_MAX_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record ready to be sent."""

    line: LogLine
    time_ns: int
    """When it happened, else when it was read."""
    observed_ns: int
    service: str
    host: str
    place: Mapping[str, Value]
    """Resource attributes of the file: container, pod."""
    path: str
    offset: int
    cut_bytes: int = 0
    stream: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a batch. ``delivered`` is false only where the sender was told to stop."""

    delivered: bool
    sent: int = 0
    refused: int = 0
    """Records the server will never take."""


class Shipper:
    """Posts to one server, over one connection."""

    def __init__(self, destination: Destination, *, stop: threading.Event, notify: Callable[[str], None]) -> None:
        if urlsplit(destination.endpoint).scheme not in ("http", "https"):
            raise BadRequest("this is no address of a server", got=destination.endpoint, allowed="http://HOST:PORT")
        self._sender = Sender(destination)
        self._stop = stop
        self._notify = notify
        self._failing = False

    def ship(self, entries: Sequence[Entry], *, patience_s: float | None = None) -> Outcome:
        """Send a batch, and again until it is answered; waits as long as the server asks.

        ``patience_s`` bounds the tries once the sender is told to stop.

        Raises:
            NotAllowed: the key is missing, wrong or may not write.
            BadRequest: the address is no address of a server.
        """
        body = gzip.compress(_request(entries), 1)
        began, attempt = time.monotonic(), 0
        while True:
            answer = self._sender.post("logs", body, gzipped=True, content_type="application/json")
            if answer.verdict == "taken":
                if self._failing:
                    self._notify("the server is back")
                    self._failing = False
                return Outcome(delivered=True, sent=len(entries) - answer.rejected, refused=answer.rejected)
            if answer.verdict in ("refused", "too_large"):
                return self._halved(entries, answer, patience_s)
            self._turn(answer)
            endpoint = self._sender.destination.endpoint
            if not self._failing:
                self._notify(f"{answer.reason} ({endpoint}); the log waits where it is and is sent later")
                self._failing = True
            attempt += 1
            spread = min(0.25 * 2 ** min(attempt, 8), _WAIT_MAX_S) * random.uniform(0.7, 1.0)  # noqa: S311
            wait_s = answer.retry_after_s or spread
            if self._stop.is_set():
                if time.monotonic() - began + wait_s > (patience_s or 0.0):
                    return Outcome(delivered=False)
                time.sleep(wait_s)
            else:
                self._stop.wait(wait_s)

    def _turn(self, answer: Answer) -> None:
        """To the local server as it is now, where a restart gave it another key or port; else say what is wrong."""
        where = self._sender.destination
        again = where.again()
        if again != where:
            self._sender.turn_to(again)
        elif answer.status in (401, 403):
            raise NotAllowed(
                f"the server does not take logs with this key: {answer.reason}",
                got=where.endpoint,
                fix="export PILOTHOUSE_API_KEY=…  (pilothouse keys new --mode write)",
            )
        elif answer.verdict == "unwelcome":
            raise BadRequest(
                f"this is no Pilothouse server: {answer.reason}", got=where.endpoint, fix="check PILOTHOUSE_URL"
            )

    def _halved(self, entries: Sequence[Entry], answer: Answer, patience_s: float | None) -> Outcome:
        """The server will never take this batch: whatever is good of it goes on, one bad record is left out."""
        if len(entries) == 1:
            self._notify(f"a record of {entries[0].path} at byte {entries[0].offset} is refused: {answer.reason}")
            return Outcome(delivered=True, refused=1)
        middle = len(entries) // 2
        first = self.ship(entries[:middle], patience_s=patience_s)
        if not first.delivered:
            return first
        second = self.ship(entries[middle:], patience_s=patience_s)
        return Outcome(
            delivered=second.delivered, sent=first.sent + second.sent, refused=first.refused + second.refused
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._sender.close()


def _request(entries: Sequence[Entry]) -> bytes:
    groups: dict[str, tuple[dict[str, Value], list[dict[str, Any]]]] = {}
    for entry in entries:
        resource: dict[str, Value] = {"service.name": entry.service, "host.name": entry.host, **entry.place}
        key = json.dumps(resource)
        groups.setdefault(key, (resource, []))[1].append(_record(entry))
    return json.dumps(
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": _pairs({k: v for k, v in resource.items() if v != ""})},
                    "scopeLogs": [{"scope": {"name": SCOPE}, "logRecords": records}],
                }
                for resource, records in groups.values()
            ]
        },
        separators=(",", ":"),
    ).encode()


def _record(entry: Entry) -> dict[str, Any]:
    line = entry.line
    attributes: dict[str, Value] = {**line.attributes, LOG_OFFSET: entry.offset}
    if entry.path:
        attributes["log.file.path"] = entry.path
    if entry.stream:
        attributes["log.iostream"] = entry.stream
    if entry.cut_bytes:
        attributes[LOG_CUT_BYTES] = entry.cut_bytes
    record: dict[str, Any] = {
        "timeUnixNano": str(entry.time_ns),
        "observedTimeUnixNano": str(entry.observed_ns),
        "body": {"stringValue": line.body},
        "attributes": _pairs(attributes),
    }
    if line.severity_number:
        record.update(severityNumber=line.severity_number, severityText=line.severity_text)
    if line.trace_id:
        record["traceId"] = line.trace_id
        if line.span_id:
            record["spanId"] = line.span_id
    return record


def _pairs(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
