"""Loops are folded, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from pilothouse.traces.model import TranscriptStep
from pilothouse.web.repeats import TIMES_MIN, folded

from .conftest import LOOPING
from .markup import Markup
from .sample import NOW_NS, looping
from .sample_reader import SampleReader

SCENE = looping(NOW_NS)
STEPS = SampleReader((SCENE,)).transcript(SCENE.trace_id, after_step=0, limit=100).steps


def made(words: list[int]) -> list[TranscriptStep]:
    """Steps that are equal where the numbers are."""
    return [replace(STEPS[2], input_value=str(word)) for word in words]


@given(st.lists(st.integers(0, 2), max_size=60))
def test_every_step_stays_in_order(words: list[int]) -> None:
    """Whatever repeats, all steps are there, and a fold only repeats the pattern just above it."""
    steps = made(words)
    stretches = folded(steps)
    assert [s for stretch in stretches for s in stretch.steps] == steps
    for above, fold in pairwise(stretches):
        if fold.period:
            pattern = above.steps[-fold.period :]
            assert list(fold.steps) == list(pattern) * fold.times
            assert fold.times >= TIMES_MIN - 1


def test_different_arguments_are_not_folded() -> None:
    """A tool called with other arguments each time is work, not a loop."""
    assert len(folded(made([1, 2, 3, 4, 5, 6]))) == 1


def test_a_loop_is_read_once(full: TestClient) -> None:
    """The sample's loop of nine rounds: one round, and that eight more came."""
    text = Markup.read(full.get(f"/traces/{LOOPING}").text).text
    assert "the same 2 steps 7 more times" in text or "the same 2 steps 8 more times" in text
