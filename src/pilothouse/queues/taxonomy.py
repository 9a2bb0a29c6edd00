"""Choices over time: what labels are called now, and how often each choice was made.

A label keeps the word it was given with. A rename or a merge is a line of history; what a label is called now follows from
the lines that were written after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pilothouse.records import utc
from pilothouse.store.queue_log import ChangeRow

from .model import Category, CategoryChange, Example, Queue, QueueLabel, Taxonomy

EXAMPLES: Final = 3
DAYS: Final = 60


def called_now(said: str, given_ns: int, changes: Sequence[ChangeRow]) -> str:
    """What a choice that was made at a moment is called now."""
    name = said
    for change in changes:
        if change.at_ns > given_ns and change.before == name and change.verb != "add":
            name = change.after
    return name


def taxonomy_of(
    queue: Queue, labels: Sequence[QueueLabel], changes: Sequence[ChangeRow], *, held_back: int
) -> Taxonomy:
    """What labels add up to: the commonest choice first, those never made at the end."""
    labelled = {one.number for one in labels}
    by_name: dict[str, list[QueueLabel]] = {name: [] for name in queue.choices}
    for one in labels:
        by_name.setdefault(one.choice, []).append(one)
    found = [_category(name, given, len(labelled)) for name, given in by_name.items()]
    found.sort(key=lambda one: -one.labels)
    return Taxonomy(
        queue=queue.name,
        labelled_items=len(labelled),
        categories=tuple(found),
        changes=tuple(
            CategoryChange(verb=one.verb, before=one.before, after=one.after, who=one.who, time_ns=one.at_ns)
            for one in changes
        ),
        held_back=held_back,
    )


def _category(name: str, labels: Sequence[QueueLabel], labelled: int) -> Category:
    ordered = sorted(labels, key=lambda one: one.time_ns)
    days = Counter(utc(one.time_ns).strftime("%Y-%m-%d") for one in ordered)
    items = len({one.number for one in ordered})
    return Category(
        name=name,
        labels=len(ordered),
        items=items,
        share=round(items / labelled, 4) if labelled else 0.0,
        by_day=dict(sorted(days.items())[-DAYS:]),
        first_ns=ordered[0].time_ns if ordered else None,
        last_ns=ordered[-1].time_ns if ordered else None,
        words=tuple(dict.fromkeys([name, *(one.said for one in ordered)])),
        examples=_examples(ordered),
    )


def _examples(ordered: Sequence[QueueLabel]) -> tuple[Example, ...]:
    """Labels with a note first, then the newest, each item once."""
    best = sorted(ordered, key=lambda one: (not one.note, -one.time_ns))
    first: dict[int, QueueLabel] = {}
    for one in best:
        first.setdefault(one.number, one)
    return tuple(
        Example(
            number=one.number,
            trace_id=one.trace_id,
            span_id=one.span_id,
            session_id=one.session_id,
            note=one.note,
            who=one.who,
            time_ns=one.time_ns,
        )
        for one in list(first.values())[:EXAMPLES]
    )
