"""The log lines of many traces at once, as :func:`pilothouse.traces.logs` gives them for one.

For exports: the traces are in memory already, and their lines are read together. The candidates of a whole group come
with a few statements; which line belongs to which trace is decided here, by the rules of ``logs_join``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import iso
from pilothouse.store import TraceStore
from pilothouse.store.log_batch_reads import (
    NEEDLES_MAX,
    Place,
    any_log_in,
    count_logs_at,
    logs_at_places,
    logs_of_traces,
    logs_with_any_text,
    logs_with_any_value,
)
from pilothouse.store.log_reads import INSTANCES, Sites, logs_at_sites

from .logs_join import (
    CERTAIN_AFTER_NS,
    CERTAIN_BEFORE_NS,
    IDS_MAX,
    MEDIUM_NS,
    SESSION_KEYS,
    SHARED_AFTER_NS,
    SHARED_BEFORE_NS,
    SKEW_NS,
    USER_KEYS,
    JoinedLine,
    Shared,
    group_of,
    has_key,
    ids_on_lines,
    is_shared_key,
    is_telling,
    joined_row,
    key_of,
    longest_word,
    place_of,
    shared_by,
    shared_line,
    single,
    words_of,
)
from .logs_steps import Steps, steps_of
from .model import REASONS, Reason, TraceLogs

CANDIDATES_MAX = 20_000
"""Lines held at once; where a group of traces has more, its halves are read after each other."""
_LABELS = {"tool": "tool_name", "model": "model", "agent": "agent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSubject:
    """A trace whose lines are looked for."""

    trace_id: str
    start_ns: int
    end_ns: int
    session_id: str
    user_id: str
    shared: tuple[Shared, ...]
    """The ids its steps hold."""
    sites: Sites
    steps: Steps


def log_subject(row: Mapping[str, Any], spans: Sequence[Mapping[str, Any]]) -> LogSubject:
    """A trace from its row and its whole spans."""
    start_ns = int(row["start_ns"])
    spans = sorted(spans, key=lambda span: (span["start_ns"], span["span_id"]))
    columns: list[list[Any]] = [
        [span["span_id"] for span in spans],
        [span["parent_span_id"] for span in spans],
        [span["start_ns"] for span in spans],
        [span["duration_ns"] for span in spans],
        [span[_LABELS.get(span["kind"], "name")] or span["name"] for span in spans],
        [span["service"] for span in spans],
        [span["status"] == "error" or span["tool_error"] != "" for span in spans],
    ]
    return LogSubject(
        trace_id=row["trace_id"],
        start_ns=start_ns,
        # As the answer for one trace, whose row has milliseconds.
        end_ns=start_ns + round(round(row["duration_ns"] / 1e6, 3) * 1e6),
        session_id=row["session_id"],
        user_id=row["user_id"],
        shared=tuple(_shared_ids(spans)),
        sites=_sites(spans),
        steps=steps_of(columns),
    )


def logs_of_many(
    store: TraceStore, project: str, subjects: Sequence[LogSubject], *, each: int, infra: int
) -> dict[str, TraceLogs]:
    """The lines of each trace by its id: at most ``each`` of a reason, of those joined by place alone ``infra``.

    A trace without lines is left out. Counts are of what is stored, except that nobody counts past 20,000.
    """
    if not subjects:
        return {}
    since = min(subject.start_ns for subject in subjects) - CERTAIN_BEFORE_NS
    until = max(subject.end_ns for subject in subjects) + CERTAIN_AFTER_NS
    if not any_log_in(store, project, [(since, until)]):
        return {}
    batches = [_Batch(subject) for subject in subjects]
    _certain(store, project, batches, max(0, since), until, each)
    _sharing(store, project, batches)
    _at_places(store, project, [batch for batch in batches if batch.subject.sites], infra)
    return {batch.subject.trace_id: batch.answer(each, infra) for batch in batches if batch.found or batch.infra_count}


@dataclass(slots=True)
class _Batch:
    """One trace and the lines found for it so far."""

    subject: LogSubject
    found: dict[str, JoinedLine] = field(default_factory=dict[str, JoinedLine])
    certain: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    shared: tuple[Shared, ...] = ()
    certain_totals: dict[str, int] = field(default_factory=dict[str, int])
    """How many lines are stored under each of its ids."""
    infra_total: int = 0
    surer: int = 0
    """Lines at its places that have a surer reason than the place."""

    def keep(self, line: JoinedLine) -> None:
        """Keep a line under its surest reason, which comes first."""
        self.found.setdefault(key_of(line.row), line)

    def answer(self, each: int, infra: int) -> TraceLogs:
        """The lines by reason."""
        subject = self.subject
        made = [joined_row(item, subject.start_ns, subject.steps) for item in self.found.values()]
        stored: dict[Reason, int] = {"time": self.infra_count, "trace_id": sum(self.certain_totals.values())}
        groups = tuple(
            group_of(kind, made, infra if kind == "time" else each, stored.get(kind, 0))
            for kind in REASONS
            if any(row.reason == kind for row in made)
        )
        return TraceLogs(
            trace_id=subject.trace_id,
            since=iso(subject.start_ns),
            until=iso(subject.end_ns),
            groups=groups,
            lost=(),
            infra_left_out=0,
            hosts=subject.sites.hosts,
            services=subject.sites.services,
            clock_allowance_ms=SKEW_NS // 1_000_000,
        )

    @property
    def infra_count(self) -> int:
        """Lines joined by place and time alone."""
        return self.infra_total - self.surer

    def near(self, row: dict[str, Any]) -> None:
        """Take in a line of its places."""
        self.infra_total = row["total"]
        if key_of(row) in self.found:
            self.surer += 1
        else:
            self.keep(JoinedLine(row=row, reason="time", why=place_of(row, self.subject.sites.hosts)))


def _certain(
    store: TraceStore, project: str, batches: Sequence[_Batch], since_ns: int, until_ns: int, each: int
) -> None:
    """Lines that carry the trace's id, or its lower half, as a propagator of 64 bits keeps it."""
    by_id: dict[str, list[tuple[_Batch, str]]] = {}
    for batch in batches:
        whole = batch.subject.trace_id
        by_id.setdefault(whole, []).append((batch, "trace id"))
        by_id.setdefault(whole[16:].zfill(32), []).append((batch, "lower half of the trace id"))
    for row in logs_of_traces(store, project, list(by_id), since_ns, until_ns, each=each):
        for batch, why in by_id.get(row["trace_id"], ()):
            subject = batch.subject
            if subject.start_ns - CERTAIN_BEFORE_NS <= row["time_ns"] < subject.end_ns + CERTAIN_AFTER_NS:
                batch.certain_totals[row["trace_id"]] = row["total"]
                batch.certain.append(row)
                batch.keep(JoinedLine(row=row, reason="trace_id", why=why))
    for batch in batches:
        subject = batch.subject
        more = ids_on_lines(batch.certain, {one.value for one in subject.shared})
        batch.shared = (*subject.shared, *more)[:IDS_MAX]


