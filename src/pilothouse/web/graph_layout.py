"""Where the nodes of an agent graph stand: layers from left to right, few crossings, the same at every run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from pilothouse.traces.model import AgentGraph, GraphEdge, GraphNode

NODE_WIDTH = 184
NODE_HEIGHT = 46
GAP_X = 68
GAP_Y = 16
MARGIN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedNode:
    """A node and its upper left corner."""

    node: GraphNode
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEdge:
    """An edge as an SVG path, and where its label stands."""

    edge: GraphEdge
    path: str
    label_x: float
    label_y: float
    weight: float
    """Width of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPicture:
    """A graph ready to draw."""

    width: float
    height: float
    nodes: tuple[PlacedNode, ...]
    edges: tuple[PlacedEdge, ...]


def layout(graph: AgentGraph) -> GraphPicture:
    """Place the nodes: who is called stands right of who calls; calls back are drawn around below."""
    layers = _layers(graph)
    columns: dict[int, list[GraphNode]] = defaultdict(list)
    for node in sorted(graph.nodes, key=lambda node: node.first_step):
        columns[layers[node.id]].append(node)
    _untangle(columns, graph)
    tallest = max((len(column) for column in columns.values()), default=0)
    height = MARGIN * 2 + tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y
    placed: dict[str, PlacedNode] = {}
    for layer in sorted(columns):
        nodes = columns[layer]
        top = (height - len(nodes) * (NODE_HEIGHT + GAP_Y) + GAP_Y) / 2
        for index, node in enumerate(nodes):
            x = MARGIN + layer * (NODE_WIDTH + GAP_X)
            placed[node.id] = PlacedNode(node=node, x=x, y=top + index * (NODE_HEIGHT + GAP_Y))
    most = max((edge.calls for edge in graph.edges), default=1)
    edges = [
        _edge(edge, placed[edge.source], placed[edge.target], most)
        for edge in graph.edges
        if edge.source in placed and edge.target in placed
    ]
    backward = any(layers[edge.edge.source] >= layers[edge.edge.target] for edge in edges)
    return GraphPicture(
        width=MARGIN * 2 + max(len(columns), 1) * (NODE_WIDTH + GAP_X) - GAP_X,
        height=height + (44 if backward else 0),
        nodes=tuple(placed.values()),
        edges=tuple(edges),
    )


def _layers(graph: AgentGraph) -> dict[str, int]:
    """The longest way from a root, cycles cut where they close."""
    out: dict[str, list[str]] = defaultdict(list)
    called: set[str] = set()
    for edge in graph.edges:
        if edge.source != edge.target:
            out[edge.source].append(edge.target)
            called.add(edge.target)
    order = [node.id for node in sorted(graph.nodes, key=lambda node: (node.id in called, node.first_step))]
    forward = _without_cycles(order, out)
    layers = dict.fromkeys((node.id for node in graph.nodes), 0)
    for _ in range(len(graph.nodes)):
        changed = False
        for source, target in forward:
            if target in layers and source in layers and layers[target] <= layers[source]:
                layers[target] = layers[source] + 1
                changed = True
        if not changed:
            break
    used = sorted(set(layers.values()))
    return {node: used.index(layer) for node, layer in layers.items()}


def _without_cycles(order: list[str], out: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The edges of a walk in depth, those that would close a circle left out."""
    kept: list[tuple[str, str]] = []
    state: dict[str, int] = {}
    for root in order:
        if root in state:
            continue
        state[root] = 1
        stack: list[tuple[str, int]] = [(root, 0)]
        while stack:
            node, index = stack[-1]
            targets = out[node]
            if index == len(targets):
                state[node] = 2
                stack.pop()
                continue
            stack[-1] = (node, index + 1)
            target = targets[index]
            if state.get(target) == 1:
                continue
            kept.append((node, target))
            if target not in state:
                state[target] = 1
                stack.append((target, 0))
    return kept


def _untangle(columns: dict[int, list[GraphNode]], graph: AgentGraph) -> None:
    """Order each column by where its callers stand, a few times over."""
    callers: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        callers[edge.target].append(edge.source)
    for _ in range(3):
        rank = {node.id: i / max(len(nodes), 1) for nodes in columns.values() for i, node in enumerate(nodes)}
        for layer in sorted(columns):
            columns[layer].sort(
                key=lambda node: (
                    sum(rank.get(c, 0.0) for c in callers[node.id]) / max(len(callers[node.id]), 1),
                    node.first_step,
                )
            )
            for index, node in enumerate(columns[layer]):
                rank[node.id] = index / max(len(columns[layer]), 1)


def _edge(edge: GraphEdge, source: PlacedNode, target: PlacedNode, most: int) -> PlacedEdge:
    x1, y1 = source.x + NODE_WIDTH, source.y + NODE_HEIGHT / 2
    x2, y2 = target.x, target.y + NODE_HEIGHT / 2
    weight = 1.2 + 2.4 * edge.calls / most
    if x2 > x1:
        bend = min((x2 - x1) / 2, GAP_X)
        path = f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
        return PlacedEdge(edge=edge, path=path, label_x=x2 - 20, label_y=y2 - 6, weight=weight)
    # A call back, or to itself: around below both nodes.
    low = max(source.y, target.y) + NODE_HEIGHT + 26
    x1, y1 = source.x + NODE_WIDTH * 0.7, source.y + NODE_HEIGHT
    x2, y2 = target.x + NODE_WIDTH * 0.3, target.y + NODE_HEIGHT
    path = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {low:.0f} {x2:.0f} {low:.0f} {x2:.0f} {y2:.0f}"
    return PlacedEdge(edge=edge, path=path, label_x=(x1 + x2) / 2, label_y=low - 4, weight=weight)
