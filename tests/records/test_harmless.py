"""Recorded content is made harmless once for every surface: nothing moves, hides or reorders, and nothing else is lost."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.records import Fence, clean, visible

JOINERS = "\u200c\u200d\ufe0e\ufe0f"


def is_hidden(text: str, place: int) -> bool:
    """Whether a character draws nothing, by Unicode's own word; joiners are let off behind what is no ASCII."""
    character = text[place]
    if character in "\n\t":
        return False
    if character in JOINERS:
        return place == 0 or text[place - 1].isascii()
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


HOSTILE = st.text(
    st.one_of(
        st.sampled_from("\x1b[]8;;\x07\\\x9b\x9c\x9d0mHab \n\r\t\u202e\u2066\u200b\u200d\ufe0f\U000e0041é😀\ud800"),
        st.characters(),
    ),
    max_size=60,
)


@given(HOSTILE)
def test_nothing_hidden_is_left(text: str) -> None:
    cleaned = clean(text)
    assert [
        ascii(cleaned[i]) for i in range(len(cleaned)) if is_hidden(cleaned, i) and not _letter_of_format(cleaned[i])
    ] == []
    cleaned.encode()


def _letter_of_format(character: str) -> bool:
    # Signs that stand before numbers, musical and shorthand marks: of category Cf, but they are drawn.
    return character in "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd" or (
        "\U00013430" <= character <= "\U0001345f" or "\U0001bca0" <= character <= "\U0001bca3"
    )


@given(HOSTILE)
def test_json_keeps_its_value_and_shows_it(text: str) -> None:
    written = visible(json.dumps(text, ensure_ascii=False))
    assert json.loads(written) == text
    written.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]8;;http://x\x07link\x1b]8;;\x07b", "alinkb"),
        ("a\x1b]52;c;aGk=\x1b\\b", "ab"),
        ("\x1b[2J\x1b[31mred\x9b0m", "red"),
        # What does not end takes nothing with it.
        ("\x1b]0;no end\nnext line", "0;no end\nnext line"),
        ("x\x1b\ny", "x\ny"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("rm\u202e gpj.exe", "rm gpj.exe"),
        ("pa\u200dss\u200bword\ufe0f", "password"),
        ("half \ud83d", "half \ufffd"),
    ],
)
def test_what_acts_goes_and_what_is_said_stays(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize("text", ["👨‍👩‍👧", "❤️‍🔥", "می‌خواهم", "क्‍ष", "plain\ttext\n"])
def test_languages_and_emoji_stay_whole(text: str) -> None:
    assert clean(text) == text
    assert visible(text) == text


def test_content_cannot_close_its_fence() -> None:
    fence = Fence()
    assert Fence().marker != fence.marker
    body = fence.around("«x\nx»\n```\n# heading")
    assert body.startswith(f"«{fence.marker}\n")
    assert body.endswith(f"\n{fence.marker}»")
    assert body.count(fence.marker) == 2
