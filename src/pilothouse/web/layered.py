"""A layered drawing of who calls whom: columns from left to right, few crossings, no overlap, the same at every run.

The steps are those of Sugiyama: circles are cut where a walk in depth closes them, every box gets the column of its
longest way from a root, long edges are led through the columns between, each column is ordered by where its neighbours
stand, and the boxes are moved as close to their neighbours' height as the order allows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SWEEPS = 12
"""Times the columns are ordered forth and back; the order with the fewest crossings wins."""
PULLS = 8
"""Times the heights are evened out."""
_BEND_HEIGHT = 10.0
"""Room that a long edge takes in a column it passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Something to place. The order of the boxes given breaks every tie."""

    id: str
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a box stands: its upper left corner."""

    x: float
    y: float
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A drawing."""

    width: float
    height: float
    spots: Mapping[str, Spot]
    routes: Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
    """For each edge the points it leads through; the ends lie on its boxes' borders. Calls back end where they start
    from below: see :func:`path`."""


def place(
    boxes: Sequence[Box],
    edges: Iterable[tuple[str, str]],
    *,
    gap_x: float = 56,
    gap_y: float = 12,
    margin: float = 12,
    column_max: int = 16,
) -> Placement:
    """Place the boxes. Edges between boxes that are not given are left out, as are edges from a box to itself."""
    if not boxes:
        return Placement(width=2 * margin, height=2 * margin, spots={}, routes={})
    known = {box.id: box for box in boxes}
    wanted = list(dict.fromkeys(edge for edge in edges if edge[0] in known and edge[1] in known and edge[0] != edge[1]))
    forward = _without_circles([box.id for box in boxes], wanted)
    column_of = _split(_columns([box.id for box in boxes], forward), [box.id for box in boxes], forward, column_max)
    work = _Work(known, column_of)
    for source, target in forward:
        work.lead(source, target, forward)
    work.order()
    return work.drawn(wanted, gap_x, gap_y, margin)


def path(points: Sequence[tuple[float, float]]) -> str:
    """The points of a route as a smooth SVG path."""
    (x, y), parts = points[0], [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for next_x, next_y in points[1:]:
        if next_x > x:
            bend = (next_x - x) / 2
            parts.append(f"C{x + bend:.0f} {y:.0f} {next_x - bend:.0f} {next_y:.0f} {next_x:.0f} {next_y:.0f}")
        else:
            parts.append(f"L{next_x:.0f} {next_y:.0f}")
        x, y = next_x, next_y
    return "".join(parts)


def _without_circles(order: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges of a walk in depth from the roots on, those that would close a circle left out."""
    out: dict[str, list[str]] = defaultdict(list)
    called: set[str] = set()
    for source, target in edges:
        out[source].append(target)
        called.add(target)
    kept: list[tuple[str, str]] = []
    state: dict[str, int] = {}
    for root in sorted(order, key=lambda id: id in called):
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(out[root]))]
        while stack:
            node, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                state[node] = 2
                stack.pop()
            elif state.get(target) != 1:
                kept.append((node, target))
                if target not in state:
                    state[target] = 1
                    stack.append((target, iter(out[target])))
    return kept


