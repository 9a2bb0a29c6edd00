"""The thresholds of the rules: defaults, what they mean, and what the configuration file changes for which agent."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from pilothouse.records import BadRequest

from .catalogue import RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a rule speaks. ``[signals]``, and ``[signals.agents."NAME"]`` for one agent."""

    off: tuple[str, ...] = ()
    """Rules that are switched off."""
    loop_calls: int = 4
    """Calls of one tool with equal arguments and equal results, all but in a row, that make a loop."""
    loop_changing_calls: int = 30
    """The same where results change, as when polling."""
    ping_pong_cycles: int = 3
    """Rounds of the same 2 to 4 calls in turn that make a ping-pong."""
    no_answer_calls: int = 5
    """Tool calls since the last reply after which a trace that ends without one is reported."""
    retry_calls: int = 4
    """Failures of the same call, or rate-limit errors of one model, within the window that make a storm."""
    retry_window_s: float = 60.0
    """Seconds within which they must fall."""
    context_share: float = 0.95
    """Share of the model's context window that the input of a call may fill."""
    baseline_traces: int = 30
    """Finished traces of an agent before its cost and latency are compared with what is usual."""
    cost_factor: float = 3.0
    """A trace may cost so many times the agent's median, whatever its spread."""
    cost_spread: float = 4.0
    """And up to so many robust standard deviations (of the logarithm) above it."""
    cost_min_usd: float = 0.01
    """Below this, in US dollars, no cost is unexpected."""
    latency_factor: float = 3.0
    """A trace may take so many times the agent's median, whatever its spread."""
    latency_spread: float = 4.0
    """And up to so many robust standard deviations (of the logarithm) above it."""
    latency_min_s: float = 5.0
    """Below this, in seconds, no latency is unexpected."""
    canned_traces: int = 20
    """Traces of a day with the very same input, by no more than three users, that are taken for synthetic."""
    stalled_factor: float = 20.0
    """An open trace may be silent for so many times the agent's usual gap between spans."""
    stalled_min_s: float = 120.0
    """But at least this long, in seconds."""
    stalled_default_s: float = 300.0
    """And this long, in seconds, where the agent's usual gap is not known yet."""
    died_intervals: float = 4.0
    """Heartbeats that may be missing before the process is taken for dead."""
    died_min_s: float = 15.0
    """But at least this long, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """The thresholds of every agent."""

    everyone: Thresholds = field(default_factory=Thresholds)
    agents: Mapping[str, Thresholds] = field(default_factory=dict[str, Thresholds])

    def of(self, agent: str) -> Thresholds:
        """The thresholds of an agent."""
        return self.agents.get(agent, self.everyone)


_NUMBERS: dict[str, type[int | float]] = {
    spec.name: type(getattr(Thresholds(), spec.name)) for spec in fields(Thresholds) if spec.name != "off"
}


def read_rulebook(table: Mapping[str, Any]) -> Rulebook:
    """The ``[signals]`` table of the configuration file.

    Raises:
        BadRequest: a setting or a rule is not known, or a value is not a positive number.
    """
    agents = table.get("agents", {})
    if not isinstance(agents, Mapping):
        raise BadRequest("signals.agents holds a table for each agent", got=repr(agents)[:100])
    own = {name: value for name, value in table.items() if name != "agents"}
    everyone = _thresholds(own, Thresholds(), "[signals]", further=["agents"])
    of_agents: dict[str, Thresholds] = {}
    for name, entry in cast("Mapping[str, Any]", agents).items():
        place = f'[signals.agents."{name}"]'
        if not isinstance(entry, Mapping):
            raise BadRequest(f"{place} is a table", got=repr(entry)[:100])
        of_agents[name] = _thresholds(cast("Mapping[str, Any]", entry), everyone, place)
    return Rulebook(everyone=everyone, agents=of_agents)


def _thresholds(table: Mapping[str, Any], base: Thresholds, place: str, further: list[str] | None = None) -> Thresholds:
    changed: dict[str, Any] = {}
    known: list[str] = sorted(["off", *_NUMBERS.keys(), *(further or [])])
    for name, value in table.items():
        if name == "off":
            changed["off"] = _rules(value, place)
        elif name not in _NUMBERS:
            close = difflib.get_close_matches(name, known, n=3)
            raise BadRequest(f"no such setting in {place}", got=name, allowed=close or known)
        else:
            changed[name] = _number(name, value, place)
    return replace(base, **changed)


def _rules(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[Any]", value)):
        raise BadRequest(f"off in {place} is a list of signals", got=repr(cast("object", value))[:100])
    names = cast("list[str]", value)
    for name in names:
        if name not in RULES:
            raise BadRequest(f"no such signal in {place}: off", got=name, allowed=sorted(RULES))
    return tuple(names)


def _number(name: str, value: Any, place: str) -> int | float:
    wanted = _NUMBERS[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
        raise BadRequest(f"{name} in {place} is a number above 0", got=repr(value)[:100])
    if wanted is int and (not isinstance(value, int) or value < 2):
        raise BadRequest(f"{name} in {place} is a whole number from 2 on", got=repr(value)[:100])
    if name == "context_share" and value > 1:
        raise BadRequest(f"{name} in {place} is a share of at most 1", got=repr(value)[:100])
    return value
