"""What the pages ask of the rest: one visitor, and a reader bound to that visitor's project.

Pages call nothing else, so a page can be shown over the real store, over a sample in a test, or over another server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from pilothouse.approvals import State
from pilothouse.budgets import BudgetOverview
from pilothouse.jobs import RunPage as JobPage
from pilothouse.online import OnlineOverview
from pilothouse.queues import Handed, QueueInfo
from pilothouse.results import CasePage, CaseShown, Compared, EvalRun, Groups, RunPage, SuiteRuns
from pilothouse.store.deletion_log import DeletionRecord
from pilothouse.traces.model import (
    AgentGraph,
    Audit,
    Context,
    CostWhy,
    Decision,
    Doctor,
    Facet,
    Fleet,
    Heatmap,
    Levels,
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
    SystemMap,
    TraceBreakdown,
    TraceDiff,
    TraceLogs,
    TracePlan,
    TraceQuery,
    TraceRow,
    TraceStates,
    Transcript,
    Waterfall,
    Why,
)
from pilothouse.traces.model.guards import GuardActivity
from pilothouse.traces.model.prompt_cache import PromptCache

from .model import (
    AnalysisList,
    AnalysisShown,
    ApprovalQueue,
    ApprovalShown,
    GatewayShown,
    GuardsShown,
    JobSteps,
    PolicyChecked,
    PolicyShown,
    QueueShown,
    Refusals,
    SqlResult,
    SqlTable,
    Written,
)


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

    def graph(self, trace_id: str, *, expand: tuple[str, ...] = ()) -> AgentGraph:
        """Who worked with whom in a trace; ``expand`` names folded nodes to unfold."""
        ...

    def transcript(self, trace_id: str, *, after_step: int, limit: int) -> Transcript:
        """What was said and done, each message once, one page of steps."""
        ...

    def span(self, trace_id: str, step: int) -> SpanDetail:
        """One step with all its content."""
        ...

    def decision(self, trace_id: str, step: int) -> Decision:
        """What a model call decided. Raises BadRequest for any other step."""
        ...

    def states(self, trace_id: str) -> TraceStates:
        """What agents of a trace were doing when."""
        ...

    def plan(self, trace_id: str) -> TracePlan:
        """What agents of a trace planned, and what the runtime did."""
        ...

    def cost_why(self, trace_id: str, step: int) -> CostWhy:
        """Why one step costs what it costs."""
        ...

    def why(self, trace_id: str) -> Why:
        """What is wrong with a trace, with the steps that show it."""
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

    def context(self, trace_id: str, step: int) -> Context:
        """What was in the context of each model call; with a step that is not 0 of that call alone, message by message."""
        ...

    def diff(self, a: str, b: str, step: str) -> TraceDiff:
        """Two traces aligned step by step; ``step`` (``12`` of a, ``b12`` of b) says which row to give in full."""
        ...

    def written(self, *, trace_id: str = "", session_id: str = "") -> tuple[Written, ...]:
        """The notes, scores and labels on a trace and its steps, or on a session itself, oldest first."""
        ...

    def deletion(self, deletion_id: str) -> DeletionRecord:
        """A deletion that was asked for. Raises NotFound."""
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

    def system_map(self, since_ns: int, until_ns: int, filters: str) -> SystemMap:
        """The components of a window and who calls whom."""
        ...

    def audit(self, agent: str, since_ns: int, until_ns: int) -> Audit:
        """What of an agent would fail silently. Raises NotFound."""
        ...

    def levels(self, since_ns: int, until_ns: int, *, agent: str = "") -> Levels:
        """The level of one agent, or of all. Raises NotFound."""
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

    def jobs(self, state: str, *, limit: int, cursor: str) -> JobPage:
        """Durable runs the visitor may see, newest first; of one state where one is named."""
        ...

    def job(self, run_id: str, *, limit: int) -> JobSteps:
        """One durable run and its first steps. Raises NotFound."""
        ...

    def analyses(self, state: str, *, limit: int, cursor: str) -> AnalysisList:
        """Analyses on this server, newest first; of one state where one is named."""
        ...

    def analysis(self, analysis_id: str) -> AnalysisShown:
        """One analysis with what it found. Raises NotFound."""
        ...

    def eval_suites(self) -> tuple[SuiteRuns, ...]:
        """Suites with their newest runs, the one that ran last first."""
        ...

    def eval_runs(self, suite: str, *, limit: int, cursor: str) -> RunPage:
        """Runs of suites, newest first. An empty suite: all."""
        ...

    def eval_run(self, run_id: str) -> EvalRun:
        """One run of a suite, by its id or the unique beginning of it."""
        ...

    def eval_groups(self, run_id: str, by: str) -> Groups:
        """A run taken apart by one key of its cases."""
        ...

    def eval_cases(
        self, run_id: str, *, outcomes: tuple[str, ...], where: str, words: str, limit: int, cursor: str
    ) -> CasePage:
        """Cases of a run, those that fail first."""
        ...

    def eval_case(self, run_id: str, case: str) -> CaseShown:
        """One case of a run with its attempts."""
        ...

    def eval_compared(self, base: str, candidate: str, bucket: str, *, limit: int) -> Compared:
        """What one run is to an earlier one. An empty bucket: all changes."""
        ...

    def sql(self, statement: str) -> SqlResult:
        """Run one read-only statement over the documented views."""
        ...

    def sql_schema(self) -> tuple[SqlTable, ...]:
        """The documented views."""
        ...

    def approvals(self, states: tuple[State, ...], *, risk: str, query: str, cursor: str, limit: int) -> ApprovalQueue:
        """Approvals in some states: what waits by its deadline, anything else the newest first."""
        ...

    def approval(self, approval_id: str, *, seen: bool = False) -> ApprovalShown:
        """One approval; ``seen`` notes that the visitor looked. Raises NotFound."""
        ...

    def policy(self, draft_id: str, version: int | None) -> PolicyShown:
        """The policy with its versions; with a draft and what changed in a version, where they are named.

        Raises Forbidden where the visitor may not see it, NotFound where there is no such draft or version.
        """
        ...

    def budgets(self, *, limit: int) -> BudgetOverview:
        """Budgets and how they stand: at most so many accounts, those that changed last first."""
        ...

    def online(self, *, days: int) -> OnlineOverview:
        """Scorers of production traces, over so many days."""
        ...

    def guards(self) -> GuardsShown:
        """The guards in force, and rules that are proposed for them. Raises Forbidden."""
        ...

    def guard_activity(
        self, since_ns: int, until_ns: int, *, gate: str, check: str, action: str, limit: int
    ) -> GuardActivity:
        """What the guards did in a window; the words narrow the events."""
        ...

    def gateway(self) -> GatewayShown:
        """The gateway as it stands, what went through it in an hour and a day, and its cache."""
        ...

    def prompt_cache(self, since_ns: int, until_ns: int) -> PromptCache:
        """What providers' prompt caches served, and what broke the prefix that they need."""
        ...

    def queues(self) -> tuple[QueueInfo, ...]:
        """Annotation queues and how far they are, the newest first."""
        ...

    def queue(self, name: str) -> QueueShown:
        """One annotation queue with what its labels add up to. Raises NotFound."""
        ...

    def queue_next(self, name: str, number: int | None, *, whole: bool) -> Handed:
        """The next item of a queue, or that one: the visitor's for a while. Raises Forbidden or NotFound."""
        ...

    def policy_checked(self, text: str) -> PolicyChecked:
        """What is wrong with a text, and what it would change. Raises Forbidden."""
        ...


