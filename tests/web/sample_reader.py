"""The reading verbs over the sample of :mod:`sample`: just enough of each for a page to show something true."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pilothouse.approvals import State
from pilothouse.budgets import BudgetOverview
from pilothouse.jobs import RunPage
from pilothouse.online import OnlineOverview
from pilothouse.queues import Handed, QueueInfo
from pilothouse.records import BadRequest, NotFound, iso, prompt_sha256
from pilothouse.results import CasePage, CaseShown, Compared, EvalRun, Groups, SuiteRuns
from pilothouse.results import RunPage as EvalRunPage
from pilothouse.store.deletion_log import DeletionRecord
from pilothouse.traces.graph import graph
from pilothouse.traces.model import (
    ATTENTION,
    LIVE_STATES,
    Action,
    AgentGraph,
    AgentPlan,
    Audit,
    Breakdown,
    BreakdownRow,
    Context,
    CostWhy,
    Decision,
    Doctor,
    EventView,
    Explained,
    Facet,
    FacetValue,
    Finding,
    Fleet,
    FleetRow,
    Heatmap,
    Levels,
    Live,
    LiveRow,
    LiveState,
    LiveStep,
    LogFacet,
    LogQuery,
    LogRow,
    LostError,
    Overview,
    Page,
    PlanTask,
    Resolved,
    RuntimeEvent,
    ScoreView,
    SeenAt,
    Series,
    Session,
    SessionRow,
    Share,
    SignalWhy,
    Span,
    SpanDetail,
    StateShare,
    SystemMap,
    Tokens,
    Trace,
    TraceBreakdown,
    TraceDiff,
    TraceLogs,
    TracePlan,
    TraceQuery,
    TraceRow,
    TraceStates,
    Transcript,
    TranscriptStep,
    Transition,
    Waterfall,
    Why,
    Window,
)
from pilothouse.traces.model.guards import GuardActivity
from pilothouse.traces.model.prompt_cache import PromptCache
from pilothouse.web.format import moment_ns
from pilothouse.web.model import (
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
    SqlColumn,
    SqlResult,
    SqlTable,
    Written,
)

from .sample import NOW_NS, SECOND, Content, Scene, scenes
from .sample_agents import sample_audit, sample_levels, sample_map
from .sample_analysis import sample_analyses, sample_shown
from .sample_approvals import sample_approval, sample_queue
from .sample_budgets import sample_budgets
from .sample_compare import sample_context, sample_diff
from .sample_evals import PROJECT, sample_evals
from .sample_gateway import sample_gateway, sample_prompts
from .sample_jobs import sample_runs, sample_steps
from .sample_logs import sample_facets, sample_lost, sample_search, sample_trace_logs
from .sample_online import sample_online
from .sample_policy import sample_activity, sample_checked, sample_guards, sample_policy
from .sample_queues import sample_annotations, sample_next, sample_queues
from .sample_written import sample_deletion, sample_written

FIELDS: dict[str, Callable[[TraceRow], Sequence[str]]] = {
    "status": lambda r: (r.status,),
    "agent": lambda r: r.agents,
    "version": lambda r: (r.agent_version,),
    "model": lambda r: r.models,
    "tool": lambda r: r.tools,
    "user": lambda r: (r.user_id,),
    "session": lambda r: (r.session_id,),
    "env": lambda r: (r.environment,),
    "signal": lambda r: r.signals,
    "feature": lambda r: (r.feature,),
    "name": lambda r: (r.root_name,),
    "dialect": lambda r: r.dialects,
    "tag": lambda r: r.tags,
}


def quantile(values: Sequence[float], q: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def money(rows: Iterable[TraceRow]) -> Decimal:
    return sum((r.cost_usd or Decimal(0) for r in rows), Decimal(0))


def tokens(rows: Iterable[TraceRow]) -> Tokens:
    parts = [r.tokens for r in rows]
    return Tokens(**{k: sum(getattr(t, k) for t in parts) for k in Tokens.__dataclass_fields__})


def matches(row: TraceRow, text: str) -> bool:
    for term in text.split():
        negate, term = term.startswith("-"), term.lstrip("-")
        name, colon, value = term.partition(":")
        if name.startswith("duration_ms") or (colon and value[:1] in "<>"):
            bound = float("".join(c for c in term if c.isdigit() or c == "."))
            hit = row.duration_ms > bound if ">" in term else row.duration_ms < bound
        elif colon:
            if name not in FIELDS:
                raise BadRequest(
                    f"unknown field '{name}'", got=name, allowed=sorted(FIELDS), fix="pilothouse ls status:error"
                )
            hit = any(v in FIELDS[name](row) for v in value.strip('"').split(","))
        else:
            hit = term.strip('"').lower() in f"{row.input_text} {row.output_text} {row.root_name}".lower()
        if hit == negate:
            return False
    return True


@dataclass
class SampleReader:
    """A :class:`pilothouse.web.Reader` without a store."""

    scenes: Sequence[Scene] = field(default_factory=scenes)

    def __post_init__(self) -> None:
        self.by_id: dict[str, Scene] = {s.trace_id: s for s in self.scenes}
        self.traces: dict[str, Trace] = {}

    def rows(self) -> list[TraceRow]:
        return [self.load(id).row for id in self.by_id]

    def found(self, query: TraceQuery) -> list[TraceRow]:
        until = query.until_ns or NOW_NS + SECOND
        since = query.since_ns or until - 7 * 86400 * SECOND
        return [r for r in self.rows() if since <= moment_ns(r.start_time) < until and matches(r, query.text)]

    def jobs(self, state: str, *, limit: int, cursor: str) -> RunPage:
        found = [run for run in sample_runs() if self.scenes and state in ("", run.state)]
        start = int(cursor or 0)
        rest = start + limit < len(found)
        return RunPage(
            items=tuple(found[start : start + limit]), total=len(found), next=str(start + limit) if rest else ""
        )

    def analyses(self, state: str, *, limit: int, cursor: str) -> AnalysisList:
        found = [one for one in sample_analyses() if self.scenes and state in ("", one.state)]
        start = int(cursor or 0)
        rest = start + limit < len(found)
        items = tuple(found[start : start + limit])
        return AnalysisList(items=items, total=len(found), next=str(start + limit) if rest else "")

    def analysis(self, analysis_id: str) -> AnalysisShown:
        for one in sample_analyses():
            if one.analysis_id == analysis_id:
                return sample_shown(one)
        raise NotFound("there is no such analysis", got=analysis_id)

    def job(self, run_id: str, *, limit: int) -> JobSteps:
        for run in sample_runs():
            if run.run_id == run_id:
                return JobSteps(run=run, steps=sample_steps(run)[:limit])
        raise NotFound("there is no such run", got=run_id)

    def search(self, query: TraceQuery) -> Page[TraceRow]:
        found = self.found(query)
        keys: dict[str, Callable[[TraceRow], Any]] = {
            "newest": lambda r: [-moment_ns(r.start_time)],
            "oldest": lambda r: [moment_ns(r.start_time)],
            "slowest": lambda r: [-r.duration_ms],
            "dearest": lambda r: [-(r.cost_usd or 0)],
            "tokens": lambda r: [-r.tokens.total],
            "errors": lambda r: [-r.errors],
            "spans": lambda r: [-r.spans],
        }
        found.sort(key=keys[query.sort])
        start = int(query.cursor or 0)
        end = start + query.limit
        more = end < len(found)
        return Page(
            items=tuple(found[start:end]),
            next=str(end) if more else "",
            more=more,
            total=len(found),
            window=self.window(query.since_ns, query.until_ns),
            emptied_by=() if found else ("status:error",) if "status" in query.text else (),
        )

    def window(self, since: int | None, until: int | None) -> Window:
        end = until or NOW_NS
        return Window(since=iso(since or end - 7 * 86400 * SECOND), until=iso(end), assumed=since is None)

    def facets(self, query: TraceQuery, fields: tuple[str, ...]) -> tuple[Facet, ...]:
        rows = self.found(query)
        facets: list[Facet] = []
        for name in fields:
            counts = Counter(v for r in rows for v in FIELDS[name](r) if v)
            top = counts.most_common(20)
            facets.append(
                Facet(
                    field=name,
                    values=tuple(FacetValue(value=v, count=n) for v, n in top),
                    others=max(len(counts) - 20, 0),
                )
            )
        return tuple(facets)

    def heatmap(self, query: TraceQuery) -> Heatmap:
        until = (query.until_ns or NOW_NS) // SECOND
        since = (query.since_ns or (until - 7 * 86400) * SECOND) // SECOND
        width = max((until - since) // 60, 1)
        edges = tuple(100 * 10 ** (i / 5) for i in range(18))
        cells: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for row in self.found(query):
            column = min(int((moment_ns(row.start_time) // SECOND - since) // width), 59)
            line = min(max(int(math.log10(max(row.duration_ms, 100) / 100) * 5), 0), 16)
            cells[column, line][0] += 1
            cells[column, line][1] += row.status == "error"
        keys = sorted(cells)
        return Heatmap(
            window=self.window(query.since_ns, query.until_ns),
            bucket_s=int(width),
            times=tuple(int(since + i * width) for i in range(60)),
            edges_ms=edges,
            column=tuple(c for c, _ in keys),
            row=tuple(r for _, r in keys),
            count=tuple(cells[k][0] for k in keys),
            errors=tuple(cells[k][1] for k in keys),
        )

    def resolve(self, id: str) -> Resolved:
        if id == "last":
            return Resolved(kind="trace", id=next(iter(self.by_id)), trace_id=next(iter(self.by_id)))
        found = [t for t in self.by_id if t.startswith(id)]
        if len(found) != 1:
            raise NotFound(f"no trace, span or session starts with '{id}'", got=id, fix="pilothouse ls")
        return Resolved(kind="trace", id=found[0], trace_id=found[0])

    def row(self, trace_id: str) -> TraceRow:
        return self.load(trace_id).row

    def load(self, trace_id: str) -> Trace:
        if trace_id not in self.by_id:
            raise NotFound("no trace has that id", got=trace_id, fix="pilothouse ls")
        if trace_id not in self.traces:
            self.traces[trace_id] = self.by_id[trace_id].trace()
        return self.traces[trace_id]

    def waterfall(self, trace_id: str) -> Waterfall:
        trace = self.load(trace_id)
        place = {s.span_id: i for i, s in enumerate(trace.spans)}
        kinds = tuple(dict.fromkeys(s.kind for s in trace.spans))
        names = tuple(dict.fromkeys(s.label for s in trace.spans))
        kind_at, name_at = ({v: i for i, v in enumerate(x)} for x in (kinds, names))
        last_end = {
            s.parent_span_id: s.offset_ms + s.duration_ms
            for s in sorted(trace.spans, key=lambda s: s.offset_ms + s.duration_ms)
        }
        critical: set[str] = set()
        for s in trace.spans:
            if not s.parent_span_id or (
                s.parent_span_id in critical
                and (s.kind != "agent" or s.offset_ms + s.duration_ms >= last_end[s.parent_span_id])
            ):
                critical.add(s.span_id)
        return Waterfall(
            trace_id=trace_id,
            start_time=trace.row.start_time,
            duration_ms=trace.row.duration_ms,
            spans=len(trace.spans),
            step=tuple(s.step for s in trace.spans),
            span_id=tuple(s.span_id for s in trace.spans),
            parent=tuple(place.get(s.parent_span_id, -1) for s in trace.spans),
            depth=tuple(s.depth for s in trace.spans),
            kind=tuple(kind_at[s.kind] for s in trace.spans),
            name=tuple(name_at[s.label] for s in trace.spans),
            start_ms=tuple(s.offset_ms for s in trace.spans),
            duration=tuple(s.duration_ms for s in trace.spans),
            status=tuple(
                1 if s.status == "error" else 2 if s.status == "running" else 3 if s.tool_error else 0
                for s in trace.spans
            ),
            tokens=tuple(s.tokens.total if s.tokens else 0 for s in trace.spans),
            cost_usd=tuple(float(s.cost_usd or 0) for s in trace.spans),
            critical=tuple(int(s.span_id in critical) for s in trace.spans),
            kinds=kinds,
            names=names,
        )

    def breakdown(self, trace_id: str) -> TraceBreakdown:
        trace = self.load(trace_id)
        groups: dict[tuple[str, str], list[Span]] = defaultdict(list)
        for s in trace.spans:
            if s.kind not in ("agent", "chain"):
                groups[s.kind, s.label].append(s)
        total = trace.row.duration_ms
        worked = sum(s.duration_ms for g in groups.values() for s in g) or 1
        scale = min(1.0, total * 0.96 / worked)

        def share(what: str, label: str, spans: Sequence[Span]) -> Share:
            return Share(
                what=what,
                label=label,
                calls=len(spans),
                self_ms=sum(s.duration_ms for s in spans) * scale,
                total_ms=sum(s.duration_ms for s in spans),
                cost_usd=sum((s.cost_usd or Decimal(0) for s in spans), Decimal(0)) or None,
                total_tokens=sum(s.tokens.total for s in spans if s.tokens),
                errors=sum(s.failed for s in spans),
            )

        by_label = sorted((share(k, label, g) for (k, label), g in groups.items()), key=lambda s: -s.self_ms)
        kinds = {k for k, _ in groups}
        by_kind = sorted(
            (share(k, "", [s for (kk, _), g in groups.items() if kk == k for s in g]) for k in kinds),
            key=lambda s: -s.self_ms,
        )
        rest = total - sum(s.self_ms for s in by_kind)
        own = Share(
            what="agent",
            label="",
            calls=sum(s.kind == "agent" for s in trace.spans),
            self_ms=rest,
            total_ms=rest,
            cost_usd=None,
            total_tokens=0,
            errors=0,
        )
        return TraceBreakdown(duration_ms=total, by_kind=(*by_kind, own), by_label=tuple(by_label[:30]))

    def graph(self, trace_id: str, *, expand: tuple[str, ...] = ()) -> AgentGraph:
        return graph(self.load(trace_id), expand=expand)

    def system_map(self, since_ns: int, until_ns: int, filters: str) -> SystemMap:
        rows = self.found(TraceQuery(since_ns=since_ns, until_ns=until_ns, text=filters))
        traces = [self.load(row.trace_id) for row in rows[:60] if row.spans < 1000]
        return sample_map(traces, self.window(since_ns, until_ns), filters)

    def audit(self, agent: str, since_ns: int, until_ns: int) -> Audit:
        return sample_audit(agent, self._traces(since_ns, until_ns), self.window(since_ns, until_ns))

    def levels(self, since_ns: int, until_ns: int, *, agent: str = "") -> Levels:
        return sample_levels(agent, self._traces(since_ns, until_ns), self.window(since_ns, until_ns))

    def _traces(self, since_ns: int, until_ns: int) -> list[Trace]:
        rows = self.found(TraceQuery(since_ns=since_ns, until_ns=until_ns))
        return [self.load(row.trace_id) for row in rows[:60] if row.spans < 1000]

    def content(self, trace_id: str, span: Span) -> Content:
        return self.by_id[trace_id].contents[span.span_id]

    def transcript(self, trace_id: str, *, after_step: int, limit: int) -> Transcript:
        trace = self.load(trace_id)
        seen: set[str] = set()
        steps: list[TranscriptStep] = []
        models = {m.hash for s in trace.spans if s.kind == "model" for m in self.content(trace_id, s).output}
        for span in trace.spans:
            content = self.content(trace_id, span)
            said = tuple(m for m in content.input if m.hash not in seen and m.role != "tool")
            seen.update(m.hash for m in said)
            output = tuple(m for m in content.output if span.kind == "model" or m.hash not in models)
            seen.update(m.hash for m in output)
            if span.step > after_step and len(steps) < limit:
                steps.append(
                    TranscriptStep(
                        span=span,
                        said=said,
                        output=output,
                        input_value=content.input_value[:4000],
                        input_chars=len(content.input_value),
                        output_value=content.output_value[:4000],
                        output_chars=len(content.output_value),
                    )
                )
        last = steps[-1].span.step if steps else after_step
        return Transcript(
            trace_id=trace_id,
            steps=tuple(steps),
            next_step=last if last < len(trace.spans) else None,
            total=len(trace.spans),
        )

    def span(self, trace_id: str, step: int) -> SpanDetail:
        trace = self.load(trace_id)
        if not 1 <= step <= len(trace.spans):
            raise NotFound(f"the trace has steps 1 to {len(trace.spans)}", got=step)
        span = trace.spans[step - 1]
        content = self.content(trace_id, span)
        return SpanDetail(
            trace_id=trace_id,
            span=span,
            input=content.input,
            output=content.output,
            input_value=content.input_value,
            output_value=content.output_value,
            tools=(
                {
                    "name": "get_order",
                    "description": "Look an order up by its number",
                    "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}},
                },
            )
            if span.kind == "model"
            else (),
            documents=content.documents,
            parameters={"temperature": 0.2, "max_tokens": 1024} if span.kind == "model" else {},
            error_message=content.error_message,
            error_stack=content.error_stack,
            attributes={
                "llm.model_name": span.model,
                "openinference.span.kind": span.kind.upper(),
                "llm.token_count.prompt": 2468,
                "metadata": '{"team": "shop"}',
            },
            resource={"service.name": trace.row.service, "telemetry.sdk.language": "python"},
            scope_name="openinference.instrumentation.openai",
            scope_version="0.1.40",
            session_id=trace.row.session_id,
            user_id=trace.row.user_id,
            environment=trace.row.environment,
            service=trace.row.service,
            feature=trace.row.feature,
            tags=trace.row.tags,
            prompt_name="support-system" if span.kind == "model" else "",
            prompt_version="7" if span.kind == "model" else "",
            operation="chat" if span.kind == "model" else "",
            request_model=span.model,
            response_id="",
            usage_rule="openinference/openai: prompt includes cache" if span.tokens else "",
            usage_ambiguous=False,
            cost_source="price book" if span.cost_usd else "",
            cost_given_usd=None,
            links=(),
            events=(EventView(time=span.start_time, name="gen_ai.choice", attributes={"index": "0"}),)
            if span.kind == "model"
            else (),
            scores=(
                ScoreView(
                    name="helpful",
                    value=0.8,
                    label="good",
                    explanation="answers the question",
                    source="judge",
                    time=span.start_time,
                ),
            )
            if span.step == 1
            else (),
            received_at=span.start_time,
        )

    def decision(self, trace_id: str, step: int) -> Decision:
        span = self.load(trace_id).spans[step - 1]
        prompt = '{"messages":[],"parameters":{},"tools":[]}'
        return Decision(
            trace_id=trace_id,
            step=step,
            span_id=span.span_id,
            time=span.start_time,
            agent=span.agent,
            model=span.model,
            status=span.status,
            prompt_sha256=prompt_sha256(prompt),
            prompt_from="stored",
            prompt_intact=None,
            prompt_messages=3,
            prompt=prompt,
            raw_response='{"choices": []}',
            raw_from="output.value",
            answer=(),
            finish_reason=span.finish_reason,
            actions=(
                Action(type="tool_call", tool="get_order", arguments={"id": 4411}, call_id="c1", step=2, outcome="ok"),
                Action(type="tool_call", tool="<script>", arguments="{", call_id="c2"),
            ),
            valid=False,
            invalid_reason="the arguments of <script> are not JSON: '{'",
            judged_by="reader",
            tools_offered=("get_order", "refund"),
            tools_not_chosen=("refund",),
        )

    def states(self, trace_id: str) -> TraceStates:
        span = self.load(trace_id).spans[0]
        change = Transition(
            agent=span.agent,
            step=1,
            time=span.start_time,
            offset_ms=0.0,
            from_state="",
            to_state="planning",
            reason="a new question",
            said=True,
        )
        share = StateShare(state="planning", times=1, ms=100.0, cost_usd=Decimal("0.01"), model_calls=1, tool_calls=0)
        return TraceStates(trace_id=trace_id, transitions=(change,), by_state=(share,), hidden_retries=0)

    def plan(self, trace_id: str) -> TracePlan:
        span = self.load(trace_id).spans[0]
        tasks = (
            PlanTask(id="1", text="look the order up", state="completed", note="order 4411"),
            PlanTask(id="2", text="refund <b>it</b>", state="blocked", note="may I?"),
        )
        event = RuntimeEvent(
            agent=span.agent, step=1, time=span.start_time, offset_ms=0.0, what="plan", said="1 pending -> completed"
        )
        plan = AgentPlan(key="c1", agent=span.agent, version=3, changes=3, done=1, open=1, tasks=tasks)
        return TracePlan(trace_id=trace_id, plans=(plan,), events=(event,))

    def context(self, trace_id: str, step: int) -> Context:
        return sample_context(self.load(trace_id), step)

    def diff(self, a: str, b: str, step: str) -> TraceDiff:
        return sample_diff(self.load(a), self.load(b), step)

    def cost_why(self, trace_id: str, step: int) -> CostWhy:
        span = self.load(trace_id).spans[step - 1]
        buckets = {
            k: getattr(span.tokens, k)
            for k in ("input_uncached", "cache_read", "output", "reasoning")
            if span.tokens and getattr(span.tokens, k)
        }
        price = {"input_uncached": "2.50", "cache_read": "0.25", "output": "15.00", "reasoning": "15.00"}
        explained = Explained(
            step=step,
            span_id=span.span_id,
            kind=span.kind,
            model=span.model,
            provider=span.provider,
            counted=True,
            why="a leaf: no descendant reports the same tokens",
            reported={"llm.token_count.prompt": 2468, "llm.token_count.prompt_details.cache_read": 2048},
            rule="openinference/openai: prompt includes cache",
            ambiguous=False,
            buckets=buckets,
            prices=tuple(
                {
                    "bucket": b,
                    "tokens": n,
                    "usd_per_mtok": price[b],
                    "usd": str(n * Decimal(price[b]) / 1_000_000),
                    "source": "price book",
                }
                for b, n in buckets.items()
            ),
            cost_usd=span.cost_usd,
            cost_source="price book",
            cost_given_usd=None,
            notes=(),
        )
        return CostWhy(
            trace_id=trace_id,
            cost_usd=span.cost_usd,
            counted=1,
            aggregates=0,
            duplicates=0,
            unknown=0,
            gap_tokens=0,
            spans=(explained,) if span.tokens else (),
            cut=0,
        )

    def session_rows(self, query: TraceQuery) -> list[SessionRow]:
        groups: dict[str, list[TraceRow]] = defaultdict(list)
        for row in self.found(query):
            if row.session_id:
                groups[row.session_id].append(row)
        return [self.session_row(id, rows) for id, rows in groups.items()]

    def session_row(self, id: str, rows: list[TraceRow]) -> SessionRow:
        rows = sorted(rows, key=lambda r: r.start_time)
        return SessionRow(
            session_id=id,
            user_id=rows[-1].user_id,
            agent=rows[-1].agent,
            environment=rows[-1].environment,
            traces=len(rows),
            status="error" if any(r.status == "error" for r in rows) else rows[-1].status,
            start_time=rows[0].start_time,
            end_time=iso(moment_ns(rows[-1].start_time) + int(rows[-1].duration_ms * 1e6)),
            spans=sum(r.spans for r in rows),
            model_calls=sum(r.model_calls for r in rows),
            tool_calls=sum(r.tool_calls for r in rows),
            errors=sum(r.errors for r in rows),
            total_tokens=sum(r.tokens.total for r in rows),
            cost_usd=money(rows),
            first_input=rows[0].input_text,
            last_output=rows[-1].output_text,
        )

    def why(self, trace_id: str) -> Why:
        row = self.row(trace_id)
        found = [
            SignalWhy(
                name=name,
                severity="warning",
                meaning=f"what {name} says",
                message=f"{name} was seen at the first step (limit 4).",
                evidence=(SeenAt(step=1, span_id="1" * 16, note="<b>seen</b> here"),),
                value=5.0,
                limit=4.0,
                unit="calls",
                settings={"loop_calls": 4},
                tune=f'in pilothouse.toml, [signals]: off = ["{name}"]',
                detail={},
            )
            for name in row.signals
        ]
        return Why(trace_id=trace_id, agent=row.agent, status=row.status, signals=tuple(found), looked_for=(), note="")

    def logs(self, trace_id: str, *, infra: bool, level: str) -> TraceLogs:
        return sample_trace_logs(self.load(trace_id), infra=infra)

    def search_logs(self, query: LogQuery) -> Page[LogRow]:
        return (
            sample_search(query, next(iter(self.by_id), ""))
            if self.by_id
            else Page(items=(), window=self.window(query.since_ns, query.until_ns))
        )

    def log_facets(self, query: LogQuery) -> tuple[LogFacet, ...]:
        return sample_facets()

    def lost_errors(self, query: LogQuery) -> Page[LostError]:
        return sample_lost(query, next(iter(self.by_id), ""))

    def logs_exist(self) -> bool:
        return bool(self.by_id)

    def written(self, *, trace_id: str = "", session_id: str = "") -> tuple[Written, ...]:
        # Nobody has read the huge one yet.
        return () if trace_id and self.row(trace_id).spans > 5_000 else sample_written(trace_id, session_id)

    def deletion(self, deletion_id: str) -> DeletionRecord:
        return sample_deletion(deletion_id)

    def sessions(self, query: TraceQuery) -> Page[SessionRow]:
        rows = sorted(self.session_rows(query), key=lambda r: r.end_time, reverse=True)
        start = int(query.cursor or 0)
        end = start + query.limit
        return Page(
            items=tuple(rows[start:end]),
            next=str(end) if end < len(rows) else "",
            more=end < len(rows),
            total=len(rows),
            window=self.window(query.since_ns, query.until_ns),
        )

    def session(self, session_id: str, *, cursor: str, limit: int) -> Session:
        rows = [r for r in self.rows() if r.session_id == session_id]
        if not rows:
            raise NotFound("no session has that id", got=session_id, fix="pilothouse sessions")
        rows.sort(key=lambda r: r.start_time)
        start = int(cursor or 0)
        end = start + limit
        return Session(
            row=self.session_row(session_id, rows),
            turns=tuple(rows[start:end]),
            next=str(end) if end < len(rows) else "",
        )

    def live(self, text: str, states: tuple[str, ...], *, limit: int) -> Live:
        if unknown := [state for state in states if state not in LIVE_STATES]:
            raise BadRequest("no such state", got=unknown[0], allowed=list(LIVE_STATES))
        rows = [
            live_row(row, LIVE_STATES[place % 8])
            for place, row in enumerate(self.found(TraceQuery(text=text)))
            if row.status == "running" or "<" in row.root_name
        ]
        counts = Counter(row.state for row in rows)
        fitting = [row for row in rows if not states or row.state in states]
        fitting.sort(key=lambda row: (LIVE_STATES.index(row.state), not row.attention, row.since))
        return Live(
            now=iso(NOW_NS),
            rows=tuple(fitting[:limit]),
            total=len(fitting),
            counts=counts,
            attention=sum(row.attention for row in rows),
            cursor=str(NOW_NS // 1_000_000),
        )

    def fleet(self, since_ns: int, until_ns: int) -> Fleet:
        groups: dict[str, list[TraceRow]] = defaultdict(list)
        for row in self.found(TraceQuery(since_ns=since_ns, until_ns=until_ns)):
            groups[row.agent].append(row)
        agents: list[FleetRow] = []
        for agent, rows in groups.items():
            running = sum(r.status == "running" for r in rows)
            errors = sum(r.status == "error" for r in rows)
            stuck = sum(r.status == "running" and moment_ns(r.start_time) < NOW_NS - 600 * SECOND for r in rows)
            agents.append(
                FleetRow(
                    agent=agent,
                    environment=rows[0].environment,
                    versions=tuple(dict.fromkeys(r.agent_version for r in rows)),
                    traces=len(rows),
                    running=running,
                    errors=errors,
                    error_share=errors / len(rows),
                    stuck=stuck,
                    p50_ms=quantile([r.duration_ms for r in rows], 0.5),
                    p95_ms=quantile([r.duration_ms for r in rows], 0.95),
                    cost_usd=money(rows),
                    total_tokens=sum(r.tokens.total for r in rows),
                    last_seen=max(r.start_time for r in rows),
                    state="stuck" if stuck else "failing" if errors > len(rows) / 2 else "running" if running else "ok",
                    signals=dict(Counter(s for r in rows for s in r.signals)),
                )
            )
        order = ("stuck", "failing", "running", "ok", "idle")
        return Fleet(
            window=self.window(since_ns, until_ns), agents=tuple(sorted(agents, key=lambda a: order.index(a.state)))
        )

    def overview(self, since_ns: int, until_ns: int, text: str) -> Overview:
        rows = self.found(TraceQuery(since_ns=since_ns, until_ns=until_ns, text=text))
        width = max((until_ns - since_ns) // SECOND // 48, 1)
        first = since_ns // SECOND
        buckets: list[list[TraceRow]] = [[] for _ in range(48)]
        for row in rows:
            buckets[min(int((moment_ns(row.start_time) // SECOND - first) // width), 47)].append(row)

        def each(fn: Callable[[list[TraceRow]], Any]) -> tuple[Any, ...]:
            return tuple(fn(b) if b else None for b in buckets)

        durations = [r.duration_ms for r in rows]
        series = Series(
            bucket_s=int(width),
            times=tuple(int(first + i * width) for i in range(48)),
            traces=tuple(len(b) for b in buckets),
            errors=tuple(sum(r.status == "error" for r in b) for b in buckets),
            p50_ms=each(lambda b: quantile([r.duration_ms for r in b], 0.5)),
            p95_ms=each(lambda b: quantile([r.duration_ms for r in b], 0.95)),
            p99_ms=each(lambda b: quantile([r.duration_ms for r in b], 0.99)),
            cost_usd=each(lambda b: float(money(b))),
            cost_per_trace_usd=each(lambda b: float(money(b)) / len(b)),
            tokens_per_trace=each(lambda b: sum(r.tokens.total for r in b) / len(b)),
        )
        dimensions = {
            "agent": lambda r: (r.agent,),
            "model": lambda r: r.models,
            "version": lambda r: (f"{r.agent} {r.agent_version}",),
            "environment": lambda r: (r.environment,),
            "user": lambda r: (r.user_id,),
        }
        breakdowns: list[Breakdown] = []
        for by, of in dimensions.items():
            groups: dict[str, list[TraceRow]] = defaultdict(list)
            for row in rows:
                for value in of(row):
                    groups[value].append(row)
            entries = [
                BreakdownRow(
                    value=value,
                    traces=len(g),
                    errors=sum(r.status == "error" for r in g),
                    error_share=sum(r.status == "error" for r in g) / len(g),
                    p50_ms=quantile([r.duration_ms for r in g], 0.5),
                    p95_ms=quantile([r.duration_ms for r in g], 0.95),
                    p99_ms=quantile([r.duration_ms for r in g], 0.99),
                    total_tokens=sum(r.tokens.total for r in g),
                    cost_usd=money(g),
                    cost_per_trace_usd=money(g) / len(g),
                )
                for value, g in groups.items()
            ]
            entries.sort(key=lambda e: -(e.cost_usd or 0))
            breakdowns.append(
                Breakdown(
                    by=by,
                    counts="calls" if by == "model" else "traces",
                    rows=tuple(entries[:20]),
                    others=max(len(entries) - 20, 0),
                )
            )
        return Overview(
            window=self.window(since_ns, until_ns),
            traces=len(rows),
            errors=sum(r.status == "error" for r in rows),
            running=sum(r.status == "running" for r in rows),
            p50_ms=quantile(durations, 0.5),
            p95_ms=quantile(durations, 0.95),
            p99_ms=quantile(durations, 0.99),
            cost_usd=money(rows) if rows else None,
            cost_per_trace_usd=money(rows) / len(rows) if rows else None,
            cost_unknown=3 if rows else 0,
            tokens=tokens(rows),
            series=series,
            breakdowns=tuple(breakdowns),
        )

    def doctor(self, since_ns: int, until_ns: int) -> Doctor:
        return Doctor(
            window=self.window(since_ns, until_ns),
            healthy=not self.by_id,
            findings=(
                Finding(
                    check="refused",
                    level="bad",
                    count=11_803,
                    summary="11,803 posts were answered 401 in the last 24 hours: the key is unknown",
                    examples=(
                        {
                            "from": "10.1.4.7",
                            "agent": "OTel-OTLP-Exporter-Python/1.41",
                            "posts": 11_803,
                            "key": "ph_3f…",
                        },
                    ),
                    fix="pilothouse keys create --name exporter",
                ),
                Finding(
                    check="unknown_prices",
                    level="warn",
                    count=42,
                    summary="42 calls of model 'inhouse-70b' have no price, so costs are a lower bound",
                    examples=({"model": "inhouse-70b", "calls": 42},),
                    fix="pilothouse reprocess --since 24h",
                ),
                Finding(
                    check="orphans",
                    level="note",
                    count=3,
                    summary="3 traces hold spans whose parent never arrived",
                    examples=({"trace": "ab12cd34", "spans": 2},),
                    fix="",
                ),
                Finding(
                    check="skewed_clocks",
                    level="ok",
                    count=0,
                    summary="no sender's clock is off by more than a minute",
                    examples=(),
                    fix="",
                ),
            )
            if self.by_id
            else (),
        )

    def approvals(self, states: tuple[State, ...], *, risk: str, query: str, cursor: str, limit: int) -> ApprovalQueue:
        return sample_queue(states, risk, query, empty=not self.scenes)

    def approval(self, approval_id: str, *, seen: bool = False) -> ApprovalShown:
        return sample_approval(approval_id)

    def policy(self, draft_id: str, version: int | None) -> PolicyShown:
        return sample_policy(draft_id, version, empty=not self.scenes)

    def queues(self) -> tuple[QueueInfo, ...]:
        return sample_queues(empty=not self.scenes)

    def queue(self, name: str) -> QueueShown:
        return sample_annotations(name)

    def queue_next(self, name: str, number: int | None, *, whole: bool) -> Handed:
        return sample_next(name, number, whole=whole)

    def eval_suites(self) -> tuple[SuiteRuns, ...]:
        return sample_evals().suites(PROJECT) if self.scenes else ()

    def eval_runs(self, suite: str, *, limit: int, cursor: str) -> EvalRunPage:
        if not self.scenes:
            return EvalRunPage(items=(), total=0, next="")
        return sample_evals().runs(PROJECT, suite=suite, limit=limit, cursor=cursor)

    def eval_run(self, run_id: str) -> EvalRun:
        return sample_evals().run(PROJECT, run_id)

    def eval_groups(self, run_id: str, by: str) -> Groups:
        return sample_evals().groups(PROJECT, run_id, by)

    def eval_cases(
        self, run_id: str, *, outcomes: tuple[str, ...], where: str, words: str, limit: int, cursor: str
    ) -> CasePage:
        return sample_evals().cases(
            PROJECT, run_id, outcomes=outcomes, where=where, words=words, limit=limit, cursor=cursor
        )

    def eval_case(self, run_id: str, case: str) -> CaseShown:
        return sample_evals().case(PROJECT, run_id, case)

    def eval_compared(self, base: str, candidate: str, bucket: str, *, limit: int) -> Compared:
        return sample_evals().compare(PROJECT, base, candidate, bucket=bucket, limit=limit)

    def budgets(self, *, limit: int) -> BudgetOverview:
        return sample_budgets(empty=not self.scenes)

    def online(self, *, days: int) -> OnlineOverview:
        return sample_online(days, empty=not self.scenes)

    def gateway(self) -> GatewayShown:
        return sample_gateway(empty=not self.scenes)

    def prompt_cache(self, since_ns: int, until_ns: int) -> PromptCache:
        return sample_prompts(empty=not self.scenes)

    def guard_activity(
        self, since_ns: int, until_ns: int, *, gate: str, check: str, action: str, limit: int
    ) -> GuardActivity:
        return sample_activity(empty=not self.scenes)

    def guards(self) -> GuardsShown:
        return sample_guards(empty=not self.scenes)

    def policy_checked(self, text: str) -> PolicyChecked:
        return sample_checked(text)

    def sql(self, statement: str) -> SqlResult:
        if "select" not in statement.lower():
            raise BadRequest(
                "only SELECT statements are allowed",
                got=statement[:80],
                fix='pilothouse sql "SELECT count() FROM traces"',
            )
        rows = tuple((r.agent, r.root_name, r.duration_ms, r.cost_usd, r.start_time) for r in self.rows()[:200])
        return SqlResult(
            columns=("agent", "root_name", "duration_ms", "cost_usd", "start_time"),
            rows=rows,
            truncated=True,
            elapsed_ms=12.4,
            rows_read=316,
            notes=(),
        )

    def sql_schema(self) -> tuple[SqlTable, ...]:
        from pilothouse.store.views import VIEWS

        return tuple(
            SqlTable(name=v.name, help=v.help, columns=tuple(SqlColumn(name=c.name, help=c.help) for c in v.columns))
            for v in VIEWS
        )


def live_row(row: TraceRow, state: LiveState) -> LiveRow:
    """A trace as it might run."""
    step = LiveStep(
        span_id="ab" * 8, step=2, kind="tool", name=row.root_name, status="running", since=iso(NOW_NS - 9 * SECOND)
    )
    return LiveRow(
        trace_id=row.trace_id,
        root_name=row.root_name,
        agent=row.agent,
        agent_version=row.agent_version,
        environment=row.environment,
        service=row.service,
        session_id=row.session_id,
        state=state,
        reason=f"{row.root_name} is {state}",
        since=iso(NOW_NS - 7 * SECOND),
        attention=state in ATTENTION,
        status="running",
        doing=step if state != "quiet" else None,
        last=step,
        heartbeat="alive" if state in ("running", "stalled") else "none",
        sign_of_life=iso(NOW_NS - 3 * SECOND),
        start_time=row.start_time,
        elapsed_ms=row.duration_ms,
        usual_p50_ms=4_000.0 if state != "queued" else None,
        usual_p95_ms=9_000.0 if state != "queued" else None,
        spans=row.spans,
        model_calls=row.model_calls,
        tool_calls=row.tool_calls,
        errors=row.errors,
        total_tokens=row.tokens.total,
        cost_usd=row.cost_usd,
        usual_cost_usd=Decimal("0.02"),
        last_error=row.first_error,
        signals=row.signals,
        input_text=row.input_text,
    )
