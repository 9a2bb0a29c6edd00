"""Masking: what must go goes, what merely looks like it stays, and no text can make it slow."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.guards import Masker, masker
from pilothouse.guards.patterns import iban, luhn
from pilothouse.records import BadRequest, Part, message

ALL = masker(("secrets", "personal"))
A = "a1B2c3D4e5"

HITS = [
    ("sk-" + A * 3, "openai key"),
    ("sk-proj-" + A * 5, "openai key"),
    ("AKIA" + "ABCDEFGHIJKLMNOP", "aws key id"),
    ("ghp_" + A * 4, "github token"),
    ("glpat-" + A * 2, "gitlab token"),
    ("AIza" + A * 3 + "abcde", "google key"),
    ("xoxb-" + A * 2, "slack token"),
    ("sk_live_" + A * 3, "stripe key"),
    ("ph_" + "a1b2c3d4e5" * 4, "pilothouse key"),
    ("eyJ" + A + "." + "eyJ" + A + "." + A, "json web token"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\n-----END RSA PRIVATE KEY-----", "private key"),
    ("postgres://bob:hunter2hunter2@", "password in a URL"),
    ("bob.smith+tag@mail.example.co.uk", "email"),
    ("4111 1111 1111 1111", "payment card"),
    ("GB82 WEST 1234 5698 7654 32", "iban"),
    ("123-45-6789", "us social security number"),
    ("+49 30 1234567", "phone"),
]
MISSES = [
    "4111 1111 1111 1112",
    "GB82 WEST 1234 5698 7654 33",
    "000-45-6789",
    "order 4411 of 2026-11-20, 17 items at 12.50",
    "sk-short",
    "see https://example.com/a@b",
    "version 1.2.3-rc.1+build.5",
]


@pytest.mark.parametrize(("text", "name"), HITS)
def test_what_must_go_goes(text: str, name: str) -> None:
    masked = ALL.mask(f"before {text} after")
    assert text not in masked
    assert f"[masked: {name}]" in masked
    assert masked.startswith("before ")


@pytest.mark.parametrize("text", MISSES)
def test_what_merely_looks_like_it_stays(text: str) -> None:
    assert ALL.mask(text) == text


@given(st.text(max_size=300))
def test_any_text_can_be_masked_and_masking_again_changes_nothing(text: str) -> None:
    once = ALL.mask(text)
    assert ALL.mask(once) == once


def test_messages_are_masked_in_every_part_and_keep_their_identity() -> None:
    secret = HITS[0][0]
    item = message(
        "assistant",
        (
            Part(type="text", text=secret),
            Part(type="tool_call", name="t", arguments={"deep": [{"key": secret}]}),
            Part(type="other", extra={"x": secret}),
        ),
    )
    masked = ALL.mask_message(item)
    assert secret not in repr(masked)
    assert masked.hash == item.hash


def test_a_text_made_to_be_slow_is_not() -> None:
    text = "a@" * 200_000 + "4" * 200_000 + "eyJ" * 100_000
    assert ALL.mask(text)


def test_own_rules_and_unknown_groups() -> None:
    assert masker((), {"order": r"ORD-[0-9]{6}"}).mask("see ORD-123456") == "see [masked: order]"
    with pytest.raises(BadRequest) as raised:
        masker(("passwords",))
    assert raised.value.allowed == ["secrets", "personal"]
    with pytest.raises(BadRequest, match="broken"):
        masker((), {"broken": "("})


def test_without_the_re2_wheel_the_rules_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "re2":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    plain = masker(("secrets", "personal"))
    for text, name in HITS:
        assert f"[masked: {name}]" in plain.mask(f"before {text} after")
    for text in MISSES:
        assert plain.mask(text) == text


def test_no_rules_cost_nothing() -> None:
    assert Masker().mask("x" * 100) == "x" * 100


@pytest.mark.parametrize(
    ("digits", "good"), [("4111111111111111", True), ("4111111111111112", False), ("0" * 16, False), ("12", False)]
)
def test_luhn(digits: str, good: bool) -> None:
    assert luhn(digits) is good


@pytest.mark.parametrize(
    ("text", "good"), [("DE89370400440532013000", True), ("DE89370400440532013001", False), ("DE89", False)]
)
def test_iban(text: str, good: bool) -> None:
    assert iban(text) is good
