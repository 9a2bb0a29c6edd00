"""One batch of arrived records into the store: decode, read, price, settle, insert. Safe to run twice.

What makes it safe: a span is identified by project, trace and span id; the worker asks the store (or remembers) which
spans of a trace are there, and inserts only what is new. Every table keeps the newest version of a row, so writing a
row again changes nothing. A crash between two inserts is healed by running the same records again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import orjson

from pilothouse import conventions, costs
from pilothouse.guards import Masker
from pilothouse.records import (
    Clock,
    Emitter,
    Message,
    PilothouseError,
    RawLog,
    RawPoint,
    RawSpan,
    Reading,
    Score,
    steps,
)
from pilothouse.signals import Pulse, Rulebook, stall_limit_s
from pilothouse.store import TraceStore
from pilothouse.store.ingest_store import Amendment, IngestStore, MessageAmendment
from pilothouse.store.schema import EVENT, LOG, MESSAGE, POINT, PULSE, SCORE, SPAN, TOKEN_BUCKETS, TRACE

from .contents import Contents, SeenContents, SpanAt
from .decode import decode
from .judge import Judge
from .moments import settle_times, stored_milliseconds, stored_time
from .pulses import is_pulse, pulse_row
from .rows import SpanPlace, event_rows, make_fact, newest, row_text, span_row, text_attributes, to_json
from .segment import Record
from .summary import trace_row
from .trace_state import Fact, Key, TraceState, TraceStates
from .watchdog import FORGET_NS, Watchdog

WATCH_MAX = 200
"""Traces judged again at one look."""
PULSES_NS = 3_600_000_000_000
"""How old a heartbeat is asked for at the start."""
_AGENT = TRACE.column_names.index("agent")


@dataclass(slots=True)
class Tally:
    """What a batch, or all batches since the start, came to."""

    records: int = 0
    spans: int = 0
    repeated_spans: int = 0
    refused_spans: int = 0
    logs: int = 0
    points: int = 0
    scores: int = 0
    amended_spans: int = 0
    content_bytes_offered: int = 0
    content_bytes_new: int = 0
    undecodable: int = 0

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


SpanKey = tuple[str, str]
"""Trace and span."""


class Heard(NamedTuple):
    """Messages that arrived as log records."""

    input: tuple[Message, ...]
    output: tuple[Message, ...]


class LateMessages(NamedTuple):
    """Messages for a span that was stored before they came."""

    trace_id: str
    fact: Fact
    heard: Heard


@dataclass(slots=True)
class Prepared:
    """The rows of a batch and the order they are written in."""

    tally: Tally
    steps: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    touched: set[Key] = field(default_factory=set[Key])


class _Read(NamedTuple):
    raw: RawSpan
    reading: Reading
    received_ns: int


@dataclass(slots=True)
class _Batch:
    """What one batch will insert, by table."""

    contents: Contents
    received: str
    day: str
    version: int
    tally: Tally = field(default_factory=Tally)
    spans: list[tuple[str, _Read, Fact, costs.Cost]] = field(default_factory=list[Any])
    amendments: dict[str, list[Amendment]] = field(default_factory=dict[str, list[Amendment]])
    late: list[LateMessages] = field(default_factory=list[LateMessages])
    touched: dict[tuple[str, str], TraceState] = field(default_factory=dict[Any, Any])
    logs: list[list[Any]] = field(default_factory=list[Any])
    points: list[list[Any]] = field(default_factory=list[Any])
    scores: list[list[Any]] = field(default_factory=list[Any])
    pulses: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    """By process: its last heartbeat of the batch."""


class Ingest:
    """Turns arrived records into rows. One instance per worker; not for several threads."""

    def __init__(
        self,
        store: TraceStore,
        clock: Clock,
        maskers: Mapping[str, Masker],
        prices: costs.PriceBook | None = None,
        rulebook: Rulebook | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._maskers = maskers
        self._prices = prices or costs.PriceBook()
        self._ingest_store = IngestStore(store)
        self._states = TraceStates(self._ingest_store)
        self.judge = Judge(store, rulebook)
        self._watchdog = Watchdog(self.judge)
        self._awake = False
        self._seen = SeenContents()
        self._version = 0
        # After a restart a project shows again that its instrumentation reports content as log records.
        self._projects_with_spoken_spans: set[str] = set()
        self._unwritten: set[Key] = set()
        self.total = Tally()

    def run(self, records: Sequence[Record]) -> Tally:
        """Take a batch in. When it returns, everything in it is on disk; when it raises, run it again."""
        prepared = self.prepare(records)
        try:
            self.write(prepared)
        except BaseException:
            self.forget()
            raise
        self.finish(prepared)
        return prepared.tally

    def prepare(self, records: Sequence[Record]) -> Prepared:
        """Make the rows of a batch. One earlier batch may still be being written meanwhile.

        What is remembered is then ahead of the store: where that write fails, :meth:`forget` and take both again.
        """
        now_ns = self._clock.now_ns()
        # Two versions a batch: a span may be amended twice, by messages and then by its place in the trace.
        self._version = max(self._version + 2, now_ns)
        received = stored_milliseconds(now_ns)
        day = time.strftime("%Y-%m-%d", time.gmtime(now_ns // 1_000_000_000))
        prepared = Prepared(tally=Tally(records=len(records)))
        try:
            for project, some in _by_project(records).items():
                masker = self._masker(project)
                contents = Contents(self._seen, masker, project, received=received, day=day, version=self._version)
                batch = _Batch(contents, received, day, self._version)
                self._take(project, some, batch, masker)
                self._make_rows(project, batch, masker, prepared)
                batch.tally.content_bytes_offered += contents.bytes_offered
                batch.tally.content_bytes_new += contents.bytes_new
                prepared.tally.add(batch.tally)
                prepared.touched.update(batch.touched)
        except BaseException:
            self.forget()
            raise
        # The traces of this batch and of the one being written stay: the store does not know them yet.
        self._states.forget_oldest(prepared.touched | self._unwritten)
        self._unwritten = prepared.touched
        return prepared

    def write(self, prepared: Prepared) -> None:
        """Put prepared rows into the store, in their order. May run on another thread than :meth:`prepare`."""
        for step in prepared.steps:
            step()

    def finish(self, prepared: Prepared) -> None:
        """Count a batch that was written."""
        self.total.add(prepared.tally)

    def forget(self) -> None:
        """Drop what is remembered: after a failed write, or after something else wrote spans."""
        self._states.forget_all()
        self._seen.forget_all()
        self._watchdog.forget_all()
        self._unwritten = set()
        self._awake = False

    def watch(self, now_ns: int) -> int:
        """Judge traces again of which only time has something to say; give how many rows were written.

        Must not run while a batch is being written. ``now_ns`` is the moment up to which everything that arrived is
        known: in a backlog the arrival of the newest record taken in, else now.
        """
        self.judge.baselines.refresh_when_due(now_ns)
        if not self._awake:
            self._wake(now_ns)
        due = self._watchdog.take_due(now_ns, WATCH_MAX)
        if not due:
            return 0
        self._version = max(self._version + 2, self._clock.now_ns())
        day = time.strftime("%Y-%m-%d", time.gmtime(now_ns // 1_000_000_000))
        rows: list[list[Any]] = []
        by_project: dict[str, list[str]] = {}
        for project, trace_id in due:
            by_project.setdefault(project, []).append(trace_id)
        for project, trace_ids in by_project.items():
            for state in self._states.of(project, trace_ids, day).values():
                if state.facts and (row := self._judged_again(state, now_ns)) is not None:
                    rows.append(row)
        self._store.insert("trace", TRACE.column_names, rows)
        self._states.forget_oldest(set(due) | self._unwritten)
        return len(rows)

    def _judged_again(self, state: TraceState, now_ns: int) -> list[Any] | None:
        """The trace's row, where what is said of it changed or tells how long it has been silent."""
        before, caught_up = state.signals, state.fresh == 0
        self._judge_whole(state)
        row = trace_row(state, self.judge, now_ns=now_ns, version=self._version)
        agent = row[_AGENT]
        silent = any(signal.name in ("stalled", "died") for signal in state.signals)
        if not silent and state.judged_open and caught_up:
            facts = sorted(state.facts.values(), key=lambda fact: (fact.start_ns, fact.step))
            limit_s = stall_limit_s(self.judge.rulebook.of(agent), self.judge.baselines.of(state.project_id, agent))
            over = now_ns - state.received_ns > limit_s * 1e9
            if over and not self.judge.expects_more(state, facts, agent=agent):
                # Its root is not coming: it is judged as what it is.
                state.settled = True
                row = trace_row(state, self.judge, now_ns=now_ns, version=self._version)
        self._watchdog.note(state, agent, now_ns)
        changed = [signal.name for signal in before] != [signal.name for signal in state.signals]
        return row if changed or silent or not caught_up else None

    def _judge_whole(self, state: TraceState) -> None:
        # However large it is: it is looked at seldom.
        state.fresh = len(state.facts)

    def _wake(self, now_ns: int) -> None:
        """Learn from the store which traces are open and which processes gave a sign of life."""
        self._awake = True
        for project, instance, received_ns, interval_s, goodbye, spans in self._ingest_store.pulses(now_ns - PULSES_NS):
            self._feel(project, instance, received_ns, interval_s, goodbye, spans, now_ns)
        for project, trace_id, agent, received_ns in self._ingest_store.open_traces(now_ns - FORGET_NS):
            self._watchdog.expect((project, trace_id), agent, received_ns, now_ns)

    def _feel(
        self,
        project: str,
        instance: str,
        received_ns: int,
        interval_s: float,
        goodbye: bool,
        spans: Sequence[Mapping[str, Any]],
        now_ns: int,
    ) -> None:
        """A process says that it is alive, and which of its spans are open."""
        by_trace: dict[str, list[tuple[str, str]]] = {}
        for span in spans:
            by_trace.setdefault(str(span["trace_id"]), []).append((str(span["span_id"]), str(span["wait_for"])))
        pulse = Pulse(last_ns=received_ns, interval_s=interval_s, said_goodbye=goodbye)
        told = self.judge.pulses.hear(project, instance, pulse, by_trace)
        self._watchdog.look_at([(project, trace_id) for trace_id in told], now_ns)

    def _masker(self, project: str) -> Masker:
        return self._maskers.get(project) or self._maskers[""]

    # -- reading -------------------------------------------------------------------------------------------------

    def _take(self, project: str, records: Iterable[Record], batch: _Batch, masker: Masker) -> None:
        reads: list[_Read] = []
        spoken: set[SpanKey] = set()
        scores: list[tuple[Score, int]] = []
        for record in records:
            try:
                decoded = decode(record.signal, record.content_type, record.encoding, record.body)
            except PilothouseError:
                # The receiver took it, so a receiver of another version must have: counted, and kept in the journal.
                batch.tally.undecodable += 1
                continue
            batch.tally.refused_spans += len(decoded.refused)
            reads.extend(_Read(raw, conventions.read(raw), record.received_ns) for raw in decoded.spans)
            for log in decoded.logs:
                self._take_log(project, log, record.received_ns, batch, masker, reads, spoken, scores)
            batch.points.extend(self._point_row(project, point, batch, masker) for point in decoded.points)
        batch.tally.points += len(batch.points)
        # The log records first: what they say of a span is read back from the store, in whatever order the two arrive.
        self._store.insert("log", LOG.column_names, batch.logs)
        self._store.insert("pulse", PULSE.column_names, list(batch.pulses.values()))
        self._place_spans(project, reads, spoken, batch, masker)
        for score, at_ns in scores:
            batch.scores.append(_score_row(project, score, at_ns, batch))
        batch.tally.scores += len(batch.scores)

    def _take_log(
        self,
        project: str,
        log: RawLog,
        received_ns: int,
        batch: _Batch,
        masker: Masker,
        reads: list[_Read],
        spoken: set[SpanKey],
        scores: list[tuple[Score, int]],
    ) -> None:
        at_ns = log.time_ns or log.observed_ns or received_ns
        if is_pulse(log):
            row = pulse_row(project, log, at_ns, received=batch.received, day=batch.day, version=batch.version)
            batch.pulses[row[PULSE.column_names.index("instance")]] = row
            said = dict(zip(PULSE.column_names, row, strict=True))
            spans: list[Mapping[str, Any]] = orjson.loads(said["open"])
            instance, goodbye = str(said["instance"]), bool(said["goodbye"])
            self._feel(project, instance, received_ns, said["interval_s"], goodbye, spans, received_ns)
            return
        found = conventions.read_log(log)
        if found is not None:
            reads.extend(_Read(raw, reading, received_ns) for raw, reading in found.spans)
            if (found.input or found.output) and log.trace_id and log.span_id:
                spoken.add((log.trace_id, log.span_id))
            if found.score is not None:
                scores.append((found.score, at_ns))
        batch.logs.append(self._log_row(project, log, at_ns, batch, masker))
        batch.tally.logs += 1

    def _log_row(self, project: str, log: RawLog, at_ns: int, batch: _Batch, masker: Masker) -> list[Any]:
        body = masker.mask(log.body if isinstance(log.body, str) else "" if log.body is None else to_json(log.body))
        attributes, _ = text_attributes(log.attributes, frozenset(), masker)
        resource, _ = text_attributes(log.emitter.resource, frozenset(), masker)
        identity = to_json([at_ns, log.trace_id, log.span_id, log.severity_number, log.event_name, body, attributes])
        return [
            project,
            stored_time(at_ns),
            stored_time(log.observed_ns),
            min(max(log.severity_number, 0), 24),
            log.severity_text[:50] or _severity(log.severity_number),
            resource.get("service.name", "")[:200],
            _host_of(resource, attributes)[:200],
            (log.event_name or attributes.get("event.name", ""))[:200],
            body,
            log.trace_id,
            log.span_id,
            attributes,
            resource,
            log.emitter.scope_name[:200],
            hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=8).hexdigest(),
            batch.received,
            batch.day,
            batch.version,
        ]

    def _point_row(self, project: str, point: RawPoint, batch: _Batch, masker: Masker) -> list[Any]:
        attributes, _ = text_attributes(point.attributes, frozenset(), masker)
        resource, _ = text_attributes(point.emitter.resource, frozenset(), masker)
        identity = to_json([point.start_ns, point.type, attributes, resource])
        return [
            project,
            point.metric[:500],
            stored_time(point.time_ns),
            stored_time(point.start_ns),
            point.type,
            point.temporality,
            point.unit[:50],
            resource.get("service.name", "")[:200],
            point.value if point.value == point.value and abs(point.value) != float("inf") else 0.0,
            min(max(point.count, 0), 2**63),
            to_json(point.detail) if point.detail else "",
            attributes,
            resource,
            hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=8).hexdigest(),
            batch.received,
            batch.day,
            batch.version,
        ]

    # -- judging against the whole trace -------------------------------------------------------------------------

    def _place_spans(
        self,
        project: str,
        reads: Sequence[_Read],
        spoken: set[SpanKey],
        batch: _Batch,
        masker: Masker,
    ) -> None:
        trace_ids = dict.fromkeys(read.raw.trace_id for read in reads)
        trace_ids.update(dict.fromkeys(trace_id for trace_id, _ in spoken))
        states = self._states.of(project, trace_ids, batch.day)
        said = self._hear(project, reads, spoken)
        fresh: dict[SpanKey, tuple[_Read, Fact, costs.Cost]] = {}
        for read in reads:
            raw, reading = read.raw, read.reading
            state = states[raw.trace_id]
            state.received_ns = max(state.received_ns, read.received_ns)
            batch.touched[(project, raw.trace_id)] = state
            span_id = reading.span_id or raw.span_id
            known = state.facts.get(span_id)
            # An open span may be told of again, with what it has learnt since; one that has ended is never opened again.
            if known is not None and known.status != "running":
                batch.tally.repeated_spans += 1
                continue
            parent = raw.parent_span_id if reading.parent_span_id is None else reading.parent_span_id
            day = known.received_day if known is not None else state.received_day
            if (heard := said.get((raw.trace_id, span_id))) is not None and not (reading.input or reading.output):
                reading = replace(reading, input=heard.input, output=heard.output)
                read = read._replace(reading=reading)
            moment = settle_times(raw.start_ns, raw.end_ns, read.received_ns, running=reading.running)
            cost = self._prices.price(
                reading.usage,
                model=reading.model,
                provider=reading.provider,
                at_ns=moment.start_ns,
                given_usd=reading.cost_given_usd,
            )
            fact = make_fact(raw, reading, SpanPlace(project, span_id, parent, day), moment, cost, masker)
            self._states.add(state, fact)
            fresh[(raw.trace_id, span_id)] = (read, fact, cost)
        batch.tally.spans += len(fresh)
        for (trace_id, span_id), heard in said.items():
            fact = states[trace_id].facts.get(span_id) if (trace_id, span_id) in spoken else None
            if fact is not None and (trace_id, span_id) not in fresh:
                batch.late.append(LateMessages(trace_id, fact, heard))
                batch.touched[(project, trace_id)] = states[trace_id]
        for trace_id, state in states.items():
            self._settle(project, trace_id, state, fresh, batch)
        batch.spans = [(project, *entry) for entry in fresh.values()]

    def _hear(self, project: str, reads: Sequence[_Read], spoken: set[SpanKey]) -> dict[SpanKey, Heard]:
        """What log records say of spans that carry no messages themselves."""
        if spoken:
            self._projects_with_spoken_spans.add(project)
        elif project not in self._projects_with_spoken_spans:
            return {}
        silent = {
            (read.raw.trace_id, read.raw.span_id)
            for read in reads
            if read.reading.kind == "model" and not read.reading.input and not read.reading.output
        }
        wanted = silent | spoken
        if not wanted:
            return {}
        heard: dict[SpanKey, tuple[list[Message], list[Message]]] = {}
        for log in self._ingest_store.content_logs(project, sorted({trace_id for trace_id, _ in wanted})):
            if (log.trace_id, log.span_id) in wanted and (found := conventions.read_log(log)) is not None:
                entry = heard.setdefault((log.trace_id, log.span_id), ([], []))
                entry[0].extend(found.input)
                entry[1].extend(found.output)
        return {key: Heard(tuple(said), tuple(answered)) for key, (said, answered) in heard.items()}

    def _settle(
        self,
        project: str,
        trace_id: str,
        state: TraceState,
        fresh: dict[SpanKey, tuple[_Read, Fact, costs.Cost]],
        batch: _Batch,
    ) -> None:
        """Decide steps, aggregates and duplicates with the whole trace in view; stored spans that change are amended."""
        facts = state.facts
        numbers = steps(facts.values())
        decided = settle_trace(state)
        for span_id, fact in facts.items():
            decision = decided.get(span_id)
            scope = decision.scope if decision is not None else fact.usage_scope
            twin = decision.duplicate_of if decision is not None else ""
            if twin:
                # Out of every sum over leaves, like what descendants repeat.
                scope = "aggregate"
            step = numbers[span_id]
            if (fact.step, fact.usage_scope, fact.duplicate_of) == (step, scope, twin):
                continue
            fact.step, fact.usage_scope, fact.duplicate_of = step, scope, twin
            if (trace_id, span_id) not in fresh:
                amendment = Amendment(
                    trace_id=trace_id,
                    span_id=span_id,
                    start_ns=fact.start_ns,
                    step=step,
                    usage_scope=scope,
                    duplicate_of=twin,
                )
                batch.amendments.setdefault(project, []).append(amendment)

    # -- writing -------------------------------------------------------------------------------------------------

    def _make_rows(self, project: str, batch: _Batch, masker: Masker, prepared: Prepared) -> None:
        resources: dict[int, dict[str, str]] = {}
        span_rows: list[list[Any]] = []
        events: list[list[Any]] = []
        for _, read, fact, cost in batch.spans:
            emitter = read.raw.emitter
            resource = resources.get(id(emitter))
            if resource is None:
                resource = resources[id(emitter)] = _resource(emitter, masker)
            span_rows.append(
                span_row(
                    read.raw,
                    read.reading,
                    fact,
                    cost,
                    batch.contents,
                    masker,
                    resource,
                    project=project,
                    received=batch.received,
                    version=batch.version,
                )
            )
            if read.raw.events:
                events.extend(
                    event_rows(read.raw, fact, masker, project=project, received=batch.received, version=batch.version)
                )
        late = [self._late_amendment(project, item, batch, masker) for item in batch.late]
        traces: list[list[Any]] = []
        for state in batch.touched.values():
            if state.facts:
                # Judged at the moment of its newest span: in a backlog, the clock would make everything look late.
                row = trace_row(state, self.judge, now_ns=state.received_ns, version=batch.version)
                traces.append(row)
                self._watchdog.note(state, row[_AGENT], state.received_ns)
        amendments = [(owner, some) for owner, some in batch.amendments.items() if some]
        batch.tally.amended_spans += sum(len(some) for _, some in amendments)
        insert = self._store.insert
        store, version = self._ingest_store, batch.version
        # Contents first: a span never refers to what is not there yet. The trace last: it is what lists show.
        prepared.steps += [
            partial(insert, "message", MESSAGE.column_names, batch.contents.rows),
            partial(insert, "span", SPAN.column_names, span_rows),
            partial(insert, "event", EVENT.column_names, events),
            *(partial(store.amend_messages, project, amendment, version) for amendment in late),
            *(partial(store.amend, owner, some, version + 1) for owner, some in amendments),
            partial(insert, "score", SCORE.column_names, batch.scores),
            partial(insert, "point", POINT.column_names, batch.points),
            partial(insert, "trace", TRACE.column_names, traces),
        ]

    def _late_amendment(self, project: str, item: LateMessages, batch: _Batch, masker: Masker) -> MessageAmendment:
        fact = item.fact
        at = SpanAt(fact.session_id or item.trace_id, item.trace_id, fact.span_id, fact.start_ns)
        fact.input_text = row_text(newest(fact.kind, item.heard.input), masker)
        fact.output_text = row_text(item.heard.output, masker)
        return MessageAmendment(
            trace_id=item.trace_id,
            span_id=fact.span_id,
            start_ns=fact.start_ns,
            input_refs=batch.contents.put_messages(item.heard.input, at),
            output_refs=batch.contents.put_messages(item.heard.output, at),
            input_text=fact.input_text,
            output_text=fact.output_text,
        )


