"""A streamed answer: the same comes out as of the whole, however it is cut, and secrets never do."""

from __future__ import annotations

import random

import pytest

from pilothouse.guards import Guard, read_guards
from pilothouse.guards.stream import WINDOW_CHARS, StreamGuard

KEY = "ghp_" + "a1B2" * 9
WORDS = [
    "the",
    "parcel",
    "left",
    "the",
    "depot",
    "in",
    "Hamburg",
    "on",
    "Monday",
    "and",
    "will",
    "be",
    "there",
    "by",
    "noon",
]


def streamed(guard: Guard, text: str, dice: random.Random) -> tuple[str, StreamGuard]:
    stream = StreamGuard(guard)
    out: list[str] = []
    at = 0
    while at < len(text):
        size = dice.randint(1, 40)
        out.append(stream.feed(text[at : at + size]))
        at += size
    out.append(stream.finish())
    return "".join(out), stream


@pytest.mark.parametrize("seed", range(25))
def test_what_comes_out_is_what_the_whole_would_be(seed: int) -> None:
    dice = random.Random(seed)
    guard = Guard(read_guards({"output": ["secrets", "personal"]}))
    words = dice.choices([*WORDS, KEY, "mia@example.com", "4111 1111 1111 1111"], [3] * len(WORDS) + [1, 1, 1], k=250)
    text = " ".join(words)
    whole = guard.check("output", text)
    out, stream = streamed(guard, text, dice)
    assert out == whole.text, seed
    assert KEY not in out
    assert stream.stopped is None


def test_most_of_a_long_answer_goes_on_before_its_end() -> None:
    stream = StreamGuard(Guard())
    text = "All is well. " * 200
    gone = "".join(stream.feed(text[at : at + 20]) for at in range(0, len(text), 20))
    assert len(text) - len(gone) <= WINDOW_CHARS + len("well.")
    assert gone + stream.finish() == text


def test_a_blocked_answer_stops_where_it_is_seen() -> None:
    guard = Guard(read_guards({"output": [{"check": "secrets", "action": "block"}]}))
    text = "Fine so far. " * 40 + KEY + " and more. " * 40
    out, stream = streamed(guard, text, random.Random(1))
    assert stream.stopped is not None
    assert stream.stopped.action == "block"
    assert out and text.startswith(out)
    assert "ghp_" not in out
    assert stream.feed("more") == "" == stream.finish()


def test_checks_of_the_whole_hold_it_until_its_end() -> None:
    schema = {"check": "schema", "schema": {"type": "object", "required": ["total"]}}
    guard = Guard(read_guards({"output": ["secrets", schema]}))
    good, _ = streamed(guard, '{"total": 3}', random.Random(2))
    assert good == '{"total": 3}'
    bad, stream = streamed(guard, '{"sum": 3}' + " " * 600, random.Random(3))
    assert bad == ""
    assert stream.stopped is not None


def test_claims_that_are_only_flagged_do_not_hold_a_stream_up() -> None:
    guard = Guard(read_guards({"output": ["secrets", "grounding"]}))
    text = "The moon is made of green cheese. " * 30
    out, stream = streamed(guard, text, random.Random(4))
    assert out == text
    assert stream.verdict is not None
    assert stream.verdict.action == "flag"


def test_long_tokens_and_keys_of_many_lines_are_not_let_go_in_pieces() -> None:
    lines = "\n".join("a1B2c3D4" * 8 for _ in range(25))
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----"
    token = "eyJ" + "a1B2" * 30 + ".eyJ" + "c3D4" * 300 + "." + "e5F6" * 11
    for seed, secret in enumerate((key, token) * 5):
        out, _ = streamed(Guard(), f"{'So. ' * 100}{secret} {'End. ' * 100}", random.Random(seed))
        assert "a1B2" not in out, seed
        assert "c3D4" not in out, seed
        assert "[masked: " in out
