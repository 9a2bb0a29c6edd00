"""What the server lends its surfaces: who is asking, and the figures only the running server knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from anyio import from_thread
from starlette.requests import Request

from pilothouse import access, web
from pilothouse.access import Grant
from pilothouse.api import Metric
from pilothouse.approvals import Approvals
from pilothouse.budgets import Budgets
from pilothouse.costs import PriceBook
from pilothouse.gateway import Gateway, GatewayStatus, status_of
from pilothouse.guards import Guards
from pilothouse.intake.receive import Intake
from pilothouse.jobs import SYSTEM, Desk
from pilothouse.online import Online
from pilothouse.policies import Policies
from pilothouse.policy import Watch
from pilothouse.records import PilothouseError, iso
from pilothouse.results import Results
from pilothouse.routing import Replays, Routing
from pilothouse.runtime.served import ServedTools
from pilothouse.signals import Rulebook
from pilothouse.store import TraceStore
from pilothouse.store.cache_store import CacheStore
from pilothouse.store.control_store import ControlStore
from pilothouse.traces.model import Forwarded, Refused, ServerFacts

from .analyses import Analyses
from .approval_reader import ApprovalReader
from .gateway import gateway_metrics
from .page_reader import PageReader
from .page_writer import PageWriter
from .queue_reader import QueueReader
from .routing import make_asker
from .state import ServerState

COOKIE = "pilothouse_session"
_HOUR_NS = 3_600_000_000_000


def server_facts(state: ServerState, project_id: str, since_ns: int) -> ServerFacts:
    """Writes refused since a moment, of this project or by a key that named none, and what is passed on."""
    refused = tuple(
        Refused(
            reason=row["reason"],
            source=row["source"],
            count=int(row["count"]),
            last=iso(int(row["last_ns"])),
            detail=row["detail"],
            ours=row["project_id"] == project_id,
        )
        for row in state.control.refusals(since_ns)
        if row["project_id"] in (project_id, "")
    )
    forwards = tuple(
        Forwarded(
            name=name,
            sent=row["sent"],
            refused=row["refused"],
            undecodable=row["undecodable"],
            skipped=row["skipped"],
            pending_bytes=row["pending_bytes"],
            failing_since=iso(int(row["failing_since"] * 1e9)) if row["failing_since"] else "",
            last_error=row["last_error"],
        )
        for name, row in state.forward_status().items()
    )
    return ServerFacts(refused=refused, forwards=forwards)


class ApiProvider:
    """Serves :class:`pilothouse.api.Provider`."""

    def __init__(self, state: ServerState, intake: Intake, gateway: Gateway) -> None:
        self._state = state
        self._intake = intake
        self._gateway = gateway
        self._started_ns = time.time_ns()
        prices = PriceBook(state.config.prices)
        self.replays = Replays(state.store, state.routing.kept, prices, lambda: make_asker(gateway))
        """Stored calls that are asked of another model."""
        state.replays = self.replays

    @property
    def store(self) -> TraceStore:
        """The trace store."""
        return self._state.store

    @property
    def control(self) -> ControlStore:
        """Projects and keys."""
        return self._state.control

    @property
    def rules(self) -> Rulebook:
        """The thresholds of signals."""
        return self._state.config.rulebook

    @property
    def jobs(self) -> Desk:
        """Durable runs."""
        return self._state.jobs

    @property
    def analyses(self) -> Analyses:
        """Analyses on this server."""
        return self._state.analyses

    @property
    def agent_tools(self) -> ServedTools:
        """The runtime's tools for agents elsewhere."""
        return self._state.agent_tools

    @property
    def policy(self) -> Watch:
        """The policy file, as it is now."""
        return self._state.policy

    @property
    def policies(self) -> Policies:
        """Its versions, and what another one would do."""
        return self._state.policies

    @property
    def budgets(self) -> Budgets:
        """What may be spent under that policy."""
        return self._state.budgets

    @property
    def guards(self) -> Guards:
        """The gates under that policy."""
        return self._state.guards

    def keep_spans(self, project_id: str, body: bytes, items: int) -> None:
        """Make durable what the server itself has to tell. Called from a worker thread of the event loop."""
        from_thread.run(self._intake.keep, project_id, body, items)

    @property
    def results(self) -> Results:
        """Runs of suites that were sent here."""
        return self._state.results

    @property
    def routing(self) -> Routing:
        """Models of difficulty."""
        return self._state.routing

    @property
    def online(self) -> Online:
        """Scores on sampled production traces."""
        return self._state.online

    @property
    def answers(self) -> CacheStore:
        """Kept answers of the gateway."""
        return self._state.answers

    def gateway_status(self) -> GatewayStatus:
        """Upstreams, keys, breakers, calls under way."""
        return status_of(self._gateway)

    @property
    def approvals(self) -> Approvals:
        """Actions that wait for a person under that policy."""
        return self._state.approvals

    @property
    def cookie_name(self) -> str:
        """The page's session cookie."""
        return COOKIE

    def authenticate(self, token: str | None, cookie: str | None) -> Grant:
        """Who this is, by key or by cookie."""
        if token is None and cookie:
            return access.page_grant(self._state.control, cookie)
        return self._state.keyring.authenticate(token)

    def keys_changed(self) -> None:
        """Read the keys again at the next request."""
        self._state.keyring.refresh()

    def reprocess(self, project_id: str, since_ns: int, until_ns: int, *, dry_run: bool) -> Mapping[str, Any]:
        """Have the worker normalise and price stored spans again."""
        command = {"do": "reprocess", "project": project_id, "since_ns": since_ns, "until_ns": until_ns}
        return self._state.worker.ask({**command, "dry_run": dry_run})

    def server_facts(self, project_id: str, since_ns: int) -> ServerFacts:
        """Writes refused since a moment, and what is passed on."""
        return server_facts(self._state, project_id, since_ns)

    def ready(self) -> Mapping[str, str]:
        """Each part by name: ``ok``, or what is wrong with it."""
        parts = {
            "store": lambda: self._state.store.query("SELECT 1"),
            "control": self._state.control.projects,
        }
        report: dict[str, str] = {}
        for name, probe in parts.items():
            try:
                probe()
                report[name] = "ok"
            except PilothouseError as error:
                report[name] = error.message
        report["worker"] = "ok" if self._state.worker.process_id else "being started"
        load = self._intake.load
        full = load.disk_free_bytes < self._intake.settings.disk_free_bytes_min
        report["disk"] = f"only {load.disk_free_bytes >> 20} MB free: writes are refused" if full else "ok"
        behind = load.backlog_bytes > self._intake.settings.backlog_bytes_max
        report["backlog"] = f"{load.backlog_bytes >> 20} MB wait to be stored: writes are refused" if behind else "ok"
        return report

    def metrics(self) -> Iterable[Metric]:
        """The server's own figures."""
        worker = self._state.worker_status()
        snapshot = self._intake.counters.snapshot()
        load = self._intake.load
        yield _gauge("uptime_seconds", "Seconds since the start.", (time.time_ns() - self._started_ns) / 1e9)
        yield _gauge("intake_in_flight_bytes", "Bodies received and not yet answered.", load.in_flight_bytes)
        yield _gauge("intake_backlog_bytes", "Journal not yet stored.", load.backlog_bytes)
        yield _gauge("disk_free_bytes", "Free disk under the data folder.", load.disk_free_bytes)
        yield _gauge("ingest_lag_milliseconds", "Age of the last stored request.", float(worker.get("lag_ms", 0.0)))
        yield Metric(
            name="intake_requests_total",
            help="Requests accepted.",
            type="counter",
            samples=tuple(
                ({"signal": row.signal, "project": row.project_id}, row.requests) for row in snapshot.accepted
            ),
        )
        yield Metric(
            name="intake_items_total",
            help="Spans, log records and data points accepted.",
            type="counter",
            samples=tuple(({"signal": row.signal, "project": row.project_id}, row.items) for row in snapshot.accepted),
        )
        yield Metric(
            name="intake_refused_total",
            help="Requests refused.",
            type="counter",
            samples=tuple(({"reason": reason}, count) for reason, count in snapshot.refused_by_reason.items()),
        )
        for name in ("spans", "repeated_spans", "amended_spans", "logs", "points", "scores", "undecodable"):
            yield Metric(
                name=f"ingest_{name}_total",
                help=f"Stored by the ingest worker since its start: {name.replace('_', ' ')}.",
                type="counter",
                samples=(({}, float(worker.get(name, 0))),),
            )
        forwards = self._state.forward_status()
        for name in ("sent", "refused", "undecodable", "skipped"):
            if forwards:
                yield Metric(
                    name=f"forward_{name}_total",
                    help=f"Requests to other backends since the start of the forwarder: {name}.",
                    type="counter",
                    samples=tuple(({"upstream": upstream}, float(row[name])) for upstream, row in forwards.items()),
                )
        if forwards:
            yield Metric(
                name="forward_pending_bytes",
                help="Journal not yet passed on.",
                type="gauge",
                samples=tuple(
                    ({"upstream": upstream}, float(row["pending_bytes"])) for upstream, row in forwards.items()
                ),
            )
        yield from gateway_metrics(self._gateway)
        yield Metric(
            name="ingest_restarts_total",
            help="How often the ingest worker had to be started again.",
            type="counter",
            samples=(({}, float(self._state.worker.restarts)),),
        )


