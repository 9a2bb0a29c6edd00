"""Looking into values that are too large: every tool composes, teaches, and never answers more than its limit."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pilothouse.runtime.data_tools import DataTools
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.query import QueryLimits

SEED = 20261128


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> DataTools:
    return DataTools(store=HandleStore(tmp_path_factory.mktemp("values")))


@pytest.fixture(scope="module")
def orders(tools: DataTools) -> Iterator[str]:
    rows: list[dict[str, Any]] = [
        {
            "id": number,
            "state": "paid" if number % 3 else "card declined",
            "lines": [{"sku": f"s{n}"} for n in range(3)],
        }
        for number in range(2_000)
    ]
    answer = tools.keep(
        {"orders": rows, "total": 2_000, "next page": None, "id": 12_345_678_901_234_567_890}, label="list_orders"
    )
    assert answer.handle is not None
    yield answer.handle.id


def test_what_fits_is_shown_whole_and_what_does_not_gets_an_id(tools: DataTools, orders: str) -> None:
    assert tools.keep({"a": [1, 2]}).text == '{"a": [1, 2]}'
    again = tools.store.get(orders[:10])
    assert again.id == orders and again.label == "list_orders" and again.kind == "json"
    text = tools.keep(tools.store.document(again).value, label="list_orders").text
    assert len(text) <= 10_000 and orders in text and "more, all objects with the same 3 keys" in text
    assert "characters: .orders" in text


def test_the_same_content_is_kept_once(tools: DataTools) -> None:
    first, second = (tools.store.put({"x": "y" * 20_000}) for _ in range(2))
    assert first == second


def test_jq_answers_in_lines_and_keeps_every_digit(tools: DataTools, orders: str) -> None:
    assert tools.jq(orders, ".orders | length").text == "2000"
    assert tools.jq(orders, ".id, .orders[1].state").text == '12345678901234567890\n"paid"'
    assert tools.jq(orders, ".orders[] | select(.id > 5000)").text.startswith("(no results)")
    assert tools.jq(orders, ".total # a comment").text == "2000"


def test_a_result_too_large_is_the_next_value(tools: DataTools, orders: str) -> None:
    found = tools.jq(orders, ".orders[] | {id, state}")
    assert found.handle is not None and "2,000 results, too long to show" in found.text
    assert tools.jq(found.handle.id, 'map(select(.state == "card declined")) | length').text == "667"


@pytest.mark.parametrize(
    ("program", "says"),
    [(".order", "(. has 4 keys and none of that name; there is: orders"), (".orders.id", "Cannot index array"),
     (".orders[] | foo", "foo/0 is not defined"), (".[", "the program is not jq"), ('import "x" as x; .', "syntax error"),
     ("$ENV | length", "0"), ('error("own words")', "own words")],
)  # fmt: skip
def test_a_wrong_program_is_told_what_is_there(tools: DataTools, orders: str, program: str, says: str) -> None:
    assert says in tools.jq(orders, program).text


@pytest.mark.parametrize("program", ["range(1e12)", "[range(1e12)]", "def f: f; f", '[limit(1e9; repeat("x"))] | add'])
def test_a_program_without_end_is_stopped(tools: DataTools, orders: str, program: str) -> None:
    small = replace(tools, limits=QueryLimits(time_s=1.5, memory_bytes=1 << 30, spill_bytes=1 << 20))
    found = small.jq(orders, program)
    assert found.is_error and ("was stopped" in found.text or "were stopped" in found.text or "memory" in found.text)
    assert "try: " in found.text


def test_grep_finds_values_and_keys_by_path(tools: DataTools, orders: str) -> None:
    found = tools.grep_json(orders, "^state: card").text
    assert found.startswith('667 hits\n.orders[0].state  "state: card declined"\n.orders[3].state')
    assert "narrow the pattern" in found and len(found) <= 10_000
    assert '["next page"]' in tools.grep_json(orders, "NEXT PAGE", ignore_case=True).text
    assert "no hit; with ignore_case=true" in tools.grep_json(orders, "NEXT PAGE").text
    assert "the pattern is not understood" in tools.grep_json(orders, "(").text


def test_a_hostile_pattern_ends(tools: DataTools) -> None:
    kept = tools.store.put({"a": "a" * 50_000 + "!"})
    assert "no hit" in tools.grep_json(kept.id, "(a+)+$").text


def test_slices_of_arrays_objects_and_text(tools: DataTools, orders: str) -> None:
    assert tools.slice(orders, ".orders", 1_998, 5).text.startswith('.orders: 1,998 to 2,000 of 2,000\n[{"id": 1998')
    assert '"id": 12345678901234567890' in tools.slice(orders, ".", 3, 1).text
    many = tools.slice(orders, ".orders", 0, 2_000).text
    assert len(many) <= 10_000 and "fit whole: count=" in many
    assert "fix" not in many and tools.slice(orders, ".orders", 5_000).is_error
    text = tools.store.put("\n".join(f"line {number}" for number in range(9_000)))
    assert tools.slice(text.id, ".", 8_998, 10).text == ".: lines 8,998 to 9,000 of 9,000\nline 8998\nline 8999"
    one = tools.store.put("word " * 9_000)
    assert "characters 40,000 to 45,000 of 45,000" in tools.slice(one.id, ".", 40_000).text


def test_schema_says_what_is_where_and_how_often(tools: DataTools, orders: str) -> None:
    lines = tools.schema(orders).text.splitlines()
    assert lines[0] == ".  object, up to 4 members"
    assert any(line.startswith(".orders[].lines[].sku  string x6,000") for line in lines)
    by_id = tools.store.put({"customers": {f"c{number}": {"since": number} for number in range(900)}})
    assert ".customers.<other keys>.since  number x900" in tools.schema(by_id.id).text
    mixed = tools.store.put([{"a": 1}, {"a": "x", "b": None}] * 400)
    told = tools.schema(mixed.id).text
    assert ".[].a  number|string x800" in told and ".[].b  null in 400 of 800" in told


@pytest.mark.parametrize(
    ("value", "kind", "note"),
    [(b'{"a": 1}\n{"a": 2}\n{"a"', "ndjson", "1 of 3 lines are no JSON"), ("id,name,n\n1,x,2\n2,y,3\n", "csv", ""),
     (b'{"a": "\xff"}', "json", "not UTF-8 from byte 7 on"), (b"\x89PNG\x00\x01", "binary", "bytes, not text"),
     ("[" * 100_000 + "]" * 100_000, "text", "nested too deep"), ('{"a": NaN, "a": Infinity}', "json", ""),
     ("\ufeff[1]", "json", ""), (b"\xef\xbb\xbf[1, 2]", "json", ""), ("", "text", ""), ("{broken", "text", "looks like JSON and is not")],
)  # fmt: skip
def test_what_is_odd_is_kept_and_said(tools: DataTools, value: Any, kind: str, note: str) -> None:
    kept = tools.store.put(value)
    assert kept.kind == kind and note in " ".join(kept.notes)
    raw = value if isinstance(value, bytes) else value.encode()
    assert tools.store.path(kept).read_bytes() == raw
    for answer in (tools.jq(kept.id, "."), tools.schema(kept.id), tools.slice(kept.id), tools.grep_json(kept.id, "a")):
        assert 0 < len(answer.text) <= 10_000


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [('id,text,n\n1,"a\nb",2\n3,"c, d ""e""",4\n', "csv",
      [{"id": "1", "text": "a\nb", "n": "2"}, {"id": "3", "text": 'c, d "e"', "n": "4"}]),
     ("\ufeffid;name\r\n1;a\r\n2;b\r\n", "csv", [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]),
     ("a,a,b\n1,2,3\n4,5,6\n", "csv", [{"a": "1", "a_2": "2", "b": "3"}, {"a": "4", "a_2": "5", "b": "6"}]),
     ("Dear Sir, I write, again\nabout the, parcel, now\nthat was, well, late\n", "text", None),
     ("id,name\n1,a\n2,b,c\n3\n", "text", None),
     ('{"a": "x\u2028y"}\r\n\n{"a": 2}\n', "ndjson", [{"a": "x\u2028y"}, {"a": 2}]),
     ('{"a": ' + "9" * 5_000 + ', "b": 9007199254740993}', "json", {"a": "9" * 5_000, "b": 9007199254740993}),
     ({"a": 10**5_000}, "json", {"a": hex(10**5_000)}), ({"a": b"caf\xc3\xa9", "b": b"\xff\x00"}, "json", {"a": "café", "b": "hex:ff00"}),
     ("", "text", ""), (b"", "text", ""), (None, "json", None), ({}, "json", {}), ([], "json", []), (False, "json", False)],
)  # fmt: skip
def test_every_value_is_read_as_what_it_is(tools: DataTools, value: Any, kind: str, read: Any) -> None:
    kept = tools.store.put(value)
    document = tools.store.document(kept)
    assert kept.kind == kind and document.value == (value if kind == "text" and read is None else read)
    # Another process reads the same off the disk.
    again = HandleStore(tools.store.path(kept).parent).document(kept)
    assert again.value == document.value
    for answer in (tools.jq(kept.id, "."), tools.schema(kept.id), tools.slice(kept.id), tools.grep_json(kept.id, "a")):
        assert not answer.is_error and 0 < len(answer.text) <= 10_000


