"""The system map as a picture that stays readable: what to draw of it, folded how, and where it stands."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pilothouse.traces.model import Component, MapEdge, SystemMap

from .format import count, duration, money, percent, plural
from .labels import SUB_SIZE, TITLE_SIZE, cut
from .layered import Box, Placement, path, place
from .visit import agent_url, link

By = Literal["agents", "services", "everything"]
BYS: tuple[By, ...] = ("agents", "services", "everything")

WIDTH = 204
HEIGHT, HEIGHT_FOLDED = 44, 58
INNER = WIDTH - 18
DRAWN_MAX = 150
"""Boxes of one picture at most, the busiest: the list has them all."""
EVERYTHING_UP_TO = 24
"""Components that are drawn one by one unless asked otherwise."""
LINES_WANTED = 70
"""Lines that the picture shows unless asked otherwise: weaker ones are hidden."""
MODEL_LINES_MAX = 16
"""Lines to models from which on they are named in their agents' boxes instead."""
WEAK_STEPS = 10
_BAD_SHARE = 0.05
_COLUMNS = (24, 16, 12, 9, 7)
"""Most boxes in a column, as they are tried."""
_SCREEN = (1060, 660)
"""Pixels that a window of 1280 by 900 leaves."""
_LEAVES = ("model", "tool", "mcp", "retrieval", "embedding", "guard", "evaluator", "external", "human")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBox:
    """A component, or a service with all of its components."""

    id: str
    kind: str
    x: float
    y: float
    height: float
    title: str
    below: str
    folded: str
    """What is folded into it, in words; empty where nothing is."""
    bad: bool
    href: str
    whole: str
    """Everything there is to say, for the tooltip."""
    words: str
    """What a search looks at, in lower case: its label and those folded into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLine:
    """Who calls whom, as an SVG path."""

    source: str
    target: str
    kind: str
    path: str
    start: tuple[float, float]
    end: tuple[float, float]
    weight: float
    bad: bool
    level: int
    """The step of the slider from which on it is hidden; 11: never, since nothing else leads to a component."""
    hidden: bool
    whole: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPicture:
    """A map ready to draw."""

    width: float
    height: float
    boxes: tuple[MapBox, ...]
    lines: tuple[MapLine, ...]
    weak: int
    """The step of the slider that is in force."""
    hidden: int
    """Lines that are hidden by it."""
    left_out: int
    """Boxes of fewer calls that are not drawn."""


def starting_view(whole: SystemMap) -> By:
    """What a map shows first: every component where they are few, else agents with their own parts folded in."""
    return "everything" if len(whole.components) <= EVERYTHING_UP_TO else "agents"


def picture(whole: SystemMap, by: By, *, weak: int | None, here: Mapping[str, str]) -> MapPicture:
    """Draw a map. ``weak`` is the slider's step, None for one that leaves seventy lines; ``here`` are the parameters
    that links keep."""
    shown = whole if by != "services" else _by_service(whole)
    owner = _owners(shown) if by == "agents" else {}
    nodes = [one for one in shown.components if one.id not in owner]
    left_out = max(len(nodes) - DRAWN_MAX, 0)
    nodes = sorted(nodes, key=lambda one: (one.kind != "agent", -one.calls))[:DRAWN_MAX]
    drawn = {one.id for one in nodes}
    edges = _lifted(shown.edges, owner, drawn)
    parts = _parts(shown, owner)
    folded = {one.id: _folded_words(one, parts.get(one.id, ()), by) for one in nodes}
    boxes = [
        Box(id=one.id, width=WIDTH, height=HEIGHT_FOLDED if folded[one.id] else HEIGHT)
        for one in sorted(nodes, key=lambda one: (one.services[:1], -one.calls, one.id))
    ]
    placed = _fitting(boxes, [(edge.source, edge.target) for edge in edges])
    levels = _levels(edges)
    if weak is None:
        weak = next((w for w in range(WEAK_STEPS) if sum(level > w for level in levels) <= LINES_WANTED), WEAK_STEPS)
    lines = tuple(
        _line(edge, level, placed.routes[edge.source, edge.target], weak, _most(edges))
        for edge, level in zip(edges, levels, strict=True)
        if (edge.source, edge.target) in placed.routes
    )
    heights = {box.id: box.height for box in boxes}
    return MapPicture(
        width=placed.width,
        height=placed.height,
        boxes=tuple(
            _box(one, placed.spots[one.id].x, placed.spots[one.id].y, heights[one.id], folded[one.id],
                 parts.get(one.id, ()), here, by)
            for one in nodes
        ),
        lines=tuple(sorted(lines, key=lambda line: line.bad)),
        weak=weak,
        hidden=sum(line.hidden for line in lines),
        left_out=left_out,
    )  # fmt: skip


def _fitting(boxes: Sequence[Box], edges: Sequence[tuple[str, str]]) -> Placement:
    """The drawing that can be shown largest on a usual screen: columns that are too tall become several."""
    tried = [place(boxes, edges, column_max=most) for most in _COLUMNS]
    return max(tried, key=lambda one: min(1.0, _SCREEN[0] / one.width, _SCREEN[1] / one.height))


def _by_service(whole: SystemMap) -> SystemMap:
    """One component for each service; what has none stays as it is."""
    home = {
        one.id: f"service:{one.services[0]}" if one.services and one.kind != "model" else one.id
        for one in whole.components
    }
    members: dict[str, list[Component]] = defaultdict(list)
    for one in whole.components:
        members[home[one.id]].append(one)
    services = {f"service:{use.service}": use for use in whole.services}
    made: list[Component] = []
    for id, ones in members.items():
        if id not in services:
            made += ones
            continue
        use = services[id]
        slowest = max((one.p95_ms or 0.0 for one in ones if one.kind == "agent"), default=0.0)
        spent = [one.spent_usd for one in ones if one.spent_usd is not None]
        made.append(
            replace(
                ones[0],
                id=id,
                kind="service",
                label=use.service,
                services=(use.service,),
                calls=use.spans,
                errors=use.errors,
                error_share=round(use.errors / use.spans, 4) if use.spans else 0.0,
                p95_ms=slowest or None,
                cost_usd=sum(spent, spent[0] * 0) if spent else None,
                spent_usd=None,
                versions=(),
                prompts=sum(one.prompts for one in ones),
            )
        )
    return replace(whole, components=tuple(made), edges=tuple(_lifted(whole.edges, home, {one.id for one in made})))


def _owners(whole: SystemMap) -> dict[str, str]:
    """The agent of each component that is reached through that agent alone. Models too, where they would be a thicket."""
    callers: dict[str, list[str]] = defaultdict(list)
    for edge in whole.edges:
        callers[edge.target].append(edge.source)
    kinds = {one.id: one.kind for one in whole.components}
    owners: dict[str, set[str]] = {}

    def of(id: str, above: frozenset[str]) -> set[str]:
        if kinds.get(id) in ("agent", "service"):
            return {id}
        if id not in owners and id not in above:
            owners[id] = {owner for caller in callers[id] for owner in of(caller, above | {id})}
        return owners.get(id, set())

    found: dict[str, str] = {}
    model_lines = sum(kinds.get(edge.target) == "model" for edge in whole.edges)
    for one in whole.components:
        if one.kind not in _LEAVES:
            continue
        agents = of(one.id, frozenset())
        if len(agents) == 1:
            found[one.id] = next(iter(agents))
        elif one.kind == "model" and model_lines > MODEL_LINES_MAX and agents:
            found[one.id] = ""
    return found


def _lifted(edges: Sequence[MapEdge], owner: Mapping[str, str], drawn: set[str]) -> list[MapEdge]:
    """Edges between what is drawn: those of folded parts lead from and to the box they are folded into."""
    sums: dict[tuple[str, str], MapEdge] = {}
    for edge in edges:
        source, target = owner.get(edge.source, edge.source), owner.get(edge.target, edge.target)
        if source == target or source not in drawn or target not in drawn:
            continue
        before = sums.get((source, target))
        calls, errors = edge.calls + (before.calls if before else 0), edge.errors + (before.errors if before else 0)
        slowest = max(edge.p95_ms or 0.0, (before.p95_ms if before else 0.0) or 0.0) or None
        kind = edge.kind if before is None or before.kind == edge.kind else "calls"
        sums[source, target] = replace(
            edge, source=source, target=target, kind=kind, calls=calls, errors=errors, p95_ms=slowest,
            error_share=round(errors / calls, 4) if calls else 0.0,
        )  # fmt: skip
    return list(sums.values())


def _parts(whole: SystemMap, owner: Mapping[str, str]) -> dict[str, list[Component]]:
    """What is folded into each box. A model that many agents share is named with each of them."""
    by_id = {one.id: one for one in whole.components}
    parts: dict[str, list[Component]] = defaultdict(list)
    for id, owned_by in owner.items():
        if owned_by:
            parts[owned_by].append(by_id[id])
    for edge in whole.edges:
        target = by_id.get(edge.target)
        if target is not None and owner.get(edge.target) == "" and target not in parts[edge.source]:
            parts[edge.source].append(target)
    return parts


_WORDS: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("retriever",),
    "mcp": ("MCP", "MCP"),
    "human": ("person", "people"),
    "external": ("external", "external"),
}


def _folded_words(one: Component, parts: Sequence[Component], by: By) -> str:
    counts = Counter(part.kind for part in parts)
    words = [plural(one.prompts, "prompt")] if one.prompts else []
    words += [plural(number, *_WORDS.get(kind, (kind,))) for kind, number in counts.most_common()]
    return " · ".join(words) if by != "everything" or one.prompts else ""


def _levels(edges: Sequence[MapEdge]) -> list[int]:
    """From which step of the slider on each edge is hidden. The strongest one to or from a box never is."""
    strongest: dict[str, MapEdge] = {}
    for edge in edges:
        if edge.target not in strongest or strongest[edge.target].calls < edge.calls:
            strongest[edge.target] = edge
    reached = set(strongest)
    for edge in sorted(edges, key=lambda edge: -edge.calls):
        if edge.source not in reached:
            strongest.setdefault(edge.source, edge)
            reached.add(edge.source)
    kept = {(edge.source, edge.target) for edge in strongest.values()}
    most = _most(edges)
    return [
        WEAK_STEPS + 1
        if (edge.source, edge.target) in kept
        else next((step for step in range(1, WEAK_STEPS + 1) if edge.calls < most * (step / WEAK_STEPS) ** 2), WEAK_STEPS + 1)
        for edge in edges
    ]  # fmt: skip


def _most(edges: Sequence[MapEdge]) -> int:
    return max((edge.calls for edge in edges), default=1)


def _line(edge: MapEdge, level: int, points: Sequence[tuple[float, float]], weak: int, most: int) -> MapLine:
    slow = f", p95 {duration(edge.p95_ms)}" if edge.p95_ms else ""
    failed = f", {count(edge.errors)} failed ({percent(edge.error_share)})" if edge.errors else ""
    verb = {"handoff": "hands over to", "hosts": "is offered by"}.get(edge.kind, "calls")
    return MapLine(
        source=edge.source,
        target=edge.target,
        kind=edge.kind,
        path=path(points),
        start=points[0],
        end=points[-1],
        weight=round(1 + 3 * (edge.calls / most) ** 0.5, 1),
        bad=edge.error_share >= _BAD_SHARE,
        level=level,
        hidden=level <= weak,
        whole=f"{_name(edge.source)} {verb} {_name(edge.target)}: {plural(edge.calls, 'call')}{failed}{slow}",
    )


def _box(
    one: Component, x: float, y: float, height: float, folded: str, parts: Sequence[Component],
    here: Mapping[str, str], by: By
) -> MapBox:  # fmt: skip
    figures = [f"×{count(one.calls)}" if one.calls else "no span of its own"]
    if one.p95_ms:
        figures.append(duration(one.p95_ms))
    if one.errors:
        figures.append(f"{percent(one.error_share)} failed")
    elif one.spent_usd or one.cost_usd:
        figures.append(money(one.spent_usd or one.cost_usd))
    whole = [f"{one.kind} {one.label}", " · ".join(figures) + (" (calls, p95)" if one.p95_ms else "")]
    if one.errors and (one.spent_usd or one.cost_usd):
        whole.append(money(one.spent_usd or one.cost_usd))
    if one.versions:
        whole.append("versions " + ", ".join(one.versions))
    if one.services:
        whole.append("in " + ", ".join(one.services[:3]))
    if folded:
        whole.append(folded)
    if parts:
        names = ", ".join(part.label for part in parts[:12])
        whole.append(f"with {names}{', …' if len(parts) > 12 else ''}")
    href = link("/map", **{**here, "focus": one.id, "by": ""})
    if by == "services" and one.kind == "service":
        href = link("/map", **{**here, "by": "everything", "q": f'service:"{one.label}"'})
    if here.get("focus") == one.id and one.kind == "agent":
        href = agent_url(one.label, **{name: here[name] for name in ("window", "since", "until") if name in here})
    return MapBox(
        id=one.id,
        kind=one.kind,
        x=x,
        y=y,
        height=height,
        title=cut(one.label, INNER, TITLE_SIZE),
        below=cut(" · ".join(figures), INNER, SUB_SIZE),
        folded=cut(folded, INNER, SUB_SIZE),
        bad=one.error_share >= _BAD_SHARE,
        href=href,
        whole="\n".join(whole),
        words=" ".join([one.label, *(part.label for part in parts)]).lower(),
    )


def _name(id: str) -> str:
    return id.partition(":")[2]
