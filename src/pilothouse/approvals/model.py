"""An approval: a pending action as a durable record, with everything that was ever said and done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from pilothouse.records import Actor, iso

from .action import Action
from .rules import Edit, Fallback, OnTimeout, Risk, Rung

State = Literal[
    "pending",
    "approved",
    "reserved",
    "executed",
    "failed",
    "unknown",
    "rejected",
    "expired",
    "cancelled",
    "fallback",
]
STATES: Final[tuple[State, ...]] = get_args(State)
OPEN: Final[tuple[State, ...]] = ("pending", "approved", "reserved", "unknown")
"""What something can still become of."""

EventKind = Literal[
    "asked",
    "seen",
    "question",
    "answer",
    "delegated",
    "escalated",
    "approved",
    "edited",
    "rejected",
    "expired",
    "reserved",
    "executed",
    "failed",
    "cancelled",
    "unknown",
    "released",
    "fallback",
]
EVENT_KINDS: Final[tuple[EventKind, ...]] = get_args(EventKind)

SERVER: Final = Actor(id="server", name="Pilothouse", kind="evaluator")
"""Who does what nobody did: deadlines that pass."""
THIS_MACHINE: Final = "(this machine)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where to look before one decides."""

    trace_id: str = ""
    span_id: str = ""
    step: int | None = None
    """The number of the step in the trace that led here."""
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question to a person: may this be done?"""

    action: Action
    reason: str = ""
    """Why the agent wants it."""
    expected: str = ""
    """What it expects to come of it."""
    counted: str = ""
    """How rows and people were counted, e.g. ``dry run, rolled back``."""
    rollback: str = ""
    """How it is taken back."""
    evidence: Evidence = field(default_factory=Evidence)
    run: str = ""
    """The run that waits."""
    ask_key: str = ""
    """An id of the asker's own: the same question sent twice is one."""
    say: str = ""
    """What it will do, in the asker's words, where no rule has a sentence for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to an approval."""

    kind: EventKind
    at_ns: int
    who: str
    who_kind: str
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """``text`` for what was said; more by the kind."""

    @property
    def text(self) -> str:
        """What was said; empty where nothing was."""
        return str(self.detail.get("text", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The right to run an action once."""

    reservation_id: str
    """Whoever knows it may say how it went."""
    holder: str
    until_ns: int
    """From then on nobody knows whether it ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A pending action."""

    approval_id: str
    project_id: str
    state: State
    digest: str
    """Of the action as it stands, edits included: what is approved and what runs."""
    action: Action
    """As it stands."""
    asked_action: Action
    """As it was asked for."""
    sentence: str
    """What it will do."""
    reason: str
    expected: str
    counted: str
    rollback: str
    risk: Risk
    evidence: Evidence
    run: str
    asker: Actor
    rule: str
    """The rule that stopped it."""
    why: str
    """Where a condition of that rule could not be answered: what failed."""
    policy_version: str
    reviewers: tuple[str, ...]
    """Who may decide now; empty: whoever may decide at all."""
    needs: int
    edit: Edit
    agreed: tuple[str, ...] = ()
    """Who has agreed to this digest."""
    made_ns: int
    deadline_ns: int
    deadline_s: int
    use_within_s: int
    use_by_ns: int = 0
    """An approved action must begin by then; 0 before it is approved."""
    escalate: tuple[Rung, ...] = ()
    escalated: int = 0
    """How many steps of the ladder were taken."""
    extended: bool = False
    """Its deadline has passed once, and it was handed up."""
    on_timeout: OnTimeout = "cancel"
    fallback: Fallback | None = None
    instead: str = ""
    """The approval of what is done instead, where nobody answered."""
    parent: str = ""
    """The approval that this one is instead of."""
    feedback: str = ""
    """What the agent is told, where it was not allowed."""
    question: str = ""
    """What a reviewer wants to know, as long as it has no answer."""
    decided_by: str = ""
    decided_ns: int = 0
    reservation: Reservation | None = None
    outcome: str = ""
    """What came of it, in the words of who ran it."""
    notify: tuple[str, ...] = ()
    changed_ns: int = 0

    @property
    def edited(self) -> bool:
        """Whether a reviewer changed the arguments."""
        return self.action.arguments != self.asked_action.arguments

    @property
    def missing(self) -> int:
        """How many people must still agree."""
        return max(0, self.needs - len(self.agreed)) if self.state == "pending" else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for surfaces; moments in ISO 8601. The right to run is not among it."""
        shown = asdict(self)
        for name in ("made", "deadline", "use_by", "decided", "changed"):
            shown[name] = iso(shown.pop(f"{name}_ns"))
        del shown["reservation"]
        return {**shown, "edited": self.edited, "missing": self.missing}


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Leave to run exactly this, once."""

    approval_id: str
    reservation_id: str
    tool: str
    arguments: Mapping[str, Any]
    digest: str
    until_ns: int


def person(actor: Actor) -> str:
    """Who counts as one person: whoever has this name, however they came in.

    Commands on the server's own machine give any name they like; all of them together are one.
    """
    return THIS_MACHINE if actor.id.startswith("local:") else actor.name.strip().casefold()
