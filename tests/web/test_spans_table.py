"""A trace as a table in tree order: whatever the spans say, every span is there once and paging changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.traces.model import Waterfall
from pilothouse.web.spans_table import PICTURE_COLUMNS, chunk, lines, tree_order


def waterfall(parents: list[int], starts: list[float], lengths: list[float]) -> Waterfall:
    total = len(parents)
    return Waterfall(
        trace_id="a" * 32,
        start_time="2026-11-20T14:00:00.000Z",
        duration_ms=max((s + d for s, d in zip(starts, lengths, strict=True)), default=0.0),
        spans=total,
        step=tuple(range(1, 2 * total + 1, 2)),
        span_id=tuple(f"{i:016x}" for i in range(total)),
        parent=tuple(parents),
        depth=(0,) * total,
        kind=tuple(i % 2 for i in range(total)),
        name=tuple(range(total)),
        start_ms=tuple(starts),
        duration=tuple(lengths),
        status=tuple(i % 4 for i in range(total)),
        tokens=(0,) * total,
        cost_usd=(0.0,) * total,
        critical=(0,) * total,
        kinds=("model", "tool"),
        names=tuple(f"name {i}" for i in range(total)),
    )


@st.composite
def waterfalls(draw: st.DrawFn) -> Waterfall:
    """Any parents at all: forests, circles, a span that is its own parent."""
    total = draw(st.integers(0, 40))
    times = st.floats(-10, 1e6, allow_nan=False)
    return waterfall(
        draw(st.lists(st.integers(-1, max(total - 1, 0)), min_size=total, max_size=total)),
        draw(st.lists(times, min_size=total, max_size=total)),
        draw(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=total, max_size=total)),
    )


@given(waterfalls())
def test_every_span_is_there_once(given: Waterfall) -> None:
    """Circles and orphans included."""
    columns = tree_order(given)
    assert sorted(columns.step) == list(given.step)
    assert columns.total == len(given.step)


@given(waterfalls())
def test_a_subtree_is_a_run_of_rows(given: Waterfall) -> None:
    """The rows below a row are deeper than it and directly follow it."""
    columns = tree_order(given)
    for row in range(columns.total):
        end = row + columns.below[row]
        assert end < columns.total
        assert all(columns.depth[i] > columns.depth[row] for i in range(row + 1, end + 1))
        assert end + 1 == columns.total or columns.depth[end + 1] <= columns.depth[row]


@given(waterfalls(), st.integers(1, 7))
def test_chunks_put_together_are_the_whole(given: Waterfall, size: int) -> None:
    """Whatever the size of a page, the same rows with the same names."""
    columns = tree_order(given)
    steps: list[int] = []
    names: list[str] = []
    for after in range(0, columns.total, size):
        part = chunk(columns, after, size)
        steps += part["step"]
        names += [part["names"][i] for i in part["name"]]
    assert steps == list(columns.step)
    assert names == [columns.names[i] for i in columns.name]
    assert [line.step for line in lines(columns, 0, columns.total)] == steps


@given(waterfalls())
def test_the_picture_shows_every_failure(given: Waterfall) -> None:
    """However many spans: a fixed number of columns, and no failure is left out."""
    columns = tree_order(given)
    assert len(columns.busy) == PICTURE_COLUMNS
    assert sum(failed for _, _, failed in columns.busy) == sum(status in (1, 3) for status in given.status)


def test_neighbours_skip_numbers_kept_free() -> None:
    """Numbers are kept free for spans that have not arrived: the next step is the next one that is there."""
    columns = tree_order(waterfall([-1, 0, 0], [0, 1, 2], [5, 1, 1]))
    assert columns.neighbour(1, 1) == 3
    assert columns.neighbour(5, -1) == 3
    assert columns.neighbour(5, 1) is None
    assert columns.neighbour(1, -1) is None


def test_a_deep_trace_is_no_recursion() -> None:
    """Twenty thousand spans, each the child of the one before."""
    total = 20_000
    columns = tree_order(waterfall(list(range(-1, total - 1)), [float(i) for i in range(total)], [1.0] * total))
    assert columns.depth[-1] == total - 1
    assert columns.below[0] == total - 1
