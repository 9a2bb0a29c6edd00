"""The steps of a trace as they are compared: canonical, in an order that does not depend on who of a crowd was first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from pilothouse.store import TraceStore
from pilothouse.store.content_reads import contents
from pilothouse.store.diff_reads import StepRow, steps_to_compare
from pilothouse.store.message_reads import MessageFacts, message_facts, model_calls

from .load import Head, number
from .text import line

STEPS_MAX = 20_000
"""Steps of one trace that are compared."""
PROMPT_REFS_MAX = 250_000
"""References to messages whose prompts are compared; later calls are compared by their decisions alone."""
_LONG_VALUES = 1_000
"""Long arguments that are read to be compared whatever the order of their keys; others are compared as they are."""
_PLUMBING = ("chain", "other")
"""Kinds of span that belong to a framework, not to what the agent did."""
_HEAD = 160
_BRANCH_KEYS = 8


@dataclass(slots=True)
class Step:
    """One step to compare. Prints are equal exactly where what they stand for is."""

    row: StepRow
    step: int
    label: str
    key: str = ""
    """Equal keys: the same was decided."""
    given: str = ""
    """Print of what it was given: arguments, a question."""
    decided: str = ""
    """Print of what a model decided."""
    calls: tuple[str, ...] = ()
    """Names of the tools a model called."""
    calls_print: str = ""
    """Print of its calls with their arguments."""
    result: str = ""
    """Print of what came back."""
    prompt: str | None = None
    """Print of the messages a model was sent; None where they were not read."""
    parameters: str = ""
    head: str = ""
    result_head: str = ""
    depth: int = 0
    parent: int = -1
    """Place of the step around it, in the order compared."""
    parallel: bool = False
    """True where a sibling of its kind ran at the same time."""

    @property
    def failed(self) -> bool:
        """True for an error, soft ones included."""
        return self.row.status == "error" or bool(self.row.tool_error)


@dataclass(slots=True)
class Steps:
    """The steps of one trace, in the order compared."""

    steps: list[Step] = field(default_factory=list[Step])
    left_out: int = 0
    unread_prompts: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """The steps of both traces."""

    a: Steps
    b: Steps
    across: bool
    """True where different instrumentations recorded them."""


def read_both(store: TraceStore, project: str, a: Head, b: Head) -> Both:
    """The steps of two traces. Where different instrumentations recorded them, spans of their own making are left out."""
    rows_a = steps_to_compare(store, project, a.row.trace_id, a.stretch, limit=STEPS_MAX)
    rows_b = steps_to_compare(store, project, b.row.trace_id, b.stretch, limit=STEPS_MAX)
    across = _recorders(rows_a) != _recorders(rows_b)
    return Both(
        a=_steps(store, project, a, rows_a, across),
        b=_steps(store, project, b, rows_b, across),
        across=across,
    )


def _recorders(rows: Sequence[StepRow]) -> set[tuple[str, str]]:
    return {(row.dialect, row.scope_name) for row in rows if row.kind not in _PLUMBING and not row.duplicate_of}


def _steps(store: TraceStore, project: str, top: Head, rows: Sequence[StepRow], across: bool) -> Steps:
    numbers = number([[r.span_id for r in rows], [r.parent_span_id for r in rows], [r.start_ns for r in rows]])
    parents = {row.span_id: row.parent_span_id for row in rows}
    kept = [row for row in rows if not row.duplicate_of and not (across and row.kind in _PLUMBING)]
    found = Steps(left_out=max(0, top.row.spans - len(rows)), duplicates=sum(bool(row.duplicate_of) for row in rows))
    steps = [Step(row, numbers[row.span_id], _label(row)) for row in kept]
    _read_contents(store, project, top, steps, found, across)
    for step in steps:
        _set_key(step)
    found.steps = _in_order(steps, parents)
    return found


def _label(row: StepRow) -> str:
    return {"tool": row.tool_name, "model": row.model, "agent": row.agent}.get(row.kind, "") or row.name


def _read_contents(
    store: TraceStore, project: str, top: Head, steps: Sequence[Step], found: Steps, across: bool
) -> None:
    scopes = {step.row.scope for step in steps}
    calls = model_calls(store, project, top.row.trace_id, top.stretch, limit=STEPS_MAX, refs_max=PROMPT_REFS_MAX)
    prompts = {row.span_id: row.input_refs for row in calls.rows}
    hashes = {ref for refs in prompts.values() for ref in refs}
    hashes |= {ref for step in steps for ref in step.row.output_refs}
    facts = message_facts(store, project, scopes, hashes)
    prints = {hash: message_print(item) for hash, item in facts.items()}
    long_values = [step.row.input_ref for step in steps if step.row.input_ref][:_LONG_VALUES]
    values = contents(store, project, scopes, long_values) if long_values else {}
    models = sum(step.row.kind == "model" for step in steps)
    found.unread_prompts = max(0, models - sum(step.row.span_id in prompts for step in steps))
    for step in steps:
        row = step.row
        if row.kind == "model":
            refs = prompts.get(row.span_id)
            step.prompt = None if refs is None else _print([prints.get(ref, ref) for ref in refs])
            _read_decision(step, [facts[ref] for ref in row.output_refs if ref in facts])
            step.parameters = canonical(row.parameters)
            continue
        stored = values.get(row.input_ref)
        given = stored.content if stored else row.input_ref or row.input_text
        step.given = _print([_only_value(given) if across else canonical(given)])
        step.head = line(row.input_text, _HEAD)
        step.result = _print([row.output_ref or canonical(row.output_text), row.tool_error])
        step.result_head = line(row.tool_error or row.error_message or row.output_text, _HEAD)


def _read_decision(step: Step, said: Sequence[MessageFacts]) -> None:
    words: list[str] = []
    calls: list[tuple[str, str]] = []
    heads: list[str] = []
    for message in said:
        for part in message.parts:
            if part.type == "tool_call":
                calls.append((part.name, part.arguments_print))
                heads.append(f"{part.name}({part.arguments_head})")
            elif part.type == "text" and part.chars:
                words.append(part.print)
                heads.append(part.head)
    if not said and step.row.output_text:
        words.append(canonical(step.row.output_text))
        heads.append(step.row.output_text)
    # Calls made at once stand in no order.
    calls.sort()
    step.calls = tuple(name for name, _ in calls)
    step.calls_print = _print([f"{name}:{arguments}" for name, arguments in calls])
    step.decided = _print([step.calls_print, *words])
    step.head = step.result_head = line("  ".join(heads), _HEAD)


def message_print(item: MessageFacts) -> str:
    """What a message says, whatever ids its calls were given."""
    return _print(
        [
            item.role,
            *(
                f"{p.type}:{p.name}:{p.print if p.chars else ''}:{_given(p.arguments_chars, p.mime, p.arguments_print)}"
                for p in item.parts
            ),
        ]
    )


def _given(chars: int, mime: str, fingerprint: str) -> str:
    return fingerprint if chars or mime else ""


def _print(words: Sequence[str]) -> str:
    return hashlib.blake2b("\x00".join(words).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def canonical(text: str) -> str:
    """JSON with its keys in order and without spaces; other text as it is, the spaces around it left out."""
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            return orjson.dumps(_plain(orjson.loads(stripped)), option=orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONDecodeError:
            pass
    return stripped


def _only_value(text: str) -> str:
    """As :func:`canonical`; of arguments with one name the value, since some frameworks record that alone."""
    plain = canonical(text)
    if plain.startswith("{"):
        try:
            values: dict[str, Any] = orjson.loads(plain)
        except orjson.JSONDecodeError:
            return plain
        if len(values) == 1:
            (value,) = values.values()
            return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return plain


def _plain(value: Any) -> Any:
    """Whole numbers written as 3.0 are 3: which one is written depends on the language of the agent."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    return value


