"""The system map: what a whole system is made of and who calls whom, derived from the spans of a window."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

from pilothouse.records import NotFound, iso
from pilothouse.store import TraceStore
from pilothouse.store import map_reads as reads
from pilothouse.store.conditions import Condition

from .charts import share
from .filters import conditions_of
from .model import Component, ComponentKind, MapEdge, PromptUse, ServiceUse, SystemMap
from .rows import milliseconds, money
from .windows import Range, time_range

COMPONENTS_MAX = 500
EDGES_MAX = 3_000
PROMPTS_MAX = 1_000
_SERVICES_MAX = 200
_HEAD_CHARS = 160
_DAY_NS = 86_400_000_000_000
JOINED_SPANS_MAX = 60_000
"""Spans that are joined to their callers at most: of a busier window, so many traces that it comes to this."""

_HANDOFF = re.compile(r"(?:handoff|transfer|delegate|hand off)[ _](?:to[ _])?(.+)", re.IGNORECASE)
_MCP_TOOL = re.compile(r"mcp__(.+?)__.+")
_WAITS: Mapping[str, str] = {"human": "a person"}
"""Waits that are for a component: the others (rate limits, queues, retries) are for none."""


def system_map(
    store: TraceStore, project: str, *, since_ns: int | None = None, until_ns: int | None = None, filters: str = ""
) -> SystemMap:
    """Components, who calls whom, and prompts of a window (by default the last day).

    ``filters`` choose traces, as in a search. Counts of components are exact; edges and prompts of a window with more
    than 60,000 spans are read of a share of its traces, which is said, and scaled up.
    """
    if since_ns is None:
        since_ns = time_range(None, until_ns).until_ns - _DAY_NS
    covered = time_range(since_ns, until_ns)
    made = _Making(store, project, covered, conditions_of(store, project, filters))
    made.read()
    return made.as_map(filters)


def handoff_target(label: str) -> str:
    """The agent that a tool or span hands off to by its name (``transfer_to_billing``); empty where it does not."""
    found = _HANDOFF.fullmatch(label.strip())
    return found[1].strip() if found else ""


def same_name(one: str, other: str) -> bool:
    """True where two spellings name one agent: case, spaces, underscores and hyphens do not matter."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


