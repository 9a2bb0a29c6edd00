"""The system map: what the whole system is made of, and who calls whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import NotFound, PilothouseError
from pilothouse.traces.model import Component, MapEdge, PromptUse, SystemMap
from pilothouse.traces.system_map import find, focused
from pilothouse.web.context import told
from pilothouse.web.map_picture import BYS, WEAK_STEPS, By, MapPicture, picture, starting_view
from pilothouse.web.setup import Setup, setup
from pilothouse.web.visit import PageContext, PageSpec, Visit, agent_url, link
from pilothouse.web.windows import Chosen

FORMS = ("graph", "list")
PROMPTS_SHOWN = 100
LIST_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLine:
    """One component of the list, with its neighbours."""

    component: Component
    callers: tuple[MapEdge, ...]
    called: tuple[MapEdge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPage(PageContext):
    """The system map."""

    window: Chosen = field(metadata=told("the time window shown"))
    query: str = field(metadata=told("the filter: only traces that fit are looked at"))
    problem: Mapping[str, Any] | None = field(metadata=told("what is wrong with the question, if anything is"))
    form: str = field(metadata=told("graph or list"))
    by: By = field(metadata=told("what is drawn: agents, services or everything"))
    focus: str = field(metadata=told("the component looked at; empty: the whole system"))
    weak: int | None = field(metadata=told("the step of the slider below which lines are hidden; nothing: by itself"))
    map: SystemMap = field(metadata=told("components, edges and prompts; of the focus alone where there is one"))
    setup: Setup | None = field(metadata=told("how to send the first trace; only where nothing was recorded"))

    @property
    def failure(self) -> Mapping[str, Any] | None:
        return self.problem

    @property
    def params(self) -> dict[str, str]:
        """What links keep."""
        window = {"window": self.window.choice} if self.window.choice else {}
        moments = {} if window else {"since": self.window.since, "until": self.window.until}
        by = self.by if not self.focus and self.by != starting_view(self.map) else ""
        return {**window, **moments, "q": self.query, "as": "" if self.form == "graph" else self.form, "by": by}

    def here(self, **changed: Any) -> str:
        """The same page with something changed."""
        return link("/map", **{**self.params, "focus": self.focus, **changed})

    def agent_url(self, agent: str) -> str:
        """The page of an agent, of the same window."""
        window = {name: self.params[name] for name in ("window", "since", "until") if name in self.params}
        return agent_url(agent, **window)

    @property
    def picture(self) -> MapPicture:
        """The map, drawn."""
        return picture(self.map, self.by, weak=self.weak, here={**self.params, "focus": self.focus})

    @property
    def lines(self) -> tuple[ListLine, ...]:
        """The list: every component with its neighbours, at most three hundred."""
        callers: dict[str, list[MapEdge]] = defaultdict(list)
        called: dict[str, list[MapEdge]] = defaultdict(list)
        for edge in self.map.edges:
            callers[edge.target].append(edge)
            called[edge.source].append(edge)
        return tuple(
            ListLine(component=one, callers=tuple(callers[one.id]), called=tuple(called[one.id]))
            for one in self.map.components[:LIST_MAX]
        )

    @property
    def chosen(self) -> Component | None:
        """The component looked at."""
        return next((one for one in self.map.components if one.id == self.focus), None) if self.focus else None

    @property
    def prompts(self) -> tuple[PromptUse, ...]:
        """Prompts of the component looked at, the busiest."""
        return self.map.prompts[:PROMPTS_SHOWN] if self.focus else ()

    @property
    def prompts_by_agent(self) -> dict[str, tuple[PromptUse, ...]]:
        """All prompts under their agents, those with most first."""
        found: dict[str, list[PromptUse]] = defaultdict(list)
        for prompt in self.map.prompts:
            found[prompt.agent].append(prompt)
        return {agent: tuple(found[agent]) for agent in sorted(found, key=lambda agent: (-len(found[agent]), agent))}

    @property
    def kinds(self) -> dict[str, int]:
        """How many components there are of each kind."""
        counts: dict[str, int] = defaultdict(int)
        for one in self.map.components:
            counts[one.kind] += 1
        return dict(counts)

    @property
    def steps(self) -> int:
        """The highest step of the slider."""
        return WEAK_STEPS


def gather(visit: Visit) -> MapPage:
    """Read the map of a window, or the neighbourhood of one component."""
    window = visit.window()
    query = visit.text("q")
    form = visit.word("as", FORMS)
    searched, wanted = visit.text("find", 300).strip(), visit.text("focus", 300)
    weak = visit.number("weak", -1, at_most=WEAK_STEPS) if visit.text("weak") else None
    problem: Mapping[str, Any] | None = None
    focus = ""
    try:
        whole = visit.reader.system_map(window.since_ns, window.until_ns, query)
    except NotFound:
        raise
    except PilothouseError as error:
        problem = error.as_dict()
        whole = visit.reader.system_map(window.until_ns - 1, window.until_ns, "")
    if (searched or wanted) and problem is None:
        try:
            focus = (_searched(whole, searched) if searched else find(whole, wanted)).id
            whole = focused(whole, focus)
        except NotFound as error:
            problem = error.as_dict()
    known = visit.text("by")
    by: By = visit.word("by", BYS) if known else "everything" if focus else starting_view(whole)  # pyright: ignore[reportAssignmentType]
    flags = f"{window.flags}" + (f" --agent '{focus}'" if focus else "") + (f" --filter '{query}'" if query else "")
    empty = not whole.components and not query and not focus
    return MapPage(
        title="Map",
        command=f"pilothouse map {flags}",
        window=window,
        query=query,
        problem=problem,
        form=form,
        by=by,
        focus=focus,
        weak=weak,
        map=whole,
        setup=setup(visit.visitor) if empty else None,
    )


def _searched(whole: SystemMap, words: str) -> Component:
    """The component that is named so, else the busiest whose name holds the words."""
    try:
        return find(whole, words)
    except NotFound:
        close = [one for one in whole.components if words.lower() in one.label.lower()]
        if not close:
            raise
        return max(close, key=lambda one: one.calls)


MAP = PageSpec(name="map", path="/map", context=MapPage, gather=gather)