def _set_key(step: Step) -> None:
    row = step.row
    if row.kind == "model":
        # Not its name: the same answer of another model is the same decision.
        step.key = f"model\0{step.decided}"
    else:
        step.key = f"{row.kind}\0{step.label}\0{step.given}"


def _in_order(steps: Sequence[Step], parents: Mapping[str, str]) -> list[Step]:
    """Depth first, siblings by start; those of one kind that ran at once by what they were given, not by the clock."""
    places = {step.row.span_id: place for place, step in enumerate(steps)}
    circles = _circles(parents)
    children: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        children.setdefault(_around(step.row.span_id, places, parents, circles), []).append(place)
    order: list[Step] = []
    stack = [(place, 0, -1) for place in reversed(_siblings(children.get(-1, []), steps, children))]
    while stack:
        place, depth, parent = stack.pop()
        step = steps[place]
        step.depth, step.parent = depth, parent
        own = len(order)
        order.append(step)
        below = _siblings(children.get(place, []), steps, children)
        stack += [(child, depth + 1, own) for child in reversed(below)]
    return order


def _around(span_id: str, places: Mapping[str, int], parents: Mapping[str, str], circles: frozenset[str]) -> int:
    """The place of the nearest step around a span; -1 at the top, and where parents go round in a circle."""
    if span_id in circles:
        return -1
    parent = parents[span_id]
    while parent and parent not in places:
        parent = "" if parent in circles else parents.get(parent, "")
    return places[parent] if parent else -1


def _circles(parents: Mapping[str, str]) -> frozenset[str]:
    """Spans that are their own ancestors."""
    found: set[str] = set()
    done: set[str] = set()
    for first in parents:
        path: dict[str, None] = {}
        current = first
        while current in parents and current not in done and current not in path:
            path[current] = None
            current = parents[current]
        if current in path:
            walked = list(path)
            found.update(walked[walked.index(current) :])
        done.update(path)
    return frozenset(found)


def _siblings(places: Sequence[int], steps: Sequence[Step], children: Mapping[int, Sequence[int]]) -> list[int]:
    ordered: list[int] = []
    group: list[int] = []
    end_ns = -1
    for place in places:
        row = steps[place].row
        if group and row.kind == steps[group[0]].row.kind and row.start_ns < end_ns:
            end_ns = max(end_ns, row.start_ns + row.duration_ns)
            group.append(place)
            continue
        ordered += _crowd(group, steps, children)
        group, end_ns = [place], row.start_ns + row.duration_ns
    return ordered + _crowd(group, steps, children)


def _crowd(group: Sequence[int], steps: Sequence[Step], children: Mapping[int, Sequence[int]]) -> list[int]:
    if len(group) < 2:
        return list(group)
    for place in group:
        steps[place].parallel = True
    return sorted(group, key=lambda place: (steps[place].label, steps[place].key, _branch(place, steps, children)))


def _branch(place: int, steps: Sequence[Step], children: Mapping[int, Sequence[int]]) -> list[str]:
    """The first keys below a step: they tell branches apart that were given the same."""
    keys: list[str] = []
    waiting = list(children.get(place, ()))
    while waiting and len(keys) < _BRANCH_KEYS:
        child = waiting.pop(0)
        keys.append(steps[child].key)
        waiting[:0] = children.get(child, ())
    return keys
