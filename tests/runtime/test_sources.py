"""``data://``: what is recorded is looked into without being held, and what is too large says what would do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilothouse.records import BadRequest
from pilothouse.runtime import source_tools
from pilothouse.runtime.data_tools import DataTools
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.source_tools import SourceTools
from pilothouse.runtime.sources import read_source

from .rows import MadeRows

TRACES = "data://traces?since=30d"


def row(number: int) -> dict[str, Any]:
    return {"trace_id": f"{number:032x}", "status": "error" if number % 1_000 == 7 else "ok", "spans": number % 9}


def tools(folder: Path, rows: MadeRows | None) -> SourceTools:
    return SourceTools(data=DataTools(store=HandleStore(folder)), rows=rows)


def test_addresses_are_read() -> None:
    found = read_source('data://traces?filter=status:error agent:"a b"&since=24h&sort=')
    assert (found.kind, found.params) == ("traces", {"filter": 'status:error agent:"a b"', "since": "24h"})
    assert read_source("data://traces?filter=cost%3E0.1").params == {"filter": "cost>0.1"}
    session = read_source("data://session/chat%201/x")
    assert session.params["filter"] == 'session:"chat 1/x"' and session.params["content"] == "true"
    assert read_source("data://groups?by=attr.experiment,version").params == {"by": "attr.experiment,version"}


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("data://trace", "data://traces?"),
        ("data://traces/5", "no such selection"),
        ("data://traces?filtre=x", "filter"),
        ("data://groups?since=1d", "group by"),
        ("data://" + "x" * 9_000, "no such selection"),
        ("data://traces?" + "&".join(f"a{n}=1" for n in range(50)), "too many"),
    ],
)
def test_a_wrong_address_says_which_there_are(tmp_path: Path, uri: str, says: str) -> None:
    with pytest.raises(BadRequest):
        read_source(uri)
    answer = tools(tmp_path, MadeRows(1, row)).jq(uri, ".")
    assert answer.is_error and says in answer.text and len(answer.text) < 2_000


def test_a_small_selection_is_a_value_and_its_id_keeps_it(tmp_path: Path) -> None:
    rows = MadeRows(1_200, row)
    looking = tools(tmp_path, rows)
    answer = looking.jq(TRACES, 'map(select(.status == "error")) | length')
    assert answer.text.startswith("2\n(1,200 rows, read ")
    asked = len(rows.asked)
    assert looking.jq(TRACES, ".[1007].status").text.startswith('"error"')
    assert len(rows.asked) == asked
    id = next(word.strip(")") for word in answer.text.split() if word.startswith("data_"))
    assert looking.jq(id, "length").text == "1200"
    assert looking.grep_json(TRACES, "err").text.startswith("2 hits")
    assert "status" in looking.schema(TRACES).text
    assert json.loads(looking.slice(TRACES, ".[3].spans").text.splitlines()[0]) == 3
    assert "has 3 keys" in looking.slice(TRACES, ".[0].stats").text


def test_a_large_selection_streams_and_is_never_held(tmp_path: Path) -> None:
    rows = MadeRows(20_000, row)
    looking = tools(tmp_path, rows)
    found = looking.jq(TRACES, '.[] | select(.status == "error") | .spans')
    lines = found.text.splitlines()
    assert len(lines) == 21 and lines[-1] == "(20,000 rows of 20,000 traces read)"
    assert lines[:20] == [str(number % 9) for number in range(7, 20_000, 1_000)]
    counted = looking.jq(TRACES, "[.[] | select(.spans > 3)] | length")
    assert counted.text.splitlines()[0] == str(sum(number % 9 > 3 for number in range(20_000)))
    assert looking.jq(TRACES, "length").text == "20000"
    hits = looking.grep_json(TRACES, "^status: error$")
    assert hits.text.startswith("20 hits in 20,000 rows of 20,000 traces\n.[7].status")
    assert list(tmp_path.iterdir()) == []
    # Too many results for an answer are kept.
    kept = looking.jq(TRACES, ".[] | .trace_id")
    assert kept.handle is not None and "kept as" in kept.text and len(kept.text) <= 10_000
    assert looking.jq(kept.handle.id, "length").text == "20000"


def test_what_must_be_held_and_is_too_large_says_sizes_and_what_would_do(tmp_path: Path) -> None:
    looking = tools(tmp_path, MadeRows(3_000_000, row))
    answer = looking.jq("data://traces?filter=agent:x&since=90d", "group_by(.status) | map(length)")
    assert answer.is_error and "3,000,000 traces" in answer.text and "50,000 rows or 32 MB" in answer.text
    for remedy in ("data://groups?by=agent&filter=agent:x&since=90d", ".[] | …", "SQL"):
        assert remedy in answer.text
    wide = tools(tmp_path, MadeRows(3_000, lambda number: {"text": "x" * 4_000}))
    wide = replace(wide, bytes_held_max=2 << 20)
    assert "the first 1,000 rows have 4.0 MB" in wide.jq(TRACES, "group_by(.text)").text


def test_a_part_is_read_only_as_far_as_it_lies(tmp_path: Path) -> None:
    rows = MadeRows(3_000_000, row)
    looking = tools(tmp_path, rows)
    answer = looking.slice(TRACES, ".", 700, 2)
    assert "rows 700 to 702, of 3,000,000 traces" in answer.text and f"{701:032x}" in answer.text
    assert len(rows.asked) == 2
    assert "the first 2,000 rows, of 3,000,000 traces" in looking.schema(TRACES).text
    assert len(rows.asked) == 6
    assert looking.slice(TRACES, ".", 5_000_000).is_error


def test_a_stream_ends_at_its_time_and_says_how_far_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_tools, "STREAM_TIME_S", 0.2)
    answer = tools(tmp_path, MadeRows(10**9, row)).jq(TRACES, "[.[] | .spans] | length")
    assert answer.is_error and "there are more: 1,000,000,000 traces" in answer.text and "data://groups" in answer.text


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (".[] | .spans | error", "jq stopped"),
        (".[] | .spans.x", "jq stopped"),
        (".[] | )(", "not understood"),
        (".[] | .trace_id) , (.spans", "not understood"),
        ('.[] | import "a" as a; .', "not understood"),
    ],
)
def test_a_program_that_fails_is_told_so(tmp_path: Path, program: str, says: str) -> None:
    answer = tools(tmp_path, MadeRows(5_000, row)).jq(TRACES, program)
    assert answer.is_error and says in answer.text, answer.text


def test_an_assignment_is_not_taken_for_a_pipe(tmp_path: Path) -> None:
    looking = tools(tmp_path, MadeRows(2_500, row))
    assert looking.jq(TRACES, ".[] |= .spans | add").text.splitlines()[0] == str(sum(n % 9 for n in range(2_500)))


def test_what_the_server_refuses_in_the_middle_is_passed_on(tmp_path: Path) -> None:
    answer = tools(tmp_path, MadeRows(5_000, row, breaks_at=3)).jq(TRACES, ".[] | .spans")
    assert answer.is_error and "agnt:x" in answer.text and "try: agent:x" in answer.text


def test_without_a_server_it_is_said(tmp_path: Path) -> None:
    assert "no server is known" in tools(tmp_path, None).jq(TRACES, ".").text


def test_nothing_is_longer_than_the_limit(tmp_path: Path) -> None:
    rows = MadeRows(2_400, lambda number: {f"k{number % 400}": "y" * 300, "id": number})
    looking = tools(tmp_path, rows)
    uri = "data://spans?filter=" + "z" * 3_000
    answers = [
        looking.jq(uri, "."),
        looking.jq(uri, ".[] | ."),
        looking.jq(uri, ".[] | " + "x" * 20_000),
        looking.grep_json(uri, "y"),
        looking.slice(uri, ".", 0, 2_000),
        looking.schema(uri),
        looking.keep(uri),
        looking.jq("data://groups?by=" + "q" * 5_000, "group_by(.k1)"),
    ]
    assert [len(one.text) for one in answers if len(one.text) > 10_000] == []
