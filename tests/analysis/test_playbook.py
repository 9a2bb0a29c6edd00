"""Playbooks: what is shipped can be read, and what cannot be kept is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.analysis.playbook import built_in_names, load_playbook, read_frontmatter
from pilothouse.analysis.schema_check import problems
from pilothouse.records import BadRequest, NotFound


def own(folder: Path, metadata: str = "", schema: str = "", body: str = "Read it.") -> Path:
    folder.mkdir()
    (folder / "SKILL.md").write_text(
        f"---\nname: mine\ndescription: what it is for\nmetadata:\n{metadata}---\n{body}\n"
    )
    if schema:
        (folder / "answer.json").write_text(schema)
    return folder


@pytest.mark.parametrize("name", built_in_names())
def test_a_shipped_playbook_is_whole(name: str) -> None:
    book = load_playbook(name)
    assert book.name == name
    assert len(book.description) > 80 and len(book.instructions) > 300
    assert (book.concurrency, book.item, book.second_reader) == (25, "trace", 0.2)
    assert book.reads_failures


def test_three_playbooks_are_shipped() -> None:
    assert built_in_names() == ["quality-review", "tool-errors", "triage"]


def test_a_playbook_of_the_users_own(tmp_path: Path) -> None:
    folder = own(
        tmp_path / "mine",
        "  item: session\n  concurrency: 3   # few\n  max_usd: 1.5\n  second_reader: 50%\n  output_schema: answer.json\n",
        '{"type": "object", "required": ["good"], "properties": {"good": {"type": "boolean"}}}',
    )
    book = load_playbook(str(folder))
    assert (book.item, book.concurrency, book.max_usd, book.second_reader) == ("session", 3, 1.5, 0.5)
    assert not book.reads_failures
    assert problems({"good": 1}, book.schema) == ["answer.good must be boolean, not integer"]
    before = book.sha
    (folder / "answer.json").write_text('{"type": "object"}')
    assert load_playbook(str(folder / "SKILL.md")).sha != before, "another schema is another playbook"


@pytest.mark.parametrize(
    ("metadata", "schema", "says"),
    [
        ("  concurency: 3\n", "", "metadata has a key that means nothing"),
        ("  concurrency: many\n", "", "metadata.concurrency does not fit"),
        ("  second_reader: 1.5\n", "", "metadata.second_reader does not fit"),
        ("  output_schema: ../answer.json\n", "{}", "a file beside the playbook"),
        ("  output_schema: answer.json\n", "{", "is no JSON"),
        ("  output_schema: answer.json\n", '{"anyOf": []}', "keyword that is not checked"),
        ("  output_schema: answer.json\n", '{"properties": {"run": {}}}', "field `run` is ours"),
        ("  item: case\n", "", "no such kind of item"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, metadata: str, schema: str, says: str) -> None:
    folder = own(tmp_path / "mine", metadata, schema)
    with pytest.raises(BadRequest, match=says):
        load_playbook(str(folder))


def test_a_playbook_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(NotFound) as caught:
        load_playbook("triag")
    assert "triage" in caught.value.allowed


def test_frontmatter() -> None:
    fields, body = read_frontmatter(
        "---\nname: a\ndescription: >\n  one\n  two\nmetadata:\n  x: 'y: z'\n---\nbody\n", "f"
    )
    assert fields == {"name": "a", "description": "one two", "metadata": {"x": "y: z"}}
    assert body == "body\n"
    for text in ("no frontmatter", "---\nname: a\n", "---\n- a list\n---\n", "---\n  a: b\n---\n"):
        with pytest.raises(BadRequest):
            read_frontmatter(text, "f")


@pytest.mark.parametrize(
    ("value", "schema", "says"),
    [
        ({"a": "x"}, {"additionalProperties": False}, "answer.a is not asked for"),
        ([1, "b"], {"items": {"type": "integer"}}, "answer[1] must be integer, not string"),
        (True, {"type": "integer"}, "answer must be integer, not boolean"),
        ("abc", {"maxLength": 2}, "answer must have at most 2 characters, not 3"),
        ("abc", {"pattern": "^b"}, "answer must match ^b"),
        (3, {"maximum": 2}, "answer must be at most 2, not 3"),
        ("c", {"enum": ["a", "b"]}, "answer must be one of a, b, not 'c'"),
        ([], {"minItems": 1}, "answer must have at least 1 entries, not 0"),
        (None, {"type": ["string", "integer"]}, "answer must be string or integer, not null"),
    ],
)
def test_what_does_not_fit_a_schema_is_said(value: object, schema: dict, says: str) -> None:
    assert problems(value, schema)[0].startswith(says)
