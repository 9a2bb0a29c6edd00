"""A text with its changes, as pieces to be drawn: long stretches that both have are cut to their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilothouse.traces.model import Segment

_END = 240
"""Characters of a common stretch that are shown next to a change."""
_ALL_MAX = 12_000
"""Characters of one text on a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of text as it is drawn."""

    op: str
    """same, a, b, or cut: so many characters left out."""
    text: str
    hidden: int = 0


def pieces(segments: Sequence[Segment]) -> tuple[Piece, ...]:
    """The segments of a text with long common stretches folded."""
    found: list[Piece] = []
    room = _ALL_MAX
    for place, segment in enumerate(segments):
        text = segment.text
        if segment.op == "same" and len(text) > 2 * _END + 80:
            head = text[:_END] if place else ""
            tail = text[-_END:] if place < len(segments) - 1 else ""
            if head:
                found.append(Piece(op="same", text=head))
            found.append(Piece(op="cut", text="", hidden=len(text) - len(head) - len(tail)))
            if tail:
                found.append(Piece(op="same", text=tail))
            room -= len(head) + len(tail)
        else:
            found.append(Piece(op=segment.op, text=text[:room]))
            room -= len(text)
        if room <= 0:
            left = sum(len(later.text) for later in segments[place + 1 :]) - room
            found.append(Piece(op="cut", text="", hidden=max(left, 0)))
            break
    return tuple(piece for piece in found if piece.text or piece.hidden)
