"""Paths into a value, as jq writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.records import BadRequest, NotFound
from pilothouse.runtime.paths import follow, path_text, read_path

VALUE = {"orders": [{"id": 1, "unit price": 2}, {"id": 3}], "Total": 7, "": {"[0]": "odd"}}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.integers(0, 99), max_size=6))
def test_a_path_is_read_as_it_is_written(path: list[str | int]) -> None:
    assert read_path(path_text(path)) == tuple(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [(".", VALUE), ("", VALUE), (".orders[0].id", 1), ("orders[-1].id", 3), ('.orders[0]["unit price"]', 2),
     ('.[""]["[0]"]', "odd"), ('."Total"', 7)],
)  # fmt: skip
def test_a_path_leads_somewhere(text: str, found: object) -> None:
    assert follow(VALUE, read_path(text)) == found


@pytest.mark.parametrize("text", ["..", "a b", ".[", ".[x]", '.["a]', ".a.", "[1]]", '.["\\x"]'])
def test_what_is_no_path_says_from_where_on(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_path(text)
    assert caught.value.got == text


@pytest.mark.parametrize(
    ("text", "fix"),
    [(".total", ".Total"), (".orders.id", ".orders[0].id"), (".orders[7]", ".orders[1]"), (".Total.x", ".Total"),
     (".order[0]", ".orders")],
)  # fmt: skip
def test_a_wrong_step_names_the_nearest(text: str, fix: str) -> None:
    with pytest.raises(NotFound) as caught:
        follow(VALUE, read_path(text))
    assert caught.value.fix == fix
