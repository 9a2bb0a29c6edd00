"""The API on a real socket, over a store that a test feeds, and a way to hear its events."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.records import SystemClock
from pilothouse.store import TraceStore
from pilothouse.store.control_store import open_control
from tests.api.conftest import Calling, PretendedServer
from tests.watch.process import records

WAIT_S = 30


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One server-sent event."""

    name: str
    id: str
    data: Any


@dataclass
class Ear:
    """Somebody who listens, on a thread of its own."""

    url: str
    key: str
    params: dict[str, str] = field(default_factory=dict[str, str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    events: queue.Queue[Heard] = field(default_factory=lambda: queue.Queue[Heard]())
    comments: list[str] = field(default_factory=list[str])
    response: httpx.Response | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> Ear:
        """Connect; returns once the first counts were heard."""
        self._client = httpx.Client(timeout=httpx.Timeout(10, read=None))
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _read(self) -> None:
        given = {"Authorization": f"Bearer {self.key}", **self.headers}
        with (
            contextlib.suppress(httpx.HTTPError, RuntimeError, httpx.StreamError),
            self._client.stream("GET", self.url + "/api/v1/live/events", params=self.params, headers=given) as response,
        ):
            self.response = response
            fields: dict[str, str] = {}
            for line in response.iter_lines():
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    self.events.put(Heard(name=fields["event"], id=fields["id"], data=json.loads(fields["data"])))
                    fields = {}
        self.ended.set()

    def next(self, name: str = "", **fields: Any) -> Heard:
        """The next event of that name whose data has these fields; others before it are passed over."""
        deadline = time.monotonic() + WAIT_S
        passed: list[str] = []
        while True:
            try:
                event = self.events.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise AssertionError(f"no {name} with {fields} among {passed}") from None
            if (not name or event.name == name) and all(event.data.get(k) == v for k, v in fields.items()):
                return event
            passed.append(f"{event.name} {event.data.get('state', event.data.get('name', ''))}")

    def hang_up(self) -> None:
        """Disconnect."""
        if self.response is not None:
            self.response.close()
        self._client.close()


@dataclass
class Watch:
    """A running API and the worker that fills its store."""

    url: str
    calling: Calling
    ingest: Ingest
    ears: list[Ear] = field(default_factory=list[Ear])

    def send(self, *bodies: dict[str, Any]) -> None:
        """Store some exports as one batch."""
        self.ingest.run(records(bodies, self.calling.project))

    def ear(self, *, key: str = "", headers: dict[str, str] | None = None, **params: str) -> Ear:
        """Listen; returns when the stream has begun."""
        ear = Ear(self.url, key or self.calling.keys["read"], params, headers or {}).listen()
        self.ears.append(ear)
        return ear

    def listening(self, **params: str) -> Ear:
        """Listen and wait for the first counts."""
        ear = self.ear(**params)
        ear.next("counts")
        return ear


@pytest.fixture
def watch(store: TraceStore, tmp_path: Path) -> Iterator[Watch]:
    control = open_control("", tmp_path)
    control.migrate()
    calling = Calling(PretendedServer(store, control))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    server = uvicorn.Server(uvicorn.Config(calling.app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    made = Watch(
        url=f"http://127.0.0.1:{listening.getsockname()[1]}",
        calling=calling,
        ingest=Ingest(store, SystemClock(), read_maskers({})),
    )
    yield made
    for ear in made.ears:
        ear.hang_up()
    server.should_exit = server.force_exit = True
    thread.join(20)
    control.close()
