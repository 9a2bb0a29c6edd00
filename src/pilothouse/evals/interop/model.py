"""What is carried from one tool to another, and what is not: every loss is a sentence with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilothouse.evals.case import DIFFICULTIES, KINDS, SEVERITIES
from pilothouse.evals.plain import is_texts, list_of, mapping_of

ITEM_BYTES_MAX: Final = 64 << 20
"""Of one case in a file that is read piece by piece."""
OURS: Final = "pilothouse"
"""Under this name of an item's metadata stands what the other tool has no word for."""
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What another tool found out about a case."""

    repeat: int = 1
    text: str = ""
    error: str = ""
    said: tuple[Mapping[str, Any], ...] = ()
    """``name``, ``outcome``, ``why``, ``score`` of each of its scores."""
    tools: tuple[str, ...] = ()
    tokens: int | None = None
    cost_usd: float | None = None
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One item of another tool's file, as a case."""

    where: str
    """Its place in the file."""
    name: str
    """What its id is made of."""
    data: Mapping[str, Any]
    """The case without its id, as it is written."""
    lost: tuple[str, ...] = ()
    """What could not be carried over, a sentence each."""
    scored: tuple[Scored, ...] = ()
    key: str = ""
    """Items of one key are attempts at one case, which the first of them is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """An item that is no case, and why."""

    where: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a whole file says of itself."""

    target: str = ""
    version: str = ""
    started: str = ""


Item = Carried | Unread | Source


@dataclass(slots=True, kw_only=True)
class Parts:
    """A case while it is put together from another tool's item."""

    input: Any = None
    checks: list[Any] = field(default_factory=list[Any])
    criteria: list[Any] = field(default_factory=list[Any])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    rest: dict[str, Any] = field(default_factory=dict[str, Any])
    """Stubs, settings and what else another tool keeps for us."""
    lost: list[str] = field(default_factory=list[str])

    def data(self, came_from: str) -> dict[str, Any]:
        """The case as it is written, without its id."""
        found: dict[str, Any] = {"input": self.input}
        if "stubs" in self.rest:
            found["stubs"] = self.rest["stubs"]
        checks = [*self.checks, *(list_of(self.rest.get("checks")) or [])]
        criteria = [*self.criteria, *(list_of(self.rest.get("criteria")) or [])]
        if checks:
            found["checks"] = checks
        if criteria:
            found["criteria"] = criteria
        metadata = dict(self.metadata)
        if came_from:
            metadata["provenance"] = {**(mapping_of(metadata.get("provenance")) or {}), "imported_from": came_from}
        if metadata:
            found["metadata"] = metadata
        found.update({name: self.rest[name] for name in ("settings", "repeats", "quarantined") if name in self.rest})
        return found

    def note_metadata(self, told: Any) -> None:
        """Take over what a case has a place for; the rest stands in its provenance."""
        row = dict(mapping_of(told) or {})
        kept = mapping_of(row.pop(OURS, None))
        if kept is not None:
            self.rest = dict(kept)
            self.metadata.update(mapping_of(self.rest.pop("metadata", None)) or {})
        closed = {"difficulty": DIFFICULTIES, "severity": SEVERITIES, "kind": KINDS}
        for name in ("scenario", "capability", "why", "cluster", "customer", "week", "release", *closed):
            value = row.get(name)
            if isinstance(value, str) and value and value in closed.get(name, (value,)):
                self.metadata[name] = value
                del row[name]
        tags = row.get("tags")
        if tags and is_texts(tags):
            self.metadata["tags"] = row.pop("tags")
        if row:
            provenance = dict(mapping_of(self.metadata.get("provenance")) or {})
            self.metadata["provenance"] = {**provenance, "metadata": row}


def input_of(value: Any) -> Any:
    """What another tool gives its subject, as the input of a case."""
    if isinstance(value, str):
        return value
    row = mapping_of(value)
    if row is not None and len(row) == 1 and _is_input(row):
        return dict(row)
    return {"messages": value} if is_messages(value) else {"data": value}


def _is_input(row: Mapping[str, Any]) -> bool:
    return is_messages(row.get("messages")) or bool(row.get("turns") and is_texts(row["turns"])) or "data" in row


def input_to(given: Any) -> Any:
    """The inverse of :func:`input_of`: texts and messages as such, data as it is."""
    row = mapping_of(given)
    if row is None or "turns" in row:
        return given
    if "messages" in row:
        return row["messages"]
    plain = input_of(row["data"])
    return row["data"] if plain == {"data": row["data"]} else dict(row)


def is_messages(value: Any) -> bool:
    """Whether it is a conversation."""
    listed = list_of(value)
    return bool(listed) and all((mapping_of(one) or {}).get("role") in _ROLES for one in listed or [])


def exactly(value: Any) -> dict[str, Any]:
    """The check that an answer is this and nothing else."""
    if isinstance(value, str):
        return {"text": value, "mode": "exact"}
    return {"output": value, "mode": "exact"}


def slug(name: str) -> str:
    """An id like a name; empty where no letter of it can stand in one."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold())[:80].strip("-")


def left_over(data: Mapping[str, Any], checks: Iterable[Any], criteria: Iterable[Any]) -> dict[str, Any]:
    """What another tool has no word for, as it is kept under its metadata."""
    rest = {name: data[name] for name in ("stubs", "settings", "repeats", "quarantined") if name in data}
    for name, listed in (("checks", list(checks)), ("criteria", list(criteria))):
        if listed:
            rest[name] = listed
    return rest


def told_of(rest: Mapping[str, Any], tool: str) -> list[str]:
    """Sentences on what the other tool will not do."""
    said: list[str] = []
    for name, what in (("checks", "check"), ("criteria", "criterion")):
        for one in rest.get(name, ()):
            said.append(f"{tool} has no such {what}: {_short(one)}")
    if "stubs" in rest:
        said.append(f"{tool} plays no tool's answers back: stubs")
    said += [f"{tool} has no {name}" for name in ("settings", "repeats", "quarantined") if name in rest]
    return said


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
