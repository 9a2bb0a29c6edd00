"""What counts as the same value, in each mode."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.evals.matching import check_expected, match
from pilothouse.evals.quantities import moment, quantity
from pilothouse.records import BadRequest

SAME = [
    ("2 s", "2000 ms"),
    ("2 s", "0.0333333333333333 min"),
    ("1,000.0", 1e3),
    ("1.000,50 EUR", "€1000.5"),
    ("$5", "5 dollars"),
    ("$5", "500 cents"),
    ("-$5", "-5 USD"),
    ("$1.2 million", "1,200,000 USD"),
    ("5 %", 0.05),
    ("1'000", "1 000"),
    ("5 GB", "5000 MB"),
    ("1 KiB", "1024 bytes"),
    ("29 Nov 2026", "2026-11-29"),
    ("November 29, 2026", "29.11.2026"),
    ("2026-11-29T12:00:00Z", "2026-11-29 13:00:00+01:00"),
    (True, "true"),
    (None, ""),
    (" Hello  World. ", "hello world"),
    ("ﬁne", "FINE"),
    (0.1 + 0.2, 0.3),
]
OTHER = [
    ("2 s", "2 min"),
    ("$5", "5 EUR"),
    ("$5", 5),
    ("007", 7),
    ("1.2.3", "1.23"),
    (12345678901234567890, 12345678901234567891),
    (True, 1),
    ("03/04/2026", "2026-04-03"),
    ("2026-11-29T12:00:00Z", "2026-11-29 12:00:00"),
    ("+49 151 2345678", 491512345678),
    ("1 000 0", 10000),
    ("2026-02-30", "2026-03-02"),
    (0.3, 0.3001),
    (None, 0),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_a_reader_takes_for_the_same_is_the_same(one: Any, other: Any) -> None:
    assert match(one, other) == () == match(other, one)
    assert match(one, other, mode="exact")


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_a_reader_tells_apart_is_not(one: Any, other: Any) -> None:
    assert match(one, other)
    assert match(other, one)


def test_a_mismatch_says_where_and_what() -> None:
    found = match({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [1, {"c": "y"}]}})
    assert [(one.path, one.expected, one.actual) for one in found] == [("a.b[1].c", "x", "y")]


@pytest.mark.parametrize(
    ("mode", "expected", "actual", "same"),
    [
        ("exact", {"a": 1}, {"a": 1.0}, True),
        ("exact", {"a": 1}, {"a": 1, "b": 2}, False),
        ("exact", {"a": None}, {}, False),
        ("exact", "A", "a", False),
        ("subset", {"a": 1}, {"a": 1, "b": 2}, True),
        ("subset", [1, 3], [1, 2, 3], True),
        ("subset", [3, 1], [1, 2, 3], False),
        ("subset", {"a": "2 s"}, {"a": "2000 ms"}, False),
        ("tolerant", {"a": None}, {}, True),
        ("tolerant", {"a": 1}, {"a": "1", "b": 2}, True),
        ("tolerant", [1, 3], [1, 2, 3], False),
    ],
)
def test_modes(mode: Any, expected: Any, actual: Any, same: bool) -> None:
    assert (match(expected, actual, mode=mode) == ()) is same


@pytest.mark.parametrize(
    ("expected", "fits", "does_not"),
    [
        ({"$any": [1, "two"]}, ["two", "1"], [3, None]),
        ({"$set": [1, 2, 2]}, [[2, "1", 2.0], [2, 2, 1, 4]], [[1, 2], [1, 1, 2], "12"]),
        ({"$set": [{"$any": [1, 2]}, 1]}, [[1, 2], [2, 1]], [[2, 2]]),
        ({"$not": {"$contains": "no"}}, ["yes"], ["No!"]),
        ({"$contains": "ab"}, ["xABy", ["c", "ab"]], ["ac", ["abc"]]),
        ({"$matches": r"^\d{3}-\d$"}, ["123-4"], ["1234", None]),
        ({"$number": 10, "within": 0.5}, [10.4, "9.5"], [10.6, "ten", "10 kg"]),
        ({"$number": "10 s", "within_share": "10%"}, ["9,500 ms"], ["8 s", 10]),
        ({"$between": ["1 s", "2 s"]}, ["1500 ms"], ["3 s", 1.5]),
        ({"$type": "number"}, [1, 1.5], ["1", True]),
        ({"$present": True}, [None, 0], []),
        ({"$exact": "A"}, ["A"], ["a"]),
    ],
)
def test_operators(expected: Any, fits: list[Any], does_not: list[Any]) -> None:
    check_expected(expected)
    for value in fits:
        assert match({"v": expected}, {"v": value}) == (), value
    for value in does_not:
        assert match({"v": expected}, {"v": value}), value


def test_what_is_not_there_is_told_from_null() -> None:
    assert match({"a": {"$present": False}}, {}) == ()
    assert match({"a": {"$present": False}}, {"a": None})
    assert match({"a": {"$contains": "x"}}, {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"$nearly": 1},
        {"$any": []},
        {"$any": [1], "more": 2},
        {"$matches": "("},
        {"$between": [2, 1]},
        {"$between": ["1 s", "2 kg"]},
        {"$number": "much"},
        {"$number": 1, "within": -1},
        {"$type": "integer"},
        {"$present": "yes"},
        {"a": {"b": [{"$set": 3}]}},
    ],
)
def test_a_wrong_expectation_is_found_before_anything_runs(wrong: Any) -> None:
    with pytest.raises(BadRequest):
        check_expected(wrong, "arguments")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_everything_is_the_same_as_itself(value: Any) -> None:
    for mode in ("exact", "subset", "tolerant"):
        assert match(value, value, mode=mode) == ()


@given(JSON, JSON)
def test_what_is_the_same_exactly_is_the_same_in_every_mode(one: Any, other: Any) -> None:
    if not match(one, other, mode="exact"):
        assert match(one, other) == () == match(one, other, mode="subset")


@given(st.text(max_size=90))
def test_any_text_is_read_or_left_alone(text: str) -> None:
    found = quantity(text)
    assert found is None or found.number.is_finite()
    moment(text)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["", " ms", " km", " USD", " %"]))
def test_a_number_is_read_back_however_it_is_grouped(number: int, unit: str) -> None:
    plain, grouped = quantity(f"{number}{unit}"), quantity(f"{number:,}{unit}")
    assert plain == grouped
    assert plain is not None
