"""Pairs of questions for the cache by meaning: near-misses that must not be taken for each other, and paraphrases that may.

Made from frames with a slot; written for this purpose, so that nothing of it is anybody's traffic.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "number", "negation", "name", "opposite", "swap", "unit", "date", "word", "politeness", "order", "form", "synonym"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two questions."""

    kind: Kind
    one: str
    other: str
    same: bool
    """Whether one answer serves both."""


_FRAMES: Final = (
    "Can I return {item} within {n} days?",
    "How much is shipping for {n} {item}?",
    "Is it safe to keep {item} for {n} weeks?",
    "Do you ship {item} to {place}?",
    "What does it cost to send {item} to {place}?",
    "Where can I buy {item} in {place}?",
    "Should I insure {item} worth {n} dollars?",
    "Who delivers {item} in {place} on {day}?",
    "Is the shop in {place} open on {day}?",
    "Can {person} collect {item} on {day}?",
)
_ITEMS: Final = ("shoes", "glass bottles", "a laptop", "coffee beans", "old books", "a bicycle", "plants", "a guitar")
_PLACES: Final = ("Oslo", "Lyon", "Porto", "Kyoto", "Quito", "Cork", "Bergen", "Graz")
_DAYS: Final = ("Monday", "Tuesday", "Friday", "Sunday")
_PEOPLE: Final = ("Anna", "Bob", "Carla", "Deniz", "Emil")
_NUMBERS: Final = (2, 3, 7, 14, 30, 60, 90, 120)
_OPPOSITES: Final = (
    ("How do I {} notifications in the app?", "enable", "disable"),
    ("Can I {} my subscription today?", "pause", "cancel"),
    ("How do I {} a user to the team?", "add", "remove"),
    ("What happens when I {} the pull request?", "open", "close"),
    ("Which is the {} plan for a small team?", "cheapest", "most expensive"),
    ("How can I {} the price of an item?", "raise", "lower"),
    ("Does the alarm go off {} the meeting?", "before", "after"),
    ("How do I {} the database?", "import", "export"),
    ("When does the flight {}?", "depart", "arrive"),
    ("What are the {} of working remotely?", "advantages", "disadvantages"),
    ("Is it {} to park here?", "legal", "illegal"),
    ("How do I {} a file with a password?", "encrypt", "decrypt"),
    ("What is the {} temperature for storage?", "maximum", "minimum"),
    ("Why is my upload so {}?", "slow", "fast"),
    ("How do I {} dark mode?", "activate", "deactivate"),
)
_SWAPS: Final = (
    ("fly from {} to {}", "lisbon", "madrid"),
    ("convert {} to {}", "celsius", "fahrenheit"),
    ("is {} better than {} for web services", "go", "rust"),
    ("translate the letter from {} into {}", "dutch", "polish"),
    ("what beats {} in a fight against {}", "lions", "tigers"),
    ("move money from {} to {}", "savings", "checking"),
    ("migrate a project from {} to {}", "mysql", "postgres"),
)
_NEGATED: Final = (
    ("Is aspirin allowed with this medicine?", "Is aspirin not allowed with this medicine?"),
    ("Which foods contain gluten?", "Which foods contain no gluten?"),
    ("Can I travel with a visa?", "Can I travel without a visa?"),
    ("Why does my printer work?", "Why doesn't my printer work?"),
    ("List the rooms with a balcony", "List the rooms without a balcony"),
    ("Who can see my profile?", "Who cannot see my profile?"),
    ("Which plans include support?", "Which plans don't include support?"),
    ("Show all orders except the cancelled ones", "Show all orders including the cancelled ones"),
)
_LOWER: Final = (
    ("what is the weather in paris", "what is the weather in london"),
    ("how tall is the eiffel tower", "how tall is the empire state building"),
    ("side effects of ibuprofen", "side effects of paracetamol"),
    ("recipe for tomato soup", "recipe for pumpkin soup"),
    ("reset my password", "reset my router"),
    ("capital of australia", "capital of austria"),
    ("how do i clean suede", "how do i clean leather"),
    ("install docker on ubuntu", "install docker on fedora"),
    ("cats allergic to lilies", "dogs allergic to lilies"),
    ("price of gold", "price of silver"),
)
_SYNONYMS: Final = (
    ("How do I reset my password?", "What is the way to change a forgotten login secret?"),
    ("When will my parcel arrive?", "What is the delivery date of my package?"),
    ("How do I get my money back?", "What is the refund process?"),
    ("Is the shop open?", "Are you trading at the moment?"),
    ("My screen is black", "The display shows nothing"),
    ("How do I contact support?", "Where can I reach your help desk?"),
)


def corpus(seed: int = 7) -> list[Pair]:
    """All pairs, the same for a seed."""
    dice = random.Random(seed)
    return [*_filled(dice), *_fixed()]


def _filled(dice: random.Random) -> Iterator[Pair]:
    for frame in _FRAMES:
        for _ in range(6):
            slots = {
                "item": dice.choice(_ITEMS),
                "place": dice.choice(_PLACES),
                "day": dice.choice(_DAYS),
                "person": dice.choice(_PEOPLE),
                "n": str(dice.choice(_NUMBERS)),
            }
            one = frame.format(**slots)
            for name, values, kind in (
                ("n", [str(number) for number in _NUMBERS], "number"),
                ("place", _PLACES, "name"),
                ("person", _PEOPLE, "name"),
                ("day", _DAYS, "date"),
                ("item", _ITEMS, "word"),
            ):
                if "{" + name + "}" in frame:
                    other = dice.choice([value for value in values if value != slots[name]])
                    yield Pair(kind=kind, one=one, other=frame.format(**{**slots, name: other}), same=False)  # type: ignore[arg-type]
            if "days" in one:
                yield Pair(kind="unit", one=one, other=one.replace("days", "weeks"), same=False)
            if "dollars" in one:
                yield Pair(kind="unit", one=one, other=one.replace("dollars", "euros"), same=False)
            yield Pair(
                kind="politeness", one=one, other=f"Hi, please tell me: {one[0].lower()}{one[1:]} Thanks!", same=True
            )
            yield Pair(kind="form", one=one, other=one.lower().rstrip("?"), same=True)
            yield Pair(
                kind="form", one=one, other=one.replace("Can I", "Could I").replace("How much", "how much"), same=True
            )


def _fixed() -> Iterator[Pair]:
    for frame, one, other in _OPPOSITES:
        yield Pair(kind="opposite", one=frame.format(one), other=frame.format(other), same=False)
    for frame, one, other in _SWAPS:
        yield Pair(kind="swap", one=frame.format(one, other), other=frame.format(other, one), same=False)
    for one, other in _NEGATED:
        yield Pair(kind="negation", one=one, other=other, same=False)
    for one, other in _LOWER:
        yield Pair(kind="word", one=one, other=other, same=False)
    for one, other in _SYNONYMS:
        yield Pair(kind="synonym", one=one, other=other, same=True)
