"""What a message is, how many tokens it takes, and how a reported total is shared out. Rules over plain facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pilothouse.store.message_reads import MessageFacts, PartFacts

from .model.context import PartKind
from .text import line

HEAD = 160
_MESSAGE_TOKENS = 4
"""What a chat format adds to each message (role and separators), by the providers' own counting guides."""
_PROSE, _DENSE, _BYTES = 0.25, 0.30, 0.35
"""Tokens a character: prose, JSON and code, and what each further byte of a character outside of ASCII adds."""
_IMAGE_TOKENS: Mapping[str, int] = {"anthropic": 1_334, "google": 258}
"""An image of a million pixels, by the providers' guides; others count about 765."""
_IMAGE = 765
_SCALE_MIN, _SCALE_MAX = 0.4, 2.5
_STRETCH_MAX = 1.6
"""Beyond this many times the estimate, a reported total holds something that was not recorded."""
_UNSEEN_MIN = 150

_INSTRUCTIONS = ("system", "developer")
_PLAN_WORDS = frozenset({"todo", "todos"})
_PLAN_NOUNS = frozenset({"plan", "planner", "planning"})
_PLAN_VERBS = frozenset(
    {"update", "set", "write", "create", "make", "revise", "read", "get", "submit", "enter", "exit", "mode", "tool"}
    | {"execution", "list", "task", "tasks", "the", "my"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PLAN_HEAD = re.compile(
    r"\s*(?:#+\s*|\*\*|<)?(?:my |the |current |updated |execution )?(?:plan|to-?do(?: list|s)?)\b\W", re.I
)
_BOXES = re.compile(r"^\s*(?:[-*]|\d+[.)])\s*\[[ xX~>-]\]", re.M)
_SUMMARY_HEAD = re.compile(
    r"summary of|summari[sz]ed|conversation (?:so far|summary|history)|previous conversation|earlier conversation|"
    r"<(?:conversation_)?summary>|\bsummary:|being continued from|compacted|context was (?:reset|truncated)",
    re.I,
)
_REMINDER_HEAD = re.compile(r"\s*<(?:system[-_]reminder|environment|context|user_info|ide_)", re.I)


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a message, weighed."""

    kind: str
    """A part kind, or ``user`` and ``assistant`` where the place in the conversation decides."""
    chars: int
    estimate: float
    print: str
    head: str
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a window, weighed. Equal keys are the same message, cache marks and the like aside."""

    key: str
    hash: str
    role: str
    chars: int
    estimate: float
    pieces: tuple[Piece, ...]
    head: str
    print: str
    """Fingerprint of the words alone."""
    ids: frozenset[str]
    """Tool calls it makes or answers."""

    @property
    def instructs(self) -> bool:
        """True for system prompts."""
        return self.role in _INSTRUCTIONS

    @property
    def asks(self) -> bool:
        """True where a user speaks in it: not a tool's answer, a plan, a reminder or a summary put in their mouth."""
        return (
            self.role == "user"
            and any(piece.kind == "user" for piece in self.pieces)
            and not any(piece.kind in ("tool_output", "plan") for piece in self.pieces)
            and not _REMINDER_HEAD.match(self.head)
            and not self.sums_up
        )

    @property
    def sums_up(self) -> bool:
        """True where it says of itself that it is a summary of what was said."""
        return any(p.kind in ("user", "assistant", "system") and _SUMMARY_HEAD.search(p.head) for p in self.pieces)


def plans(tool: str) -> bool:
    """True for the name of a tool that writes or reads a plan: ``TodoWrite``, ``update_plan``, not ``data_plan``."""
    words = {word.lower() for word in _WORD.findall(tool)}
    return bool(words & _PLAN_WORDS) or bool(words & _PLAN_NOUNS and words <= _PLAN_NOUNS | _PLAN_VERBS)


def weigh(facts: MessageFacts, plan_calls: frozenset[str], provider: str) -> Item:
    """A message with its pieces; ``plan_calls`` are the ids of calls to tools for plans."""
    if facts.kind != "message":
        # A value that is no conversation, such as a whole prompt as one text.
        facts = facts._replace(role="user")
    wide = max(0, facts.bytes - facts.chars) / max(1, facts.chars)
    pieces = tuple(_piece(part, facts.role, plan_calls, provider, wide) for part in facts.parts)
    identity = "|".join(
        f"{p.type}:{p.id}:{p.name}:{p.print if p.chars else ''}:{p.arguments_print if p.arguments_chars or p.mime else ''}"
        for p in facts.parts
    )
    return Item(
        key=f"{facts.role}\0{identity}",
        hash=facts.hash,
        role=facts.role,
        chars=sum(piece.chars for piece in pieces),
        estimate=_MESSAGE_TOKENS + sum(piece.estimate for piece in pieces),
        pieces=pieces,
        head=line("  ".join(piece.head for piece in pieces if piece.head), HEAD),
        print=facts.print if facts.chars else "",
        ids=frozenset(part.id for part in facts.parts if part.id),
    )


def missing(hash: str) -> Item:
    """A message that is not stored any more."""
    return Item(hash, hash, "", 0, _MESSAGE_TOKENS, (Piece("other", 0, 0, "", "", ""),), "not stored", "", frozenset())


def _piece(part: PartFacts, role: str, plan_calls: frozenset[str], provider: str, wide: float) -> Piece:
    if part.type == "media":
        tokens = _IMAGE_TOKENS.get(provider, _IMAGE) if part.mime.startswith("image") or not part.mime else _IMAGE
        return Piece("media", 0, tokens, part.arguments_print, f"[{part.mime or 'media'}]", "")
    if part.type == "tool_call":
        kind = "plan" if plans(part.name) else "assistant"
        head = f"{part.name}({part.arguments_head})"
        chars = part.arguments_chars + len(part.name)
        return Piece(kind, chars, chars * _DENSE, part.arguments_print, head, part.name)
    if part.type == "tool_result" or role in ("tool", "function"):
        planned = part.id in plan_calls or plans(part.name)
        dense = part.head.lstrip()[:1] in ("{", "[", "<")
        estimate = part.chars * ((_DENSE if dense else _PROSE) + wide * _BYTES)
        kind = "plan" if planned else "tool_output"
        return Piece(kind, part.chars, estimate, part.print, part.head, part.name)
    estimate = part.chars * (_PROSE + wide * _BYTES)
    return Piece(_said_by(part, role), part.chars, estimate, part.print, part.head, "")


def _said_by(part: PartFacts, role: str) -> str:
    if part.type == "other":
        return "other"
    if role in _INSTRUCTIONS:
        return "system"
    if _PLAN_HEAD.match(part.head) or len(_BOXES.findall(part.head)) >= 2:
        return "plan"
    return {"user": "user", "assistant": "assistant", "model": "assistant"}.get(role, "other")


def definitions(facts: MessageFacts | None) -> float:
    """Tokens that the definitions of tools take, estimated."""
    return facts.chars * _DENSE if facts is not None else 0.0


def calibrated(growths: Sequence[tuple[float, int]]) -> float:
    """How many tokens one estimated token is: the median over calls that only added to the call before.

    What both calls have in common, seen or not, cancels out there. 1 where fewer than two such calls are known.
    """
    ratios = [tokens / estimate for estimate, tokens in growths if estimate >= 50 and tokens > 0]
    return min(max(median(ratios), _SCALE_MIN), _SCALE_MAX) if len(ratios) >= 2 else 0.0


@dataclass(frozen=True, slots=True)
class Shared:
    """A total shared out."""

    tokens: tuple[int, ...]
    """One for each estimate."""
    unseen: int
    """What is left for content that was not recorded."""


def share_out(total: int, estimates: Sequence[float], *, scale: float, complete: bool) -> Shared:
    """Share a reported total out by estimates, so that all add up to it exactly.

    ``scale`` is the calibrated number of tokens one estimated token is, 0 where there is none. ``complete`` is False
    where it is known that something was not recorded: then the estimates are not stretched to the total.
    """
    weight = sum(estimates)
    if weight <= 0:
        return Shared((0,) * len(estimates), total)
    expected = weight * (scale or 1.0)
    most = expected if not complete else expected * (1.15 if scale else _STRETCH_MAX)
    seen = total
    if total - most > _UNSEEN_MIN or (not complete and total > most):
        seen = round(expected)
    exact = [seen * estimate / weight for estimate in estimates]
    floors = [int(value) for value in exact]
    rest = seen - sum(floors)
    for place in sorted(range(len(exact)), key=lambda place: floors[place] - exact[place])[:rest]:
        floors[place] += 1
    return Shared(tuple(floors), total - seen)


def kind_of(piece: Piece, *, question: bool, earlier: bool) -> PartKind:
    """What a piece is in its window: ``earlier`` than the newest question it is history."""
    if piece.kind == "user":
        return "question" if question else "history"
    if piece.kind == "assistant":
        return "history" if earlier else "assistant"
    return piece.kind  # type: ignore[return-value]  # all other kinds of piece are kinds of part
