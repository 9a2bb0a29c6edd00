"""Which model calls go on from which, and what changed between one window and the next. Rules over plain facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pilothouse.store.message_reads import CallRow

from .context_parts import Item

_CANDIDATES = 50
"""Conversations of one agent that are looked at for a call: the latest ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One model call with its window."""

    row: CallRow
    step: int
    agent: str
    agent_span: str
    """The agent's span around it; empty where there is none."""
    items: tuple[Item, ...]
    outputs: tuple[Item, ...]
    tools: float
    """Estimated tokens of the definitions of tools."""
    tokens: int
    """Input tokens as reported; 0 where they are not."""

    @property
    def end_ns(self) -> int:
        """When it was answered."""
        return self.row.start_ns + self.row.duration_ns


@dataclass(slots=True)
class _Thread:
    places: list[int]
    last: Call
    said: set[str] = field(default_factory=set[str])
    """Keys of the last window and its answer, system prompts aside."""
    ids: set[str] = field(default_factory=set[str])
    answer_prints: set[str] = field(default_factory=set[str])
    answer_ids: set[str] = field(default_factory=set[str])

    def add(self, place: int, call: Call) -> None:
        self.places.append(place)
        self.last = call
        self.said = {item.key for item in call.items if not item.instructs}
        self.ids = {id for item in call.items for id in item.ids}
        self.answer_prints = {item.print for item in call.outputs if item.print}
        self.answer_ids = {id for item in call.outputs for id in item.ids}


def threads_of(calls: Sequence[Call]) -> list[list[int]]:
    """The places of the calls (in order of time), one list for each conversation.

    A call goes on from another of the same agent that was answered before it began, where it is sent what that one
    was sent or answered. Two agents of one name that were given the same question stay apart: below another span of the
    agent, a call must know the answer of the one before.
    """
    threads: list[_Thread] = []
    by_agent: dict[str, list[_Thread]] = {}
    by_answer: dict[str, _Thread] = {}
    for place, call in enumerate(calls):
        known = by_agent.setdefault(call.agent, [])
        found = by_answer.get(call.row.previous_response_id) if call.row.previous_response_id else None
        if found is None:
            found = _continued(known, call)
        if found is None:
            found = _Thread([], call)
            threads.append(found)
            known.append(found)
        found.add(place, call)
        if call.row.response_id:
            by_answer[call.row.response_id] = found
    return [thread.places for thread in threads]


def _continued(known: Sequence[_Thread], call: Call) -> _Thread | None:
    said = {item.key for item in call.items if not item.instructs}
    prints = {item.print for item in call.items if item.print}
    ids = {id for item in call.items for id in item.ids}
    best: tuple[tuple[bool, bool, int], _Thread] | None = None
    for thread in reversed(known[-_CANDIDATES:]):
        last = thread.last
        if call.row.start_ns < last.end_ns:
            continue  # both at once: two agents
        same_span = call.agent_span == last.agent_span
        answered = bool(thread.answer_prints & prints or thread.answer_ids & ids)
        overlap = len(thread.said & said) + len(thread.ids & ids)
        if not call.items or not last.items:
            fits = same_span
        elif same_span:
            fits = answered or overlap > 0 or _begins_anew(last, call)
        else:
            fits = answered
        rank = (answered, same_span, overlap)
        if fits and (best is None or rank > best[0]):
            best = (rank, thread)
    return best[1] if best else None


def _begins_anew(last: Call, call: Call) -> bool:
    """True where a call shares nothing with the last one but its instructions, and yet is in the middle of something."""
    same_system = {item.key for item in last.items if item.instructs} == {i.key for i in call.items if i.instructs}
    middle = any(not item.instructs and (item.role != "user" or item.sums_up) for item in call.items)
    return same_system and (middle or call.row.compacted or bool(call.row.previous_response_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A message that stayed in another form: a tool's output cleared, a system prompt brought up to date."""

    before: int
    """Its place in the window before."""
    after: int
    """Its place in this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one window has that the one before had not, and the other way round. Places in the two windows."""

    new: tuple[int, ...]
    """What was rewritten included."""
    dropped: tuple[int, ...]
    """What was rewritten left out."""
    rewritten: tuple[Rewritten, ...]
    summary: int | None
    """The place of the message that stands for what fell out."""


def change(before: Sequence[Item], after: Sequence[Item], answers: Sequence[Item]) -> Change:
    """Compare two windows of one conversation; ``answers`` is what the model said in between."""
    left = Counter(item.key for item in before)
    new: list[int] = []
    kept: set[str] = set()
    first_kept: int | None = None
    for place, item in enumerate(after):
        if left[item.key] > 0:
            left[item.key] -= 1
            kept.add(item.key)
            if first_kept is None and not item.instructs:
                first_kept = place
        else:
            new.append(place)
    # Of equal messages the earliest fell out.
    dropped: list[int] = []
    for place, item in enumerate(before):
        if left[item.key] > 0:
            left[item.key] -= 1
            dropped.append(place)
    rewritten = _rewritten(before, after, dropped, new)
    gone = {pair.before for pair in rewritten}
    dropped = [place for place in dropped if place not in gone]
    summary = _summary(after, new, rewritten, answers, first_kept, dropped, before)
    return Change(new=tuple(new), dropped=tuple(dropped), rewritten=tuple(rewritten), summary=summary)


def _rewritten(before: Sequence[Item], after: Sequence[Item], dropped: list[int], new: list[int]) -> list[Rewritten]:
    by_id: dict[tuple[str, str], int] = {}
    systems: list[int] = []
    for place in new:
        item = after[place]
        for id in item.ids:
            by_id.setdefault((item.role, id), place)
        if item.instructs:
            systems.append(place)
    pairs: list[Rewritten] = []
    taken: set[int] = set()
    for place in dropped:
        item = before[place]
        found = next((by_id[item.role, id] for id in sorted(item.ids) if (item.role, id) in by_id), None)
        if found is None and item.instructs and systems:
            found = systems.pop(0)
        if found is not None and found not in taken:
            taken.add(found)
            pairs.append(Rewritten(before=place, after=found))
    return pairs


def _summary(
    after: Sequence[Item],
    new: Sequence[int],
    rewritten: Sequence[Rewritten],
    answers: Sequence[Item],
    first_kept: int | None,
    dropped: Sequence[int],
    before: Sequence[Item],
) -> int | None:
    """Where messages fell out: a new one that says it is a summary, or stands where they stood."""
    if not dropped:
        return None
    said = {item.print for item in answers if item.print}
    answered = {id for item in answers for id in item.ids}
    again = {pair.after: pair.before for pair in rewritten}
    words: list[int] = []
    border = first_kept
    for place in new:
        item = after[place]
        if place in again and (not item.instructs or before[again[place]].sums_up):
            continue
        if (item.print and item.print in said) or item.ids & answered:
            border = place if border is None else border  # nothing older was kept than the answer just given
            continue
        if not item.print or item.role in ("tool", "function"):
            continue
        words.append(place)
    for place in words:
        if after[place].sums_up:
            return place
    if len(dropped) < 2 or border is None:
        return None
    earlier = [place for place in words if place < border and not after[place].instructs]
    return earlier[0] if earlier else None
