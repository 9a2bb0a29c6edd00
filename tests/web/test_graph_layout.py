"""Graphs and maps are placed without overlap, whatever calls whatever, and their words fit their boxes."""

from __future__ import annotations

import random
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.traces.model import AgentGraph, Component, GraphEdge, GraphNode, MapEdge, SystemMap, Window
from pilothouse.web import graph_layout, labels, map_picture
from pilothouse.web.graph_layout import NODE_HEIGHT, NODE_WIDTH, layout
from pilothouse.web.layered import Box, place
from pilothouse.web.map_picture import BYS, WIDTH, picture

WORDS = st.text(min_size=1, max_size=80)


@st.composite
def graphs(draw: st.DrawFn) -> AgentGraph:
    """Circles, calls to itself and loose nodes included."""
    names = draw(st.lists(WORDS, max_size=16, unique=True))
    nodes = tuple(
        GraphNode(id=f"agent:{name}", kind="agent", label=name, calls=1, errors=0, total_ms=1.0, cost_usd=None, first_step=i + 1)
        for i, name in enumerate(names)
    )  # fmt: skip
    ends = st.tuples(*[st.integers(0, max(len(names) - 1, 0))] * 2)
    pairs = draw(st.sets(ends, max_size=40)) if names else set()
    return AgentGraph(
        nodes=nodes,
        edges=tuple(GraphEdge(source=nodes[a].id, target=nodes[b].id, calls=1, errors=0) for a, b in sorted(pairs)),
    )


@given(graphs())
def test_nodes_do_not_overlap_and_every_edge_ends_on_its_boxes(graph: AgentGraph) -> None:
    """Every node has its place on the picture, every edge between two of them is drawn, every label fits."""
    drawn = layout(graph)
    assert len(drawn.nodes) == len(graph.nodes)
    assert len(drawn.edges) == sum(edge.source != edge.target for edge in graph.edges)
    places = {placed.node.id: (placed.x, placed.y, NODE_WIDTH, NODE_HEIGHT) for placed in drawn.nodes}
    check_boxes(list(places.values()), drawn.width, drawn.height)
    for edge in drawn.edges:
        assert on_border(places[edge.edge.source], edge.start)
        assert on_border(places[edge.edge.target], edge.end)
    for placed in drawn.nodes:
        assert labels.width(placed.title, labels.TITLE_SIZE) <= graph_layout.INNER
        assert labels.width(placed.below, labels.SUB_SIZE) <= graph_layout.INNER


KINDS = ("agent", "model", "tool", "mcp", "external", "human", "guard")


@st.composite
def maps(draw: st.DrawFn) -> SystemMap:
    """Components of every kind in a few services, with any calls between them."""
    total = draw(st.integers(0, 40))
    dice = random.Random(draw(st.integers(0, 2**32)))
    ids = [f"{dice.choice(KINDS)}:{draw(WORDS) if i < 5 else 'part'} {i}" for i in range(total)]
    components = tuple(
        Component(
            id=id, kind=id.partition(":")[0], label=id.partition(":")[2], services=(f"svc-{dice.randrange(3)}",),
            calls=dice.randrange(10**dice.randrange(1, 8)), errors=0, error_share=dice.random() / 5, p95_ms=dice.random() * 1e6,
            cost_usd=None, spent_usd=None, versions=(), provider="", last_seen="", prompts=dice.randrange(30),
        )
        for id in ids
    )  # fmt: skip
    pairs = {(dice.choice(ids), dice.choice(ids)) for _ in range(draw(st.integers(0, 120)))} if ids else set()
    edges = tuple(
        MapEdge(
            source=a, target=b, kind="calls", calls=dice.randrange(1, 10_000), errors=0, error_share=0.0, p95_ms=1.0
        )
        for a, b in sorted(pairs)
        if a != b
    )
    return SystemMap(
        window=Window(since="", until=""), filter="", spans=1, components=components, components_cut=0, edges=edges,
        edges_cut=0, edges_share=1.0, prompts=(), prompts_cut=0, prompts_share=1.0, services=(),
    )  # fmt: skip