def test_python_values_without_a_bottom_are_kept_and_said(tools: DataTools) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    kept = tools.store.put(deep)
    assert kept.kind == "text" and "nested too deep" in " ".join(kept.notes)
    # Its parts let go of one another one by one: Python's own stack would not hold all at once.
    while deep:
        deep = deep.pop()


class Number:
    """A number as numpy has them."""

    def tolist(self) -> int:
        return 7


@pytest.mark.parametrize("way", ["to_pylist", "to_dicts", "to_dict"])
def test_frames_of_every_library_are_rows(tools: DataTools, way: str) -> None:
    rows = [{"at": datetime(2026, 11, 29, tzinfo=UTC), "n": Number(), "share": float("nan"), "none": None}] * 2

    class Frame:
        columns = ("at", "n", "share", "none")

    setattr(Frame, way, lambda _, **_options: rows)
    text = '{"at": "2026-11-29T00:00:00+00:00", "n": 7, "share": NaN, "none": null}'
    assert tools.keep(Frame()).text == f"[{text}, {text}]"


def test_tables_and_objects_are_rows(tools: DataTools) -> None:
    class Table:
        columns = ("a",)

        def to_dict(self, orient: str) -> list[dict[str, int]]:
            assert orient == "records"
            return [{"a": number} for number in range(3)]

    assert tools.keep(Table()).text == '[{"a": 0}, {"a": 1}, {"a": 2}]'
    inside: list[Any] = []
    inside.append(inside)
    assert "inside itself" in tools.keep(inside).text


