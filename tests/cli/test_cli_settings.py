"""Global flags: anywhere on the line, and what the environment says where they are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.cli.settings import CliSettings, read_settings
from pilothouse.records import BadRequest


def read(*words: str, terminal: bool = True, **environment: str) -> tuple[CliSettings, list[str]]:
    return read_settings(words, environment, terminal=terminal, error_terminal=terminal)


def test_flags_may_stand_before_or_after_the_command() -> None:
    for words in (
        ("--json", "--budget", "900", "ls", "a"),
        ("ls", "--json", "a", "--budget=900"),
        ("ls", "a", "--json", "--budget", "900"),
    ):
        settings, rest = read(*words)
        assert (settings.json, settings.budget, rest) == (True, 900, ["ls", "a"])


@pytest.mark.parametrize(
    ("words", "terminal", "environment", "json"),
    [
        ((), True, {}, False),
        ((), False, {}, True),
        (("--human",), False, {}, False),
        (("--json",), True, {}, True),
        ((), True, {"PILOTHOUSE_AGENT": "1"}, True),
        (("--human",), True, {"AI_AGENT": "x"}, False),
    ],
)
def test_people_get_text_and_programs_get_json(
    words: tuple[str, ...], terminal: bool, environment: dict[str, str], json: bool
) -> None:
    settings, _ = read(*words, terminal=terminal, **environment)
    assert (settings.json, settings.errors_json) == (json, json)


def test_everything_behind_two_dashes_is_the_commands() -> None:
    settings, rest = read("search", "--", "--json", "--budget", "5")
    assert not settings.json
    assert rest == ["search", "--", "--json", "--budget", "5"]


def test_fields_and_file() -> None:
    settings, _ = read("ls", "--fields", "a, b.c,", "--out", "x.json")
    assert settings.fields == ("a", "b.c")
    assert settings.out == Path("x.json")


def test_the_environment_names_server_key_budget_and_folder() -> None:
    settings, _ = read(
        "ls",
        PILOTHOUSE_URL="http://h:1/base/",
        PILOTHOUSE_API_KEY="k",
        PILOTHOUSE_BUDGET="12_000",
        PILOTHOUSE_DATA="/d",
    )
    assert (settings.url, settings.key, settings.budget, settings.data) == ("http://h:1/base", "k", 12_000, Path("/d"))


@pytest.mark.parametrize(
    "words", [("ls", "--budget"), ("ls", "--budget", "x"), ("ls", "--budget", "1"), ("--json", "--human"), ("--out",)]
)
def test_a_flag_that_cannot_be_is_named(words: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(*words)
    assert caught.value.got
    assert caught.value.fix or caught.value.allowed