@dataclass(slots=True)
class _Making:
    """A map on its way: components by id, edges by their ends."""

    store: TraceStore
    project: str
    covered: Range
    conditions: Sequence[Condition]
    components: dict[str, Component] = field(default_factory=dict[str, Component])
    edges: dict[tuple[str, str], MapEdge] = field(default_factory=dict[tuple[str, str], MapEdge])
    prompts: list[PromptUse] = field(default_factory=list[PromptUse])
    services: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    spans: int = 0
    one_in: int = 1
    components_cut: int = 0
    edges_cut: int = 0
    prompts_cut: int = 0

    def read(self) -> None:
        """Read everything, the dear reads only where there is something for them."""
        asked = (self.store, self.project, self.covered.since_ns, self.covered.until_ns, self.conditions)
        self.services = reads.service_rows(*asked, rows_max=_SERVICES_MAX)
        self.spans = sum(row["spans"] for row in self.services)
        self.one_in = -(-self.spans // JOINED_SPANS_MAX) or 1
        rows = reads.component_rows(*asked, rows_max=COMPONENTS_MAX)
        self.components_cut = rows[0]["set_size"] - len(rows) if rows else 0
        beside = any(row["beside"] for row in self.services)
        if beside:
            rows += reads.beside_rows(*asked, rows_max=COMPONENTS_MAX)
        spent = {row["agent"]: money(row["cost"]) for row in reads.spent_rows(*asked)} if rows else {}
        for row in rows:
            self._component(row, spent)
        if rows:
            wrapped = any(row["wrappers"] and row["unnamed"] for row in self.services) or beside
            found = reads.edge_rows(*asked, one_in=self.one_in, wrapped=wrapped, beside=beside, rows_max=EDGES_MAX)
            self.edges_cut = found[0]["set_size"] - len(found) if found else 0
            for row in found:
                self._edge(row)
            self._hand_over()
            prompts = reads.prompt_rows(*asked, one_in=self.one_in, rows_max=PROMPTS_MAX)
            self.prompts_cut = prompts[0]["set_size"] - len(prompts) if prompts else 0
            self._take_prompts(prompts)
        over_mcp = any(row["over_mcp"] for row in self.services)
        self._offer(reads.mcp_rows(*asked, rows_max=COMPONENTS_MAX) if over_mcp else [])

    def as_map(self, filters: str) -> SystemMap:
        """What was read, in order: kinds in their order, the busiest first."""
        named = Counter(prompt.agent for prompt in self.prompts)
        components = [
            replace(one, prompts=named[one.label]) if one.kind == "agent" else one for one in self.components.values()
        ]
        components.sort(key=lambda one: (_KIND_ORDER[one.kind], -one.calls, one.label))
        hosted = Counter(service for one in components for service in one.services[:1])
        edges = sorted(self.edges.values(), key=lambda edge: (-edge.calls, edge.source, edge.target))
        return SystemMap(
            window=self.covered.as_window(),
            filter=filters,
            spans=self.spans,
            components=tuple(components),
            components_cut=self.components_cut,
            edges=tuple(edges),
            edges_cut=self.edges_cut,
            edges_share=round(1 / self.one_in, 4),
            prompts=tuple(self.prompts),
            prompts_cut=self.prompts_cut,
            prompts_share=round(1 / self.one_in, 4),
            services=tuple(
                ServiceUse(
                    service=row["service"],
                    hosts=tuple(row["hosts"]),
                    spans=row["spans"],
                    errors=row["failed"],
                    components=hosted[row["service"]],
                )
                for row in self.services
                if row["service"]
            ),
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Iterable[str]:
        if self.one_in > 1:
            yield (
                f"callers and prompts are read of one trace in {self.one_in} and scaled up; what is rare may be missing; "
                "components are counted whole"
            )
        for count, what in (
            (self.components_cut, "components"),
            (self.edges_cut, "edges"),
            (self.prompts_cut, "prompts"),
        ):
            if count > 0:
                yield f"{count:,} {what} of fewer calls are left out; narrow the window or filter"

    def _component(self, row: Mapping[str, Any], spent: Mapping[str, Decimal | None]) -> None:
        label = row["label"]
        kind = _kind_of(row.get("kind") or row["kind_"], label)
        if kind is None:
            return
        label = _WAITS.get(label, label) if kind == "human" else label
        self.components[f"{kind}:{label}"] = Component(
            id=f"{kind}:{label}",
            kind=kind,
            label=label,
            services=tuple(service for service in row["services"] if service),
            calls=row["calls"],
            errors=row["failed"],
            error_share=share(row["failed"], row["calls"]),
            p95_ms=_ms(row["p95_ns"]),
            cost_usd=money(row.get("cost")),
            spent_usd=spent.get(label) if kind == "agent" else None,
            versions=tuple(sorted(version for version in row.get("versions", ()) if version)[-10:]),
            provider=row.get("provider_", ""),
            last_seen=iso(row["last_s"] * 1_000_000_000),
        )

    def _edge(self, row: Mapping[str, Any]) -> None:
        kind = _kind_of(row["target_kind"], row["target"])
        if kind is None:
            return
        label = _WAITS.get(row["target"], row["target"]) if kind == "human" else row["target"]
        target = f"{kind}:{label}"
        if target not in self.components:
            return
        source = f"{row['source_kind'] or 'service'}:{row['source'] or 'unnamed'}"
        if source not in self.components:
            self._named_only(source)
        self._join(source, target, row["calls"] * self.one_in, row["failed"] * self.one_in, _ms(row["p95_ns"]))

    def _named_only(self, source: str) -> None:
        """A caller without spans of its own: an agent that others name, or a service none of whose spans is an agent."""
        kind, _, label = source.partition(":")
        self.components[source] = Component(
            id=source,
            kind=cast(ComponentKind, kind),
            label=label,
            services=(label,) if kind == "service" else (),
            calls=0,
            errors=0,
            error_share=0.0,
            p95_ms=None,
            cost_usd=None,
            spent_usd=None,
            versions=(),
            provider="",
            last_seen="",
        )

    def _join(
        self, source: str, target: str, calls: int, errors: int, p95_ms: float | None, kind: str = "calls"
    ) -> None:
        before = self.edges.get((source, target))
        if before is not None:
            calls, errors = calls + before.calls, errors + before.errors
            p95_ms = max(p95_ms or 0.0, before.p95_ms or 0.0) or None
        self.edges[source, target] = MapEdge(
            source=source,
            target=target,
            kind=cast(Any, kind),
            calls=calls,
            errors=errors,
            error_share=share(errors, calls),
            p95_ms=p95_ms,
        )

    def _hand_over(self) -> None:
        """Tools that do nothing but hand over become edges from agent to agent."""
        agents = [one for one in self.components.values() if one.kind == "agent"]
        for tool in [one for one in self.components.values() if one.kind == "tool"]:
            wanted = handoff_target(tool.label)
            taker = next((agent for agent in agents if wanted and same_name(agent.label, wanted)), None)
            if taker is None:
                continue
            for edge in [edge for edge in self.edges.values() if tool.id in (edge.source, edge.target)]:
                del self.edges[edge.source, edge.target]
                if edge.target == tool.id and edge.source != taker.id:
                    self._join(edge.source, taker.id, edge.calls, edge.errors, edge.p95_ms, "handoff")
            del self.components[tool.id]

    def _take_prompts(self, rows: Sequence[Mapping[str, Any]]) -> None:
        heads = reads.prompt_heads(
            self.store, self.project, [row["hash"] for row in rows if row["hash"]], chars=_HEAD_CHARS
        )
        for row in rows:
            name, version = row["prompt_name"], row["prompt_version"]
            self.prompts.append(
                PromptUse(
                    id=(f"{name}@{version}" if version else name) or row["hash"][:12],
                    agent=row["agent_"],
                    name=name,
                    version=version,
                    hash=row["hash"],
                    head=heads.get(row["hash"], ""),
                    calls=row["calls"] * self.one_in,
                    errors=row["failed"] * self.one_in,
                    cost_usd=None if row["cost"] is None else cast(Decimal, money(row["cost"])) * self.one_in,
                    models=tuple(model for model in row["models"] if model),
                    last_seen=iso(row["last_s"] * 1_000_000_000),
                )
            )

    def _offer(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put MCP servers before their tools: by what attributes say, else by a name like ``mcp__github__search``."""
        offers = [(f"tool:{row['label']}", str(row["server"])) for row in rows]
        known = {tool for tool, _ in offers}
        for one in self.components.values():
            found = _MCP_TOOL.fullmatch(one.label) if one.kind == "tool" and one.id not in known else None
            if found:
                offers.append((one.id, found[1]))
        for tool, server in offers:
            one = self.components.get(tool)
            if one is None:
                continue
            id = f"mcp:{server}"
            before = self.components.get(id)
            calls, errors = one.calls + (before.calls if before else 0), one.errors + (before.errors if before else 0)
            self.components[id] = replace(
                one,
                id=id,
                kind="mcp",
                label=server,
                calls=calls,
                errors=errors,
                error_share=share(errors, calls),
                p95_ms=max(one.p95_ms or 0.0, (before.p95_ms if before else 0.0) or 0.0) or None,
                cost_usd=None,
                last_seen=max(one.last_seen, before.last_seen if before else ""),
            )
            self._join(tool, id, one.calls, one.errors, one.p95_ms, "hosts")


_KIND_ORDER: Mapping[str, int] = {
    kind: place
    for place, kind in enumerate(
        (
            "service",
            "agent",
            "model",
            "tool",
            "mcp",
            "retrieval",
            "embedding",
            "guard",
            "evaluator",
            "external",
            "human",
        )
    )
}


def _kind_of(kind: str, label: str) -> ComponentKind | None:
    """The kind of component a row stands for; None for waits that are for no component."""
    if kind == "waiting":
        return "human" if label in _WAITS else None
    return cast(ComponentKind, kind) if kind in _KIND_ORDER else None


def _ms(ns: float | None) -> float | None:
    return None if ns is None else milliseconds(int(ns))


def focused(whole: SystemMap, id: str) -> SystemMap:
    """One component of a map with whatever calls it and whatever it calls, and its prompts.

    ``id`` may be the label alone.

    Raises:
        NotFound: the map has no such component.
    """
    chosen = find(whole, id)
    edges = tuple(edge for edge in whole.edges if chosen.id in (edge.source, edge.target))
    near = {chosen.id, *(edge.source for edge in edges), *(edge.target for edge in edges)}
    # An MCP server stands behind its tool: one call leads through both.
    beyond = tuple(edge for edge in whole.edges if edge.kind == "hosts" and edge.source in near and edge not in edges)
    near |= {edge.target for edge in beyond}
    return replace(
        whole,
        components=tuple(one for one in whole.components if one.id in near),
        edges=(*edges, *beyond),
        prompts=tuple(one for one in whole.prompts if chosen.kind == "agent" and one.agent == chosen.label),
    )


def find(whole: SystemMap, id: str) -> Component:
    """The component of a map with this id, or with this label; an agent wins over others of its name.

    Raises:
        NotFound: there is none; ``allowed`` names some that are close.
    """
    for one in whole.components:
        if one.id == id:
            return one
    same = [one for one in whole.components if same_name(one.label, id)]
    if same:
        return min(same, key=lambda one: _KIND_ORDER[one.kind])
    close = [one.id for one in whole.components if _plain(id) in _plain(one.label)]
    raise NotFound(
        "no component of this window has that name",
        got=id[:200],
        allowed=(close or [one.id for one in whole.components])[:10],
        fix="pilothouse map --since 7d",
    )
