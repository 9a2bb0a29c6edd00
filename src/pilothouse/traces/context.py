"""The context inspector: what took the room in each model call's window, what fell out, and whether the question is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.store.message_reads import CallRow, MessageFacts, message_facts, messages_with, model_calls
from pilothouse.store.schema import TOKEN_BUCKETS
from pilothouse.store.trace_reads import Stretch, columnar_spans

from .context_parts import Item, calibrated, definitions, missing, plans, weigh
from .context_threads import Call, threads_of
from .context_windows import Window, call_of, detail_of, only_added, walk
from .detail import find_span
from .load import SPANS_MAX, head, number
from .model.context import Context

CALLS_MAX = 5_000
"""Model calls of one trace that are read at most."""
REFS_MAX = 500_000
"""References to messages that are read at most."""
_CALLS_BEFORE = 300
"""Where one step is asked for: the calls up to it that are read to know what came before."""
_INPUT = tuple(
    place for place, bucket in enumerate(TOKEN_BUCKETS) if bucket not in ("output_text", "reasoning", "audio_output")
)


def context(store: TraceStore, project: str, trace_id: str, step: int | str | None = None) -> Context:
    """What was in the context of each model call of a trace; with ``step``, of that one call message by message.

    Raises:
        NotFound: there is no such trace or step.
        BadRequest: the step is no model call.
    """
    top = head(store, project, trace_id)
    columns = columnar_spans(store, project, trace_id, top.stretch, limit=SPANS_MAX)
    numbers = number(columns[:3])
    wanted = "" if step is None else find_span(str(step).strip().lower(), trace_id, numbers)
    stretch = top.stretch
    if wanted:
        place = columns[0].index(wanted)
        if columns[4][place] != "model":
            raise BadRequest(
                f"step {numbers[wanted]} is no model call but of kind {columns[4][place]}",
                got=step,
                allowed=[numbers[id] for id, kind in zip(columns[0], columns[4], strict=True) if kind == "model"][:20],
                fix=f"pilothouse context {trace_id}",
            )
        stretch = Stretch(start_ns=stretch.start_ns, end_ns=columns[2][place])
    read = model_calls(
        store,
        project,
        trace_id,
        stretch,
        limit=_CALLS_BEFORE if wanted else CALLS_MAX,
        refs_max=REFS_MAX,
        last=bool(wanted),
    )
    kinds = dict(zip(columns[0], zip(columns[1], columns[4], columns[5], strict=True), strict=True))
    chosen = _counted(read.rows, kinds, wanted)
    scopes = {row.scope for row in read.rows}
    facts = message_facts(store, project, scopes, _hashes(chosen))
    calls = _calls(chosen, facts, kinds, numbers)
    threads = threads_of(calls)
    scales = _scales(calls, threads)
    windows = [Window(call, scales.get(call.row.model, 0.0)) for call in calls]

    def quoting(words: str, hashes: Iterable[str]) -> frozenset[str]:
        return messages_with(store, project, scopes, hashes, words)

    walked = [walk(index, [windows[place] for place in places], quoting) for index, places in enumerate(threads, 1)]
    shown = sorted(windows, key=lambda window: window.call.step)
    detail = None
    if wanted:
        shown = [window for window in windows if window.call.row.span_id == wanted]
        detail = detail_of(shown[0])
        walked = [thread for thread in walked if thread.number == shown[0].thread]
    return Context(
        trace_id=trace_id,
        threads=tuple(walked),
        calls=tuple(call_of(window, top.start_ns) for window in shown),
        detail=detail,
        duplicates=len(read.rows) - len(chosen),
        left_out=0 if wanted else read.left_out,
        notes=_notes(read.left_out if not wanted else 0, len(read.rows) - len(chosen), calls),
    )


def _notes(left_out: int, duplicates: int, calls: Sequence[Call]) -> tuple[str, ...]:
    notes: list[str] = []
    if not calls:
        notes.append("this trace has no model call")
    elif not any(call.items for call in calls):
        notes.append("no content was recorded: only the size of each window is known")
    if duplicates:
        notes.append(f"{duplicates} model spans repeat others and are left out: double instrumentation, or sums")
    if left_out:
        notes.append(f"{left_out} later calls are beyond what is read at once; --step N shows each of them")
    return tuple(notes)


_Kinds = Mapping[str, tuple[str, str, str]]
"""By span id: its parent's id, its kind, and its label."""


