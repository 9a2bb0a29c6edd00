"""A case: what an agent is given, which tool answers are played back, what must be true of what it does, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from pilothouse.records import BadRequest, canonical_json

from .checks import Check
from .plain import list_of, mapping_of

Replay = Literal["strict", "in_order", "nearest"]
REPLAYS: Final[tuple[Replay, ...]] = get_args(Replay)
Unconsumed = Literal["fail", "allow"]
DIFFICULTIES: Final = ("easy", "medium", "hard")
SEVERITIES: Final = ("low", "medium", "high", "critical")
KINDS: Final = ("usual", "edge", "adversarial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What the agent is given. One of ``messages``, ``turns`` and ``data`` is set."""

    messages: Sequence[Mapping[str, Any]] = ()
    """The conversation up to the decision, the last one being what the agent answers to."""
    turns: tuple[str, ...] = ()
    """What a user says, one after the other: a whole session."""
    data: Any = None
    """What a callable takes that is no conversation."""

    @property
    def text(self) -> str:
        """What the user said last; the data as JSON where there is no conversation."""
        if self.turns:
            return self.turns[-1]
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message)
        return "" if self.messages else canonical_json(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One recorded call of a tool, with its answer."""

    name: str
    arguments: Any = None
    """None: whatever the arguments are."""
    result: Any = None
    error: str = ""
    """The tool failed so; ``result`` does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stubs:
    """Where tools get their answers from while the case runs."""

    calls: tuple[Call, ...] = ()
    mode: Replay = "nearest"
    """``strict``: calls come in the recorded order, with the same arguments. ``in_order``: those of each tool do, whatever
    their arguments. ``nearest``: the recorded call of that tool with the most similar arguments that is not used yet."""
    unconsumed: Unconsumed = "allow"
    """What it means that a recorded call is not made: with ``strict`` it always fails."""
    live: tuple[str, ...] = ()
    """Tools that run as they are. One that writes must be named in ``safe`` too."""
    safe: tuple[str, ...] = ()
    """Tools that may run although they write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """What a judge is asked about the answer, in words."""

    text: str
    judge: str = ""
    """The judge of the suite that decides; empty: its first."""
    severity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a case is about, for reports and for the lint."""

    scenario: str = ""
    difficulty: str = ""
    capability: str = ""
    severity: str = ""
    kind: str = ""
    """``usual``, ``edge`` or ``adversarial``."""
    why: str = ""
    """Why this case is here, in a sentence."""
    tags: tuple[str, ...] = ()
    cluster: str = ""
    """Session or tenant: cases of one cluster are not independent."""
    customer: str = ""
    """Whose traffic it was taken from, for the table of a backtest."""
    week: str = ""
    """When that was, as ``2026-W48``."""
    release: str = ""
    """The agent's version then."""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """``trace``, ``step``, ``captured``, ``agent_version``, and what minimising took away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case of a suite."""

    id: str
    input: Input
    checks: tuple[Check, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    stubs: Stubs = field(default_factory=Stubs)
    metadata: Metadata = field(default_factory=Metadata)
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the run was made with (model, temperature, version): for the target to read."""
    repeats: int = 0
    """How often it is run; 0: as often as the suite says."""
    quarantined: str = ""
    """Why its verdict does not count for now; it runs and is reported all the same."""
    path: str = ""
    """The file it stands in, below the suite's folder."""
    sha256: str = ""
    """Over all that it says, payloads included; 64 hex digits."""


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message, whose content is text or a list of parts."""
    content = message.get("content", message.get("parts"))
    if isinstance(content, str):
        return content
    words: list[str] = []
    for part in list_of(content) or []:
        row = mapping_of(part)
        word: Any = part if row is None else row.get("text", row.get("content", ""))
        words.append(word if isinstance(word, str) else "")
    return "\n".join(word for word in words if word)


def case_sha256(data: Mapping[str, Any]) -> str:
    """The version of a case: over its data as canonical JSON, without where it stands and whether it is quarantined."""
    counted = {key: value for key, value in data.items() if key != "quarantined"}
    return hashlib.sha256(canonical_json(counted).encode("utf-8", "surrogatepass")).hexdigest()


def check_id(id: Any, place: str = "id") -> str:
    """An id of a case: what a file may be called on any system.

    Raises:
        BadRequest: it is none.
    """
    allowed = "a to z, 0 to 9, and - _ . between them; at most 120 characters"
    text = str(id)
    plain = text.replace("-", "").replace("_", "").replace(".", "")
    good = isinstance(id, str | int) and 0 < len(text) <= 120 and plain.isascii() and plain.isalnum()
    if not good or text != text.lower() or not (text[0].isalnum() and text[-1].isalnum()) or ".." in text:
        raise BadRequest(f"{place} cannot be the id of a case", got=text[:130], allowed=allowed)
    return text
