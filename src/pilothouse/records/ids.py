"""Identifiers: sortable, unguessable where they must be, short where people type them."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """A sortable id such as ``ses_06b8q2m4c1v7x9zt``: 50 bits of milliseconds, then 50 random bits."""
    value = (int(time.time() * 1000) << 50) | secrets.randbits(50)
    digits: list[str] = []
    for _ in range(20):
        digits.append(_ALPHABET[value & 31])
        value >>= 5
    return f"{prefix}_{''.join(reversed(digits))}"


def new_secret(prefix: str) -> str:
    """A secret of 200 random bits, such as an API key: ``ph_…``."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(40))}"


def is_hex(text: str, digits: int) -> bool:
    """True where ``text`` is that many lower-case hex digits and not all zero."""
    return len(text) == digits and text.strip("0123456789abcdef") == "" and text.strip("0") != ""
