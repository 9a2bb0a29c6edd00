"""What people, agents and evaluators add to a record afterwards: notes, scores and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AnnotationKind = Literal["note", "score", "label"]
ANNOTATION_KINDS: tuple[AnnotationKind, ...] = ("note", "score", "label")

ActorKind = Literal["person", "agent", "evaluator"]
ACTOR_KINDS: tuple[ActorKind, ...] = ("person", "agent", "evaluator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who writes."""

    id: str
    """The key's id; ``page`` for a signed-in browser; ``local:NAME`` for a command on the server's own machine."""
    name: str
    """For people to read: the key's name, or what the command line says of itself."""
    kind: ActorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an annotation is on: a span, a whole trace, or a session."""

    trace_id: str = ""
    """Empty for a session."""
    span_id: str = ""
    """Empty for the whole trace."""
    session_id: str = ""
    """Set for a session alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A note, a score or a label, and who left it in which run."""

    annotation_id: str
    """Empty for a score that arrived with the telemetry."""
    kind: AnnotationKind
    target: Target
    name: str = ""
    """What was judged, or the label itself; empty for a note."""
    value: float | None = None
    """A score's number; None where it is a word."""
    label: str = ""
    """A score's word."""
    text: str = ""
    """The note, or why a score is what it is."""
    actor: str = ""
    actor_kind: str = ""
    actor_id: str = ""
    run: str = ""
    """The run that wrote it: ``pilothouse undo --run`` takes it back."""
    time_ns: int = 0