def _counted(rows: Sequence[CallRow], kinds: _Kinds, wanted: str) -> list[CallRow]:
    """The calls that happened: without the ones seen twice, and without spans that only sum up others.

    A call whose content only its twin recorded is shown with that content.
    """
    twins = {row.duplicate_of: row for row in rows if row.duplicate_of and row.input_refs}
    inside = {row.span_id for row in rows}
    outer = {ancestor for row in rows for ancestor in _ancestors(row.span_id, kinds) if ancestor in inside}
    chosen: list[CallRow] = []
    for row in rows:
        if row.span_id != wanted and (row.duplicate_of or (row.usage_scope == "aggregate" and row.span_id in outer)):
            continue
        twin = twins.get(row.span_id)
        if twin is not None and not row.input_refs:
            row = row._replace(
                input_refs=twin.input_refs,
                output_refs=twin.output_refs,
                tools_ref=row.tools_ref or twin.tools_ref,
                tools_offered=row.tools_offered or twin.tools_offered,
            )
        chosen.append(row)
    return chosen


def _ancestors(span_id: str, kinds: _Kinds) -> list[str]:
    path: list[str] = []
    seen = {span_id}
    parent = kinds[span_id][0] if span_id in kinds else ""
    while parent in kinds and parent not in seen:
        seen.add(parent)
        path.append(parent)
        parent = kinds[parent][0]
    return path


def _hashes(rows: Sequence[CallRow]) -> list[str]:
    found: dict[str, None] = {}
    for row in rows:
        found.update(dict.fromkeys(row.input_refs))
        found.update(dict.fromkeys(row.output_refs))
        if row.tools_ref:
            found[row.tools_ref] = None
    return list(found)


def _calls(
    rows: Sequence[CallRow], facts: Mapping[str, MessageFacts], kinds: _Kinds, numbers: Mapping[str, int]
) -> list[Call]:
    parts = [part for found in facts.values() for part in found.parts if part.type == "tool_call" and part.id]
    plan_calls = frozenset(part.id for part in parts if plans(part.name))
    provider = next((row.provider for row in rows if row.provider), "")
    items = {hash: weigh(found, plan_calls, provider) for hash, found in facts.items()}

    def window(refs: Sequence[str]) -> tuple[Item, ...]:
        return tuple(items.get(ref) or missing(ref) for ref in refs)

    calls: list[Call] = []
    for row in rows:
        agent_span = next((id for id in _ancestors(row.span_id, kinds) if kinds[id][1] == "agent"), "")
        reported = sum(row.tokens[place] for place in _INPUT) if row.usage_scope else 0
        calls.append(
            Call(
                row=row,
                step=numbers[row.span_id],
                agent=row.agent or (kinds[agent_span][2] if agent_span else ""),
                agent_span=agent_span,
                items=window(row.input_refs),
                outputs=window(row.output_refs),
                tools=definitions(facts.get(row.tools_ref)) if row.tools_ref else 0.0,
                tokens=reported,
            )
        )
    return calls


def _scales(calls: Sequence[Call], threads: Sequence[Sequence[int]]) -> dict[str, float]:
    """By model: how many tokens one estimated token is, from calls that only added to the one before."""
    growths: dict[str, list[tuple[float, int]]] = {}
    for places in threads:
        for first, second in pairwise(places):
            before, after = calls[first], calls[second]
            if not only_added(before, after):
                continue
            added = sum(item.estimate for item in after.items[len(before.items) :])
            growths.setdefault(before.row.model, []).append((added, after.tokens - before.tokens))
    return {model: calibrated(found) for model, found in growths.items()}
