"""Every command, setting, view column and route is documented, by pages written from the code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tools import reference

from pilothouse.cli.settings import read_settings
from pilothouse.server.config import Config, MaskConfig
from pilothouse.store import VIEWS
from pilothouse.store.sql_check import check
from tests.live import LiveServer

REFERENCE = reference.FOLDER


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_a_page_of_the_reference_is_what_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text() == reference.PAGES[name](), "python -m tools.reference"


def text(name: str) -> str:
    return (REFERENCE / name).read_text()


def test_every_command_is_documented() -> None:
    page = text("cli.md")
    for name, _ in reference.every_command():
        assert f"pilothouse {name}" in page, name


def test_every_setting_is_documented_with_a_reason() -> None:
    page = text("configuration.md")
    for kind in (Config, MaskConfig):
        for name, _, says in reference.fields_of(kind):
            assert says, f"{kind.__name__}.{name} says nothing"
            assert f"`{name}`" in page or f"[{name.split('_')[0]}" in page, name


def test_every_column_of_every_view_is_documented() -> None:
    page = text("sql.md")
    for view in VIEWS:
        assert f"### {view.name}" in page
        for column in view.columns:
            assert column.help
            assert f"| `{column.name}` |" in page


def test_every_global_flag_and_variable_is_documented() -> None:
    page = text("cli.md")
    for word in ("--json", "--human", "--budget", "--fields", "--out"):
        assert word in page
    names = ("URL", "API_KEY", "DATA", "BUDGET", "AGENT", "MODE", "RUN")
    for name in (f"PILOTHOUSE_{name}" for name in names):
        assert f"`{name}`" in page
    settings, _ = read_settings([], {})
    assert len(dataclasses.fields(settings)) == 15, "a new flag or variable wants a line in cli.md"


@pytest.mark.parametrize(("title", "question"), reference.QUESTIONS, ids=[title for title, _ in reference.QUESTIONS])
def test_a_question_of_the_reference_can_be_asked(title: str, question: str, live_server: LiveServer) -> None:
    assert title.endswith("?")
    assert check(question, "pilothouse").views
    live_server.sql(question)


def test_the_check_says_which_page_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main([]) == 0
    (tmp_path / "sql.md").write_text("old")
    capsys.readouterr()
    assert reference.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "sql.md is out of date" in said and said.count("is out of date") == 1
