"""An answer within its budget: text first, then what helps to go on; what was cut, and the call that gets it.

No answer passes its budget, counted over everything a client hands on: text, resource links, and the small facts
(ids, cursor, suggested calls) that go along for programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pilothouse.records import BadRequest, PilothouseError, clean, visible

from .calls import Call, call_of

BUDGET = 10_000
BUDGET_MIN = 500
BUDGET_MAX = 200_000
_IDS_MAX = 20
_CALLS_MAX = 3
_LINKS_MAX = 5
_VALUE_CHARS = 300
_OPENED = re.compile(r"^«([0-9a-f]{8})$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A value too large for an answer: a resource that can be read page by page."""

    uri: str
    name: str
    chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool found, before it is made to fit."""

    text: str
    ids: Sequence[str] = ()
    """What the text is about, as ids that ``get`` takes."""
    cursor: str = ""
    """Where the list goes on."""
    more: Call | None = None
    """The call that goes on."""
    whole: Call | None = None
    """The call that gives what would not fit; its budget is filled in. None: this very call, with a larger budget."""
    suggested: Sequence[Call] = ()
    """Calls that usually follow."""
    links: Sequence[Link] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further small facts for programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What goes out."""

    text: str
    facts: Mapping[str, Any]
    links: Sequence[Link]

    @property
    def chars(self) -> int:
        """Everything counted."""
        return len(self.text) + len(dumps(self.facts)) + sum(_weight(link) for link in self.links)


def dumps(value: Any) -> str:
    """Compact JSON."""
    return visible(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))


def read_budget(arguments: Mapping[str, Any]) -> int:
    """The budget of a call.

    Raises:
        BadRequest: it is no number within the bounds.
    """
    budget = arguments.get("budget", BUDGET)
    if isinstance(budget, bool) or not isinstance(budget, int) or not BUDGET_MIN <= budget <= BUDGET_MAX:
        raise BadRequest(
            "a budget is a number of characters",
            got=budget,
            allowed=f"{BUDGET_MIN} to {BUDGET_MAX}; what is larger is read as a resource, or pulled",
        )
    return budget


def fit(answer: Answer, budget: int, asked: Call) -> Fitted:
    """Make an answer fit. Facts and links give way before text does, and text is cut at a line's end."""
    for ids, calls, links in ((_IDS_MAX, _CALLS_MAX, _LINKS_MAX), (5, 2, 2), (1, 1, 1), (1, 0, 0), (0, 0, 0)):
        shown = tuple(answer.links[:links])
        facts = _facts(answer, ids, calls)
        tail = _tail(answer, calls)
        # 16 are for the word that says it was cut among the facts.
        room = budget - len(dumps(facts)) - sum(map(_weight, shown)) - len(tail) - 16
        if room >= min(len(answer.text), budget // 2):
            break
    text, cut = _cut(answer.text.strip("\n"), room, answer, budget, asked)
    if cut:
        facts = {**facts, "cut": True}
    return Fitted(text=text + tail, facts=facts, links=shown)


def _facts(answer: Answer, ids: int, calls: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    shown = [id for id in answer.ids if clean(id) == id][:ids]
    if shown:
        facts["ids"] = shown
    if answer.cursor and ids:
        facts["cursor"] = answer.cursor
    suggested = [made.as_dict() for made in answer.suggested[:calls] if made.plain]
    if suggested:
        facts["suggested"] = suggested
    return {**facts, **answer.facts} if ids > 1 else facts


def _tail(answer: Answer, calls: int) -> str:
    lines = [f"more: {answer.more}"] if answer.more and calls else []
    lines += [f"next: {made}" for made in answer.suggested[:calls] if made.plain]
    return "\n\n" + "\n".join(lines) if lines else ""


def _weight(link: Link) -> int:
    return len(link.uri) + len(link.name) + 60


def _cut(text: str, room: int, answer: Answer, budget: int, asked: Call) -> tuple[str, bool]:
    if len(text) <= room:
        return text, False
    wanted = min(BUDGET_MAX, len(text) + budget - room + 200)
    whole = answer.whole or asked
    again = (
        f"read the resource, or narrow the call: budgets end at {BUDGET_MAX:,}"
        if budget >= BUDGET_MAX
        else str(Call(tool=whole.tool, arguments={**whole.arguments, "budget": wanted}))
    )
    note = f"\ncut: {len(text):,} characters do not fit; all: {again}"
    if len(note) > room:
        note = "\ncut: raise budget"
    kept = text[: max(0, room - len(note) - 12)]
    if "\n" in kept:
        kept = kept[: kept.rindex("\n")]
    return (kept + _closing(kept) + note).strip("\n")[: max(0, room)], True


def _closing(text: str) -> str:
    """What closes a fence that the cut left open."""
    for opened in _OPENED.finditer(text):
        if f"\n{opened[1]}»" not in text[opened.end() :]:
            return f"\n{opened[1]}»"
    return ""


def failed(error: PilothouseError, budget: int) -> Fitted:
    """An error in the one shape, its remedy as a tool call where a tool is the remedy."""
    shape = {name: _short(value) for name, value in error.as_dict().items()}
    made = call_of(error.fix) if error.fix else None
    if made is not None:
        shape["fix"] = made.as_dict()
    text = dumps({"error": shape})
    for name in ("allowed", "got", "fix"):
        if len(text) <= budget:
            break
        shape.pop(name, None)
        text = dumps({"error": shape})
    if len(text) > budget:
        text = dumps({"error": {"kind": error.kind, "message": clean(error.message)[: budget // 4]}})
    return Fitted(text=text, facts={}, links=())


def _short(value: Any) -> Any:
    if isinstance(value, str):
        text = clean(value)
        return text if len(text) <= _VALUE_CHARS else text[:_VALUE_CHARS] + "…"
    if isinstance(value, list | tuple):
        return [_short(one) for one in cast("Sequence[Any]", value)[:30]]
    return value
