"""What ``pilothouse schema`` promises: real answers fit it, and no key goes away unnoticed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tools import schemas

from pilothouse.cli.answers import BRIEF, LINES, OWN, ROUTES, WITHOUT
from pilothouse.cli.root import COMMANDS
from tests.live import LiveServer

from .conftest import Cli
from .contract import CALLS, MORE_FORMS, Sample, one_json, record_sample
from .test_cli_help import EVERY

KNOWN = json.loads(schemas.FILE.read_text())


@cache
def made() -> str:
    """The file anew; once, since it takes a second."""
    return schemas.made()


@pytest.fixture(scope="session")
def sample(live_server: LiveServer) -> Sample:
    return record_sample(live_server)


def test_the_file_is_what_the_code_says() -> None:
    assert schemas.FILE.read_text() == made(), "python -m tools.reference"


def test_every_command_has_a_schema() -> None:
    leaves = {name for name, command in EVERY if not hasattr(command, "commands") or name in ("cost", "sessions")}
    assert leaves <= set(KNOWN["commands"]) | set(WITHOUT)
    assert set(KNOWN["commands"]) == set(ROUTES) | set(OWN) | set(LINES)
    assert {name.split()[0] for name in KNOWN["commands"]} <= set(COMMANDS)
    assert set(BRIEF) <= set(ROUTES)


def test_the_names_are_listed_and_a_slip_is_put_right(cli: Cli) -> None:
    assert cli("schema").data == sorted(KNOWN["commands"])
    assert "cost why" in cli("schema", "cost", "wyh").error["allowed"]
    assert cli("schema", "show", "--step", "--budget", "100000").data["required"] == ["ok", "data"]
    assert "$ref" not in cli("schema", "diff", "--budget", "2000000").out


FORMS = [*CALLS.items(), *((name, line) for name, lines in MORE_FORMS.items() for line in lines)]


@pytest.mark.parametrize(("name", "line"), FORMS, ids=[line for _, line in FORMS])
def test_a_real_answer_fits_its_schema(
    cli: Cli, live: LiveServer, sample: Sample, tmp_path: Path, name: str, line: str
) -> None:
    answer = one_json(cli(*sample.words(line, tmp_path), "--budget", "2000000").out)
    check(name, answer)
    may_be_empty = (
        *("retention show", "retention apply", "jobs ls", "cache compared", "guard proposals", "guard switches"),
    )
    assert answer["data"] or name in may_be_empty, "an empty answer shows nothing"


def check(name: str, answer: Any) -> None:
    """Raise where an answer does not fit, or has a key that is not described."""
    schema = {**KNOWN["commands"][name], "$defs": KNOWN["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(answer)
    if name == "schema":
        return  # a schema of schemas would say everything
    described = schema["properties"]["data"] if "properties" in schema and "data" in schema["properties"] else {}
    while "$ref" in described or described.get("type") == "array":
        described = KNOWN["$defs"][described["$ref"].rsplit("/", 1)[-1]] if "$ref" in described else described["items"]
    data = answer["data"]
    row = data[0] if isinstance(data, list) and data else data
    if isinstance(row, dict) and described.get("properties"):
        extra = set(row) - set(described["properties"])
        assert extra <= {"parts_are", "new_and_dropped_are"}, f"{name}: not described: {extra}"


def test_lines_of_a_tail_fit_their_schema(cli: Cli, live: LiveServer) -> None:
    fits = jsonschema.Draft202012Validator(KNOWN["commands"]["tail"])
    lines = [json.loads(line) for line in cli("tail", "--limit", "20").out.splitlines()]
    assert {line["event"] for line in lines} >= {"span", "end"}
    for line in lines:
        fits.validate(line)


def test_a_key_that_goes_or_changes_is_noticed(tmp_path: Path) -> None:
    old, new = json.loads(made()), json.loads(made())
    row = new["$defs"]["Hit"]["properties"]
    row["text"] = row.pop("snippet")
    row["time"] = {"type": "integer"}
    assert schemas.gone(json.dumps(old), json.dumps(new)) == ["Hit.snippet is gone", "Hit.time was string, is integer"]
    row["snippet"], row["time"] = {"type": "string"}, {"type": "string"}
    assert schemas.gone(json.dumps(old), json.dumps(new)) == [], "adding is free"


def test_the_writer_refuses_to_take_a_key_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools import reference

    path = tmp_path / "schemas.json"
    text = made()
    more = json.loads(made())
    more["$defs"]["Hit"]["properties"]["promised"] = {"type": "string"}
    path.write_text(json.dumps(more))
    monkeypatch.setattr(schemas, "FILE", path)
    monkeypatch.setattr(schemas, "made", lambda: text)
    monkeypatch.setattr(reference, "PAGES", {})
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 1
    assert "Hit.promised is gone" in capsys.readouterr().err
    assert reference.main(["--keys-may-go"]) == 0
    assert path.read_text() == made()
