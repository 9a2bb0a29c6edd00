"""Who asks, of which project, with which right: what every handler is given.

The server implements :class:`Provider`; the API knows nothing else of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from fastapi import Depends, Request

from pilothouse.access import Grant, Mode, actor_of, check_same_site, decider, narrowed
from pilothouse.approvals import Approvals
from pilothouse.budgets import Budgets
from pilothouse.gateway import GatewayStatus
from pilothouse.guards import Guards
from pilothouse.jobs import Desk
from pilothouse.online import Online
from pilothouse.policies import Policies
from pilothouse.policy import Watch
from pilothouse.records import Actor, Forbidden, new_id
from pilothouse.results import Results
from pilothouse.routing import Replays, Routing
from pilothouse.runtime.served import ServedTools
from pilothouse.store import TraceStore
from pilothouse.store.cache_store import CacheStore
from pilothouse.store.control_store import ControlStore
from pilothouse.traces import Rulebook
from pilothouse.traces.model import ServerFacts

if TYPE_CHECKING:
    from .analysis import Analyses


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of the server, in Prometheus terms."""

    name: str
    """Without the prefix ``pilothouse_``."""
    help: str
    type: Literal["counter", "gauge"] = "gauge"
    samples: tuple[tuple[Mapping[str, str], float], ...]
    """Labels and value."""


class Provider(Protocol):
    """What the server lends the API. All methods are called from worker threads."""

    @property
    def store(self) -> TraceStore:
        """The trace store."""
        ...

    @property
    def control(self) -> ControlStore:
        """Projects and keys."""
        ...

    @property
    def rules(self) -> Rulebook:
        """The thresholds of signals, as configured."""
        ...

    @property
    def jobs(self) -> Desk:
        """Durable runs."""
        ...

    @property
    def analyses(self) -> Analyses:
        """Analyses on this server."""
        ...

    @property
    def agent_tools(self) -> ServedTools:
        """The runtime's tools for agents elsewhere."""
        ...

    @property
    def policy(self) -> Watch:
        """The policy file, as it is now."""
        ...

    @property
    def policies(self) -> Policies:
        """Its versions, and what another one would do."""
        ...

    @property
    def budgets(self) -> Budgets:
        """What may be spent under that policy."""
        ...

    @property
    def guards(self) -> Guards:
        """The gates under that policy."""
        ...

    def keep_spans(self, project_id: str, body: bytes, items: int) -> None:
        """Make durable what the server itself has to tell: so many spans as an OTLP request in protobuf.

        Raises PilothouseError where they cannot be taken now.
        """
        ...

    @property
    def routing(self) -> Routing:
        """Models of difficulty."""
        ...

    @property
    def results(self) -> Results:
        """Runs of suites that were sent here."""
        ...

    @property
    def replays(self) -> Replays:
        """Stored calls that are asked of another model."""
        ...

    @property
    def online(self) -> Online:
        """Scores on sampled production traces."""
        ...

    @property
    def answers(self) -> CacheStore:
        """Kept answers of the gateway."""
        ...

    def gateway_status(self) -> GatewayStatus:
        """The gateway's upstreams, keys, breakers and calls under way."""
        ...

    @property
    def approvals(self) -> Approvals:
        """Actions that wait for a person under that policy."""
        ...

    @property
    def cookie_name(self) -> str:
        """The page's session cookie; empty where there is no page."""
        ...

    def authenticate(self, token: str | None, cookie: str | None) -> Grant:
        """Who this is: by key, or by the page's session cookie where no key is given.

        Raises:
            NotAllowed: neither is good.
        """
        ...

    def keys_changed(self) -> None:
        """Called after a key was made or revoked, so that it takes effect at once."""
        ...

    def reprocess(self, project_id: str, since_ns: int, until_ns: int, *, dry_run: bool) -> Mapping[str, Any]:
        """Normalise and price stored spans again; returns what changed. May take minutes."""
        ...

    def server_facts(self, project_id: str, since_ns: int) -> ServerFacts:
        """Writes refused since then, for this project or by a key that names none, and what is passed on."""
        ...

    def ready(self) -> Mapping[str, str]:
        """Each part by name: ``ok``, or in a few words what is wrong with it."""
        ...

    def metrics(self) -> Iterable[Metric]:
        """The server's own figures, for Prometheus."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One request's view of the server."""

    provider: Provider
    grant: Grant
    actor: Actor
    """Who writes, where something is written."""
    decider: Actor
    """Who decides what waits for a person: an agent, unless it is known to be a person."""

    @property
    def store(self) -> TraceStore:
        """The trace store."""
        return self.provider.store

    @property
    def control(self) -> ControlStore:
        """Projects and keys."""
        return self.provider.control

    @property
    def rules(self) -> Rulebook:
        """The thresholds of signals, as configured."""
        return self.provider.rules

    @property
    def project_id(self) -> str:
        """The project the key or session is of."""
        return self.grant.project_id

    def need(self, mode: Mode) -> None:
        """Refuse whoever has less than this right.

        Raises:
            Forbidden: the key's mode does not include it.
        """
        if self.grant.allows(mode):
            return
        if self.grant.narrowed:
            raise Forbidden(
                f"this needs mode {mode}, and the command line acts with less: agents only read unless they are told",
                got=self.grant.mode,
                fix=f"PILOTHOUSE_MODE={mode} pilothouse …",
            )
        raise Forbidden(
            f"this needs a key of mode {mode}", got=self.grant.mode, fix=f"pilothouse keys new --mode {mode}"
        )

    def audit(self, action: str, detail: str, run: str = "") -> None:
        """Note who did what."""
        self.control.add_audit(
            audit_id=new_id("aud"),
            project_id=self.project_id,
            who=self.actor.name,
            action=action,
            detail=detail,
            run=run,
        )


def context(request: Request) -> Context:
    """The context of a request; the dependency every handler takes.

    Raises:
        NotAllowed: neither key nor session is good.
        Forbidden: another site's page tries to write with the visitor's session.
    """
    provider: Provider = request.app.state.provider
    token = _token(request)
    cookie = request.cookies.get(provider.cookie_name) if provider.cookie_name and token is None else None
    grant = provider.authenticate(token, cookie)
    if cookie is not None and request.method not in ("GET", "HEAD"):
        check_same_site(request.headers)
    grant = narrowed(grant, request.headers)
    return Context(
        provider=provider,
        grant=grant,
        actor=actor_of(grant, request.headers),
        decider=decider(grant, request.headers),
    )


def _token(request: Request) -> str | None:
    header = request.headers.get("authorization", "")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return rest.strip()
    return request.headers.get("x-api-key") or None


Caller = Annotated[Context, Depends(context)]
"""Write ``caller: Caller`` in a handler."""
