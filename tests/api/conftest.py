"""The API in process, over a real store, real keys and a server that is only pretended."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pilothouse import access, api
from pilothouse.access import Grant, Keyring
from pilothouse.costs import PriceBook
from pilothouse.gateway import Gateway, GatewayStatus, Rules, status_of
from pilothouse.guards import Guards, masker
from pilothouse.jobs import Desk
from pilothouse.policy import watch
from pilothouse.records import NotAllowed, NotFound
from pilothouse.results import Results
from pilothouse.routing import Asker, Replays, Routing
from pilothouse.runtime.served import ServedTools
from pilothouse.server.analyses import Analyses
from pilothouse.server.approvals import open_approvals
from pilothouse.server.budgets import open_budgets
from pilothouse.server.config import Config
from pilothouse.server.online import open_online
from pilothouse.server.policies import open_policies
from pilothouse.signals import Rulebook
from pilothouse.store import TraceStore
from pilothouse.store.cache_store import cache_of
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.control_store import ControlStore, open_control
from pilothouse.store.result_store import results_of
from pilothouse.store.routing_store import routing_of
from pilothouse.traces.model import Refused, ServerFacts
from tests.conftest import fresh_store
from tests.traces.support import support_trace

COOKIE = "test_session"


async def _nowhere(project_id: str, body: bytes, items: int) -> None:
    """Keep no trace."""


def _no_model(*asked: object) -> Any:
    raise NotFound("there is no model here")


class PretendedServer:
    """Implements :class:`pilothouse.api.Provider` without a server."""

    cookie_name = COOKIE
    rules = Rulebook()

    def __init__(self, store: TraceStore, control: ControlStore) -> None:
        self.store = store
        self.control = control
        self.keyring = Keyring(control)
        folder = Path(tempfile.mkdtemp())
        self.jobs = Desk("", folder, [])
        self.analyses = Analyses(self.jobs, folder, ())
        self.agent_tools = ServedTools("", folder)
        self.policy = watch(data_folder=folder)
        self.budgets = open_budgets("", folder, Config(), self.policy)
        self.policies = open_policies(self.policy, control, store, Config(), folder)
        self.guards = Guards(lambda: (self.policy.policy.version, self.policy.policy.section("guards")))
        self.approvals = open_approvals("", folder, self.policy, self.guards)
        self.answers = cache_of("", folder)
        self.routing = Routing(self.store, routing_of("", folder))
        self.results = Results(results_of("", folder), lambda _: masker(("secrets",)))
        self.replays = Replays(self.store, self.routing.kept, PriceBook(), lambda: Asker(_no_model, _no_model))
        self.online = open_online("", folder, store, self.policy, Config())
        self.parts: dict[str, str] = {"store": "ok"}
        self.asked: list[tuple[str, bool]] = []
        self.refused: tuple[Refused, ...] = ()
        self.kept: list[tuple[str, bytes]] = []
        self.cookies: dict[str, Grant] = {}

    def authenticate(self, token: str | None, cookie: str | None) -> Grant:
        """By key, else by cookie."""
        if token is None and cookie in self.cookies:
            return self.cookies[cookie]
        if token is None and cookie:
            raise NotAllowed("not signed in")
        return self.keyring.authenticate(token)

    def keys_changed(self) -> None:
        """Read the keys anew."""
        self.keyring.refresh()

    def reprocess(self, project_id: str, since_ns: int, until_ns: int, *, dry_run: bool) -> Mapping[str, Any]:
        """Only remember that it was asked."""
        self.asked.append((project_id, dry_run))
        return {"spans": 0, "changed": 0, "dry_run": dry_run}

    def server_facts(self, project_id: str, since_ns: int) -> ServerFacts:
        """What the test says was refused."""
        return ServerFacts(refused=self.refused)

    def keep_spans(self, project_id: str, body: bytes, items: int) -> None:
        """Remember them."""
        self.kept.append((project_id, body))

    def gateway_status(self) -> GatewayStatus:
        """A gateway without upstreams."""
        return status_of(Gateway(lambda _: Grant(project_id="", key_id="", mode="write", who=""), _nowhere, Rules))

    def ready(self) -> Mapping[str, str]:
        """What the test says of the parts."""
        return self.parts

    def metrics(self) -> Iterable[api.Metric]:
        """One of each type."""
        yield api.Metric(name="spans_total", help="Spans.", type="counter", samples=(({"signal": 'a"\\\n'}, 3.0),))
        yield api.Metric(name="lag_seconds", help="Lag.", samples=(({}, 0.5),))


class Calling:
    """A client for each mode, and what they talk to."""

    def __init__(self, server: PretendedServer) -> None:
        self.server = server
        self.app = api.build(server, version="1.2.3")
        self.project = access.create_project(server.control, f"test-{server.store.database}")
        self.keys = {
            mode: access.create_key(server.control, self.project, name=mode, mode=mode).secret for mode in access.MODES
        }
        server.keys_changed()

    def client(self, mode: str = "read") -> TestClient:
        """A client with a key of that mode."""
        return TestClient(
            self.app, headers={"Authorization": f"Bearer {self.keys[mode]}"}, raise_server_exceptions=False
        )

    def get(self, path: str, **params: Any) -> Any:
        """The data of a good answer."""
        answer = self.client().get(f"/api/v1{path}", params=params or None)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@pytest.fixture(scope="module")
def calling(chdb_engine: ChdbEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calling]:
    """The API over a store with three support traces, one of a session. One for a module: its tests only read."""
    control = open_control("", tmp_path_factory.mktemp("control"))
    control.migrate()
    for store in fresh_store(chdb_engine):
        made = Calling(PretendedServer(store, control))
        for number in (1, 2, 3):
            session = "chat 1/ä" if number == 3 else ""
            support_trace(number, project=made.project, session=session).store(store)
        yield made
    control.close()


@pytest.fixture
def scratch(tmp_path: Path, store: TraceStore) -> Iterator[Calling]:
    """The same, empty, for a test that writes."""
    control = open_control("", tmp_path)
    control.migrate()
    yield Calling(PretendedServer(store, control))
    control.close()