def _columns(order: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way from a root; what is called by nobody stands just left of whom it calls."""
    out: dict[str, list[str]] = defaultdict(list)
    waiting: dict[str, int] = dict.fromkeys(order, 0)
    for source, target in edges:
        out[source].append(target)
        waiting[target] += 1
    roots = [id for id in order if not waiting[id]]
    columns = dict.fromkeys(order, 0)
    ready = list(roots)
    for node in ready:
        for target in out[node]:
            columns[target] = max(columns[target], columns[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for root in roots:
        if out[root]:
            columns[root] = min(columns[target] for target in out[root]) - 1
    return columns


def _split(
    columns: Mapping[str, int], order: Sequence[str], edges: Sequence[tuple[str, str]], column_max: int
) -> dict[str, int]:
    """Columns that are too tall become several side by side; those with most edges stand first."""
    degree: dict[str, int] = defaultdict(int)
    for source, target in edges:
        degree[source] += 1
        degree[target] += 1
    members: dict[int, list[str]] = defaultdict(list)
    for id in order:
        members[columns[id]].append(id)
    placed: dict[str, int] = {}
    at = 0
    for column in sorted(members):
        ids = sorted(members[column], key=lambda id: -degree[id])
        parts = -(-len(ids) // column_max)
        size = -(-len(ids) // parts)
        for place, id in enumerate(ids):
            placed[id] = at + place // size
        at += parts
    return placed


@dataclass(slots=True)
class _Work:
    """Columns on their way: boxes and bends by id, in order."""

    boxes: Mapping[str, Box]
    column_of: dict[str, int]
    rows: dict[int, list[str]] = field(default_factory=lambda: defaultdict[int, list[str]](list))
    left: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    right: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    through: dict[tuple[str, str], list[str]] = field(default_factory=dict[tuple[str, str], list[str]])
    _long: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        for id in self.boxes:
            self.rows[self.column_of[id]].append(id)

    def lead(self, source: str, target: str, edges: Sequence[tuple[str, str]]) -> None:
        """Lead an edge through the columns between its ends. Long edges of one end share their bends."""
        if not self._long:
            for a, b in edges:
                if self.column_of[b] - self.column_of[a] > 1:
                    self._long[a] = self._long.get(a, 0) + 1
                    self._long[b] = self._long.get(b, 0) + 1
        end = source if self._long.get(source, 0) >= self._long.get(target, 0) else target
        before, bends = source, list[str]()
        for column in range(self.column_of[source] + 1, self.column_of[target]):
            bend = f"\0{column}\0{end}\0{'out' if end == source else 'in'}"
            if bend not in self.column_of:
                self.column_of[bend] = column
                self.rows[column].append(bend)
            self._link(before, bend)
            bends.append(bend)
            before = bend
        self._link(before, target)
        self.through[source, target] = bends

    def _link(self, a: str, b: str) -> None:
        if b not in self.right[a]:
            self.right[a].append(b)
            self.left[b].append(a)

    def order(self) -> None:
        """Order every column by where its neighbours stand, forth and back, and keep the best that was seen."""
        columns = sorted(self.rows)
        best, fewest = {column: list(ids) for column, ids in self.rows.items()}, self.crossings()
        for sweep in range(SWEEPS):
            forth = sweep % 2 == 0
            near = self.left if forth else self.right
            rank = {id: place for ids in self.rows.values() for place, id in enumerate(ids)}
            for column in columns if forth else reversed(columns):
                ids = self.rows[column]
                middle = {
                    id: sum(rank[other] for other in near[id]) / len(near[id]) if near[id] else float(rank[id])
                    for id in ids
                }
                ids.sort(key=lambda id: middle[id])
                rank.update((id, place) for place, id in enumerate(ids))
            crossed = self.crossings()
            if crossed < fewest:
                best, fewest = {column: list(ids) for column, ids in self.rows.items()}, crossed
        self.rows.update(best)

    def crossings(self) -> int:
        """How often edges cross between neighbouring columns."""
        rank = {id: place for ids in self.rows.values() for place, id in enumerate(ids)}
        total = 0
        for ids in self.rows.values():
            seen: list[int] = []
            tree: list[int] = []
            for id in ids:
                # Targets of one box do not cross each other: they are counted before they are added.
                targets = [rank[other] for other in self.right[id]]
                if not targets:
                    continue
                size = max([*targets, len(tree) - 1]) + 1
                if size > len(tree):
                    # A taller tree is built anew; it happens a few times a column.
                    tree = [0] * (size + 64)
                    for place in seen:
                        _add(tree, place)
                total += sum(len(seen) - _sum(tree, place) for place in targets)
                for place in targets:
                    seen.append(place)
                    _add(tree, place)
        return total

    def drawn(self, wanted: Sequence[tuple[str, str]], gap_x: float, gap_y: float, margin: float) -> Placement:
        """Give every box its place and every edge its points."""
        heights = {
            id: self.boxes[id].height if id in self.boxes else _BEND_HEIGHT for ids in self.rows.values() for id in ids
        }
        centre = self._heights(heights, gap_y)
        top = min(centre[id] - heights[id] / 2 for id in centre)
        spots: dict[str, Spot] = {}
        middle_x: dict[int, tuple[float, float]] = {}
        x = margin
        for column in sorted(self.rows):
            widths = [self.boxes[id].width for id in self.rows[column] if id in self.boxes]
            width = max(widths, default=0.0)
            middle_x[column] = (x, x + width)
            for id in self.rows[column]:
                if id in self.boxes:
                    spots[id] = Spot(x=x, y=centre[id] - heights[id] / 2 - top + margin, column=column)
            x += width + gap_x
        height = max(spots[id].y + heights[id] for id in spots) + margin
        routes: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {}
        back = 0
        for source, target in wanted:
            a, b = spots[source], spots[target]
            begin = (a.x + self.boxes[source].width, a.y + heights[source] / 2)
            bends = self.through.get((source, target))
            if bends is not None:
                points = [begin]
                for bend in bends:
                    level = centre[bend] - top + margin
                    near, far = middle_x[self.column_of[bend]]
                    points += [(near, level), (far, level)]
                routes[source, target] = (*points, (b.x, b.y + heights[target] / 2))
            else:
                # A call back runs below everything, so that it is not taken for a call.
                low = height + 8 * (back % 6)
                back += 1
                start = (a.x + self.boxes[source].width * 0.6, a.y + heights[source])
                stop = (b.x + self.boxes[target].width * 0.4, b.y + heights[target])
                routes[source, target] = (start, (start[0], low), (stop[0], low), stop)
        return Placement(
            width=x - gap_x + margin,
            height=height + (8 * min(back, 6) + margin if back else 0),
            spots=spots,
            routes=routes,
        )

    def _heights(self, heights: Mapping[str, float], gap_y: float) -> dict[str, float]:
        """The centre of everything: as near to its neighbours as the order and the gaps allow."""
        offsets: dict[str, float] = {}
        for ids in self.rows.values():
            at = 0.0
            for place, id in enumerate(ids):
                if place:
                    before = ids[place - 1]
                    thin = id not in self.boxes and before not in self.boxes
                    at += (heights[before] + heights[id]) / 2 + (0 if thin else gap_y)
                offsets[id] = at
        tallest = max(offsets[ids[-1]] for ids in self.rows.values() if ids)
        centre = {id: offsets[id] + (tallest - offsets[ids[-1]]) / 2 for ids in self.rows.values() for id in ids if ids}
        columns = sorted(self.rows)
        for pull in range(PULLS):
            for column in columns if pull % 2 == 0 else reversed(columns):
                ids = self.rows[column]
                wishes: list[float] = []
                for id in ids:
                    near = self.left[id] + self.right[id]
                    wish = sum(centre[other] for other in near) / len(near) if near else centre[id]
                    wishes.append(wish - offsets[id])
                for id, level in zip(ids, _rising(wishes), strict=True):
                    centre[id] = level + offsets[id]
        return centre


def _rising(wishes: Sequence[float]) -> list[float]:
    """The nearest numbers (least squares) that never fall: neighbours that want to change places meet in the middle."""
    blocks: list[tuple[float, int]] = []
    for wish in wishes:
        total, count = wish, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            before, size = blocks.pop()
            total, count = total + before, count + size
        blocks.append((total, count))
    return [total / count for total, count in blocks for _ in range(count)]


def _add(tree: list[int], place: int) -> None:
    at = place + 1
    while at <= len(tree):
        tree[at - 1] += 1
        at += at & -at


def _sum(tree: list[int], place: int) -> int:
    """How many were added at this place or below."""
    at, total = place + 1, 0
    while at:
        total += tree[at - 1]
        at -= at & -at
    return total
