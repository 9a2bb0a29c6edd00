"""Statistics against values worked out elsewhere."""

from __future__ import annotations

import pytest

from pilothouse.records.statistics import corrected, fisher, kappa, wilson


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (0, 0, 0.0, 1.0)],
)
def test_wilsons_interval(hits: int, of: int, low: float, high: float) -> None:
    found = wilson(hits, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("table", "p"),
    [((3, 4, 1, 4), 0.485714), ((8, 10, 1, 6), 0.034965), ((0, 5, 0, 9), 1.0), ((5, 5, 0, 5), 0.007937), ((1, 1, 0, 0), 1.0)],
)  # fmt: skip
def test_fishers_test(table: tuple[int, int, int, int], p: float) -> None:
    assert fisher(*table) == pytest.approx(p, abs=1e-6)


def test_more_hits_than_there_are_in_all_are_no_share() -> None:
    with pytest.raises(ValueError, match="6 of 5"):
        fisher(6, 5, 0, 5)


def test_the_correction_for_many_tests() -> None:
    assert corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert corrected([]) == []


def test_kappa() -> None:
    first = ["yes"] * 20 + ["yes"] * 5 + ["no"] * 10 + ["no"] * 15
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(first, second) == pytest.approx(0.4)
    assert kappa(["a", "a"], ["a", "a"]) is None, "chance alone would have them agree"
    assert kappa([], []) is None
    with pytest.raises(ValueError, match="cannot be compared"):
        kappa(["a"], [])
