"""Aligning two sequences of steps: equal ones first, then those most alike. Plain functions of numbers.

Patience first: steps that are unique on both sides are fixed points, and so are unique runs of two, four and eight steps
where single ones repeat. What lies between is aligned by dynamic programming, whole where it is small and along a band
where it is large, so that the work grows with the length and not with its square.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

CELLS_MAX = 250_000
"""Cells of one table; what is larger is aligned along a band of so many."""
CELLS_TOTAL = 2_000_000
"""Cells of all tables of one alignment; beyond it bands get narrow."""
_BAND_MIN = 8
_RUNS = (1, 2, 4, 8)


class Pair(NamedTuple):
    """Places in the two sequences; None where one has nothing to set against the other."""

    a: int | None
    b: int | None


class Alignment(NamedTuple):
    """Every place of both sequences once, in order."""

    pairs: tuple[Pair, ...]
    exact: bool
    """False where a band was too narrow to be sure that nothing better exists."""


Alike = Callable[[int, int], int]
"""How much two places are alike; 0 or less: they are not set against each other."""


def align(a: Sequence[str], b: Sequence[str], alike: Alike) -> Alignment:
    """Align by equal keys, then by likeness. The outcome of ``(b, a)`` is that of ``(a, b)`` with sides exchanged."""
    # Ties are broken by side: whichever sequence comes first by content is always the left one.
    if (len(a), tuple(a)) > (len(b), tuple(b)):
        turned = align(b, a, lambda i, j: alike(j, i))
        return Alignment(tuple(Pair(pair.b, pair.a) for pair in turned.pairs), turned.exact)
    worker = _Aligner(a, b, alike)
    worker.between(0, len(a), 0, len(b))
    return Alignment(tuple(worker.pairs), worker.exact)


class _Aligner:
    def __init__(self, a: Sequence[str], b: Sequence[str], alike: Alike) -> None:
        numbers: dict[str, int] = {}
        self.a = [numbers.setdefault(key, len(numbers)) for key in a]
        self.b = [numbers.setdefault(key, len(numbers)) for key in b]
        self.alike = alike
        self.pairs: list[Pair] = []
        self.exact = True
        self.cells = CELLS_TOTAL

    def between(self, a0: int, a1: int, b0: int, b1: int) -> None:
        """Align one stretch of both. A stack of our own: anchors may nest deeper than Python's."""
        stack = [(a0, a1, b0, b1, False)]
        while stack:
            a0, a1, b0, b1, equal = stack.pop()
            if equal:
                self.pairs += [Pair(a0 + place, b0 + place) for place in range(a1 - a0)]
                continue
            parts = self._split(a0, a1, b0, b1)
            if parts is None:
                self._table(a0, a1, b0, b1)
            else:
                stack.extend(reversed(parts))

    def _split(self, a0: int, a1: int, b0: int, b1: int) -> list[tuple[int, int, int, int, bool]] | None:
        """The stretch as equal and unequal parts; None where nothing in it is certain."""
        a, b = self.a, self.b
        head = 0
        while a0 + head < a1 and b0 + head < b1 and a[a0 + head] == b[b0 + head]:
            head += 1
        tail = 0
        while a1 - tail > a0 + head and b1 - tail > b0 + head and a[a1 - tail - 1] == b[b1 - tail - 1]:
            tail += 1
        if head or tail:
            parts = [
                (a0, a0 + head, b0, b0 + head, True),
                (a0 + head, a1 - tail, b0 + head, b1 - tail, False),
                (a1 - tail, a1, b1 - tail, b1, True),
            ]
            return [part for part in parts if part[1] > part[0] or part[3] > part[2]]
        if a0 == a1 or b0 == b1:
            return None
        for run in _RUNS:
            anchors = self._anchors(a0, a1, b0, b1, run)
            if anchors:
                return _around(anchors, run, a0, a1, b0, b1)
        return None

    def _anchors(self, a0: int, a1: int, b0: int, b1: int, run: int) -> list[tuple[int, int]]:
        """Runs of steps unique on both sides, as many of them as stand in the same order."""
        in_a, in_b = _unique(self.a, a0, a1, run), _unique(self.b, b0, b1, run)
        common = [(place, in_b[key]) for key, place in in_a.items() if place >= 0 and in_b.get(key, -1) >= 0]
        common.sort()
        tops: list[int] = []
        last: list[int] = []
        before = [-1] * len(common)
        for index, (_, place) in enumerate(common):
            at = bisect_left(tops, place)
            before[index] = last[at - 1] if at else -1
            if at == len(tops):
                tops.append(place)
                last.append(index)
            else:
                tops[at], last[at] = place, index
        chain: list[tuple[int, int]] = []
        index = last[-1] if last else -1
        while index >= 0:
            chain.append(common[index])
            index = before[index]
        return chain[::-1]

    def _table(self, a0: int, a1: int, b0: int, b1: int) -> None:
        """Align a stretch without certain points by how much its steps are alike."""
        n, m = a1 - a0, b1 - b0
        if not n or not m:
            self.pairs += [Pair(a0 + i, None) for i in range(n)]
            self.pairs += [Pair(None, b0 + j) for j in range(m)]
            return
        room = min(CELLS_MAX, max(self.cells, 0))
        half = m if n * m <= room else max(_BAND_MIN, room // (2 * n), m // n + 1)
        if half < m:
            self.exact = False
        lows = [max(0, min(m, i * m // n - half)) for i in range(n + 1)]
        highs = [min(m, i * m // n + half) for i in range(n + 1)]
        self.cells -= sum(high - low + 1 for low, high in zip(lows, highs, strict=True))
        ways = self._fill(a0, b0, n, lows, highs)
        found: list[Pair] = []
        i, j = n, m
        while i or j:
            way = ways[i][j - lows[i]]
            if way == 0:
                i, j = i - 1, j - 1
                found.append(Pair(a0 + i, b0 + j))
            elif way == 1:
                i -= 1
                found.append(Pair(a0 + i, None))
            else:
                j -= 1
                found.append(Pair(None, b0 + j))
        self.pairs += reversed(found)

    def _fill(self, a0: int, b0: int, n: int, lows: list[int], highs: list[int]) -> list[bytearray]:
        """For each cell where the best way to it comes from: 0 both, 1 the left side alone, 2 the right side alone."""
        alike = self.alike
        worst = -1
        ways = [bytearray(b"\x02" * (highs[0] - lows[0] + 1))]
        above = [0] * (highs[0] - lows[0] + 1)
        for i in range(1, n + 1):
            low, high, low_above, high_above = lows[i], highs[i], lows[i - 1], highs[i - 1]
            row = [worst] * (high - low + 1)
            way = bytearray(high - low + 1)
            left = worst
            for j in range(low, high + 1):
                best, from_ = worst, 1
                if low_above <= j <= high_above:
                    best = above[j - low_above]
                if left > best or (left == best and best == worst):
                    best, from_ = left, 2
                if j > 0 and low_above <= j - 1 <= high_above and above[j - 1 - low_above] >= 0:
                    likeness = alike(a0 + i - 1, b0 + j - 1)
                    if likeness > 0 and above[j - 1 - low_above] + likeness > best:
                        best, from_ = above[j - 1 - low_above] + likeness, 0
                row[j - low], way[j - low] = best, from_
                left = best
            ways.append(way)
            above = row
        return ways


def _unique(keys: Sequence[int], first: int, last: int, run: int) -> dict[tuple[int, ...], int]:
    """By run of keys: its place, or -1 where there are several."""
    places: dict[tuple[int, ...], int] = {}
    for place in range(first, last - run + 1):
        key = tuple(keys[place : place + run])
        places[key] = -1 if key in places else place
    return places


def _around(
    anchors: Sequence[tuple[int, int]], run: int, a0: int, a1: int, b0: int, b1: int
) -> list[tuple[int, int, int, int, bool]]:
    parts: list[tuple[int, int, int, int, bool]] = []
    a, b = a0, b0
    for at_a, at_b in anchors:
        if at_a < a or at_b < b:
            continue  # runs may overlap
        if at_a > a or at_b > b:
            parts.append((a, at_a, b, at_b, False))
        parts.append((at_a, at_a + run, at_b, at_b + run, True))
        a, b = at_a + run, at_b + run
    if a < a1 or b < b1:
        parts.append((a, a1, b, b1, False))
    return parts
