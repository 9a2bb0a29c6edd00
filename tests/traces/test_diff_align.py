"""Alignment and text diffs on random input: each place once, mirrored by exchanging sides, equal where nothing differs."""

from __future__ import annotations

import random
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.traces.diff_align import Alignment, Pair, align
from pilothouse.traces.diff_text import text_diff

keys = st.lists(st.sampled_from("abcdefgh"), max_size=40)


def alike(a: list[str], b: list[str]):
    """Equal, of one half of the alphabet, or not alike."""
    return lambda i, j: 16 if a[i] == b[j] else 5 if (a[i] < "d") == (b[j] < "d") else 0


def covers(found: Alignment, a: list[str], b: list[str]) -> bool:
    left, right = [p.a for p in found.pairs if p.a is not None], [p.b for p in found.pairs if p.b is not None]
    return left == list(range(len(a))) and right == list(range(len(b))) and Pair(None, None) not in found.pairs


@settings(max_examples=400, deadline=None)
@given(keys, keys)
def test_each_place_is_aligned_once_in_order(a: list[str], b: list[str]) -> None:
    found = align(a, b, alike(a, b))
    assert covers(found, a, b) and found.exact
    assert all(alike(a, b)(p.a, p.b) > 0 for p in found.pairs if p.a is not None and p.b is not None)


@settings(max_examples=400, deadline=None)
@given(keys, keys)
def test_exchanged_sides_give_the_mirror_image(a: list[str], b: list[str]) -> None:
    forth, back = align(a, b, alike(a, b)), align(b, a, alike(b, a))
    assert tuple(Pair(p.b, p.a) for p in back.pairs) == forth.pairs


@settings(max_examples=200, deadline=None)
@given(keys)
def test_a_sequence_is_aligned_with_itself_place_by_place(a: list[str]) -> None:
    assert align(a, a, alike(a, a)).pairs == tuple(Pair(place, place) for place in range(len(a)))


@settings(max_examples=300, deadline=None)
@given(keys, st.data())
def test_a_step_put_in_is_the_only_one_without_partner(a: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(a)))
    found = align(a, [*a[:at], "new", *a[at:]], lambda i, j: 16 if [*a[:at], "new", *a[at:]][j] == a[i] else 0)
    assert [p for p in found.pairs if p.a is None or p.b is None] == [Pair(None, at)]


def test_long_sequences_are_aligned_within_bounds() -> None:
    """Loops, noise, and nothing in common, 5,000 steps each: every place once, and honest about what was not tried."""
    seed = 11
    rnd = random.Random(seed)
    loop = ["call", "look"] * 2_500
    noise = [rnd.choice(string.ascii_lowercase) for _ in range(5_000)]
    other = [rnd.choice(string.ascii_lowercase) for _ in range(5_000)]
    strange = [str(number) for number in range(5_000)]
    stranger = [f"x{number}" for number in range(5_000)]
    for a, b, exact in (
        (loop, [*loop[:4000], "stop"], True),
        (noise, [*noise[:2_500], "z" * 5, *noise[2_500:]], True),
        (noise, other, None),
        (strange, stranger, False),
    ):
        calls = 0

        def counted(i: int, j: int, a: list[str] = a, b: list[str] = b) -> int:
            nonlocal calls
            calls += 1
            return 16 if a[i] == b[j] else 1

        found = align(a, b, counted)
        assert covers(found, a, b), seed
        assert exact is None or found.exact == exact, seed
        assert calls < 3_000_000, "as many as a table of five thousand by five thousand would need eight times over"


@settings(max_examples=300, deadline=None)
@given(st.text(string.ascii_letters + " \n.", max_size=300), st.text(string.ascii_letters + " \n.", max_size=300))
def test_a_text_diff_gives_both_texts_again(a: str, b: str) -> None:
    segments = text_diff(a, b)
    assert "".join(s.text for s in segments if s.op != "b") == a
    assert "".join(s.text for s in segments if s.op != "a") == b
    mirrored = text_diff(b, a)
    assert [(s.op, s.text) for s in mirrored if s.op == "same"] == [(s.op, s.text) for s in segments if s.op == "same"]
    assert all(s.op == "same" for s in text_diff(a, a))


def test_a_changed_word_stands_alone() -> None:
    segments = text_diff("the card was declined twice\nand refunded", "the card was accepted twice\nand refunded")
    assert [(s.op, s.text) for s in segments] == [
        ("same", "the card was "),
        ("a", "declined"),
        ("b", "accepted"),
        ("same", " twice\nand refunded"),
    ]