def _by_project(records: Sequence[Record]) -> dict[str, list[Record]]:
    projects: dict[str, list[Record]] = {}
    for record in records:
        projects.setdefault(record.project_id, []).append(record)
    return projects


def _resource(emitter: Emitter, masker: Masker) -> dict[str, str]:
    return text_attributes(emitter.resource, frozenset(), masker)[0]


def settle_trace(state: TraceState) -> dict[str, conventions.Settlement]:
    """What the whole trace says about the usage of its spans; empty where none reports any."""
    if not any(fact.declared_scope for fact in state.facts.values()):
        return {}
    return conventions.settle([_settle_facts(fact) for fact in state.facts.values()])


_TELLING = tuple(
    TOKEN_BUCKETS.index(bucket)
    for bucket in ("cache_read", "cache_write_5m", "cache_write_1h", "audio_input", "reasoning", "audio_output")
)
"""The buckets that only a detailed report fills: of two reports of one call, the one with more of them counts."""


def _settle_facts(fact: Fact) -> conventions.SpanFacts:
    input_places = TOKEN_BUCKETS.index("audio_input") + 1
    return conventions.SpanFacts(
        span_id=fact.span_id,
        parent_span_id=fact.parent_span_id,
        kind=fact.kind,
        start_ns=fact.start_ns,
        end_ns=fact.end_ns,
        has_usage=bool(fact.declared_scope),
        input_tokens=sum(fact.tokens[:input_places]),
        output_tokens=sum(fact.tokens[input_places:]),
        response_id=fact.response_id,
        model=fact.model,
        scope_name=fact.scope_name,
        declared="aggregate" if fact.declared_scope == "aggregate" else "leaf",
        detail=sum(fact.tokens[place] > 0 for place in _TELLING),
    )


_HOST_KEYS = ("host.name", "k8s.node.name", "host.id")


def _host_of(resource: Mapping[str, str], attributes: Mapping[str, str]) -> str:
    """Where a log record was written; the record's own word counts where the resource has none."""
    found = next((resource[key] for key in _HOST_KEYS if resource.get(key)), "")
    return found or attributes.get("host.name", "")


def _severity(number: int) -> str:
    names = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    return names[min((number - 1) // 4, 5)] if number > 0 else ""


def _score_row(project: str, score: Score, at_ns: int, batch: _Batch) -> list[Any]:
    identity = to_json([score.trace_id, score.span_id, score.response_id, score.name, score.source, at_ns])
    value = score.value
    return [
        project,
        score.trace_id,
        score.span_id,
        "",
        score.name[:200],
        score.source[:200],
        hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=8).hexdigest(),
        value if value is not None and value == value and abs(value) != float("inf") else None,
        score.label[:200],
        score.explanation[:10_000],
        "",
        "",
        "",
        "",
        0,
        stored_time(at_ns),
        batch.received,
        batch.day,
        batch.version,
    ]
