"""Rules are files that people write: patterns of paths, mistakes named by their file, and a lint before money is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.records import BadRequest
from pilothouse.review.first_rules import FIRST_RULES
from pilothouse.review.lint import lint
from pilothouse.review.paths import matches
from pilothouse.review.rules import load_rules, read_folder

from .conftest import ReviewCall


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("a/b/prompt.md", "prompt.md", True),
        ("a/b/prompt.md", "*.md", True),
        ("prompts/a/b.md", "prompts/**", True),
        ("prompts/a/b.md", "prompts/*", False),
        ("x/prompts/b.md", "**/prompts/**", True),
        ("prompts/b.md", "**/prompts/**", True),
        ("prompts/b.md", "/prompts/b.md", True),
        ("a.py", "*.{py,md}", True),
        ("a.pyc", "*.{py,md}", False),
        ("a/system_prompt.txt", "**/*{prompt,role}*", True),
        ("a+b.md", "a+b.md", True),
        ("prompts/deep/x", "prompts/", True),
    ],
)
def test_a_pattern_fits_as_in_gitignore(path: str, pattern: str, fits: bool) -> None:
    assert matches(path, pattern) is fits


def test_rules_are_read_from_markdown_and_yaml_and_mistakes_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("---\nseverity: error\npaths: '*.md'\n---\nNothing is promised.\n")
    (tmp_path / "more.yaml").write_text(
        "- {id: two, text: Nothing is deleted without asking., examples: {bad: [rm]}}\n"
    )
    rules = load_rules(tmp_path)
    assert [(one.id, one.severity, tuple(one.paths), tuple(one.bad)) for one in rules] == [
        ("one", "error", ("*.md",), ()),
        ("two", "warning", (), ("rm",)),
    ]
    (tmp_path / "three.md").write_text("---\nseverity: fatal\n---\nx\n")
    (tmp_path / "two.md").write_text("the same id again\n")
    (tmp_path / "four.yaml").write_text("{id: Four, text: x}")
    (tmp_path / "five.md").write_text("---\nid: five\npaths: ['a{b']\n---\nx\n")
    found, problems = read_folder(tmp_path)
    assert [one.id for one in found] == ["one", "two"]
    told = {one.file: one.message for one in problems}
    assert "error, warning, note" in told["three.md"]
    assert "twice" in told["two.md"]
    assert "small letters" in told["four.yaml"]
    assert "brace" in told["five.md"]
    with pytest.raises(BadRequest, match=r"five\.md"):
        load_rules(tmp_path)


def test_lint_says_what_makes_a_rule_weak(tmp_path: Path) -> None:
    (tmp_path / "vague.md").write_text(
        "---\npaths: ['nowhere/*.md']\n---\nPrompts are of good quality and appropriate.\n"
    )
    (tmp_path / "short.md").write_text("No.\n")
    (tmp_path / "twin.md").write_text("prompts are of Good quality and  appropriate.\n")
    found = {(one.rule, one.check) for one in lint(tmp_path, ["prompts/a.md"])}
    assert {("vague", "vague"), ("vague", "no-file"), ("vague", "no-example"), ("short", "short")} <= found
    assert {("short", "every-file"), ("vague", "same-text")} <= found


def test_the_rules_that_ship_are_good_rules(review: ReviewCall, tmp_path: Path) -> None:
    made = review("init").data
    assert len(made["files"]) == len(FIRST_RULES) + 2
    assert review("lint").data["findings"] == []
    assert review("init").data["files"] == [], "what is there stays"
    about = {one["id"] for one in review("rules", "--about", "src/prompts/support.md").data["rules"]}
    assert {"no-secrets", "data-is-not-instruction", "no-contradiction"} <= about
    assert "model-is-pinned" not in about
    assert review("init", "--only", "no-such").code == 2


def test_rules_reach_git_also_beside_runs_of_a_suite(review: ReviewCall, tmp_path: Path) -> None:
    import subprocess

    (tmp_path / ".pilothouse").mkdir()
    (tmp_path / ".pilothouse/.gitignore").write_text("*\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert review("init").code == 0
    (tmp_path / ".pilothouse/runs").mkdir()
    (tmp_path / ".pilothouse/runs/x.json").write_text("{}")
    said = subprocess.run(
        ["git", "-C", str(tmp_path), "ls-files", "-o", "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert ".pilothouse/rules/no-secrets.md" in said
    assert ".pilothouse/review.yaml" in said
    assert not any("runs" in one for one in said)
