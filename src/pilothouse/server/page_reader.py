"""The reading verbs bound to one store and one project: what the pages ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from pilothouse import traces
from pilothouse.approvals import State
from pilothouse.budgets import BudgetOverview, Budgets
from pilothouse.cache import overview
from pilothouse.deletions import find
from pilothouse.gateway import GatewayStatus, hosts_only
from pilothouse.guards import KINDS, read_guards
from pilothouse.jobs import Desk, RunState
from pilothouse.jobs import RunPage as JobPage
from pilothouse.online import Online, OnlineOverview
from pilothouse.policies import Drafts, Policies, diff, switches
from pilothouse.queues import Handed, QueueInfo
from pilothouse.records import Forbidden, NotFound, iso
from pilothouse.results import CasePage, CaseShown, Compared, EvalRun, Groups, Results, RunPage, SuiteRuns
from pilothouse.signals import Rulebook
from pilothouse.store import TraceStore, user_sql
from pilothouse.store.annotation_rows import annotations_of
from pilothouse.store.cache_store import CacheStore
from pilothouse.store.control_store import ControlStore
from pilothouse.store.deletion_log import DeletionRecord
from pilothouse.store.views import VIEWS
from pilothouse.traces.locate import step_numbers
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
    ServerFacts,
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
from pilothouse.traces.prompt_cache import prompt_cache
from pilothouse.web import (
    AnalysisList,
    AnalysisShown,
    ApprovalQueue,
    ApprovalShown,
    CheckShown,
    GatewayShown,
    GuardsShown,
    JobSteps,
    PolicyChecked,
    PolicyShown,
    QueueShown,
    SqlColumn,
    SqlResult,
    SqlTable,
    Written,
)

from .analyses import Analyses
from .approval_reader import ApprovalReader
from .queue_reader import QueueReader

_HOUR_NS = 3_600_000_000_000


class PageReader:
    """Serves :class:`pilothouse.web.Reader`."""

    def __init__(
        self,
        store: TraceStore,
        project: str,
        server_facts: Callable[[int], ServerFacts],
        rules: Rulebook | None = None,
        *,
        jobs: Desk | None = None,
        run_projects: tuple[str, ...] = (),
        analyses: Analyses | None = None,
        actor_id: str = "",
        anybodys: bool = False,
        control: ControlStore | None = None,
        policies: Policies | None = None,
        drafts: Drafts | None = None,
        may_see_policy: bool = False,
        approvals: ApprovalReader | None = None,
        budgets: Budgets | None = None,
        queues: QueueReader | None = None,
        gateway_status: Callable[[], GatewayStatus] | None = None,
        answers: CacheStore | None = None,
        online: Online | None = None,
        results: Results | None = None,
    ) -> None:
        """``actor_id`` and ``anybodys`` say whose annotations the visitor may remove."""
        self._jobs = jobs
        self._budgets = budgets
        self._online = online
        self._gateway_status, self._answers = gateway_status, answers
        self._results = results
        self._analyses = analyses
        self._run_projects = run_projects
        self._store = store
        self._rules = rules
        self._project = project
        self._actor_id = actor_id
        self._anybodys = anybodys
        self._control = control
        self._policies, self._drafts = policies, drafts
        self._may_see_policy = may_see_policy
        self._approvals = approvals
        self._queues = queues
        self._server_facts = server_facts

    def search(self, query: TraceQuery) -> Page[TraceRow]:
        """Traces of a query, one page."""
        return traces.search(self._store, self._project, query)

    def facets(self, query: TraceQuery, fields: tuple[str, ...]) -> tuple[Facet, ...]:
        """The commonest values of some fields."""
        return traces.facets(self._store, self._project, query, fields)

    def heatmap(self, query: TraceQuery) -> Heatmap:
        """Traces by time and duration."""
        return traces.heatmap(self._store, self._project, query)

    def resolve(self, id: str) -> Resolved:
        """What a short id stands for."""
        return traces.resolve(self._store, self._project, id)

    def row(self, trace_id: str) -> TraceRow:
        """A trace as a whole."""
        return traces.head(self._store, self._project, trace_id).row

    def waterfall(self, trace_id: str) -> Waterfall:
        """A whole trace as columns."""
        return traces.waterfall(self._store, self._project, trace_id)

    def breakdown(self, trace_id: str) -> TraceBreakdown:
        """Where the time and the money went."""
        return traces.breakdown(traces.load(self._store, self._project, trace_id))

    def graph(self, trace_id: str, *, expand: tuple[str, ...] = ()) -> AgentGraph:
        """Who worked with whom."""
        return traces.graph(traces.load(self._store, self._project, trace_id), expand=expand)

    def transcript(self, trace_id: str, *, after_step: int, limit: int) -> Transcript:
        """What was said and done."""
        return traces.transcript(self._store, self._project, trace_id, after_step=after_step, limit=limit)

    def span(self, trace_id: str, step: int) -> SpanDetail:
        """One step with all its content."""
        return traces.span(self._store, self._project, trace_id, step)

    def decision(self, trace_id: str, step: int) -> Decision:
        """What a model call decided."""
        return traces.decision(self._store, self._project, trace_id, step)

    def states(self, trace_id: str) -> TraceStates:
        """What agents of a trace were doing when."""
        return traces.states(self._store, self._project, trace_id)

    def plan(self, trace_id: str) -> TracePlan:
        """What agents planned."""
        return traces.plan(self._store, self._project, trace_id)

    def cost_why(self, trace_id: str, step: int) -> CostWhy:
        """Why one step costs what it costs."""
        return traces.cost_why(
            self._store, self._project, traces.span(self._store, self._project, trace_id, step).span.span_id
        )

    def why(self, trace_id: str) -> Why:
        """What is wrong with a trace."""
        return traces.why(self._store, self._project, trace_id, rules=self._rules)

    def logs(self, trace_id: str, *, infra: bool, level: str) -> TraceLogs:
        """The log lines of a trace."""
        return traces.logs(self._store, self._project, trace_id, infra=infra, level=level)

    def search_logs(self, query: LogQuery) -> Page[LogRow]:
        """Log records of a query."""
        return traces.search_logs(self._store, self._project, query)

    def log_facets(self, query: LogQuery) -> tuple[LogFacet, ...]:
        """How many fit, by level, service and host."""
        return traces.log_facets(self._store, self._project, query)

    def lost_errors(self, query: LogQuery) -> Page[LostError]:
        """Errors in logs that no span tells of."""
        return traces.lost_errors(
            self._store,
            self._project,
            since_ns=query.since_ns,
            until_ns=query.until_ns,
            limit=query.limit,
            cursor=query.cursor,
        )

    def logs_exist(self) -> bool:
        """Whether any was ever stored."""
        return traces.logs_exist(self._store, self._project)

    def context(self, trace_id: str, step: int) -> Context:
        """What was in the context of each model call, or of one."""
        return traces.context(self._store, self._project, trace_id, step or None)

    def diff(self, a: str, b: str, step: str) -> TraceDiff:
        """Two traces aligned step by step."""
        return traces.diff(self._store, self._project, a, b, step)

    def written(self, *, trace_id: str = "", session_id: str = "") -> tuple[Written, ...]:
        """Notes, scores and labels on a trace and its steps, or on a session itself."""
        ids = [trace_id] if trace_id else []
        found = annotations_of(self._store, self._project, trace_ids=ids, session_id=session_id)
        on_steps = any(one.target.span_id for one in found)
        steps = step_numbers(self._store, self._project, trace_id) if on_steps else {}
        return tuple(
            Written(
                annotation_id=one.annotation_id,
                kind=one.kind,
                name=one.name,
                value=one.value,
                label=one.label,
                text=one.text,
                actor=one.actor,
                actor_kind=one.actor_kind,
                run=one.run,
                time=iso(one.time_ns),
                step=steps.get(one.target.span_id),
                trace_id=one.target.trace_id,
                own=self._anybodys or one.actor_id == self._actor_id,
            )
            for one in found
        )

    def deletion(self, deletion_id: str) -> DeletionRecord:
        """A deletion that was asked for."""
        if self._control is None:
            raise NotFound("no deletion has this id", got=deletion_id[:60])
        return find(self._control, self._project, deletion_id)

    def sessions(self, query: TraceQuery) -> Page[SessionRow]:
        """Conversations of a query."""
        return traces.sessions(self._store, self._project, query)

    def session(self, session_id: str, *, cursor: str, limit: int) -> Session:
        """One conversation and a page of its turns."""
        return traces.session(self._store, self._project, session_id, cursor=cursor, limit=limit)

    def fleet(self, since_ns: int, until_ns: int) -> Fleet:
        """Every agent seen in a window."""
        return traces.fleet(self._store, self._project, since_ns=since_ns, until_ns=until_ns, rules=self._rules)

    def system_map(self, since_ns: int, until_ns: int, filters: str) -> SystemMap:
        """The components of a window and who calls whom."""
        return traces.system_map(self._store, self._project, since_ns=since_ns, until_ns=until_ns, filters=filters)

    def audit(self, agent: str, since_ns: int, until_ns: int) -> Audit:
        """What of an agent would fail silently."""
        return traces.audit(self._store, self._project, agent, since_ns=since_ns, until_ns=until_ns)

    def levels(self, since_ns: int, until_ns: int, *, agent: str = "") -> Levels:
        """The level of one agent, or of all."""
        return traces.levels(self._store, self._project, agent=agent, since_ns=since_ns, until_ns=until_ns)

    def live(self, text: str, states: tuple[str, ...], *, limit: int) -> Live:
        """What runs now."""
        return traces.live(self._store, self._project, text=text, states=states, limit=limit, rules=self._rules)

    def overview(self, since_ns: int, until_ns: int, text: str) -> Overview:
        """Charts, totals and tables of a window."""
        return traces.overview(self._store, self._project, since_ns=since_ns, until_ns=until_ns, text=text)

    def doctor(self, since_ns: int, until_ns: int) -> Doctor:
        """What keeps the recorded picture from being the whole truth."""
        return traces.doctor(
            self._store, self._project, since_ns=since_ns, until_ns=until_ns, server=self._server_facts(since_ns)
        )

    def jobs(self, state: str, *, limit: int, cursor: str) -> JobPage:
        """Durable runs, newest first."""
        states: tuple[RunState, ...] = (cast("RunState", state),) if state else ()
        if self._jobs is None:
            return JobPage(items=(), total=0, next="")
        return self._jobs.ls(self._run_projects, states=states, limit=limit, cursor=cursor)

    def job(self, run_id: str, *, limit: int) -> JobSteps:
        """One durable run and its first steps."""
        if self._jobs is None:
            raise NotFound("there is no such run", got=run_id)
        run = self._jobs.show(run_id, self._run_projects)
        return JobSteps(run=run, steps=self._jobs.steps(run.run_id, limit=limit))

    def analyses(self, state: str, *, limit: int, cursor: str) -> AnalysisList:
        """Analyses, newest first."""
        if self._analyses is None:
            return AnalysisList(items=(), total=0, next="")
        items, total, following = self._analyses.ls(self._project, state=state, limit=limit, cursor=cursor)
        return AnalysisList(items=items, total=total, next=following)

    def analysis(self, analysis_id: str) -> AnalysisShown:
        """One analysis with what it found."""
        if self._analyses is None:
            raise NotFound("there is no such analysis", got=analysis_id)
        shown = self._analyses.show(self._project, analysis_id)
        return AnalysisShown(
            analysis=shown,
            findings=self._analyses.findings(self._project, shown.analysis_id),
            profile=self._analyses.profile(self._project, shown.analysis_id),
            report=self._report(shown.analysis_id),
            files=tuple(self._analyses.files(self._project, shown.analysis_id)),
        )

    def _report(self, analysis_id: str) -> str:
        assert self._analyses is not None
        try:
            return self._analyses.report(self._project, analysis_id)
        except NotFound:
            return ""

    def approvals(self, states: tuple[State, ...], *, risk: str, query: str, cursor: str, limit: int) -> ApprovalQueue:
        """Approvals in some states."""
        return self._of_approvals().queue(states, risk=risk, query=query, cursor=cursor, limit=limit)

    def approval(self, approval_id: str, *, seen: bool = False) -> ApprovalShown:
        """One approval."""
        return self._of_approvals().one(approval_id, seen=seen)

    def _of_approvals(self) -> ApprovalReader:
        if self._approvals is None:
            raise NotFound("this server keeps no approvals")
        return self._approvals

    def queues(self) -> tuple[QueueInfo, ...]:
        """Annotation queues and how far they are."""
        return self._of_queues().list()

    def queue(self, name: str) -> QueueShown:
        """One annotation queue with what its labels add up to."""
        return self._of_queues().one(name)

    def queue_next(self, name: str, number: int | None, *, whole: bool) -> Handed:
        """The next item of a queue, or that one."""
        return self._of_queues().next(name, number, whole=whole)

    def _of_queues(self) -> QueueReader:
        if self._queues is None:
            raise NotFound("this server keeps no queues")
        return self._queues

    def policy(self, draft_id: str, version: int | None) -> PolicyShown:
        """The policy with its versions; with a draft and what changed in a version, where they are named."""
        policies = self._seen_policies()
        keeper = policies.keeper
        current = keeper.current()
        versions, total = keeper.versions(limit=30)
        draft = self._drafts.find(self._project, draft_id) if draft_id and self._drafts is not None else None
        return PolicyShown(
            current=current,
            versions=versions,
            total=total,
            draft=draft,
            changes=diff(current.text, draft.text, "in the file", "proposed") if draft is not None else (),
            version_changes=keeper.diff(version) if version is not None else (),
        )

    def budgets(self, *, limit: int) -> BudgetOverview:
        """Budgets and how they stand."""
        if self._budgets is None:
            raise NotFound("this server has no budgets")
        return self._budgets.overview(self._project, limit=limit)

    def online(self, *, days: int) -> OnlineOverview:
        """Scorers of production traces."""
        if self._online is None:
            raise NotFound("this server has no online evals")
        return self._online.overview(self._project, days=days)

    def guards(self) -> GuardsShown:
        """The guards in force, and rules that are proposed for them."""
        policies = self._seen_policies()
        policy = policies.in_force()
        settings = read_guards(policy.section("guards"))
        return GuardsShown(
            version=policy.version,
            checks=tuple(
                CheckShown(
                    gate=gate,
                    name=one.check.name,
                    kind=one.kind,
                    about=KINDS[one.kind],
                    on_failure=one.on_failure,
                    deadline_ms=round(one.deadline_s * 1_000),
                )
                for gate, planned in settings.gates.items()
                for one in planned
            ),
            caps=tuple(f"{cap.name}, by {cap.per}" for cap in settings.caps),
            off=switches(policies.keeper, policy),
            proposals=policies.proposals.list(self._project),
        )

    def guard_activity(
        self, since_ns: int, until_ns: int, *, gate: str, check: str, action: str, limit: int
    ) -> GuardActivity:
        """What the guards did in a window."""
        covered = traces.Range(since_ns=since_ns, until_ns=until_ns)
        return traces.guard_activity(
            self._store, self._project, covered, gate=gate, check=check, action=action, limit=limit
        )

    def gateway(self) -> GatewayShown:
        """The gateway as it stands, what went through it in an hour and a day, and its cache."""
        if self._gateway_status is None or self._answers is None:
            raise NotFound("this server has no gateway")
        status, now_ns = self._gateway_status(), time.time_ns()
        hour, day = (
            traces.gateway_traffic(
                self._store, self._project, traces.Range(since_ns=now_ns - hours * _HOUR_NS, until_ns=now_ns)
            )
            for hours in (1, 24)
        )
        return GatewayShown(
            status=status if self._may_see_policy else hosts_only(status),
            hour=hour,
            day=day,
            cache=overview(self._answers, self._project, days=7, now_ns=now_ns),
        )

    def prompt_cache(self, since_ns: int, until_ns: int) -> PromptCache:
        """What providers' prompt caches served, and what broke the prefix that they need."""
        return prompt_cache(self._store, self._project, since_ns=since_ns, until_ns=until_ns)

    def policy_checked(self, text: str) -> PolicyChecked:
        """What is wrong with a text, and what it would change."""
        keeper = self._seen_policies().keeper
        text = text.replace("\r\n", "\n")
        return PolicyChecked(
            problems=keeper.problems(text), changes=diff(keeper.current().text, text, "in the file", "proposed")
        )

    def _seen_policies(self) -> Policies:
        if self._policies is None or not self._may_see_policy:
            raise Forbidden(
                "the policy is shown to those who may write: it names upstreams and what is watched for",
                fix="PILOTHOUSE_MODE=write pilothouse sign-in",
            )
        return self._policies

    def eval_suites(self) -> tuple[SuiteRuns, ...]:
        """Suites with their newest runs."""
        return self._results.suites(self._project) if self._results is not None else ()

    def eval_runs(self, suite: str, *, limit: int, cursor: str) -> RunPage:
        """Runs of suites, newest first."""
        if self._results is None:
            return RunPage(items=(), total=0, next="")
        return self._results.runs(self._project, suite=suite, limit=limit, cursor=cursor)

    def eval_run(self, run_id: str) -> EvalRun:
        """One run of a suite."""
        return self._kept_runs().run(self._project, run_id)

    def eval_groups(self, run_id: str, by: str) -> Groups:
        """A run taken apart by one key."""
        return self._kept_runs().groups(self._project, run_id, by)

    def eval_cases(
        self, run_id: str, *, outcomes: tuple[str, ...], where: str, words: str, limit: int, cursor: str
    ) -> CasePage:
        """Cases of a run."""
        return self._kept_runs().cases(
            self._project, run_id, outcomes=outcomes, where=where, words=words, limit=limit, cursor=cursor
        )

    def eval_case(self, run_id: str, case: str) -> CaseShown:
        """One case of a run with its attempts."""
        return self._kept_runs().case(self._project, run_id, case)

    def eval_compared(self, base: str, candidate: str, bucket: str, *, limit: int) -> Compared:
        """What one run is to an earlier one."""
        return self._kept_runs().compare(self._project, base, candidate, bucket=bucket, limit=limit)

    def _kept_runs(self) -> Results:
        if self._results is None:
            raise NotFound("this server keeps no runs of suites")
        return self._results

    def sql(self, statement: str) -> SqlResult:
        """Run one read-only statement."""
        result = user_sql.run(self._store, self._project, statement)
        return SqlResult(
            columns=result.columns,
            rows=tuple(tuple(row) for row in result.rows),
            truncated=result.more,
            elapsed_ms=result.elapsed_ms,
            rows_read=result.rows_read,
            notes=tuple(result.notes),
        )

    def sql_schema(self) -> tuple[SqlTable, ...]:
        """The documented views."""
        return tuple(
            SqlTable(
                name=view.name,
                help=view.help,
                columns=tuple(SqlColumn(name=column.name, help=column.help) for column in view.columns),
            )
            for view in VIEWS
        )
