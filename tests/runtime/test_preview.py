"""What an agent sees of a value that is too large: all structure first, and never more than the budget."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.runtime.preview import LEVELS, preview, size_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=40), inner, max_size=30),
    max_leaves=200,
)


@given(value=VALUES, budget=st.integers(0, 12_000))
@settings(deadline=None, max_examples=150)
def test_no_value_passes_the_budget(value: Any, budget: int) -> None:
    found = preview(value, budget)
    assert len(found.text) <= max(200, budget)
    found.text.encode("utf-8")
    assert found.whole == (found.rule == "whole")


@given(value=VALUES)
@settings(deadline=None, max_examples=100)
def test_what_is_whole_is_the_value_itself(value: Any) -> None:
    found = preview(value, 1_000_000)
    if found.whole and not re.search(r"NaN|Infinity|… integer", found.text):
        assert json.loads(found.text) == json.loads(json.dumps(value))


def test_values_are_cut_and_every_key_and_element_is_shown() -> None:
    found = preview({"rows": [{"id": number, "note": "n" * 150} for number in range(30)], "next": None})
    assert found.rule == LEVELS[0].says and not found.whole
    shown = json.loads(found.text)
    assert [row["id"] for row in shown["rows"]] == list(range(30))
    assert shown["rows"][0]["note"] == "n" * 100 + "…+50" and shown["next"] is None


def test_members_alike_are_told_by_examples_a_count_and_the_keys_only_some_have() -> None:
    rows: list[dict[str, Any]] = [{"id": number, "text": "x" * 90} for number in range(5_000)]
    rows[4_000]["refund"] = True
    found = preview({"rows": rows, "by_id": {f"k{number}": {"a": number} for number in range(3_000)}}, 4_000)
    assert "more, objects; only some have: refund (1)" in found.text
    assert "more, all objects with the same 1 key" in found.text
    shown = json.loads(found.text)["rows"]
    assert f"+ {5_000 - shown[-3]['id'] - 1:,} more" in found.text
    assert shown[-1] == {"…": "keys that only some have", "refund": True}


def test_as_many_members_are_shown_as_fit() -> None:
    rows = [{"id": number, "text": "x" * 30} for number in range(1_000)]
    found = preview(rows, 500)
    (members,) = re.findall(r"the first (\d+) shown", found.rule)
    assert 3 < int(members) < 20 and len(json.loads(found.text)) == int(members) + 1
    assert len(found.text) > 400, "the room is used"


def test_kinds_that_differ_are_counted() -> None:
    found = preview([*range(4_000), *["word"] * 3, None], 500)
    assert "of several kinds: 4,000 number, 3 string, 1 null" in found.text
    assert "numbers from 0 to 9999" in preview(list(range(10_000)), 300).text


def test_what_lies_deep_is_told_by_type_and_size() -> None:
    value: Any = {f"field number {field} of a leaf": "x" * 30 for field in range(11)}
    for level in range(8):
        value = {f"level {level} {side}": value for side in "abcdefgh"}
    found = preview(value, 3_000)
    assert "… object of 8 keys" in found.text and "deeper than" in found.rule


def test_even_the_keys_may_be_too_many() -> None:
    # Fewer than a map has, so each is a name; and each too long.
    found = preview({f"{number} " + "k" * 200: {"x": [1, 2]} for number in range(11)}, 300)
    assert len(found.text) <= 300 and "more keys" in found.text
    assert found.rule == "only the outermost keys and their kinds, as many as fit"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**63, "\ud800", {"\udfff": "\x00"}])
def test_what_is_no_json_is_shown_all_the_same(value: Any) -> None:
    assert preview(value).whole
    preview(value).text.encode("utf-8")


def test_an_integer_that_no_text_holds_is_told_by_its_size() -> None:
    assert preview([10**20_000]).text == '["… integer of 66,439 bits"]'


def test_integers_keep_every_digit() -> None:
    assert preview({"id": 9_007_199_254_740_993, "big": 10**40}).text == f'{{"id": 9007199254740993, "big": {10**40}}}'


def test_a_value_is_told_by_its_size() -> None:
    assert size_text({"a": 1}) == "object of 1 key"
    assert size_text([0] * 3_000) == "array of 3,000"
    assert size_text("x" * 48_211) == "string of 48,211 characters"
    assert size_text(None) == "null" and size_text(True) == "boolean"
