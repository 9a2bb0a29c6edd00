"""A gateway over a real socket, without the rest of the server: its spans are read as the ingest worker would read them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from pilothouse.budgets import Budgets
from pilothouse.conventions import read
from pilothouse.gateway import Answers, Gateway, RulesReader
from pilothouse.gateway.rules import Difficulty
from pilothouse.guards import Guards
from pilothouse.intake import decode
from pilothouse.records import NotAllowed, RawSpan, Reading
from pilothouse.survival import Timer

KEY = "ph_a_key_of_the_tests"
UPSTREAM_KEY = "sk-upstream-secret-never-shown-0123456789"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whom the key belongs to."""

    project_id: str = "prj_tests"
    key_id: str = "key_tests"


@dataclass(kw_only=True)
class Running:
    """A gateway that listens."""

    url: str
    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    settings: dict[str, Any]
    """The section, as it is read at the next call."""

    @property
    def openai_url(self) -> str:
        return f"{self.url}/gateway/openai/v1"

    @property
    def anthropic_url(self) -> str:
        return f"{self.url}/gateway/anthropic"

    def set(self, settings: Mapping[str, Any]) -> None:
        """Put another section in force."""
        self.settings.clear()
        self.settings.update(settings)

    def forget(self) -> None:
        """Leave aside what was recorded so far."""
        self.idle()
        self.bodies.clear()

    def idle(self, seconds: float = 20) -> None:
        """Wait until no call is under way or waits for its trace."""
        deadline = time.monotonic() + seconds
        while self.gateway.active or self.gateway.recorder._calls:
            assert time.monotonic() < deadline, "calls are still under way"
            time.sleep(0.01)

    def raw(self, count: int = 1, seconds: float = 20) -> list[RawSpan]:
        """The spans, once so many are there."""
        deadline = time.monotonic() + seconds
        while len(found := [span for _, body in self.bodies for span in spans_of(body)]) < count:
            assert time.monotonic() < deadline, f"{len(found)} spans, not {count}"
            time.sleep(0.01)
        return found

    def readings(self, count: int = 1) -> list[Reading]:
        """The spans as the conventions read them."""
        return [read(span) for span in self.raw(count)]


def spans_of(body: bytes) -> list[RawSpan]:
    return list(decode("traces", "application/x-protobuf", "", body).spans)


@contextlib.contextmanager
def running_gateway(
    settings: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    rules: dict[str, Any] | None = None,
    timer: Timer | None = None,
    budgets: Budgets | None = None,
    guards: Guards | None = None,
    answers: Answers | None = None,
    routing: Difficulty | None = None,
) -> Iterator[Running]:
    """A gateway with this section of the policy; ``rules`` are further sections, read at each call."""
    keys = {"UPSTREAM_KEY": UPSTREAM_KEY, **(environment or {})}
    current = dict(settings)

    def authorise(token: str | None) -> Caller:
        if token != KEY:
            raise NotAllowed("this API key is not known here, or was revoked")
        return Caller()

    bodies: list[tuple[str, bytes]] = []

    async def sink(project_id: str, body: bytes, items: int) -> None:
        assert len(spans_of(body)) == items
        bodies.append((project_id, body))

    reader = RulesReader(keys, timer=timer, budgets=budgets, guards=guards, routing=routing)
    gateway = Gateway(authorise, sink, lambda: reader.read({"gateway": current, **(rules or {})}), answers=answers)
    server = uvicorn.Server(
        uvicorn.Config(gateway, port=0, log_level="warning", access_log=False, server_header=False, lifespan="off")
    )
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        gateway.start()
        await server.serve()
        await gateway.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline and thread.is_alive()
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    running = Running(url=f"http://127.0.0.1:{port}", gateway=gateway, loop=loops[0], bodies=bodies, settings=current)
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join(20)
