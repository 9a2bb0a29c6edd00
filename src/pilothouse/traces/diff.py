"""The trace diff: two traces aligned step by step, where they part, and what may have led to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pilothouse.records import BadRequest, NotFound
from pilothouse.store import TraceStore

from .diff_align import Pair, align
from .diff_detail import detail_of
from .diff_steps import STEPS_MAX, Step, Steps, read_both
from .load import head
from .model import TraceRow
from .model.diff import (
    DECIDED,
    Differs,
    DiffPage,
    DiffRow,
    DiffRun,
    DiffSide,
    Divergence,
    DivergenceKind,
    Total,
    TraceDiff,
)
from .rows import milliseconds, money

_DECIDING = ("model", "tool", "agent", "retrieval")
"""Kinds of step that an agent decides to take. Across frameworks agents are none: each wraps its own way."""
_BEFORE_MAX = 20
ITEMS_MAX = 5_000
"""Rows and folded stretches of one page."""
AROUND = 2
"""Rows that are the same, shown on either side of one that is not."""


def diff(store: TraceStore, project: str, a: str, b: str, step: str = "") -> TraceDiff:
    """Compare two traces by their ids; ``step`` (``12`` of a, ``b12`` of b) says which row to give in full.

    Without ``step`` the row of the first divergence is given in full.

    Raises:
        NotFound: a trace or the step does not exist.
        BadRequest: the step is no number.
    """
    top_a, top_b = head(store, project, a), head(store, project, b)
    both = read_both(store, project, top_a, top_b)
    left, right, across = both.a, both.b, both.across
    xs, ys = left.steps, right.steps

    def alike(i: int, j: int) -> int:
        return _alike(xs[i], ys[j])

    aligned = align([x.key for x in xs], [y.key for y in ys], alike)
    pairs = _with_moved(aligned.pairs, xs, ys, across=across)
    moved = set(pairs) - set(aligned.pairs)
    rows = tuple(_row(number, pair, xs, ys, moved=pair in moved, across=across) for number, pair in enumerate(pairs, 1))
    deciding = tuple(kind for kind in _DECIDING if not (across and kind == "agent"))
    first = _first(rows, pairs, xs, ys, deciding, words=True)
    action = _first(rows, pairs, xs, ys, deciding, words=False)
    shown = rows[_wanted(rows, step, a) - 1] if step else None
    if shown is None and first is not None:
        sides = (_side(first.x) if first.x else None, _side(first.y) if first.y else None)
        shown = replace(rows[first.told.row - 1], a=sides[0], b=sides[1])
    return TraceDiff(
        a=top_a.row,
        b=top_b.row,
        totals=_totals(top_a.row, top_b.row),
        signals_gained=tuple(s for s in top_b.row.signals if s not in top_a.row.signals),
        signals_lost=tuple(s for s in top_a.row.signals if s not in top_b.row.signals),
        divergence=first.told if first else None,
        action_divergence=action.told if action else None,
        before=tuple(row.row for row in rows[: first.told.row - 1] if row.differs)[-_BEFORE_MAX:] if first else (),
        rows=rows,
        same=sum(row.state == "same" for row in rows),
        detail=detail_of(store, project, a, b, shown, across=across) if shown else None,
        exact=aligned.exact,
        left_out_a=left.left_out,
        left_out_b=right.left_out,
        notes=_notes(left, right, a == b, across, aligned.exact),
    )


def fold(rows: Sequence[DiffRow], *, keep: Sequence[int] = (), around: int = AROUND) -> tuple[DiffRow | DiffRun, ...]:
    """The rows with long runs of equal ones folded; rows of these numbers and their neighbours stay."""
    shown: set[int] = set()
    for row in rows:
        if row.state != "same" or row.row in keep:
            shown.update(range(row.row - around, row.row + around + 1))
    folded: list[DiffRow | DiffRun] = []
    run: list[DiffRow] = []
    for row in rows:
        if row.row in shown:
            folded += _run(run)
            run = []
            folded.append(row)
        else:
            run.append(row)
    return (*folded, *_run(run))


def page(found: TraceDiff, *, after: int = 0, limit: int = 200, whole: bool = False) -> DiffPage:
    """One page of a comparison: what comes after row ``after``, folded unless ``whole``, at most ``limit`` items."""
    if not 1 <= limit <= ITEMS_MAX:
        raise BadRequest(f"a page of a comparison has 1 to {ITEMS_MAX:,} items", got=limit)
    keep = [found.divergence.row] if found.divergence else []
    items = tuple(found.rows) if whole else fold(found.rows, keep=[*keep, *found.before])
    later = [item for item in items if (item.row if isinstance(item, DiffRow) else item.last_row) > after]
    shown = later[:limit]
    last = shown[-1] if shown else None
    end = (last.row if isinstance(last, DiffRow) else last.last_row) if last else 0
    return DiffPage(
        diff=replace(found, rows=()),
        items=tuple(shown),
        rows=len(found.rows),
        next_row=end if len(later) > limit else None,
    )


def _run(rows: Sequence[DiffRow]) -> list[DiffRow | DiffRun]:
    if len(rows) < 3:
        return list(rows)  # a fold takes a row as well
    return [DiffRun(first_row=rows[0].row, last_row=rows[-1].row, same=len(rows))]


def _alike(x: Step, y: Step) -> int:
    if x.key == y.key:
        return 16
    if x.row.kind != y.row.kind:
        return 0
    same_agent = int(x.row.agent == y.row.agent)
    if x.row.kind == "model":
        calls = 4 if x.calls and x.calls_print == y.calls_print else 2 if x.calls == y.calls else 0
        return 5 + calls + same_agent
    return (8 if x.label == y.label else 2 if x.row.kind in _DECIDING else 1) + same_agent


def _with_moved(pairs: Sequence[Pair], xs: Sequence[Step], ys: Sequence[Step], *, across: bool) -> list[Pair]:
    """Steps of parallel branches that found nobody at their place, with the very same step elsewhere in the crowd."""
    partners = {pair.a: pair.b for pair in pairs if pair.a is not None and pair.b is not None}
    waiting: dict[tuple[str, int], list[int]] = {}
    for pair in pairs:
        if pair.a is None and pair.b is not None:
            waiting.setdefault((ys[pair.b].key, 0 if across else ys[pair.b].parent), []).append(pair.b)
    met: dict[int, int] = {}
    for pair in pairs:
        if pair.a is None or pair.b is not None:
            continue
        x = xs[pair.a]
        # Each framework has its own idea of what lies within what.
        parent = 0 if across else -1 if x.parent < 0 else partners.get(x.parent, -2)
        others = waiting.get((x.key, parent), [])
        other = next((y for y in others if x.parallel or ys[y].parallel), None)
        if other is not None:
            others.remove(other)
            met[pair.a] = other
    came = {b: a for a, b in met.items()}
    placed: set[int] = set()
    found: list[Pair] = []
    for pair in pairs:
        a = pair.a
        if a is None and pair.b is not None:
            a = came.get(pair.b)
        if a is None or a not in met:
            found.append(pair)
        elif a not in placed:
            # At whichever of the two places comes first, so that it does not depend on the side.
            placed.add(a)
            found.append(Pair(a, met[a]))
    return found


def _row(number: int, pair: Pair, xs: Sequence[Step], ys: Sequence[Step], *, moved: bool, across: bool) -> DiffRow:
    x = xs[pair.a] if pair.a is not None else None
    y = ys[pair.b] if pair.b is not None else None
    differs: tuple[Differs, ...] = ()
    if x is None or y is None:
        state = "only_b" if x is None else "only_a"
    else:
        differs = _differs(x, y, across=across)
        state = "moved" if moved else "changed" if differs else "same"
    return DiffRow(
        row=number,
        state=state,
        differs=differs,
        depth=(x or y).depth if x or y else 0,  # type: ignore[union-attr]
        a=_side(x) if x else None,
        b=_side(y) if y else None,
    )


def _side(step: Step) -> DiffSide:
    row = step.row
    counted = row.usage_scope != "aggregate"
    return DiffSide(
        step=step.step,
        span_id=row.span_id,
        kind=row.kind,
        label=step.label,
        agent=row.agent,
        head=step.head,
        result=step.result_head,
        status=row.status,
        failed=step.failed,
        tokens=row.tokens if counted else 0,
        cost_usd=money(row.cost_usd) if counted else None,
        duration_ms=milliseconds(row.duration_ns),
    )


def _differs(x: Step, y: Step, *, across: bool) -> tuple[Differs, ...]:
    """What differs between two steps of one kind, decisions first."""
    found: list[Differs] = []
    if x.row.kind == "model":
        if x.decided != y.decided:
            found.append("decision")
        if x.prompt is not None and y.prompt is not None and x.prompt != y.prompt:
            found.append("prompt")
        # Definitions are written in each framework's own way: across two of them only the names say something.
        if sorted(x.row.tools_offered) != sorted(y.row.tools_offered) or (
            not across and x.row.tools_ref != y.row.tools_ref
        ):
            found.append("tools")
        if x.row.model != y.row.model:
            found.append("model")
        if not across and x.parameters != y.parameters:
            found.append("parameters")
    else:
        if x.label != y.label:
            found.append("tool")
        if x.given != y.given:
            found.append("input" if x.row.kind == "agent" else "arguments")
        if x.result != y.result:
            found.append("result")
    if (x.row.status, x.failed) != (y.row.status, y.failed):
        found.append("status")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parting:
    """A divergence and the two steps it is told from."""

    told: Divergence
    x: Step | None
    y: Step | None


def _first(
    rows: Sequence[DiffRow],
    pairs: Sequence[Pair],
    xs: Sequence[Step],
    ys: Sequence[Step],
    deciding: Sequence[str],
    *,
    words: bool,
) -> _Parting | None:
    """The first row at which another decision was taken; without ``words``, other words alone are none."""
    after_a = after_b = 0
    for row, pair in zip(rows, pairs, strict=True):
        x = xs[pair.a] if pair.a is not None else None
        y = ys[pair.b] if pair.b is not None else None
        if (x or y).row.kind in deciding:  # type: ignore[union-attr]  # one of them is there
            if x is None and y is not None and y.row.kind == "model":
                x = _next_decision(xs, after_a, y)
            elif y is None and x is not None and x.row.kind == "model":
                y = _next_decision(ys, after_b, x)
            found = _parting(row, x, y)
            if found is not None and (words or found.told.kind != "text"):
                return found
        after_a = after_a if pair.a is None else pair.a + 1
        after_b = after_b if pair.b is None else pair.b + 1
    return None


def _next_decision(steps: Sequence[Step], after: int, other: Step) -> Step | None:
    """What the other trace decided at this point: its next model call of the same agent, where that decided otherwise."""
    later = (step for step in steps[after:] if step.row.kind == "model" and step.row.agent == other.row.agent)
    found = next(later, None)
    return found if found is not None and found.decided != other.decided else None


def _parting(row: DiffRow, x: Step | None, y: Step | None) -> _Parting | None:
    told = _told(row, x, y)
    if told is None:
        return None
    kind, what = told
    steps = (x.step if x else None, y.step if y else None)
    return _Parting(told=Divergence(row=row.row, kind=kind, what=what, a_step=steps[0], b_step=steps[1]), x=x, y=y)


def _told(row: DiffRow, x: Step | None, y: Step | None) -> tuple[DivergenceKind, str] | None:
    """The kind of divergence and a sentence; None where nothing was decided otherwise."""
    if x is None or y is None:
        there, side = (x, "a") if x is not None else (y, "b")
        assert there is not None
        return ("only_a" if side == "a" else "only_b"), f"only {side} has this step: {there.row.kind} {there.label}"
    if x.row.kind == "model":
        if x.decided == y.decided:
            return None
        if x.calls != y.calls:
            return "tool", f"a {_does(x)}, b {_does(y)}"
        names = ", ".join(dict.fromkeys(x.calls))
        if x.calls_print != y.calls_print:
            return "arguments", f"both call {names}, with other arguments"
        return "text", f"both call {names}, in other words" if names else "both answer, in other words"
    if not DECIDED & set(row.differs):
        return None
    if "tool" in row.differs:
        return "tool", f"a uses {x.label}, b uses {y.label}"
    return "arguments", f"both use {x.label}, with other arguments"


def _does(step: Step) -> str:
    if step.calls:
        return f"calls {', '.join(step.calls[:5])}"
    return "answers" if step.head else "says nothing"


def _wanted(rows: Sequence[DiffRow], step: str, a: str) -> int:
    """The row of ``12`` (a step of a) or ``b12`` (one of b)."""
    text = step.strip().lower()
    side, digits = (text[0], text[1:]) if text[:1] in ("a", "b") else ("a", text)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 8):
        raise BadRequest(
            "a step is a number, with b before it for one of the second trace", got=step[:40], allowed="12 or b12"
        )
    for row in rows:
        found = row.a if side == "a" else row.b
        if found is not None and found.step == int(digits):
            return row.row
    raise NotFound(f"no step of {side} with this number is compared", got=step, fix=f"pilothouse show {a}")


def _totals(a: TraceRow, b: TraceRow) -> tuple[Total, ...]:
    def figure(name: str, unit: str, left: float | None, right: float | None) -> Total:
        known = left is not None and right is not None
        return Total(name=name, unit=unit, a=left, b=right, delta=right - left if known else None)  # type: ignore[operator]

    return (
        figure("duration", "ms", a.duration_ms, b.duration_ms),
        figure("cost", "usd", _float(a), _float(b)),
        figure("tokens", "tokens", a.tokens.total, b.tokens.total),
        figure("input tokens", "tokens", a.tokens.input_total, b.tokens.input_total),
        figure("output tokens", "tokens", a.tokens.output_total, b.tokens.output_total),
        figure("model calls", "count", a.model_calls, b.model_calls),
        figure("tool calls", "count", a.tool_calls, b.tool_calls),
        figure("spans", "count", a.spans, b.spans),
        figure("errors", "count", a.errors, b.errors),
    )


def _float(row: TraceRow) -> float | None:
    return float(row.cost_usd) if row.cost_usd is not None else None


def _notes(left: Steps, right: Steps, same: bool, across: bool, exact: bool) -> tuple[str, ...]:
    notes: list[str] = []
    if same:
        notes.append("both are the same trace")
    if across:
        notes.append(
            "recorded by different frameworks: their own spans, request parameters and definitions are left out"
        )
    for name, side in (("a", left), ("b", right)):
        if side.left_out:
            notes.append(f"{side.left_out:,} steps of {name} beyond the first {STEPS_MAX:,} are not compared")
        if side.unread_prompts:
            notes.append(f"the prompts of {side.unread_prompts:,} model calls of {name} are too many to be compared")
        if side.duplicates:
            notes.append(f"{side.duplicates:,} steps of {name} are the same call seen twice, and left out")
    if not exact:
        notes.append("the traces are long and differ much: the steps between fixed points are matched roughly")
    return tuple(notes)
