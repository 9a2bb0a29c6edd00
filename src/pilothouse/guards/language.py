"""The language of a text: whether it is one that an agent is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

from pilothouse.records import BadRequest

from .subject import Subject
from .verdict import Action, Finding

LANGUAGES = [
    "ar",
    "bg",
    "bn",
    "ca",
    "cs",
    "da",
    "de",
    "el",
    "en",
    "es",
    "et",
    "fa",
    "fi",
    "fr",
    "he",
    "hi",
    "hr",
    "hu",
    "id",
    "it",
    "ja",
    "ko",
    "lt",
    "lv",
    "ms",
    "nl",
    "no",
    "pl",
    "pt",
    "ro",
    "ru",
    "sk",
    "sl",
    "sr",
    "sv",
    "sw",
    "ta",
    "te",
    "th",
    "tl",
    "tr",
    "uk",
    "ur",
    "vi",
    "zh",
]
"""What is told apart, by ISO 639-1. More would make short texts of these less sure."""
CHARS_READ = 2_000
_SURE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageCheck:
    """Texts in a language that is not on the list, as far as it can be told.

    The classifier is naive Bayes over byte n-grams (M. Lui and T. Baldwin, langid.py, ACL 2012).
    """

    name: str
    action: Action
    allow: tuple[str, ...]
    unsure: Action | Literal["allow"] = "allow"
    """What becomes of texts whose language cannot be told: a name, a number, two words."""
    letters_min: int = 20
    """With fewer letters nothing is told."""
    slow: bool = False

    def run(self, subject: Subject) -> list[Finding]:
        """One finding, where it is another language."""
        text = subject.text[:CHARS_READ]
        letters = sum(character.isalpha() for character in text)
        # A character of Chinese, Japanese or Korean says as much as a word's half.
        wide = sum("\u3040" <= character <= "\ud7af" for character in text)
        if not letters:
            return []
        language, sure = tell(text)
        if letters + 4 * wide < self.letters_min or sure < _SURE:
            if self.unsure == "allow":
                return []
            message = f"the language cannot be told, allowed: {', '.join(self.allow)}"
            return [Finding(check=self.name, rule="unsure", action=self.unsure, message=message)]
        if language in self.allow:
            return []
        message = f"{language}, allowed: {', '.join(self.allow)}"
        return [Finding(check=self.name, rule=language, action=self.action, message=message)]


def tell(text: str) -> tuple[str, float]:
    """The likeliest language and how likely it is, from 0 to 1."""
    return _classifier()(text)


def need_classifier(place: str) -> None:
    """Load it now: a check that cannot run is an error of the policy, not of the first text.

    Raises:
        BadRequest: the package is not installed.
    """
    try:
        _classifier()
    except ImportError as error:
        raise BadRequest(
            f"{place} needs a package that is not installed", got=error.name, fix="pip install 'pilothouse[language]'"
        ) from error


@lru_cache(maxsize=1)
def _classifier() -> Callable[[str], tuple[str, float]]:
    from py3langid import langid as package  # numpy and a second of work: only where a policy asks for it

    # The package has no type stubs.
    langid = cast("Any", package)
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)

    def classify(text: str) -> tuple[str, float]:
        language, sure = identifier.rank(text)[0]
        return str(language), float(sure)

    return classify
