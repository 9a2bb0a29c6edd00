"""Values as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from pilothouse.web import format as f


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.2, "0.20 ms"),
        (5.44, "5.4 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (59_940, "59.9 s"),
        (59_960, "1m 00s"),
        (125_000, "2m 05s"),
        (11_520_000, "3h 12m"),
        (1e9, "11d 13h"),
    ],
)
def test_durations(ms: float | None, text: str) -> None:
    """Three digits that matter, and no '60 s'."""
    assert f.duration(ms) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "–"),
        ("0", "$0"),
        ("0.000632", "$0.000632"),
        ("0.1", "$0.10"),
        ("12.4", "$12.40"),
        ("0.0372", "$0.0372"),
        ("1234.5", "$1,234"),
        ("0.000000012", "<$0.000001"),
    ],
)
def test_money(usd: str | None, text: str) -> None:
    """Cents where there are cents, small amounts to three digits, unknown is not nothing."""
    assert f.money(None if usd is None else Decimal(usd)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(9_420, "9,420"), (9_999, "9,999"), (18_400, "18.4k"), (999_400, "999k"), (999_600, "1.0M"), (4_600_000, "4.6M")],
)
def test_tokens(number: int, text: str) -> None:
    """Shortened from ten thousand on, without a jump between units."""
    assert f.tokens(number) == text


@given(st.text())
def test_visible_text_is_safe_and_whole(text: str) -> None:
    """Nothing unescaped, nothing hidden, and what is plain stays as it was."""
    shown = str(f.visible(text))
    assert "<script" not in shown
    assert not f._HIDDEN.search(shown)  # pyright: ignore[reportPrivateUsage]
    if not f._HIDDEN.search(text):  # pyright: ignore[reportPrivateUsage]
        assert shown == str(escape(text))


def test_joiners_of_languages_and_emoji_are_left_alone() -> None:
    """A family emoji and Persian text are not riddled with marks."""
    for text in ("👨\u200d👩\u200d👧", "می\u200cخواهم", "❤\ufe0f"):
        assert f.revealed(text) == text


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_moments_keep_their_nanoseconds(ns: int) -> None:
    """ISO text with nine digits comes back exactly."""
    from pilothouse.records import utc

    text = utc(ns // 1_000_000_000 * 1_000_000_000).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 1_000_000_000:09d}Z"
    assert f.moment_ns(text) == ns


def test_a_name_that_repeats_the_agent_says_nothing() -> None:
    assert f.own_name("invoke_agent refunds", "refunds") == f.own_name("refunds", "refunds") == ""
    assert f.own_name("nightly batch", "refunds") == "nightly batch"
    assert f.own_name("invoke_agent refunds", "") == "invoke_agent refunds"
