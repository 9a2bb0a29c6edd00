"""What belongs together: failures grouped by component and kind of step in code, then by what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from .answers import Stored
from .cluster import CLUSTER_MIN, clusters, template
from .fence import one_line
from .run_record import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One failure that a reader reported."""

    item: Item
    step: str
    component: str
    text: str
    open: bool
    """True where nothing made it good."""
    first: bool
    """True where it is the item's first bad step."""
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """File, line and quote, where the reader gave them."""
    root_cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Items with the same failure."""

    name: str
    """What it says, with what varies left open."""
    component: str
    """Who is most often at fault."""
    templates: tuple[str, ...]
    """What its failures say, the most frequent first."""
    events: tuple[Event, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of its items, each once, in order."""
        return tuple(dict.fromkeys(event.item.id for event in self.events))

    @property
    def traces(self) -> frozenset[str]:
        """Ids of its items' traces."""
        return frozenset(trace_id for event in self.events for trace_id in event.item.traces)

    @property
    def components(self) -> dict[str, int]:
        """Every component at fault, by how often."""
        return dict(Counter(event.component for event in self.events).most_common())


def events_of(answers: Sequence[Stored]) -> list[Event]:
    """Every failure of every item: those a reader listed, else the problem as a whole."""
    found: list[Event] = []
    for answer in answers:
        said = answer.answer
        listed = cast("list[dict[str, Any]]", said.get("failures") or [])
        evidence = {str(one.get("step", "")): one for one in reversed(cast("list[dict[str, Any]]", said.get("evidence") or []))}  # fmt: skip
        first = str(said.get("first_bad_step") or "")
        for failure in listed:
            step = str(failure["step"])
            found.append(
                Event(
                    item=answer.job.item,
                    step=step,
                    component=str(failure["component"]),
                    text=str(failure["text"]),
                    open=not failure.get("recovered", False),
                    first=step == first,
                    evidence=evidence.get(step, {}),
                    root_cause=str(said.get("root_cause") or "") if step == first else "",
                )
            )
        named = any(str(failure["step"]) == first for failure in listed)
        if said.get("verdict") == "problem" and not named:
            piece = evidence.get(first) or next(iter(evidence.values()), dict[str, Any]())
            found.append(
                Event(
                    item=answer.job.item,
                    step=first,
                    component=str(said.get("component") or "unknown"),
                    text=str(said.get("symptom") or piece.get("quote") or "unknown"),
                    open=True,
                    first=True,
                    evidence=piece,
                    root_cause=str(said.get("root_cause") or ""),
                )
            )
    return found


def groups_of(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Component and kind of failure in plain code, before any text is compared: what the first bad steps were."""
    first = [event for event in events if event.first]
    counts = Counter((event.component, template(event.text)[:80]) for event in first)
    return [
        {"component": component, "says": says, "items": count}
        for (component, says), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:50]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """All failures, in cohorts or alone."""

    cohorts: tuple[Cohort, ...]
    small: tuple[Cohort, ...]
    """Of fewer than three items: listed, no claim is made of them."""


def cohorts(events: Sequence[Event]) -> Grouped:
    """Cohorts in order of size: at least three items with the same failure."""
    labels = clusters([event.text for event in events])
    together: dict[str, list[Event]] = {}
    for event, label in zip(events, labels, strict=True):
        # What no group takes stays with its like.
        key = f"group {label:06d}" if label >= 0 else f"alone {template(event.text)}"
        together.setdefault(key, []).append(event)
    made = [_cohort(some) for some in together.values()]
    made.sort(key=lambda one: (-len(one.items), one.name))
    return Grouped(
        cohorts=tuple(one for one in made if len(one.items) >= CLUSTER_MIN),
        small=tuple(one for one in made if len(one.items) < CLUSTER_MIN),
    )


def _cohort(events: Sequence[Event]) -> Cohort:
    shapes = Counter(template(event.text) for event in events)
    ordered = [shape for shape, _ in sorted(shapes.items(), key=lambda pair: (-pair[1], pair[0]))]
    components = Counter(event.component for event in events)
    component = sorted(components.items(), key=lambda pair: (-pair[1], pair[0]))[0][0]
    return Cohort(
        name=one_line(f"{component}: {ordered[0]}", 160),
        component=component,
        templates=tuple(ordered[:5]),
        events=tuple(events),
    )
