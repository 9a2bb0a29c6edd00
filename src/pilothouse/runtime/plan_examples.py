"""Examples of good plans, by class of task: shipped as data, shown where a model would plan better for having seen one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from pilothouse.records import BadRequest

_HITS_MIN: Final = 2
"""Words of a class that a request must have before it is taken for one of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanExample:
    """One request and a good plan for it."""

    task_class: str
    request: str
    tasks: Sequence[str | Mapping[str, Any]]
    """As ``todo_write`` takes them."""
    why: str
    """What makes it good."""
    words: frozenset[str] = frozenset()
    """What requests of this class speak of."""

    @property
    def text(self) -> str:
        """As it is put before a model."""
        listed = json.dumps(list(self.tasks), ensure_ascii=False)
        return (
            f"An example of a good plan ({self.task_class}; another task, not yours). It {self.why}.\n"
            f"> {self.request}\ntodo_write({listed})"
        )


@cache
def shipped() -> tuple[PlanExample, ...]:
    """The examples that come with the package."""
    read = files("pilothouse.runtime").joinpath("plan_examples.json").read_text("utf-8")
    return examples_from(json.loads(read))


def examples_from(data: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[PlanExample, ...]:
    """Examples of your own, of the same form as the file that ships: ``{class: [{request, tasks, why, words}]}``."""
    return tuple(
        PlanExample(
            task_class=task_class,
            request=str(one["request"]),
            tasks=tuple(one["tasks"]),
            why=str(one.get("why", "")),
            words=frozenset(_stems(f"{task_class} {one.get('words', '')}")),
        )
        for task_class, listed in data.items()
        for one in listed
    )


def task_classes(examples: Sequence[PlanExample] | None = None) -> list[str]:
    """The classes there are examples of."""
    return list(dict.fromkeys(one.task_class for one in _given(examples)))


def example_of(task_class: str, examples: Sequence[PlanExample] | None = None) -> PlanExample:
    """The example of a class.

    Raises:
        BadRequest: there is none; it names those there are.
    """
    wanted = " ".join(task_class.casefold().replace("_", " ").replace("-", " ").split())
    for one in _given(examples):
        if one.task_class.casefold() == wanted:
            return one
    raise BadRequest("no plan is shown for this class", got=task_class, allowed=task_classes(examples))


def class_of(request: str, examples: Sequence[PlanExample] | None = None) -> str:
    """The class a request is of: the one whose words it has most of; empty where none or two are."""
    said = _stems(request)
    hits: dict[str, int] = {}
    for one in _given(examples):
        hits[one.task_class] = max(hits.get(one.task_class, 0), len(said & one.words))
    ranked = sorted(hits.items(), key=lambda pair: -pair[1])
    if not ranked or ranked[0][1] < _HITS_MIN or (len(ranked) > 1 and ranked[1][1] == ranked[0][1]):
        return ""
    return ranked[0][0]


def _given(examples: Sequence[PlanExample] | None) -> Sequence[PlanExample]:
    return shipped() if examples is None else examples


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in re.findall(r"[^\W\d_]{3,}", text.casefold()))


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if len(word) - len(ending) >= 4 and word.endswith(ending):
            return word.removesuffix(ending)
    return word.removesuffix("e") if len(word) > 4 else word
