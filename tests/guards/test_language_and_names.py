"""The language of a text, and names of people by a pipeline of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import spacy

from pilothouse.guards import Guard, read_guards
from pilothouse.guards.people import CHARS_MAX
from pilothouse.records import BadRequest


def guard(check: dict[str, Any], gate: str = "input") -> Guard:
    return Guard(read_guards({gate: [check]}))


ENGLISH = guard({"check": "language", "allow": ["en", "de"]})


@pytest.mark.parametrize(
    "text",
    [
        "Where is the parcel that I ordered last week?",
        "Wo ist das Paket, das ich letzte Woche bestellt habe?",
        "ok", "", "123-456", "Łódź", "SELECT * FROM users",
        "Hello, can you help me with flight UA-123 on 12 May, please?",
    ],
)  # fmt: skip
def test_a_language_of_the_list_and_what_cannot_be_told_goes_on(text: str) -> None:
    assert ENGLISH.check("input", text).action == "allow"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Où est le colis que j'ai commandé la semaine dernière ?", "fr"),
        ("¿Dónde está el paquete que pedí la semana pasada?", "es"),
        ("Где посылка, которую я заказал на прошлой неделе?", "ru"),
        ("先週注文した荷物はどこにありますか。", "ja"),
        ("上周我订购的包裹在哪里？请帮我查一下。", "zh"),
        ("أين الطرد الذي طلبته الأسبوع الماضي؟", "ar"),
    ],
)
def test_another_language_is_refused_with_its_name(text: str, language: str) -> None:
    verdict = ENGLISH.check("input", text)
    assert (verdict.action, verdict.text, verdict.findings[0].rule) == ("block", "", language)
    assert "en, de" in verdict.reason


def test_what_cannot_be_told_can_be_asked_about() -> None:
    strict = guard({"check": "language", "allow": ["en"], "unsure": "ask", "action": "flag"})
    assert strict.check("input", "Łódź Gdańsk").action == "ask"
    assert strict.check("input", "Где посылка, которую я заказал на прошлой неделе?").action == "flag"
    assert strict.check("input", "12:30 !!").action == "allow", "no letters, no language"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"allow": ["english"]}, "not known"),
        ({"allow": []}, "names no language"),
        ({}, "list of texts"),
        ({"allow": ["en"], "unsure": "maybe"}, "no action"),
    ],
)
def test_a_wrong_setting_says_what_is_right(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        guard({"check": "language", **options})


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of spaCy on disk, as a user has one; with rules instead of weights, since weights are a download."""
    made = spacy.blank("en")
    ruler = made.add_pipe("entity_ruler")
    ruler.add_patterns(  # type: ignore[attr-defined]  # spaCy's own component
        [
            {"label": "PERSON", "pattern": [{"LOWER": "ada"}, {"LOWER": "lovelace"}]},
            {"label": "PERSON", "pattern": "Čapek"},
            {"label": "GPE", "pattern": "Oslo"},
        ]
    )
    folder = tmp_path_factory.mktemp("names") / "pipeline"
    made.to_disk(folder)
    return folder


def test_names_are_masked_and_places_stay(pipeline: Path) -> None:
    out = guard({"check": "names", "model": str(pipeline)}, "output")
    verdict = out.check("output", "Ada  Lovelace? No: Ada Lovelace met Čapek in Oslo.")
    assert verdict.text == "Ada  Lovelace? No: [masked: PERSON] met [masked: PERSON] in Oslo."
    places = guard({"check": "names", "model": str(pipeline), "labels": ["GPE"], "action": "block"}, "output")
    assert places.check("output", "She lives in Oslo.").action == "block"
    assert places.check("output", "Ada Lovelace lives.").action == "allow"


def test_a_name_where_a_long_text_is_read_in_pieces_is_found_once(pipeline: Path) -> None:
    out = guard({"check": "names", "model": str(pipeline), "deadline_ms": 60_000}, "output")
    text = "x " * (CHARS_MAX // 2 - 60) + "Ada Lovelace came. " + "y " * 2_000
    verdict = out.check("output", text)
    assert [(found.start, found.end) for found in verdict.findings] == [(CHARS_MAX - 120, CHARS_MAX - 108)]


def test_a_recogniser_that_is_not_there_is_an_error_of_the_policy(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no pipeline") as missing:
        guard({"check": "names", "model": "xx_no_such_model"})
    assert missing.value.fix == "python -m spacy download xx_no_such_model"
    with pytest.raises(BadRequest, match="no pipeline"):
        guard({"check": "names", "model": str(tmp_path)})
    with pytest.raises(BadRequest, match="names a pipeline"):
        guard({"check": "names"})
