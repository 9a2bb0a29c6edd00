"""What training finds, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """What would happen if requests below a difficulty went to the cheap model."""

    below: float
    strong_share: float
    """Share of the window's calls at or above it: those that the strong model would get."""
    calls: int
    """Held-out calls of the cheap model below it, whose outcome is known."""
    good: int
    good_share: float | None
    """None where there is none."""
    good_low: float
    """95 % interval (Wilson)."""
    good_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Held-out calls of about the same difficulty: what was predicted, and what came."""

    calls: int
    predicted: float
    bad_share: float
    bad_low: float
    bad_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How the model did on sessions that are later than those it has learned from."""

    calls: int
    bad: int
    sessions: int
    auc: float
    """How often a call that went badly was rated harder than one that went well: 0.5 is chance."""
    auc_low: float
    """95 % interval (Hanley and McNeil)."""
    auc_high: float
    brier: float
    brier_of_share: float
    """The same for a model that always says the share of bad calls: the model is of use where it is below."""
    calibration_error: float
    """Mean distance of predicted and observed shares over the bins."""
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model of difficulty, how it was made and how good it is."""

    version: str
    made: str
    made_by: str
    since: str
    until: str
    cheap: str
    """The model whose calls taught it: where it does badly, a request is hard."""
    outcomes: Mapping[str, int]
    """What outcomes were told by: score, error, refused, invalid, truncated, signal, quiet."""
    calls: int
    """Calls with an outcome, of the cheap model."""
    bad: int
    sessions: int
    unknown: int
    """Calls of the cheap model whose outcome is not known."""
    truncated: bool
    """Whether the window had more calls than were read."""
    evaluation: Evaluation
    useful: bool
    """Whether it tells hard from easy on held-out calls: the interval of ``auc`` lies above 0.5, and ``brier`` is below
    that of the share alone."""
    thresholds: tuple[Threshold, ...]
    words: tuple[str, ...]
    """What weighs most, in words; words of requests only by their place, since they are hashed."""
    in_force: bool = False
    """Whether ``difficulty`` of the gateway's rules is this model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The difficulty of a text."""

    difficulty: float
    version: str
    model: Mapping[str, Any]
    """What it says of itself: cheap, auc, useful."""
