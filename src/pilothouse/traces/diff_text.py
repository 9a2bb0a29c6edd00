"""What changed within a text: by line first, then by word within the lines that changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal

from .model.diff import Segment

CHARS_MAX = 20_000
"""Characters of each text that are compared; both are cut alike."""
_WORDS_MAX = 3_000
_LINES_MAX = 2_000
_ALIKE_MIN = 0.3
"""Lines that have less in common are shown as replaced: crumbs in common say nothing."""
_WORD = re.compile(r"\s+|\w+|[^\w\s]")

Op = Literal["same", "a", "b"]


def text_diff(a: str, b: str) -> tuple[Segment, ...]:
    """The stretches that both texts have, and those that only one has, in order.

    What is same and of ``a`` gives ``a`` again; likewise ``b``. Texts beyond 20,000 characters are cut first.
    """
    a, b = a[:CHARS_MAX], b[:CHARS_MAX]
    if a == b:
        return (Segment(op="same", text=a),) if a else ()
    # Which of two equally good outcomes is found must not depend on the side.
    if a > b:
        return _joined([(_TURNED[segment.op], segment.text) for segment in text_diff(b, a)])
    found: list[tuple[Op, str]] = []
    lines_a, lines_b = a.splitlines(keepends=True), b.splitlines(keepends=True)
    if max(len(lines_a), len(lines_b)) > _LINES_MAX:
        return _joined([("a", a), ("b", b)])
    for op, a0, a1, b0, b1 in SequenceMatcher(None, lines_a, lines_b, autojunk=False).get_opcodes():
        left, right = "".join(lines_a[a0:a1]), "".join(lines_b[b0:b1])
        if op == "equal":
            found.append(("same", left))
        else:
            found += _words(left, right)
    return _joined(found)


_TURNED: dict[Op, Op] = {"same": "same", "a": "b", "b": "a"}


def _words(a: str, b: str) -> list[tuple[Op, str]]:
    words_a, words_b = _WORD.findall(a), _WORD.findall(b)
    if not words_a or not words_b or max(len(words_a), len(words_b)) > _WORDS_MAX:
        return [("a", a), ("b", b)]
    matcher = SequenceMatcher(None, words_a, words_b, autojunk=False)
    if matcher.ratio() < _ALIKE_MIN:
        return [("a", a), ("b", b)]
    found: list[tuple[Op, str]] = []
    for op, a0, a1, b0, b1 in matcher.get_opcodes():
        left, right = "".join(words_a[a0:a1]), "".join(words_b[b0:b1])
        if op == "equal":
            found.append(("same", left))
        else:
            found.append(("a", left))
            found.append(("b", right))
    return found


def _joined(found: Sequence[tuple[Op, str]]) -> tuple[Segment, ...]:
    """Neighbours of one kind as one; of a change what ``a`` has stands before what ``b`` has."""
    joined: list[Segment] = []
    kept: dict[Op, str] = {"same": "", "a": "", "b": ""}

    def close(ops: tuple[Op, ...]) -> None:
        for op in ops:
            if kept[op]:
                joined.append(Segment(op=op, text=kept[op]))
            kept[op] = ""

    for op, text in found:
        if text:
            close(("a", "b") if op == "same" else ("same",))
            kept[op] += text
    close(("same", "a", "b"))
    return tuple(joined)