def test_no_answer_passes_the_limit(tools: DataTools, orders: str) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    parts = [
        ".",
        ".orders",
        ".orders[]",
        ".[0]",
        "keys",
        "map(.)",
        "..",
        "tojson",
        "length",
        ".id",
        "to_entries",
        "x",
        "(",
        "[..]",
    ]
    for limit in (500, 2_000, 10_000):
        small = replace(tools, chars=limit)
        for _ in range(6):
            program = " | ".join(chance.choices(parts, k=chance.randint(1, 3)))
            for answer in (
                small.jq(orders, program),
                small.grep_json(orders, chance.choice(["", ".", "s1", "[", "declined|paid"])),
                small.slice(
                    orders,
                    chance.choice([".", ".orders", ".orders[3].lines", ".x", "["]),
                    chance.randint(-9, 3_000),
                    chance.randint(-3, 5_000),
                ),
                small.schema(orders, chance.choice([".", ".orders", "nope" * 500])),
                small.jq("data_" + "f" * chance.randint(0, 9_000), program),
            ):
                assert 0 < len(answer.text) <= limit, (limit, program, answer.text[-300:])


def test_a_store_is_found_again_and_pruned(tmp_path: Path) -> None:
    kept = HandleStore(tmp_path).put({"a": "b" * 9_999}, label="t")
    other = HandleStore(tmp_path)
    assert other.get(kept.id) == kept and other.document(kept).value == {"a": "b" * 9_999}
    assert other.prune(3_600) == 0 and other.prune(-1) == 1 and list(other.handles()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_value_changed_on_disk_is_noticed(tmp_path: Path) -> None:
    kept = HandleStore(tmp_path).put({"a": 1})
    (tmp_path / kept.sha256).write_text(json.dumps({"a": 2}))
    answer = DataTools(store=HandleStore(tmp_path)).slice(kept.id)
    assert answer.is_error and "not the one that was kept" in answer.text