def _sharing(store: TraceStore, project: str, batches: Sequence[_Batch]) -> None:
    """Lines that share an id, the session or the user."""
    wanted = _Wanted(batches)
    if not wanted.values:
        return
    rows = logs_with_any_value(store, project, wanted.forms, wanted.stretches, limit=CANDIDATES_MAX)
    texts = list(wanted.texts)
    for first in range(0, len(texts), NEEDLES_MAX):
        if len(rows) < CANDIDATES_MAX:
            few = texts[first : first + NEEDLES_MAX]
            rows += logs_with_any_text(store, project, few, wanted.stretches, limit=CANDIDATES_MAX)
    if len(rows) >= CANDIDATES_MAX and len(batches) > 1:
        half = len(batches) // 2
        _sharing(store, project, batches[:half])
        _sharing(store, project, batches[half:])
        return
    lines = {key_of(row): row for row in rows}
    for row in sorted(lines.values(), key=lambda row: (row["time_ns"], row["hash"])):
        for batch in wanted.of(row):
            if key_of(row) not in batch.found and (line := _line_of(row, batch)) is not None:
                batch.keep(line)


class _Wanted:
    """What the traces of a group share with lines, to be looked up by what a line holds."""

    def __init__(self, batches: Sequence[_Batch]) -> None:
        self.values: dict[str, list[_Batch]] = {}
        self.texts: dict[str, list[_Batch]] = {}
        self.stretches: list[tuple[int, int]] = []
        self._words: dict[str, list[_Batch]] = {}
        for batch in batches:
            subject = batch.subject
            for one in batch.shared:
                self.values.setdefault(one.value, []).append(batch)
                self.texts.setdefault(one.value, []).append(batch)
                self._words.setdefault(longest_word(one.value), []).append(batch)
            for value in filter(None, (subject.session_id, subject.user_id)):
                self.values.setdefault(value, []).append(batch)
            self.stretches.append((subject.start_ns - SHARED_BEFORE_NS, subject.end_ns + SHARED_AFTER_NS))

    @property
    def forms(self) -> list[str]:
        """Values as lines hold them; a header's value is a list of one."""
        return [form for value in self.values for form in (value, f'["{value}"]')]

    def of(self, row: Mapping[str, Any]) -> Iterator[_Batch]:
        """The traces that may share something with a line, each once."""
        seen: dict[int, _Batch] = {}
        for text in row["attributes"].values():
            for batch in self.values.get(single(text), ()):
                seen[id(batch)] = batch
        for word in words_of(row["text"]):
            for batch in self._words.get(word, ()):
                seen[id(batch)] = batch
        yield from seen.values()


