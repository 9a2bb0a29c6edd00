"""An agent graph is placed without overlap, whatever calls whatever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.traces.model import AgentGraph, GraphEdge, GraphNode
from pilothouse.web.graph_layout import NODE_HEIGHT, NODE_WIDTH, layout


@st.composite
def graphs(draw: st.DrawFn) -> AgentGraph:
    """Circles, calls to itself and loose nodes included."""
    total = draw(st.integers(0, 14))
    nodes = tuple(
        GraphNode(
            id=f"agent:{i}",
            kind="agent",
            label=str(i),
            calls=1,
            errors=0,
            total_ms=1.0,
            cost_usd=None,
            first_step=i + 1,
        )
        for i in range(total)
    )
    ends = st.tuples(st.integers(0, max(total - 1, 0)), st.integers(0, max(total - 1, 0)))
    pairs = draw(st.sets(ends, max_size=30)) if total else set()
    return AgentGraph(
        nodes=nodes,
        edges=tuple(GraphEdge(source=f"agent:{a}", target=f"agent:{b}", calls=1, errors=0) for a, b in sorted(pairs)),
    )


@given(graphs())
def test_nodes_do_not_overlap_and_lie_inside(graph: AgentGraph) -> None:
    """Every node has its place on the picture, every edge is drawn."""
    picture = layout(graph)
    assert len(picture.nodes) == len(graph.nodes)
    assert len(picture.edges) == len(graph.edges)
    for i, a in enumerate(picture.nodes):
        assert 0 <= a.x <= picture.width - NODE_WIDTH
        assert 0 <= a.y <= picture.height - NODE_HEIGHT
        for b in picture.nodes[i + 1 :]:
            assert abs(a.x - b.x) >= NODE_WIDTH or abs(a.y - b.y) >= NODE_HEIGHT


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
