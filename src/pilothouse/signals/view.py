"""One trace, looked at once: its spans by kind, who called what, and what the final answer was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .calls import Call, calls_of_models, ends_in_calls, tool_call
from .facts import NO_BASELINE, Baseline, Pulse, SpanFact, WindowOf, no_window
from .thresholds import Thresholds


@dataclass(kw_only=True)
class View:
    """What the rules look at."""

    facts: Sequence[SpanFact]
    """All spans in order of their start."""
    by_id: Mapping[str, SpanFact]
    thresholds: Thresholds
    open_: bool
    """More is expected of this trace: its root has not arrived, or a span of it still runs."""
    now_ns: int
    received_ns: int = 0
    """When the last span of it arrived, by the server's clock; 0 where nobody asks whether it stalled."""
    baseline: Baseline = NO_BASELINE
    pulse: Pulse | None = None
    window_of: WindowOf = no_window
    models: list[SpanFact] = field(default_factory=list[SpanFact])
    """Model calls, each once."""
    tools: list[SpanFact] = field(default_factory=list[SpanFact])
    """Spans of tools, each once."""
    failed: list[SpanFact] = field(default_factory=list[SpanFact])
    """Spans whose status is an error."""
    orphans: list[SpanFact] = field(default_factory=list[SpanFact])
    duplicates: list[SpanFact] = field(default_factory=list[SpanFact])
    skewed: list[SpanFact] = field(default_factory=list[SpanFact])
    roots: list[SpanFact] = field(default_factory=list[SpanFact])

    def __post_init__(self) -> None:
        by_id = self.by_id
        for fact in self.facts:
            if fact.duplicate_of:
                self.duplicates.append(fact)
            elif fact.kind == "model":
                self.models.append(fact)
            elif fact.kind == "tool":
                above = by_id.get(fact.parent_span_id)
                # What an MCP server records of a call is the client's call once more, seen from the other side.
                if above is None or above.kind != "tool" or above.tool_name != fact.tool_name:
                    self.tools.append(fact)
            if fact.status == "error":
                self.failed.append(fact)
            parent = fact.parent_span_id
            if not parent:
                self.roots.append(fact)
            elif parent not in by_id:
                self.orphans.append(fact)
            if fact.notes and any(note.startswith("clock:") for note in fact.notes):
                self.skewed.append(fact)

    @cached_property
    def root(self) -> SpanFact | None:
        """The span the trace is named after; None while no root has arrived."""
        return max(self.roots, key=lambda fact: (fact.kind == "agent", fact.end_ns - fact.start_ns), default=None)

    @cached_property
    def agent(self) -> str:
        """The agent asked."""
        root = self.root
        return (root.agent if root else "") or next((fact.agent for fact in self.facts if fact.agent), "")

    @cached_property
    def tool_names(self) -> set[str]:
        """Tools that have spans or were offered."""
        names = {fact.tool_name for fact in self.tools}
        for fact in self.models:
            names.update(fact.tools_offered)
        return names

    # -- who called what -----------------------------------------------------------------------------------------

    @cached_property
    def owners(self) -> dict[str, str]:
        """From span to the run of an agent it is part of: workers side by side are told apart.

        Where a framework makes a span of kind agent for every turn, the turns that follow one another are one run.
        """
        nearest: dict[str, str] = {}
        for fact in self.facts:
            path: list[str] = []
            current = fact
            found = ""
            while len(path) < 200:
                parent = current.parent_span_id
                known = nearest.get(current.span_id)
                if known is not None:
                    found = known
                    break
                path.append(current.span_id)
                above = self.by_id.get(parent) if parent else None
                if above is None or above.kind == "agent":
                    found = parent if above is not None else ""
                    break
                current = above
            for span_id in path:
                nearest[span_id] = found
        return self._joined_turns(nearest)

    def _joined_turns(self, nearest: dict[str, str]) -> dict[str, str]:
        model_calls: dict[str, int] = {}
        for fact in self.models:
            owner = nearest[fact.span_id]
            model_calls[owner] = model_calls.get(owner, 0) + 1
        lanes: dict[tuple[str, str], tuple[str, int]] = {}
        stands_for: dict[str, str] = {}
        for fact in self.facts:
            if fact.kind != "agent" or model_calls.get(fact.span_id, 0) > 1:
                continue
            place = (nearest[fact.span_id], fact.agent or fact.name)
            lane = lanes.get(place)
            if lane is not None and lane[1] <= fact.start_ns:
                stands_for[fact.span_id] = lane[0]
                lanes[place] = (lane[0], fact.end_ns)
            elif lane is None:
                lanes[place] = (fact.span_id, fact.end_ns)
        if not stands_for:
            return nearest
        return {span_id: stands_for.get(owner, owner) for span_id, owner in nearest.items()}

    @cached_property
    def calls(self) -> list[Call]:
        """Every tool call in order: of spans of kind tool, or of the models' answers where no tool has a span."""
        owners = self.owners
        if self.tools:
            return [tool_call(fact, owners[fact.span_id]) for fact in self.tools]
        return calls_of_models(self.models, self.tool_names, [owners[fact.span_id] for fact in self.models])

    # -- how it ended --------------------------------------------------------------------------------------------

    @cached_property
    def main(self) -> str:
        """The run of the agent that was asked."""
        return self.owners[self.models[0].span_id] if self.models else ""

    @cached_property
    def final(self) -> SpanFact | None:
        """The model call whose answer is the trace's: the one the root repeats, else the last of the agent asked."""
        root = self.root
        if root is not None and root.output_text:
            for fact in reversed(self.models):
                if fact.output_text == root.output_text:
                    return fact
        mine = [fact for fact in self.models if self.owners[fact.span_id] == self.main]
        return max(mine, key=lambda fact: fact.end_ns, default=None)

    @cached_property
    def answer(self) -> str:
        """The words of the final answer with its end, as far as they are at hand; empty where there is none."""
        final, root = self.final, self.root
        said = root.output_text if root is not None and root.kind == "agent" else ""
        if _words(said) and (final is None or final.output_text != said):
            return said
        if final is None or ends_in_calls(final, self.tool_names):
            return ""
        return f"{final.output_text}\n{final.kept_text}" if final.kept_text else final.output_text


def _words(text: str) -> bool:
    return bool(text) and text.lstrip()[:1] not in ("{", "[")
