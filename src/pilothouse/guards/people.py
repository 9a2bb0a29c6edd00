"""Names of people, by a recogniser of the user's own: a spaCy pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from pilothouse.records import BadRequest

from .subject import Subject
from .verdict import Action, Finding

LABELS: Mapping[str, str] = {
    "PERSON": "a person's name",
    "PER": "a person's name",
    "persName": "a person's name",
    "GPE": "a place",
    "LOC": "a place",
    "FAC": "a place",
    "ORG": "an organisation",
    "NORP": "a people or creed",
}
"""What the labels of published pipelines mean."""
PEOPLE = ("PERSON", "PER", "persName")
CHARS_MAX = 100_000
"""spaCy's parser needs about 1 GB for every 100,000 characters; longer texts are read in pieces of this length."""
_OVERLAP = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesCheck:
    """Named people, and other named things where asked for."""

    name: str
    action: Action
    model: str
    """A pipeline's name, e.g. ``en_core_web_sm``, or its folder."""
    labels: tuple[str, ...] = PEOPLE
    pipeline: Any = field(repr=False)
    slow: bool = True
    """In a thread of its own, under its deadline: a recogniser takes milliseconds a sentence."""

    def run(self, subject: Subject) -> list[Finding]:
        """Every name, with its place."""
        found: dict[tuple[int, int], Finding] = {}
        text = subject.text
        for start in range(0, max(1, len(text)), CHARS_MAX - _OVERLAP):
            for entity in self.pipeline(text[start : start + CHARS_MAX]).ents:
                if entity.label_ in self.labels:
                    span = (start + int(entity.start_char), start + int(entity.end_char))
                    found[span] = Finding(
                        check=self.name,
                        rule=str(entity.label_),
                        action=self.action,
                        start=span[0],
                        end=span[1],
                        message=LABELS.get(entity.label_, "a name"),
                    )
        return list(found.values())


@lru_cache(maxsize=8)
def _loaded(model: str) -> Any:
    import spacy as package  # seconds of work: only where a policy names a pipeline

    # What is not needed to find names is not loaded.
    return cast("Any", package).load(model, exclude=["parser", "lemmatizer", "textcat"])


def load_pipeline(model: str, place: str) -> Any:
    """The recogniser.

    Raises:
        BadRequest: spaCy is not installed, or there is no such pipeline.
    """
    try:
        return _loaded(model)
    except ImportError as error:
        raise BadRequest(
            f"{place} needs a package that is not installed", got=error.name, fix="pip install 'pilothouse[names]'"
        ) from error
    except (OSError, ValueError) as error:
        raise BadRequest(
            f"{place} names no pipeline of spaCy that can be loaded",
            got=model[:200],
            fix=f"python -m spacy download {model}" if model.isidentifier() else "give the pipeline's folder",
        ) from error