class PageProvider:
    """Serves :class:`pilothouse.web.Provider`."""

    def __init__(self, state: ServerState, gateway: Gateway, *, url: str, grpc: str) -> None:
        self._state = state
        self._gateway = gateway
        self._url = url
        self._grpc = grpc
        self._names: dict[str, str] = {}

    def visitor(self, request: Request) -> web.Visitor:
        """The visitor behind a request: by cookie, or by key so that a shell can read the twins of a page."""
        state = self._state
        token = _bearer(request)
        grant = (
            state.keyring.authenticate(token)
            if token
            else access.page_grant(state.control, request.cookies.get(COOKIE))
        )
        grant = access.narrowed(grant, request.headers)
        actor = access.actor_of(grant, request.headers)
        decider = access.decider(grant, request.headers)
        refused = server_facts(state, grant.project_id, time.time_ns() - _HOUR_NS).refused
        return web.Visitor(
            project=self._name(grant.project_id),
            who=grant.who,
            mode=grant.mode,
            reader=PageReader(
                state.store,
                grant.project_id,
                self._facts(grant.project_id),
                state.config.rulebook,
                jobs=state.jobs,
                analyses=state.analyses,
                run_projects=(grant.project_id, SYSTEM) if grant.allows("admin") else (grant.project_id,),
                actor_id=actor.id,
                anybodys=grant.allows("write"),
                control=state.control,
                policies=state.policies,
                drafts=state.drafts,
                may_see_policy=grant.allows("write"),
                approvals=ApprovalReader(state.approvals, grant, decider),
                queues=QueueReader(state.store, state.control, grant, decider),
                budgets=state.budgets,
                gateway_status=lambda: status_of(self._gateway),
                answers=state.answers,
                online=state.online,
                results=state.results,
            ),
            writer=PageWriter(state, grant, actor, decider),
            waiting=state.approvals.counts(grant.project_id).get("pending", 0),
            is_person=decider.kind == "person",
            otlp_url=self._url,
            grpc_url=self._grpc,
            refusals=web.Refusals(
                posts=sum(row.count for row in refused), why=refused[0].reason, last=max(row.last for row in refused)
            )
            if refused
            else None,
            version=state.version,
        )

    def sign_in(self, token: str) -> Mapping[str, Any]:
        """Spend a one-time token."""
        secret = access.sign_in(self._state.control, token)
        return {
            "key": COOKIE,
            "value": secret,
            "max_age": 30 * 86_400,
            "httponly": True,
            "samesite": "lax",
            "path": "/",
        }

    def sign_out(self, request: Request) -> str:
        """End the visitor's session."""
        if cookie := request.cookies.get(COOKIE):
            access.sign_out(self._state.control, cookie)
        return COOKIE

    def _facts(self, project_id: str) -> Callable[[int], ServerFacts]:
        return lambda since_ns: server_facts(self._state, project_id, since_ns)

    def _name(self, project_id: str) -> str:
        if project_id not in self._names:
            self._names = {str(row["project_id"]): str(row["name"]) for row in self._state.control.projects()}
        return self._names.get(project_id, project_id)


def _bearer(request: Request) -> str | None:
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest.strip() else request.headers.get("x-api-key") or None


def _gauge(name: str, help: str, value: float) -> Metric:
    return Metric(name=name, help=help, samples=(({}, value),))