class Writer(Protocol):
    """What the forms of pages do, for one visitor. Every method is synchronous and may be slow."""

    def annotate(self, form: Mapping[str, str]) -> None:
        """Write the note, score or label of a form. Raises BadRequest, NotFound or Forbidden."""
        ...

    def remove(self, annotation_id: str) -> None:
        """Remove a note, score or label. Raises NotFound or Forbidden."""
        ...

    def approval(self, approval_id: str, verb: str, form: Mapping[str, str]) -> str:
        """Decide, ask, hand on: gives the address to go on at. Raises what the decision is refused for."""
        ...

    def queue(self, name: str, verb: str, form: Mapping[str, str]) -> str:
        """Label, skip, undo; make, fill and close a queue, change its choices: gives the address to go on at."""
        ...

    def policy(self, form: Mapping[str, str]) -> str:
        """Check, try or put in force the policy of a form; gives the address to go on at. Raises Forbidden."""
        ...

    def proposal(self, proposal_id: str, *, accept: bool) -> str:
        """Switch a proposed rule on, or say no to it; gives the address to go on at."""
        ...

    def switch(self, form: Mapping[str, str]) -> str:
        """Stop an agent or a tool, or let it go on; gives the address to go on at. Raises what it is refused for."""
        ...

    def policy_undo(self, number: str) -> str:
        """Take up an earlier version of the policy; gives the address to go on at."""
        ...

    def decide(self, deletion_id: str, *, confirm: bool) -> None:
        """Confirm or refuse a deletion. Raises NotFound, Forbidden or BadRequest."""
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
    is_person: bool = True
    """Whether it is known that a person sits there: what waits for a person is decided by nobody else."""
    reader: Reader
    writer: Writer
    otlp_url: str
    """Where an exporter sends to, e.g. ``http://127.0.0.1:4318``."""
    grpc_url: str = ""
    """The same over gRPC; empty where it is off."""
    waiting: int = 0
    """Actions that wait for a person."""
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
