"""Builds and runs the server: the only file that knows all parts.

One process serves the page, the API and OTLP; it starts and supervises two more: the storage process (embedded engine)
and the ingest worker. Killed at any moment, all three end, and the next start goes on where they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pilothouse import __version__, access, api, deletions, web
from pilothouse.annotations import settle
from pilothouse.api.heard_out import HeardOut
from pilothouse.approvals import Links, Notifier, approvals_key
from pilothouse.gateway import PREFIX, Gateway
from pilothouse.guards import Guards
from pilothouse.intake.forward import headers_of
from pilothouse.intake.grpc import GrpcServer
from pilothouse.intake.http import routes as otlp_routes
from pilothouse.intake.journal import Journal, recover
from pilothouse.intake.receive import Intake
from pilothouse.intake.settings import MIB, Settings
from pilothouse.jobs import Desk
from pilothouse.mcp.http import McpEndpoint
from pilothouse.policies import Drafts
from pilothouse.policy import watch as watch_policy
from pilothouse.records import BadRequest, Forbidden, iso
from pilothouse.routing import Routing
from pilothouse.runtime.adapters.mcp_http import runtime_server
from pilothouse.runtime.served import ServedTools
from pilothouse.server.analyses import Analyses
from pilothouse.server.approvals import open_approvals
from pilothouse.server.budget_raises import BudgetRaiser
from pilothouse.server.budgets import open_budgets
from pilothouse.server.config import Config
from pilothouse.server.early import Early
from pilothouse.server.gateway import make_gateway
from pilothouse.server.housekeeping import Housekeeping
from pilothouse.server.on_demand import OnDemand
from pilothouse.server.online import OnlineWorker, open_online
from pilothouse.server.policies import check_policy, open_policies
from pilothouse.server.providers import ApiProvider, PageProvider
from pilothouse.server.results import open_results
from pilothouse.server.runtime import Runtime, new_token, remove_runtime, write_runtime
from pilothouse.server.state import ServerState
from pilothouse.server.supervised import SupervisedProcess
from pilothouse.server.worker_process import WorkerProcess
from pilothouse.server.workflows import Resources, workflows
from pilothouse.store import TraceStore, open_store
from pilothouse.store.cache_store import cache_of
from pilothouse.store.control_store import ControlStore, open_control
from pilothouse.store.count_store import counts_of
from pilothouse.store.routing_store import routing_of

LOG = logging.getLogger("pilothouse.server")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What ``pilothouse up`` was told."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 4318
    """0 takes a free port."""
    grpc_port: int | None = 4317
    """0 takes a free port; None switches OTLP/gRPC off."""
    store: str = ""
    """Empty: the embedded engine; else ``clickhouse://…``."""
    control: str = ""
    """Empty: SQLite in the data folder; else ``postgresql://…``."""
    config: Path | None = None
    json: bool = False
    """Announce as JSON lines instead of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What is said once at the start."""

    url: str
    grpc: str
    sign_in: str
    project: str
    new_key: str
    """The first key, on the very first start; empty ever after."""
    data: str
    replayed_bytes: int


