"""The agent graph of a trace, placed and labelled: ready to draw."""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse.traces.model import AgentGraph, GraphEdge, GraphNode

from .format import count, duration, money
from .labels import SUB_SIZE, TITLE_SIZE, cut
from .layered import Box, path, place

NODE_WIDTH = 184
NODE_HEIGHT = 46
INNER = NODE_WIDTH - 22
"""Room for a label, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedNode:
    """A node, its upper left corner and its words."""

    node: GraphNode
    x: float
    y: float
    title: str
    below: str

    @property
    def whole(self) -> str:
        """Everything there is to say, for the tooltip."""
        node = self.node
        parts = [f"{node.kind} {node.label}"]
        if node.role:
            parts.append(f"{node.role} (inferred: {node.role_why})")
        if node.instances > 1:
            names = ", ".join(node.members[:8])
            parts.append(f"{node.instances} of them folded: {names}{', …' if node.instances > 8 else ''}")
        if node.parallel > 1:
            parts.append(f"up to {node.parallel} side by side")
        parts.append(f"{count(node.calls)} calls, {duration(node.total_ms)}, {count(node.errors)} failed")
        return "\n".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEdge:
    """An edge as an SVG path, and where its label stands."""

    edge: GraphEdge
    path: str
    start: tuple[float, float]
    end: tuple[float, float]
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
    nodes = sorted(graph.nodes, key=lambda node: (node.first_step, node.id))
    boxes = [Box(id=node.id, width=NODE_WIDTH, height=NODE_HEIGHT) for node in nodes]
    placed = place(boxes, [(edge.source, edge.target) for edge in graph.edges])
    most = max((edge.calls for edge in graph.edges), default=1)
    edges: list[PlacedEdge] = []
    for edge in graph.edges:
        points = placed.routes.get((edge.source, edge.target))
        if points is None:
            continue
        back = points[-1][0] <= points[0][0]
        edges.append(
            PlacedEdge(
                edge=edge,
                path=path(points),
                start=points[0],
                end=points[-1],
                label_x=points[-1][0] - 10 if not back else (points[1][0] + points[2][0]) / 2,
                label_y=points[-1][1] - 6 if not back else points[1][1] - 3,
                weight=1.2 + 2.4 * edge.calls / most,
            )
        )
    return GraphPicture(
        width=placed.width,
        height=placed.height,
        nodes=tuple(_node(node, placed.spots[node.id].x, placed.spots[node.id].y) for node in nodes),
        edges=tuple(edges),
    )


def _node(node: GraphNode, x: float, y: float) -> PlacedNode:
    parts = [node.role] if node.role else []
    parts.append(f"×{count(node.calls)}")
    parts.append(duration(node.total_ms))
    if node.errors:
        parts.append(f"{count(node.errors)} failed")
    elif node.cost_usd:
        parts.append(money(node.cost_usd))
    label = node.label if node.instances == 1 else f"{node.label} ({node.instances})"
    return PlacedNode(
        node=node, x=x, y=y, title=cut(label, INNER, TITLE_SIZE), below=cut(" · ".join(parts), INNER, SUB_SIZE)
    )
