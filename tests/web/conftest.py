"""The pages over a sample project, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from pilothouse.records import BadRequest, NotAllowed, NotApproved
from pilothouse.web import Reader, Refusals, Visitor, build, not_found_handler

from .sample import NOW_NS, Scene, failing, hostile, huge, looping, research, running, scenes
from .sample_evals import sample_runs_of_evals
from .sample_reader import SampleReader

HOUR = 3600 * 1_000_000_000


class StillClock:
    """A clock that stands at the sample's moment."""

    def now_ns(self) -> int:
        return NOW_NS


@dataclass
class SampleWriter:
    """Remembers what forms sent."""

    forms: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    removed: list[str] = field(default_factory=list[str])
    decided: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])

    def annotate(self, form: Mapping[str, str]) -> None:
        if form.get("text") == "refuse me":
            raise BadRequest("this is refused", got="refuse me")
        self.forms.append(dict(form))

    def remove(self, annotation_id: str) -> None:
        self.removed.append(annotation_id)

    def approval(self, approval_id: str, verb: str, form: Mapping[str, str]) -> str:
        if form.get("text") == "refuse me":
            raise NotApproved("it has changed since you looked at it", got="abab")
        self.forms.append({"id": approval_id, "verb": verb, **form})
        return f"/approvals/apr_02?decided={approval_id}"

    def policy(self, form: Mapping[str, str]) -> str:
        self.forms.append(dict(form))
        return "/policy?draft=tried"

    def proposal(self, proposal_id: str, *, accept: bool) -> str:
        self.decided.append((proposal_id, accept))
        return "/guards"

    def switch(self, form: Mapping[str, str]) -> str:
        self.forms.append(dict(form))
        return "/guards#switches"

    def queue(self, name: str, verb: str, form: Mapping[str, str]) -> str:
        self.forms.append({"queue": name, "verb": verb, **form})
        return f"/queues/{name}/next?last={form.get('number', '')}"

    def policy_undo(self, number: str) -> str:
        self.removed.append(number)
        return "/policy?written=3"

    def decide(self, deletion_id: str, *, confirm: bool) -> None:
        self.decided.append((deletion_id, confirm))


@dataclass
class SampleProvider:
    """Everybody is signed in, unless the test says otherwise."""

    reader: Reader
    refusals: Refusals | None = None
    signed_in: bool = True
    spent: bool = False
    writer: SampleWriter = field(default_factory=lambda: SampleWriter())

    def visitor(self, request: Request) -> Visitor:
        if not self.signed_in and request.cookies.get("session") != "good":
            raise NotAllowed("not signed in", fix="pilothouse sign-in")
        return Visitor(
            project="default",
            who="first key",
            mode="admin",
            reader=self.reader,
            writer=self.writer,
            otlp_url="http://pilothouse.test:4318",
            grpc_url="http://pilothouse.test:4317",
            refusals=self.refusals,
            version="0.1.0",
        )

    def sign_in(self, token: str) -> Mapping[str, Any]:
        if token != "once" or self.spent:
            raise NotAllowed("this sign-in link was used or has expired", fix="pilothouse sign-in")
        self.spent = True
        return {"key": "session", "value": "good", "httponly": True, "samesite": "lax", "path": "/"}

    def sign_out(self, request: Request) -> str:
        return "session"


def sample_keys() -> dict[str, Any]:
    """What the API answers to the page of keys."""
    key = {"key_id": "key_1", "name": "first key", "mode": "admin", "hint": "ph_abc…9z", "revoked": ""}
    return {"ok": True, "data": [{**key, "created": "2026-11-01T08:00:00.000Z"}]}


def sample_events() -> StreamingResponse:
    """A stream that says every second that something may have changed."""

    async def stream() -> AsyncIterator[str]:
        number = NOW_NS // 1_000_000
        while True:
            yield f"id: {number}\nevent: signal\ndata: {{}}\n\n"
            number += 1
            await asyncio.sleep(1)

    return StreamingResponse(stream(), media_type="text/event-stream")


def make_app(provider: SampleProvider) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(build(provider, StillClock()))
    app.add_api_route("/api/v1/keys", sample_keys)
    app.add_api_route("/api/v1/live/events", sample_events)
    app.add_exception_handler(404, lambda request, _: not_found_handler(provider, StillClock())(request))
    return app


def client_of(provider: SampleProvider) -> TestClient:
    return TestClient(make_app(provider), follow_redirects=False, raise_server_exceptions=True)


@pytest.fixture(scope="session")
def sample() -> SampleReader:
    return SampleReader((*scenes(), HUGE))


@pytest.fixture(scope="session")
def full(sample: SampleReader) -> Iterator[TestClient]:
    """A project with a day's traffic."""
    with client_of(SampleProvider(sample)) as client:
        yield client


