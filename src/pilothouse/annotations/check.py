"""What may be written: bounds and forms, refused with the value and the remedy."""

from __future__ import annotations

import math
import re

from pilothouse.records import ANNOTATION_KINDS, BadRequest, new_id

from .model import Change

TEXT_MAX = 10_000
NAME_MAX = 100
CHANGES_MAX = 500
_NAME = re.compile(r"[^\s:<>=!\",*\x00-\x1f\x7f]+")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]*")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def check_change(change: Change) -> None:
    """Refuse a change that cannot be written.

    Raises:
        BadRequest: a name, a value or a text is missing or does not fit.
    """
    if change.kind not in ANNOTATION_KINDS:
        raise BadRequest("there is no such kind", got=change.kind, allowed=list(ANNOTATION_KINDS))
    if change.annotation_id:
        return
    if change.kind != "note":
        check_name(change.name, change.kind)
    check_text(change.identifier, "an identifier", 200)
    if change.remove:
        return
    check_text(change.text, "a note" if change.kind == "note" else "an explanation", TEXT_MAX)
    if change.kind == "note" and not change.text.strip():
        raise BadRequest("a note has no words", got=change.text[:20], fix="pilothouse note ID 'what you found'")
    if change.kind == "score":
        _check_score(change)


def _check_score(change: Change) -> None:
    if change.label:
        check_text(change.label, "a score's label", NAME_MAX)
    if change.value is None and not change.label:
        raise BadRequest("a score needs a number or a word", got="", fix="pilothouse score ID helpful 0.8")
    if change.value is not None and not (math.isfinite(change.value) and abs(change.value) <= 1e15):
        raise BadRequest("a score is a finite number", got=change.value, allowed="-1e15 to 1e15")


def check_name(name: str, kind: str) -> None:
    """Refuse a name that a filter could not ask for."""
    if len(name) <= NAME_MAX and _NAME.fullmatch(name):
        return
    better = re.sub(r"[\s:<>=!\",*\x00-\x1f\x7f]+", "-", name[:NAME_MAX]).strip("-")
    word = better or "helpful"
    example = f"pilothouse score ID {word} 0.8" if kind == "score" else f"pilothouse label ID {word}"
    raise BadRequest(
        f"a {kind}'s name is one word of at most {NAME_MAX} characters, so that it can be filtered by",
        got=name[:NAME_MAX],
        allowed='no spaces and none of : < > = ! , * "',
        fix=example,
    )


def check_text(text: str, what: str, chars_max: int) -> None:
    """Refuse a text that is too long or holds control characters."""
    if len(text) > chars_max:
        raise BadRequest(f"{what} is longer than {chars_max:,} characters", got=f"{len(text):,} characters")
    found = _UNWRITABLE.search(text)
    if found:
        raise BadRequest(f"{what} holds a control character", got=repr(found[0]))


def check_run(run: str) -> str:
    """A run's name as given, or a new one where none is.

    Raises:
        BadRequest: it is too long, or holds something that a shell would not take as one word.
    """
    if not run:
        return new_id("run")
    if len(run) > 200 or not _RUN.fullmatch(run):
        raise BadRequest(
            "a run's name is one word of letters, digits and . _ : @ / + -",
            got=run[:200],
            fix="--run triage-2026-11-28",
        )
    return run
