"""What a backtest asks of history: as it stands in the head of its run, so that it can be gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pilothouse.records import BadRequest

from .cases import SAME, Making, Same
from .report import Mode
from .selection import UNITS, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which sessions are taken, and what is done with them."""

    filter: str = ""
    since: str = ""
    until: str = ""
    """As the server read them, ISO 8601."""
    unit: Unit = "session"
    customer: str = "user"
    """The field that says whose a trace is."""
    sample: int = 0
    seed: int = 0
    by_customer: bool = False
    same: Same = "arguments"
    criterion: str = ""
    whole: bool = False
    mask: bool = True
    target: str = ""
    """The candidate; empty where recorded sessions are judged."""
    judges: tuple[str, ...] = ()
    """As they were named: the one now last."""
    least: float = 0.0
    base: str = ""
    """The run of production, or of the first judge."""

    @property
    def mode(self) -> Mode:
        """What is held against what."""
        if self.target:
            return "judged" if self.judges else "reference"
        return "judges" if len(self.judges) == 2 else "rate"

    @property
    def making(self) -> Making:
        """How its cases are made."""
        return Making(unit=self.unit, same=self.same, criterion=self.criterion, whole=self.whole)

    def as_data(self) -> dict[str, Any]:
        """Plain data, for the head of a run."""
        return {**asdict(self), "judges": list(self.judges)}


def read_question(data: Mapping[str, Any]) -> Question:
    """The inverse of ``Question.as_data``.

    Raises:
        BadRequest: it is the run of a later version, or of production.
    """
    known = {one.name for one in fields(Question)}
    if "of" in data or not known >= set(data):
        raise BadRequest("this run cannot be gone on with", got=sorted(set(data) - known)[:5])
    row: dict[str, Any] = dict(data)
    row["judges"] = tuple(row.get("judges") or ())
    return Question(**row)


def check(question: Question) -> Question:
    """The question, where it makes sense.

    Raises:
        BadRequest: it does not.
    """
    if question.unit not in UNITS or question.same not in SAME:
        raise BadRequest("there is no such choice", got=f"{question.unit}, {question.same}")
    if not question.target and not question.judges:
        raise BadRequest(
            "nothing says what is done with the recorded sessions",
            got="no candidate and no judge",
            fix="pilothouse eval backtest --target my_agent:agent",
        )
    if len(question.judges) > (1 if question.target else 2):
        raise BadRequest(
            "one judge judges a candidate, and two are held against each other",
            got=", ".join(question.judges),
            fix="--judge careful",
        )
    if len(set(question.judges)) < len(question.judges):
        raise BadRequest("a judge is held against another one", got=", ".join(question.judges), fix="--judge old,new")
    if question.unit == "decision" and question.judges and not question.target:
        raise BadRequest(
            "judges are asked of sessions and traces, not of single decisions",
            got="--unit decision",
            fix="--unit trace",
        )
    if not 0 <= question.least <= 1:
        raise BadRequest("a rate lies between 0 and 1", got=question.least, fix="--least 0.9")
    if question.sample < 0:
        raise BadRequest("a sample has a size", got=question.sample, fix="--sample 500")
    return question