@pytest.fixture(scope="session")
def empty() -> Iterator[TestClient]:
    """A project nothing was sent to."""
    with client_of(SampleProvider(SampleReader(()))) as client:
        yield client


HUGE = huge(NOW_NS - HOUR, 12_000)


def first(kind: type[object] | Any) -> Scene:
    """The newest sample trace made by one of the sample's functions."""
    names = {
        research: "research report",
        looping: "triage ticket",
        failing: "nightly digest",
        running: "migrate catalogue",
    }
    if kind is hostile:
        return next(s for s in scenes() if "<script>" in s.name)
    return next(s for s in scenes() if s.name == names[kind])


RESEARCH = first(research).trace_id
LOOPING = first(looping).trace_id
FAILING = first(failing).trace_id
RUNNING = first(running).trace_id
HOSTILE_TRACE = first(hostile).trace_id
EVALS = sample_runs_of_evals()

ADDRESSES = (
    "/",
    "/overview",
    "/overview?window=7d&q=agent:support",
    "/traces",
    "/traces?q=status:error&sort=slowest",
    "/sessions",
    "/sessions/chat-1",
    "/fleet",
    "/map",
    "/map?by=services",
    "/map?focus=agent:support",
    "/map?as=list&q=status:error",
    "/agents/support",
    "/logs",
    "/logs?service=shop&level=warn&window=7d",
    "/logs?q=nothing+such",
    "/logs?show=lost",
    "/live",
    "/live?q=agent:support&state=died,running",
    "/sql",
    "/sql?query=SELECT+1",
    "/doctor",
    "/analysis",
    "/analysis?state=running",
    "/analysis/run_01m8j5mrwwx9r99e0003",
    "/analysis/run_01m8j5mrwwx9r99e0000",
    "/evals",
    "/evals?suite=refunds",
    f"/evals/runs/{EVALS[0]}",
    f"/evals/runs/{EVALS[1]}?case=case-0001&by=customer",
    f"/evals/runs/{EVALS[2]}",
    f"/evals/runs/{EVALS[2]}?against={EVALS[3]}&case=case-0001&only=fail&by=week",
    f"/evals/runs/{EVALS[2]}?against={EVALS[3]}&bucket=improved&where=customer%3Dacme",
    "/jobs",
    "/jobs?state=failed",
    "/jobs?cursor=50",
    "/jobs/run_01m8j5mrwwx9r99e0004",
    "/jobs/run_01m8j5mrwwx9r99e0000",
    "/approvals",
    "/approvals?show=all&risk=high&q=sql",
    "/approvals?decided=apr_04",
    *(f"/approvals/apr_{number:02d}" for number in range(1, 13)),
    "/budgets",
    "/evals/online",
    "/evals/online?days=3",
    "/queues",
    *(f"/queues/{name}" for name in ("refunds", "failures", "old")),
    *(f"/queues/{name}/next" for name in ("refunds", "failures", "old")),
    "/queues/refunds/next?item=1&last=3&size=whole",
    "/gateway",
    "/gateway?prompts=1",
    "/guards",
    "/guards?window=7d&gate=input&check=injection&action=block",
    "/policy",
    "/policy?version=2",
    *(f"/policy?draft={draft}" for draft in ("wrong", "running", "tried")),
    "/keys",
    "/patterns",
    *(f"/traces/{RESEARCH}?view={view}" for view in ("transcript", "waterfall", "graph", "logs", "raw")),
    f"/traces/{RESEARCH}?view=logs&infra=1&level=warn",
    f"/traces/{HOSTILE_TRACE}?view=logs",
    f"/traces/{RESEARCH}?view=waterfall&step=9",
    f"/traces/{RESEARCH}/spans",
    f"/traces/{RESEARCH}/spans/9",
    f"/traces/{RESEARCH}/context",
    f"/traces/{HOSTILE_TRACE}/context",
    "/compare",
    f"/compare?b={FAILING}",
    f"/compare?a={RESEARCH}&b={LOOPING}",
    f"/compare?a={HOSTILE_TRACE}&b={HUGE.trace_id}",
    f"/traces/{LOOPING}",
    f"/traces/{FAILING}",
    f"/traces/{RUNNING}",
    f"/traces/{HOSTILE_TRACE}",
    f"/traces/{HOSTILE_TRACE}?view=waterfall",
    f"/traces/{HOSTILE_TRACE}?view=graph",
    f"/traces/{HOSTILE_TRACE}?view=raw",
    f"/traces/{HOSTILE_TRACE}/spans/2",
    f"/traces/{HOSTILE_TRACE}/spans/3",
    f"/traces/{HUGE.trace_id}?view=waterfall",
    f"/traces/{HUGE.trace_id}",
)
"""One of everything."""


def twin(address: str, form: str) -> str:
    """The address of a twin."""
    path, mark, query = address.partition("?")
    return ("/overview" if path == "/" else path) + f".{form}{mark}{query}"