def up(options: UpOptions, early: Early | None = None) -> None:
    """Run the server until it is told to stop. ``early``: what was begun before this module was loaded.

    Raises:
        BadRequest: the folder is in use, a port is taken, or a setting is wrong.
        Unreachable: the store or the control database does not open.
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr
    )
    early = early or Early(options.data, store=options.store, config=options.config)
    listening: socket.socket | None = None
    state: ServerState | None = None
    try:
        listening = _listen(options.host, options.port)
        state, new_key = open_state(options, early)
        # Threads that store and encode give way to the loop sooner than Python's 5 ms: a call through has one in all.
        sys.setswitchinterval(0.001)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(options, state, listening, new_key))
    finally:
        if listening is not None:
            listening.close()
        if state is not None:
            state.close()
        remove_runtime(early.data)
        early.release()


def open_state(options: UpOptions, early: Early) -> tuple[ServerState, str]:
    """Open stores and start the worker; the second value is the first key, where one was made just now."""
    config, data = early.config, early.data
    # First of all: a policy that is wrong stops the start, before anything is opened.
    policy = watch_policy(data_folder=data, check=check_policy)
    counts = counts_of(options.control, data)
    guards = Guards(lambda: (policy.policy.version, policy.policy.section("guards")), counts=counts)
    policy.ahead(lambda new: guards.prepare(new.version, new.section("guards")))
    control = open_control(options.control, data)
    control.migrate()
    project_id, new_key = _first_project(control)
    store = TraceStore(early.engine) if early.engine is not None else open_store(options.store, data)
    store.migrate()
    # What a killed server logged and did not come to show.
    settle(store, control, time.time_ns())
    deletions.settle(store, control, time.time_ns())
    recovered = recover(data / "journal")
    for name, recovery in recovered.items():
        if recovery.cut_bytes:
            LOG.warning("journal %s: a torn tail of %d bytes, never acknowledged, was cut", name, recovery.cut_bytes)
    settings = _worker_config(config, control)
    forwarder: SupervisedProcess | None = None
    if config.forward:
        for upstream in config.forward:
            headers_of(upstream)
        command = ["-m", "pilothouse.intake.forwarder", "--data", str(data)]
        forwards = _forward_config(config, control)
        forwarder = SupervisedProcess("forwarder", command, {"mask": settings["mask"], "forward": forwards})
    worker = WorkerProcess(data, options.store, settings)
    job_worker = OnDemand(
        lambda: SupervisedProcess(
            "job worker",
            ["-m", "pilothouse.server.job_worker", "--data", str(data), "--store", options.store],
            {"control": options.control},
        )
    )
    resources = Resources(data=data, store_url=options.store)
    jobs = Desk(options.control, data, workflows(resources), start_worker=job_worker.start)
    policies = open_policies(policy, control, store, config, data)
    state = ServerState(
        data=data,
        store=store,
        control=control,
        keyring=access.Keyring(control),
        worker=worker,
        forwarder=forwarder,
        jobs=jobs,
        analyses=Analyses(jobs, data, config.analysis_models),
        job_worker=job_worker,
        agent_tools=ServedTools(options.control, data / "runtime"),
        policy=policy,
        policies=policies,
        drafts=Drafts(policies),
        budgets=open_budgets(options.control, data, config, policy),
        guards=guards,
        approvals=open_approvals(options.control, data, policy, guards),
        counts=counts,
        answers=cache_of(options.control, data),
        routing=Routing(store, routing_of(options.control, data)),
        online=open_online(options.control, data, store, policy, config),
        results=open_results(options.control, data, settings["mask"]),
        config=config,
        project_id=project_id,
        token=new_token(),
        version=__version__,
    )
    state.budgets.raiser = BudgetRaiser(state.approvals)
    grant = access.Grant(project_id=project_id, key_id="", mode="admin", who="this machine")
    state.keyring.add_own(state.token, grant)
    # From here on a changed file is met, read and compiled by a thread of its own, and by no caller.
    policy.start()
    return state, new_key


def build(state: ServerState, intake: Intake, *, url: str, grpc: str, loopback: bool = True) -> FastAPI:
    """The HTTP application: OTLP, API, MCP, page. ``loopback``: it is reached from this machine only."""
    gateway = make_gateway(state, intake)
    provider = ApiProvider(state, intake, gateway)
    app = api.build(provider, version=__version__)
    state.approvals.changed = app.state.approval_waits.changed
    app.router.routes[:0] = otlp_routes(intake)
    hosts = state.config.allowed_hosts
    traces = McpEndpoint(app, provider.authenticate, loopback=loopback, hosts=hosts)
    runtime = McpEndpoint(app, provider.authenticate, loopback=loopback, hosts=hosts, server_of=runtime_server)
    app.state.mcp = (traces, runtime)
    app.state.gateway = gateway
    app.router.routes[:0] = [Route("/mcp", traces), Route("/runtime/mcp", runtime)]
    # First of all: each of its calls is measured against the provider's own.
    app.router.routes.insert(0, Mount(PREFIX, gateway))
    links = Links(state.approvals, key=approvals_key(state.data))
    state.notifier = Notifier(state.approvals, links, address=lambda: state.approvals.rules.address or url)
    app.include_router(web.approve.build(links))
    pages = PageProvider(state, gateway, url=url, grpc=grpc)
    app.include_router(web.build(pages))
    _answer_browsers(app, pages)
    return app


def _answer_browsers(app: FastAPI, pages: PageProvider) -> None:
    """An address that leads nowhere is a page for a browser, and the one error shape for everybody else."""
    as_page = web.not_found_handler(pages)
    as_error = app.exception_handlers[HTTPException]

    async def unknown(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        if (
            status == 404
            and "text/html" in request.headers.get("accept", "")
            and not request.url.path.startswith("/api/")
        ):
            return await run_in_threadpool(as_page, request)
        return cast("Response", as_error(request, error))

    app.add_exception_handler(HTTPException, unknown)


class _HttpServer(uvicorn.Server):
    """uvicorn ends the process by the signal it was sent once it has stopped; here, more is to be closed after it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to :meth:`end`."""
        yield

    def end(self) -> None:
        """Stop in order; the second time at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: it writes what belongs together at once, and a call through costs half as much."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _GatewayFirst:
    """Lets calls of models go straight to the gateway: each of them is measured against the provider's own.

    It hears callers out by itself, and reads nothing of what a proxy says of them.
    """

    def __init__(self, app: FastAPI, gateway: Gateway) -> None:
        trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
        self._app = ProxyHeadersMiddleware(cast("Any", HeardOut(app)), trusted_hosts=trusted)
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ours = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/")
        await (self._gateway if ours else cast("ASGIApp", self._app))(scope, receive, send)


