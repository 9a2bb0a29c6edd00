"""What the pages ask of the rest: one visitor, and a reader bound to that visitor's project.

Pages call nothing else, so a page can be shown over the real store, over a sample in a test, or over another server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from pilothouse.traces.model import (
    AgentGraph,
    CostWhy,
    Doctor,
    Facet,
    Fleet,
    Heatmap,
    Live,
    LogFacet,
    LogQuery,
    LogRow,
    LostError,
    Overview,
    Page,
    Resolved,
    Session,
    SessionRow,
    SpanDetail,
    TraceBreakdown,
    TraceLogs,
    TraceQuery,
    TraceRow,
    Transcript,
    Waterfall,
)

from .model import Refusals, SqlResult, SqlTable


class Reader(Protocol):
    """The reading verbs, bound to one store and one project. Every method is synchronous and may be slow."""

    def search(self, query: TraceQuery) -> Page[TraceRow]:
        """Traces of a query, one page."""
        ...

    def facets(self, query: TraceQuery, fields: tuple[str, ...]) -> tuple[Facet, ...]:
        """The commonest values of some fields among the traces of a query."""
        ...

    def heatmap(self, query: TraceQuery) -> Heatmap:
        """Traces of a query by time and duration."""
        ...

    def resolve(self, id: str) -> Resolved:
        """What a short id, ``last`` or ``last-error`` stands for."""
        ...

    def row(self, trace_id: str) -> TraceRow:
        """What is known of a trace as a whole, without its spans. Raises NotFound."""
        ...

    def waterfall(self, trace_id: str) -> Waterfall:
        """A whole trace as columns."""
        ...

    def breakdown(self, trace_id: str) -> TraceBreakdown:
        """Where the time and the money of a trace went."""
        ...

    def graph(self, trace_id: str) -> AgentGraph:
        """Who worked with whom in a trace."""
        ...

    def transcript(self, trace_id: str, *, after_step: int, limit: int) -> Transcript:
        """What was said and done, each message once, one page of steps."""
        ...

    def span(self, trace_id: str, step: int) -> SpanDetail:
        """One step with all its content."""
        ...

    def cost_why(self, trace_id: str, step: int) -> CostWhy:
        """Why one step costs what it costs."""
        ...

    def logs(self, trace_id: str, *, infra: bool, level: str) -> TraceLogs:
        """The log lines that belong to a trace, each with its reason."""
        ...

    def search_logs(self, query: LogQuery) -> Page[LogRow]:
        """Log records of a query, one page."""
        ...

    def log_facets(self, query: LogQuery) -> tuple[LogFacet, ...]:
        """How many log records fit a query, by level, service and host."""
        ...

    def lost_errors(self, query: LogQuery) -> Page[LostError]:
        """Errors in logs that no span tells of, one page; only the window of the query counts."""
        ...

    def logs_exist(self) -> bool:
        """Whether any log record was ever stored."""
        ...

    def sessions(self, query: TraceQuery) -> Page[SessionRow]:
        """Conversations of a query, one page."""
        ...

    def session(self, session_id: str, *, cursor: str, limit: int) -> Session:
        """One conversation and a page of its turns."""
        ...

    def fleet(self, since_ns: int, until_ns: int) -> Fleet:
        """Every agent seen in a window."""
        ...

    def live(self, text: str, states: tuple[str, ...], *, limit: int) -> Live:
        """What runs now, those that need somebody first."""
        ...

    def overview(self, since_ns: int, until_ns: int, text: str) -> Overview:
        """Charts, totals and tables of a window."""
        ...

    def doctor(self, since_ns: int, until_ns: int) -> Doctor:
        """What keeps the recorded picture from being the whole truth."""
        ...

    def sql(self, statement: str) -> SqlResult:
        """Run one read-only statement over the documented views."""
        ...

    def sql_schema(self) -> tuple[SqlTable, ...]:
        """The documented views."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who looks at a page, at what, and with which right."""

    project: str
    """The project's name, as shown."""
    who: str
    """The key or person, as shown; never the secret."""
    mode: str
    """read, annotate, write or admin."""
    reader: Reader
    otlp_url: str
    """Where an exporter sends to, e.g. ``http://127.0.0.1:4318``."""
    grpc_url: str = ""
    """The same over gRPC; empty where it is off."""
    refusals: Refusals | None = None
    """Writes refused within the last hour; None where there were none."""
    version: str = ""
    """The server's version."""


class Provider(Protocol):
    """How the pages learn who is asking. Written by whoever builds the server."""

    def visitor(self, request: Request) -> Visitor:
        """The visitor behind a request. Raises NotAllowed where nobody is signed in."""
        ...

    def sign_in(self, token: str) -> Mapping[str, Any]:
        """Spend a one-time token: the arguments of ``Response.set_cookie``. Raises NotAllowed where it is not good."""
        ...

    def sign_out(self, request: Request) -> str:
        """End the visitor's session; gives the name of the cookie to forget."""
        ...
