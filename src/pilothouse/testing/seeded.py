"""Repeatable choices that do not depend on the order in which threads ask for them."""

import hashlib
import random
import string

_ALPHABET = string.ascii_letters + string.digits


def seeded(*names: object) -> random.Random:
    """Return a generator fixed by the names, so that parallel conversations never shift each other's values."""
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode("utf-8", "replace")).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - repeatability is the purpose


def identifier(rng: random.Random, length: int = 24) -> str:
    """Return letters and digits in the style of provider identifiers."""
    return "".join(rng.choices(_ALPHABET, k=length))


def fingerprint(text: str) -> str:
    """Return a short stable name for a text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
