"""Fits a logistic regression to labelled requests, and calibrates it: in plain Python, the same at every run."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from math import log, sqrt
from typing import Final

from .difficulty import Weights, sigmoid, standard
from .features import CLASSES, NUMBERS, WORDS, Features

_ROUNDS: Final = 25
_STEP: Final = 0.15
_SHRINK: Final = 0.002
_GIVE_WAY_EVERY: Final = 500


def fit(features: Sequence[Features], bad: Sequence[bool], *, seed: int = 7) -> Weights:
    """Weights by stochastic gradient descent with a step for each weight (Adagrad) and shrinkage."""
    count = len(features)
    middles = [sum(one.numbers[at] for one in features) / count for at in range(len(NUMBERS))]
    scales = [
        sqrt(sum((one.numbers[at] - middles[at]) ** 2 for one in features) / count) or 1.0 for at in range(len(NUMBERS))
    ]
    rows = [
        [standard(value, middle, scale) for value, middle, scale in zip(one.numbers, middles, scales, strict=True)]
        for one in features
    ]
    share = min(max(sum(bad) / count, 1e-3), 1 - 1e-3)
    bias, numbers, places = log(share / (1 - share)), [0.0] * len(NUMBERS), [0.0] * (WORDS + CLASSES)
    bias_seen, numbers_seen, places_seen = 1.0, [1.0] * len(NUMBERS), [1.0] * (WORDS + CLASSES)
    order = list(range(count))
    dice = random.Random(seed)  # noqa: S311  # the order of the samples, not a secret
    for _ in range(_ROUNDS):
        dice.shuffle(order)
        for turn, number in enumerate(order):
            if turn % _GIVE_WAY_EVERY == _GIVE_WAY_EVERY - 1:
                # Others on this server are served meanwhile.
                time.sleep(0.001)
            row, words = rows[number], features[number].places
            guess = bias + sum(value * weight for value, weight in zip(row, numbers, strict=True))
            guess += sum(places[at] * value for at, value in words.items())
            off = sigmoid(guess) - bad[number]
            bias_seen += off * off
            bias -= _STEP * off / sqrt(bias_seen)
            for at, value in enumerate(row):
                pull = off * value + _SHRINK * numbers[at]
                numbers_seen[at] += pull * pull
                numbers[at] -= _STEP * pull / sqrt(numbers_seen[at])
            for at, value in words.items():
                pull = off * value + _SHRINK * places[at]
                places_seen[at] += pull * pull
                places[at] -= _STEP * pull / sqrt(places_seen[at])
    return Weights(
        bias=bias, middles=tuple(middles), scales=tuple(scales), numbers=tuple(numbers), places=tuple(places)
    )


def calibrated(weights: Weights, features: Sequence[Features], bad: Sequence[bool]) -> Weights:
    """The same weights with slope and shift fitted to calls that they have not seen (Platt), by Newton's steps."""
    logits = [weights.logit(one) for one in features]
    positive = sum(bad)
    # Targets are pulled in a little, or a part that happens to be separable would give certainty.
    high, low = (positive + 1) / (positive + 2), 1 / (len(bad) - positive + 2)
    targets = [high if one else low for one in bad]
    slope, shift = 1.0, 0.0
    for _ in range(50):
        g0 = g1 = 0.0
        h00 = h01 = h11 = 1e-6
        for logit, target in zip(logits, targets, strict=True):
            guess = sigmoid(slope * logit + shift)
            off, curve = guess - target, guess * (1 - guess)
            g0 += off * logit
            g1 += off
            h00 += curve * logit * logit
            h01 += curve * logit
            h11 += curve
        # A small part must not turn the order around, nor make certainty of it.
        g0 += 0.5 * (slope - 1.0)
        h00 += 0.5
        determinant = h00 * h11 - h01 * h01
        if abs(determinant) < 1e-12:
            break
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        slope, shift = slope - step0, shift - step1
        if abs(step0) + abs(step1) < 1e-7:
            break
    slope = min(max(slope, 0.05), 5.0)
    return Weights(
        bias=weights.bias,
        middles=weights.middles,
        scales=weights.scales,
        numbers=weights.numbers,
        places=weights.places,
        slope=slope,
        shift=shift,
    )
