"""The difficulty of a request: how likely a cheap model is to do badly on it, by a small model that is plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import exp
from typing import Any, Final, cast

from pilothouse.records import BadRequest

from .features import CLASSES, NUMBERS, WORDS, Features, Request, features_of

FORM: Final = 1
"""Version of the stored form: another one is not read."""
_EDGE: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A logistic regression, its numbers standardised, its answer calibrated."""

    bias: float
    middles: tuple[float, ...]
    scales: tuple[float, ...]
    numbers: tuple[float, ...]
    places: tuple[float, ...]
    slope: float = 1.0
    """Of the calibration: the answer's logit times this …"""
    shift: float = 0.0
    """… and this added."""

    def logit(self, features: Features) -> float:
        """Before calibration."""
        total = self.bias
        for value, middle, scale, weight in zip(features.numbers, self.middles, self.scales, self.numbers, strict=True):
            # As in `standard`, written out: this runs at every call.
            off = (value - middle) / scale
            total += (_EDGE if off > _EDGE else -_EDGE if off < -_EDGE else off) * weight
        places = self.places
        for at, value in features.places.items():
            total += places[at] * value
        return total

    def difficulty(self, features: Features) -> float:
        """From 0 to 1."""
        return sigmoid(self.slope * self.logit(features) + self.shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyModel:
    """What a project's traces have taught, ready to be asked at each call."""

    version: str
    """Hash of what it was made of."""
    weights: Weights
    report: Mapping[str, Any]
    """How it was made, and how it did on calls that it had not seen."""

    def difficulty(self, request: Request) -> float:
        """How likely the cheap model is to do badly: 0 to 1."""
        return self.weights.difficulty(features_of(request))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"form": FORM, "version": self.version, "weights": asdict(self.weights), "report": dict(self.report)}


def model_from(data: Mapping[str, Any]) -> DifficultyModel:
    """The inverse of :meth:`DifficultyModel.as_dict`.

    Raises:
        BadRequest: it is of another form.
    """
    weights = cast("dict[str, Any]", data.get("weights") or {})
    sizes = {"middles": len(NUMBERS), "scales": len(NUMBERS), "numbers": len(NUMBERS), "places": WORDS + CLASSES}
    whole = all(len(weights.get(name, ())) == size for name, size in sizes.items())
    if data.get("form") != FORM or not whole:
        raise BadRequest(
            "this model of difficulty was made by another version",
            got=str(data.get("form"))[:40],
            allowed=FORM,
            fix="pilothouse routing train",
        )
    found = Weights(
        bias=float(weights["bias"]),
        middles=_numbers(weights["middles"]),
        scales=_numbers(weights["scales"]),
        numbers=_numbers(weights["numbers"]),
        places=_numbers(weights["places"]),
        slope=float(weights["slope"]),
        shift=float(weights["shift"]),
    )
    return DifficultyModel(version=str(data["version"]), weights=found, report=data["report"])


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def standard(value: float, middle: float, scale: float) -> float:
    """A number beside those it was learned from; what lies far outside of them says no more than their edge."""
    return min(max((value - middle) / scale, -_EDGE), _EDGE)


def sigmoid(value: float) -> float:
    """From a logit to a probability, without overflow."""
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))
