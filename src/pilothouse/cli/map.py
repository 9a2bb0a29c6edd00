"""``map``: what the system is made of and who calls whom, as text, Mermaid or DOT."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import click

from pilothouse.records import BadRequest
from pilothouse.records.harmless import label

from .emptied import ask
from .help import command
from .options import window
from .root import Run
from .terminal import count, dollars, duration, one_line, table

_FORMS = ("tree", "table", "mermaid", "dot")
_PICTURE_EDGES = 150
"""Edges of a Mermaid or DOT picture at most, the busiest: more cannot be read."""


@command(
    "map",
    examples=(
        "pilothouse map --since 24h",
        "pilothouse map --agent refunds",
        "pilothouse map --as mermaid --filter env:production --out map.md",
    ),
    keys="data: components[] edges[] prompts[] services[] edges_share notes; edges_share below 1: counts are scaled up",
)
@click.option(
    "--agent", default="", metavar="NAME", help="only this component (any kind, id or label) and its neighbours"
)
@click.option("--filter", "filter_text", default="", metavar="FILTER", help="only traces that fit, as in ls")
@click.option(
    "--as", "form", default="", metavar="FORM", help="tree table mermaid dot; default: tree, or JSON in a pipe"
)
@window("24h")
@click.pass_obj
def system_map(run: Run, agent: str, filter_text: str, form: str, since: str, until: str) -> None:
    """What the system is made of, and who calls whom: agents, models, tools, prompts, people."""
    if form not in ("", *_FORMS):
        raise BadRequest("there is no such form", got=form, allowed=list(_FORMS), fix="pilothouse map --as tree")
    query = {"filter": filter_text, "since": since or "24h", "until": until, "focus": agent}
    answer = ask(run.client, "/map", query, found=lambda data: data["components"])
    if form and not run.settings.json_asked:
        lines = {"tree": tree, "table": _table, "mermaid": mermaid, "dot": dot}[form](answer["data"])
        run.output.text("\n".join(lines), rows=form in ("tree", "table"))
        return
    run.output.envelope(answer, human=tree)


def tree(data: dict[str, Any]) -> Iterable[str]:
    """The map as an indented tree from those nobody calls; a component's parts are shown where it stands first."""
    components = {one["id"]: one for one in data["components"]}
    below: dict[str, list[dict[str, Any]]] = defaultdict(list)
    called = set[str]()
    for edge in data["edges"]:
        below[edge["source"]].append(edge)
        called.add(edge["target"])
    prompts: dict[str, int] = defaultdict(int)
    for prompt in data["prompts"]:
        prompts[prompt["agent"]] += 1
    kinds: dict[str, int] = defaultdict(int)
    for one in data["components"]:
        kinds[one["kind"]] += 1
    counts = "  ".join(f"{number} {kind}" for kind, number in kinds.items())
    yield f"{data['window']['since']} to {data['window']['until']}  {data['spans']:,} spans  {counts}"
    yield from data["notes"]
    shown = set[str]()
    order = sorted(
        components, key=lambda id: (id in called, components[id]["kind"] != "agent", -components[id]["calls"])
    )
    for root in order:
        if root not in shown:
            yield from _branch(root, components, below, prompts, shown)


def _branch(
    root: str,
    components: dict[str, dict[str, Any]],
    below: dict[str, list[dict[str, Any]]],
    prompts: dict[str, int],
    shown: set[str],
) -> Iterable[str]:
    stack: list[tuple[str, int, dict[str, Any] | None]] = [(root, 0, None)]
    while stack:
        id, depth, edge = stack.pop()
        again = id in shown
        shown.add(id)
        yield _line(
            components[id], depth, edge, 0 if again else prompts[components[id]["label"]], again and bool(below[id])
        )
        if not again:
            for one in sorted(below[id], key=lambda one: (_leaf(one, below), one["calls"], one["target"])):
                stack.append((one["target"], depth + 1, one))


def _leaf(edge: dict[str, Any], below: dict[str, list[dict[str, Any]]]) -> bool:
    """Those with parts of their own come last, which the stack turns round: leaves first, then the branches."""
    return not below[edge["target"]]


