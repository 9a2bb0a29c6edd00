"""Labels that fit their box, without asking a browser: widths are estimated, rather too wide than too narrow."""

from __future__ import annotations

import unicodedata

from .format import revealed

TITLE_SIZE = 13.2
"""Pixels of a graph's labels: twelve, and a tenth more because they are bold."""
SUB_SIZE = 11
"""Pixels of the line below."""

# In ems, of the widest of the usual sans serifs (DejaVu Sans).
_SHARES = {
    **dict.fromkeys("ijl", 0.28),
    **dict.fromkeys(" .,:;'|!·I/\\", 0.34),
    **dict.fromkeys('ftr-()[]{}"', 0.42),
    **dict.fromkeys("mMW@%—…", 1.0),
    **dict.fromkeys("wOQ+=<>~", 0.84),
}


def width(text: str, size: float) -> float:
    """About how wide a text is in pixels, set in a sans serif of this size."""
    return sum(_share(character) for character in text) * size


def cut(text: str, room: float, size: float) -> str:
    """A text on one line, cut with an ellipsis where it would be wider than its room; hidden characters spelled out."""
    plain = revealed(" ".join(text[:400].split()))
    if width(plain, size) <= room:
        return plain
    left = room - width("…", size)
    kept: list[str] = []
    for character in plain:
        left -= _share(character) * size
        if left < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def _share(character: str) -> float:
    if character in _SHARES:
        return _SHARES[character]
    if character.isascii():
        return 0.74 if character.isupper() else 0.635
    if unicodedata.combining(character):
        return 0.0
    return 1.1 if unicodedata.east_asian_width(character) in "WF" else 0.85
