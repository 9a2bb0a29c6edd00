"""What a write asks for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pilothouse.records import Annotation, AnnotationKind, Target

Outcome = Literal["added", "changed", "unchanged", "removed", "restored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One note, score or label to write or to remove."""

    kind: AnnotationKind
    target: Target
    name: str = ""
    """What is judged, or the label; empty for a note."""
    value: float | None = None
    label: str = ""
    text: str = ""
    identifier: str = ""
    """The same identifier, target and name is the same annotation, whoever writes it in whatever run."""
    remove: bool = False
    annotation_id: str = ""
    """To remove one by its id; target and name are then its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """What became of one change."""

    outcome: Outcome
    annotation: Annotation | None
    """As it is now; None where it is removed."""
    before: Annotation | None
    """As it was; None where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a write."""

    run: str
    dry_run: bool
    items: tuple[Wrote, ...]
    shown: bool = True
    """False where the trace store did not answer: what was written is safe, and shown as soon as it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An annotation that an undo left alone, because another run wrote to it since."""

    annotation: Annotation | None
    """As it is now; None where that run removed it."""
    annotation_id: str
    run: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What an undo took back."""

    run: str
    dry_run: bool
    undo_id: str
    items: tuple[Wrote, ...]
    """At most 200 of them; the counts are of all."""
    removed: int
    restored: int
    kept: tuple[Kept, ...]
    """At most 200 of them."""
    kept_count: int
    already_undone: int
    """Writes of the run that were taken back before."""
    shown: bool = True
    """False where the trace store did not answer: it is undone, and shown so as soon as it does."""
