"""Why a trace is not as it should be: its signals with evidence, thresholds, and what else was looked for."""

from __future__ import annotations

from collections.abc import Mapping

from pilothouse.records import SEVERITIES, NotFound, Signal, command
from pilothouse.signals import RULES, Rulebook, Thresholds, from_json
from pilothouse.store import TraceStore
from pilothouse.store.signal_reads import signal_details, steps_of

from .code_places import places
from .load import head
from .model import CodePlace, Looked, SeenAt, SignalWhy, Why
from .resolve import resolve
from .text import line


def why(store: TraceStore, project: str, id: str, *, rules: Rulebook | None = None) -> Why:
    """What is wrong with a trace, or with the trace of a span. Short ids, ``last`` and ``last-error`` work.

    ``rules`` are the configured thresholds; None: the defaults.

    Raises:
        NotFound: nothing has such an id, or it is a session's.
    """
    found = resolve(store, project, id)
    if found.kind == "session":
        raise NotFound("a session has no signals of its own", got=id, fix=command("sessions", id))
    top = head(store, project, found.trace_id)
    row = top.row
    limits = (rules or Rulebook()).of(row.agent)
    signals = from_json(signal_details(store, project, found.trace_id))
    spans = [item.span_id for signal in signals for item in signal.evidence]
    steps = steps_of(store, project, found.trace_id, top.stretch, spans)
    made = places(store, project, found.trace_id, top.stretch, spans)
    explained = [_explained(signal, row.agent, limits, steps, made) for signal in signals]
    known = {signal.name for signal in signals}
    bare = [name for name in row.signals if name not in known]
    explained += [_bare(name, row.agent, limits) for name in bare]
    # The gravest first; within a severity in the order of the rules.
    explained.sort(key=lambda signal: -SEVERITIES.index(signal.severity))  # pyright: ignore[reportArgumentType]
    named = {signal.name for signal in explained}
    return Why(
        trace_id=found.trace_id,
        agent=row.agent,
        status=row.status,
        signals=tuple(explained),
        looked_for=tuple(
            Looked(name=name, meaning=rule.meaning, settings=_settings(name, limits), off=name in limits.off)
            for name, rule in RULES.items()
            if name not in named
        ),
        note="stored before evidence was kept: pilothouse reprocess finds it again" if bare else "",
    )


def meanings() -> Mapping[str, str]:
    """What each signal says, by name: for tooltips."""
    return {name: rule.meaning for name, rule in RULES.items()}


def _explained(
    signal: Signal, agent: str, limits: Thresholds, steps: Mapping[str, int], made: Mapping[str, CodePlace]
) -> SignalWhy:
    evidence = [
        SeenAt(
            step=steps.get(item.span_id, 0),
            span_id=item.span_id,
            note=line(item.note, 200),
            code=made[item.span_id].text if item.span_id in made else "",
        )
        for item in signal.evidence
    ]
    return SignalWhy(
        name=signal.name,
        severity=signal.severity,
        meaning=_meaning(signal.name),
        message=line(signal.message, 600),
        evidence=tuple(sorted(evidence, key=lambda item: item.step)),
        value=signal.value,
        limit=signal.limit,
        unit=signal.unit,
        settings=_settings(signal.name, limits),
        tune=_tune(signal.name, agent),
        detail=signal.detail,
    )


def _bare(name: str, agent: str, limits: Thresholds) -> SignalWhy:
    return SignalWhy(
        name=name,
        severity="warning",
        meaning=_meaning(name),
        message=_meaning(name),
        evidence=(),
        value=None,
        limit=None,
        unit="",
        settings=_settings(name, limits),
        tune=_tune(name, agent),
        detail={},
    )


def _meaning(name: str) -> str:
    return RULES[name].meaning if name in RULES else "A signal of another version of Pilothouse."


def _settings(name: str, limits: Thresholds) -> dict[str, float]:
    return {setting: getattr(limits, setting) for setting in RULES[name].settings} if name in RULES else {}


def _tune(name: str, agent: str) -> str:
    """What to write into the configuration file."""
    if name not in RULES:
        return ""
    quoted = agent.replace("\\", "\\\\").replace('"', '\\"')
    place = f'[signals.agents."{line(quoted, 100)}"]' if agent else "[signals]"
    settings = " or ".join(f"{setting} = …" for setting in RULES[name].settings)
    off = f'off = ["{name}"]'
    return f"in pilothouse.toml, {place}: {settings + ', or ' if settings else ''}{off}"