def _line(one: dict[str, Any], depth: int, edge: dict[str, Any] | None, prompts: int, again: bool) -> str:
    calls = edge["calls"] if edge else one["calls"]
    share = (edge or one)["error_share"]
    mark = {"handoff": "hands over to ", "hosts": "offered by "}.get(edge["kind"], "") if edge else ""
    parts = [f"{'  ' * min(depth, 12)}{mark}{one['kind']} {label(one['label'], 60)}"]
    if calls:
        parts.append(f"x{count(calls)}")
    if share:
        parts.append(f"{share:.1%} failed")
    if one["p95_ms"]:
        parts.append(f"p95 {duration(one['p95_ms'])}")
    cost = one["spent_usd"] or one["cost_usd"]
    if cost and (edge is None or one["kind"] == "agent"):
        parts.append(dollars(cost))
    if prompts and one["kind"] == "agent":
        parts.append(f"{prompts} prompts")
    return "  ".join(parts) + ("  (above)" if again else "")


def _table(data: dict[str, Any]) -> Iterable[str]:
    heads = ("component", "calls", "failed", "p95", "cost", "prompts", "called by")
    callers: dict[str, list[str]] = defaultdict(list)
    for edge in data["edges"]:
        callers[edge["target"]].append(edge["source"].partition(":")[2])
    rows = (
        (
            label(one["id"], 100),
            one["calls"],
            f"{one['error_share']:.1%}" if one["errors"] else "",
            duration(one["p95_ms"]),
            dollars(one["spent_usd"] or one["cost_usd"]) if one["spent_usd"] or one["cost_usd"] else "",
            one["prompts"] or "",
            ", ".join(label(caller, 60) for caller in callers[one["id"]]),
        )
        for one in data["components"]
    )
    return table(heads, rows, right="calls failed p95 cost prompts")


def mermaid(data: dict[str, Any]) -> Iterable[str]:
    """The map as a Mermaid flowchart."""
    edges, names = _picture(data)
    yield "flowchart LR"
    for one in data["components"]:
        if one["id"] in names:
            text = _plain(f"{one['label']} · {one['kind']} ×{count(one['calls'])}")
            left, right = {"agent": ("([", "])"), "model": ("[[", "]]"), "human": ("{{", "}}")}.get(
                one["kind"], ("[", "]")
            )
            yield f'  {names[one["id"]]}{left}"{text}"{right}'
    for edge in edges:
        arrow = {"handoff": "-.->", "hosts": "-.-"}.get(edge["kind"], "-->")
        failed = f", {edge['error_share']:.0%} failed" if edge["errors"] else ""
        yield f'  {names[edge["source"]]} {arrow}|"×{count(edge["calls"])}{failed}"| {names[edge["target"]]}'
    yield from (f"  %% {note}" for note in _left_out(data, edges))


def dot(data: dict[str, Any]) -> Iterable[str]:
    """The map as a Graphviz digraph."""
    edges, names = _picture(data)
    yield "digraph system {"
    yield "  rankdir=LR; node [shape=box, fontname=Helvetica];"
    for one in data["components"]:
        if one["id"] in names:
            shape = {"agent": "box, style=rounded", "model": "box3d", "human": "hexagon"}.get(one["kind"], "box")
            yield f'  {names[one["id"]]} [label="{_plain(one["label"])}\\n{one["kind"]} ×{count(one["calls"])}", shape={shape}];'
    for edge in edges:
        style = "dashed" if edge["kind"] != "calls" else "solid"
        colour = ", color=red" if edge["error_share"] >= 0.05 else ""
        yield f'  {names[edge["source"]]} -> {names[edge["target"]]} [label="×{count(edge["calls"])}", style={style}{colour}];'
    yield from (f"  // {note}" for note in _left_out(data, edges))
    yield "}"


def _picture(data: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The edges to draw, and a plain name for each component: labels may hold anything."""
    edges: list[dict[str, Any]] = data["edges"][:_PICTURE_EDGES]
    ends = {edge[end] for edge in edges for end in ("source", "target")}
    alone = [one["id"] for one in data["components"] if one["kind"] == "agent" and one["id"] not in ends]
    chosen = [one["id"] for one in data["components"] if one["id"] in ends] + alone
    return edges, {id: f"c{number}" for number, id in enumerate(chosen, 1)}


def _left_out(data: dict[str, Any], edges: list[dict[str, Any]]) -> Iterable[str]:
    if len(edges) < len(data["edges"]):
        yield f"{len(data['edges']) - len(edges)} edges of fewer calls are left out: pilothouse map --agent NAME"
    yield from (_plain(note) for note in data["notes"])


def _plain(text: str) -> str:
    """Text that cannot end a label or begin anything else."""
    return re.sub(r'["\\`<>|{}\[\]\n\r]', "'", one_line(text, 80))
