"""The interval around a median, and what the fault point does to a tool."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.sdk.tool_probe import ANY_TOOL, FAIL_VARIABLE, FILE_VARIABLE, InjectedFault, probed
from pilothouse.sdk.verify_cost import median_interval


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_interval_holds_the_median(values: list[float]) -> None:
    found = median_interval(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)


def test_the_interval_is_right_in_nineteen_of_twenty_samples() -> None:
    chance = random.Random(4)
    for size in (6, 9, 20):
        held = 0
        for _ in range(2_000):
            found = median_interval([chance.lognormvariate(0, 1) for _ in range(size)])
            held += found.low <= 1.0 <= found.high
        assert held / 2_000 >= 0.94, size


def test_more_values_give_a_narrower_interval() -> None:
    chance = random.Random(4)
    widths = []
    for size in (6, 20, 80):
        found = [median_interval([chance.gauss(0, 1) for _ in range(size)]) for _ in range(200)]
        widths.append(statistics.median(one.high - one.low for one in found))
    assert widths == sorted(widths, reverse=True)


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tools.jsonl"
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    monkeypatch.setenv(FAIL_VARIABLE, ANY_TOOL)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_without_verify_a_tool_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)

    def tool() -> int:
        return 1

    assert probed(tool, "tool") is tool


def test_the_first_call_fails_and_the_others_are_counted(probe: Path) -> None:
    done: list[str] = []
    first, second = probed(done.append, "first"), probed(done.append, "second")
    with pytest.raises(InjectedFault):
        first("a")
    first("b")
    second("c")
    assert done == ["b", "c"]
    assert [(line["tool"], line["injected"], line["raised"]) for line in lines(probe)] == [
        ("first", True, "InjectedFault"),
        ("first", False, ""),
        ("second", False, ""),
    ]


def test_every_shape_of_a_tool_can_fail_and_keeps_its_shape(probe: Path) -> None:
    async def later(value: int) -> int:
        return value

    def pieces(value: int) -> Any:
        yield value
        return value + 1

    async def flow(value: int) -> Any:
        yield value

    async def drained(items: Any) -> list[int]:
        return [item async for item in items]

    later_, pieces_, flow_ = probed(later, "later"), probed(pieces, "pieces"), probed(flow, "flow")
    with pytest.raises(InjectedFault):
        asyncio.run(later_(1))
    assert asyncio.run(later_(1)) == 1
    assert list(pieces_(2)) == [2]
    assert asyncio.run(drained(flow_(3))) == [3]
    assert [line["tool"] for line in lines(probe)] == ["later", "later", "pieces", "flow"]


def test_a_named_tool_fails_and_no_other(probe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAIL_VARIABLE, "sail")
    assert probed(lambda: 1, "row")() == 1
    with pytest.raises(InjectedFault):
        probed(lambda: 1, "sail")()
    with pytest.raises(KeyError):
        probed(lambda: {}["x"], "row")()
    assert [line["raised"] for line in lines(probe)] == ["", "InjectedFault", "KeyError"]