@settings(deadline=None)
@given(maps(), st.sampled_from(BYS), st.one_of(st.none(), st.integers(0, 10)))
def test_a_map_is_drawn_without_overlap_in_every_view(whole: SystemMap, by: str, weak: int | None) -> None:
    """Boxes lie apart and inside, lines end on boxes, words fit, and no slider hides all that leads to a box."""
    drawn = picture(whole, by, weak=weak, here={})  # type: ignore[arg-type]
    places = {box.id: (box.x, box.y, WIDTH, box.height) for box in drawn.boxes}
    check_boxes(list(places.values()), drawn.width, drawn.height)
    for line in drawn.lines:
        assert on_border(places[line.source], line.start)
        assert on_border(places[line.target], line.end)
    for box in drawn.boxes:
        assert labels.width(box.title, labels.TITLE_SIZE) <= map_picture.INNER
        assert labels.width(box.below, labels.SUB_SIZE) <= map_picture.INNER
        assert labels.width(box.folded, labels.SUB_SIZE) <= map_picture.INNER
    shown = {line.target for line in drawn.lines if not line.hidden}
    assert shown == {line.target for line in drawn.lines}


def check_boxes(boxes: list[tuple[float, float, float, float]], width: float, height: float) -> None:
    for x, y, w, h in boxes:
        assert 0 <= x <= width - w
        assert 0 <= y <= height - h
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(boxes, 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay


def on_border(box: tuple[float, float, float, float], point: tuple[float, float]) -> bool:
    (x, y, w, h), (px, py) = box, point
    inside = x - 0.01 <= px <= x + w + 0.01 and y - 0.01 <= py <= y + h + 0.01
    return inside and min(abs(px - x), abs(px - x - w), abs(py - y), abs(py - y - h)) < 0.01


def test_who_is_called_stands_right_of_who_calls() -> None:
    """A manager, its workers, their tools: three columns."""

    def node(id: str, step: int) -> GraphNode:
        return GraphNode(id=id, kind="agent", label=id, calls=1, errors=0, total_ms=1.0, cost_usd=None, first_step=step)

    graph = AgentGraph(
        nodes=(node("manager", 1), node("worker", 2), node("tool", 3)),
        edges=tuple(
            GraphEdge(source=a, target=b, calls=1, errors=0)
            for a, b in (("manager", "worker"), ("worker", "tool"), ("manager", "tool"))
        ),
    )
    places = {p.node.id: p.x for p in layout(graph).nodes}
    assert places["manager"] < places["worker"] < places["tool"]


def test_two_ladders_given_crossed_are_drawn_uncrossed() -> None:
    """Ten callers with one tool each, told in opposite orders: no line crosses another."""
    boxes = [Box(id=f"a{i}", width=10, height=10) for i in range(10)]
    boxes += [Box(id=f"t{i}", width=10, height=10) for i in reversed(range(10))]
    placed = place(boxes, [(f"a{i}", f"t{i}") for i in range(10)])
    callers = sorted(range(10), key=lambda i: placed.spots[f"a{i}"].y)
    assert callers == sorted(range(10), key=lambda i: placed.spots[f"t{i}"].y)


def test_the_same_graph_is_drawn_the_same() -> None:
    dice = random.Random(5)
    boxes = [Box(id=str(i), width=100, height=40) for i in range(80)]
    edges = [(str(dice.randrange(80)), str(dice.randrange(80))) for _ in range(200)]
    assert place(boxes, edges) == place(boxes, edges)


def test_a_column_that_is_too_tall_becomes_several() -> None:
    boxes = [Box(id="root", width=100, height=40), *(Box(id=str(i), width=100, height=40) for i in range(40))]
    placed = place(boxes, [("root", str(i)) for i in range(40)], column_max=10)
    assert max(sum(spot.column == column for spot in placed.spots.values()) for column in range(5)) == 10