def _line_of(row: dict[str, Any], batch: _Batch) -> JoinedLine | None:
    """Why a line belongs to a trace, if it does."""
    subject, at_ns = batch.subject, row["time_ns"]
    held = {single(text): key for key, text in row["attributes"].items()}
    if subject.start_ns - SHARED_BEFORE_NS <= at_ns < subject.end_ns + SHARED_AFTER_NS:
        words = words_of(row["text"])
        if any(
            (one.value in held and is_shared_key(held[one.value]))
            or (longest_word(one.value) in words and one.value in row["text"])
            for one in batch.shared
        ):
            same = shared_by(row, batch.shared)
            if same is not None:
                return shared_line(row, same, subject.steps)
    if subject.start_ns - MEDIUM_NS <= at_ns < subject.end_ns + MEDIUM_NS:
        if subject.session_id and has_key(row["attributes"], subject.session_id, SESSION_KEYS):
            return JoinedLine(row=row, reason="session_id", why=f"session {subject.session_id[:60]}")
        if subject.user_id and has_key(row["attributes"], subject.user_id, USER_KEYS):
            return JoinedLine(row=row, reason="user_id", why=f"user {subject.user_id[:60]}")
    return None


def _at_places(store: TraceStore, project: str, batches: Sequence[_Batch], infra: int) -> None:
    """Lines of the same host, container or service while the trace ran."""
    if not batches or infra <= 0:
        return
    places = [_place(batch.subject) for batch in batches]
    # Some of the lines may have a surer reason already.
    each = infra + 100
    if count_logs_at(store, project, places) <= CANDIDATES_MAX:
        for number, row in logs_at_places(store, project, places, each=each):
            batches[number].near(row)
        return
    if len(batches) > 1:
        half = len(batches) // 2
        _at_places(store, project, batches[:half], infra)
        _at_places(store, project, batches[half:], infra)
        return
    (batch,), (place,) = batches, places
    rows, _ = logs_at_sites(
        store,
        project,
        place.sites,
        place.trace_id,
        max(0, place.start_ns),
        place.end_ns,
        place.moments,
        limit=each,
        severity=0,
    )
    for row in rows:
        batch.near(row)


def _place(subject: LogSubject) -> Place:
    moments = subject.steps.moments or (subject.start_ns, subject.end_ns)
    return Place(
        trace_id=subject.trace_id,
        start_ns=subject.start_ns - SKEW_NS,
        end_ns=subject.end_ns + SKEW_NS,
        sites=subject.sites,
        moments=moments[:50],
    )


def _shared_ids(spans: Sequence[Mapping[str, Any]]) -> list[Shared]:
    """The ids that the steps hold, in the order in which they come up, with the first step that holds each."""
    first: dict[tuple[str, str], tuple[int, str]] = {}
    for span in spans:
        named = [(key, text) for key, text in span["attributes"].items() if is_shared_key(key)]
        named += [("response id", span["response_id"]), ("tool call id", span["tool_call_id"])]
        for key, text in named:
            if not text:
                continue
            found = first.get((key, text))
            if found is None or span["start_ns"] < found[0]:
                first[key, text] = (span["start_ns"], span["span_id"])
    ordered = sorted(first.items(), key=lambda item: (item[1][0], item[0][1]))[:IDS_MAX]
    return [
        Shared(key=key, value=value, span_id=span_id)
        for (key, text), (_, span_id) in ordered
        if is_telling(value := single(text))
    ]


def _sites(spans: Sequence[Mapping[str, Any]]) -> Sites:
    hosts: set[str] = set()
    services: set[str] = set()
    instances: set[str] = set()
    for span in spans:
        resource: Mapping[str, str] = span["resource"]
        host = resource.get("host.name") or resource.get("k8s.node.name") or ""
        hosts.add(host if not host.strip("0123456789.:") else host.split(".")[0].lower())
        services.add(span["service"])
        instances.update(resource.get(name, "") for name in INSTANCES)
    return Sites(
        hosts=tuple(sorted(hosts - {""})),
        services=tuple(sorted(services - {""})),
        instances=tuple(sorted(instances - {""})),
    )