async def _serve(options: UpOptions, state: ServerState, listening: socket.socket, new_key: str) -> None:
    host, port = listening.getsockname()[:2]
    url = f"http://{_shown(host)}:{port}"
    intake = make_intake(state)
    await intake.start()
    grpc: GrpcServer | None = None
    grpc_address = ""
    if options.grpc_port is not None:
        grpc = GrpcServer(intake, host=options.host, port=options.grpc_port)
        await grpc.start()
        grpc_address = f"http://{_shown(options.host)}:{grpc.port}"
    application = build(state, intake, url=url, grpc=grpc_address, loopback=options.host in _LOOPBACK)
    gateway: Gateway = application.state.gateway
    gateway.start()
    server = _HttpServer(
        uvicorn.Config(
            _GatewayFirst(application, gateway),
            proxy_headers=False,  # What of it is wanted stands in _GatewayFirst.
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=65,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )

    def stop() -> None:
        # Streams end when they are told to, not by themselves: the server waits for them otherwise.
        application.state.feeds.close()
        for endpoint in application.state.mcp:
            endpoint.stop()
        server.end()

    # What a start leaves behind stays for good: looking through it for rubbish would hold calls up, again and again.
    gc.freeze()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    state.online_worker = OnlineWorker(state, url, store=options.store, control=options.control)
    housekeeping = Housekeeping(state, intake, gateway)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if not serving.done():
        housekeeping.start()
        runtime = Runtime(
            url=url,
            grpc=grpc_address,
            pid=os.getpid(),
            data=str(state.data),
            store=state.store.engine.name,
            token=state.token,
            started=iso(time.time_ns()),
        )
        write_runtime(runtime)
        link = access.new_link(state.control, state.project_id, person="owner")
        _announce(
            Welcome(
                url=url,
                grpc=grpc_address,
                sign_in=f"{url}/sign-in?token={link}",
                project=state.project_id,
                new_key=new_key,
                data=str(state.data),
                replayed_bytes=intake.load.backlog_bytes,
            ),
            as_json=options.json,
        )
    # After the server answers: its start does not wait for what nobody may need.
    waking = asyncio.create_task(asyncio.to_thread(_wake, state))
    try:
        await serving
    finally:
        await waking
        for endpoint in application.state.mcp:
            await endpoint.close()
        await housekeeping.stop()
        await gateway.close()
        if grpc is not None:
            await grpc.stop()
        await intake.stop()


def _wake(state: ServerState) -> None:
    try:
        state.jobs.wake()
    except Exception:
        LOG.exception("unfinished runs could not be looked for; the next run starts the worker")


def make_intake(state: ServerState, receiver: str = "main") -> Intake:
    """The OTLP receiver of this process, with a journal of its own."""
    config = state.config
    settings = Settings(
        body_bytes_max=config.body_mb * MIB,
        backlog_bytes_max=config.journal_backlog_mb * MIB,
        disk_free_bytes_min=config.disk_free_mb * MIB,
    )

    def authorise(token: str | None) -> str:
        grant = state.keyring.authenticate(token)
        if not grant.allows("write"):
            raise Forbidden(
                "this key may read but not send telemetry", got=grant.mode, fix="pilothouse keys new --mode write"
            )
        return grant.project_id

    return Intake(Journal(state.data / "journal" / receiver, settings), authorise, settings)


def _first_project(control: ControlStore) -> tuple[str, str]:
    projects = control.projects()
    if projects:
        return str(projects[0]["project_id"]), ""
    project_id = access.create_project(control, "default")
    # Unattended set-ups give the first key themselves; everybody else reads it once from the screen.
    given = os.environ.get("PILOTHOUSE_API_KEY", "")
    key = access.create_key(control, project_id, name="first key", mode="admin", secret=given)
    return project_id, "" if given else key.secret


def _worker_config(config: Config, control: ControlStore) -> dict[str, object]:
    ids = {str(row["name"]): str(row["project_id"]) for row in control.projects()}
    unknown = [name for name in config.mask_by_project if name not in ids and name not in ids.values()]
    if unknown:
        raise BadRequest("masking rules for a project that does not exist", got=unknown[0], allowed=sorted(ids))
    masks = {ids.get(name, name): mask for name, mask in config.mask_by_project.items()}
    masks[""] = config.mask
    return {
        "mask": {name: {"groups": list(mask.groups), "rules": dict(mask.rules)} for name, mask in masks.items()},
        "prices": [dict(row) for row in config.prices],
        "signals": dict(config.signals),
        "worker": {
            "keep_bytes": config.journal_keep_mb * 1_000_000,
            "forwards": [upstream.name for upstream in config.forward],
            "forward_bytes": config.forward_backlog_mb * 1_000_000,
        },
    }


def _forward_config(config: Config, control: ControlStore) -> list[dict[str, object]]:
    ids = {str(row["name"]): str(row["project_id"]) for row in control.projects()}
    rows: list[dict[str, object]] = []
    for upstream in config.forward:
        unknown = [name for name in upstream.projects if name not in ids and name not in ids.values()]
        if unknown:
            raise BadRequest(
                f"forward {upstream.name!r} names a project that does not exist", got=unknown[0], allowed=sorted(ids)
            )
        rows.append({**asdict(upstream), "projects": [ids.get(name, name) for name in upstream.projects]})
    return rows


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: of a socket that leaves it open, asyncio does not switch off Nagle's algorithm, and an answer
    # whose head and body leave one after the other waits 40 ms for the other side's acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise BadRequest(
            f"the address {host}:{port} cannot be listened on: {error.strerror}", got=port, fix="pilothouse up --port 0"
        ) from error
    listening.listen(2048)
    listening.setblocking(False)
    return listening


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104  # shown, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _announce(welcome: Welcome, *, as_json: bool) -> None:
    if as_json:
        facts = {name: getattr(welcome, name) for name in Welcome.__slots__}
        sys.stdout.write(json.dumps({"event": "ready", **facts}, separators=(",", ":")) + "\n")
    else:
        lines = [
            f"Pilothouse {__version__}",
            f"  page, API, OTLP/HTTP   {welcome.url}",
            f"  OTLP/gRPC              {welcome.grpc or 'off'}",
            f"  data                   {welcome.data}",
        ]
        if welcome.new_key:
            lines += [
                f"  API key                {welcome.new_key}",
                "                         (shown this once; only its hash is kept)",
            ]
        lines += [f"  sign in (once, 1 h)    {welcome.sign_in}", "ready"]
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
