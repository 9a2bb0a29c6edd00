"""The sections ``survival`` and ``limits`` of the policy file.

survival:
  retries: {tries: 5, total_s: 60}
  breakers: {failure_share: 0.5, open_s: 30}
  alerts: {fallbacks_min: 10}
  fallbacks:
    default:
      - {model: gpt-5, provider: openai}
      - {model: gpt-5-mini, provider: openai, on: [unavailable, budget]}
      - {cached: true}
      - {template: We are having trouble. A person will answer you., on: [unavailable]}
  hedge:
    default: {after: p95}
    triage: {after: 800ms, model: gpt-5-mini, share_max: 0.05}
limits:
  - {per: user, requests_per_minute: 30}
  - {per: model, match: "gpt-5*", tokens_per_minute: 200000}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar, cast

from pilothouse.records import BadRequest

from .breaker import BreakerSettings
from .chain import Chains, Step
from .events import AlertSettings
from .failure import TRIGGERS, Trigger
from .hedging import Hedge
from .rate_limit import PER, Limit
from .retries import Retries

T = TypeVar("T")
_STEP = ("model", "cached", "template")
_AFTER = re.compile(r"(?:p(\d{2}(?:\.\d)?)|(\d{1,6}(?:\.\d{1,3})?)(ms|s))")
_HEDGE = ("after", "model", "upstream", "share_max")
_STEP_MORE = ("provider", "upstream", "on", "context_tokens", "capabilities")


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalConfig:
    """The section ``survival``."""

    retries: Retries = field(default_factory=Retries)
    breakers: BreakerSettings = field(default_factory=BreakerSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    fallbacks: Chains = field(default_factory=Chains)
    hedge: Mapping[str, Hedge] = field(default_factory=dict[str, Hedge])
    """By task: when its calls are made a second time."""


def read_survival(section: Mapping[str, Any] | None) -> SurvivalConfig:
    """Read the section ``survival``; None or an empty one gives the defaults.

    Raises:
        BadRequest: something is not known, not of its type or out of range: it names the path, value and remedy.
    """
    section = _mapping(section or {}, "survival")
    _known(section, [one.name for one in fields(SurvivalConfig)], "survival")
    chains = _mapping(section.get("fallbacks") or {}, "survival.fallbacks")
    hedges = _mapping(section.get("hedge") or {}, "survival.hedge")
    return SurvivalConfig(
        retries=_numbers(Retries, section.get("retries"), "survival.retries"),
        breakers=_numbers(BreakerSettings, section.get("breakers"), "survival.breakers"),
        alerts=_numbers(AlertSettings, section.get("alerts"), "survival.alerts"),
        fallbacks=Chains(by_task={task: _chain(found, f"survival.fallbacks.{task}") for task, found in chains.items()}),
        hedge={task: _hedge(found, f"survival.hedge.{task}") for task, found in hedges.items()},
    )


def read_limits(section: Mapping[str, Any] | None) -> tuple[Limit, ...]:
    """Read the section ``limits``: limits by name; None or an empty one limits nothing.

    Raises:
        BadRequest: something is not known, not of its type or out of range: it names the path, value and remedy.
    """
    found: list[Limit] = []
    for name, entry in _mapping(section or {}, "limits").items():
        path = f"limits.{name}"
        row = _mapping(entry, path)
        _known(row, [one.name for one in fields(Limit) if one.name != "name"], path)
        per = row.get("per")
        if per not in PER:
            raise BadRequest(f"{path}.per says who has a limit of their own", got=repr(per), allowed=list(PER))
        rates = {name: row[name] for name in ("requests_per_minute", "tokens_per_minute", "burst_s") if name in row}
        for rate, value in rates.items():
            _number(value, f"{path}.{rate}")
        match = _text(row.get("match", "*"), f"{path}.match")
        found.append(Limit(name=name, per=per, match=match, **rates))
    return tuple(found)


def _chain(found: Any, path: str) -> tuple[Step, ...]:
    steps = tuple(_step(entry, f"{path}[{number}]") for number, entry in enumerate(_list(found, path)))
    if not steps or steps[0].kind != "model":
        raise BadRequest(f"{path} begins with a model", got="nothing" if not steps else steps[0].kind)
    return steps


def _step(entry: Any, path: str) -> Step:
    row = _mapping(entry, path)
    _known(row, [*_STEP, *_STEP_MORE], path)
    kinds = [kind for kind in _STEP if kind in row]
    if len(kinds) != 1:
        raise BadRequest(
            f"{path} is one of a model, a cached reply or a template", got=sorted(row), allowed=list(_STEP)
        )
    triggers = row.get("on", list(TRIGGERS))
    for trigger in _list(triggers, f"{path}.on"):
        if trigger not in TRIGGERS:
            raise BadRequest(f"{path}.on names no trigger", got=repr(trigger), allowed=list(TRIGGERS))
    on = frozenset(cast("list[Trigger]", triggers))
    if kinds == ["cached"]:
        if row["cached"] is not True:
            raise BadRequest(f"{path}.cached is true, or the step is left out", got=repr(row["cached"]))
        return Step(kind="cached", on=on)
    if kinds == ["template"]:
        return Step(kind="template", text=_text(row["template"], f"{path}.template"), on=on)
    tokens = row.get("context_tokens")
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1):
        raise BadRequest(f"{path}.context_tokens is a whole number above 0", got=repr(tokens))
    has = row.get("capabilities")
    return Step(
        model=_text(row["model"], f"{path}.model"),
        provider=_text(row.get("provider", ""), f"{path}.provider", empty=True),
        upstream=_text(row.get("upstream", ""), f"{path}.upstream", empty=True),
        on=on,
        context_tokens=tokens,
        capabilities=None
        if has is None
        else frozenset(_text(one, f"{path}.capabilities") for one in _list(has, f"{path}.capabilities")),
    )


def _hedge(entry: Any, path: str) -> Hedge:
    row = _mapping(entry, path)
    _known(row, _HEDGE, path)
    after = _AFTER.fullmatch(str(row.get("after", "")).strip())
    percent = float(after[1]) if after is not None and after[1] else 0.0
    seconds = float(after[2]) / (1_000 if after[3] == "ms" else 1) if after is not None and after[2] else 0.0
    if not 50 <= percent < 100 and not 0.001 <= seconds <= 600:
        raise BadRequest(
            f"{path}.after says when a second call starts",
            got=repr(row.get("after"))[:100],
            allowed="a percentile of the task's own latencies from p50 to p99.9, or a time from 1ms to 600s",
            fix="after: p95",
        )
    share = row.get("share_max", 0.1)
    _number(share, f"{path}.share_max")
    if not 0 < share <= 1:
        raise BadRequest(f"{path}.share_max is a share of the calls", got=share, allowed="above 0, at most 1")
    return Hedge(
        after_s=seconds,
        percentile=percent / 100,
        model=_text(row.get("model", ""), f"{path}.model", empty=True),
        upstream=_text(row.get("upstream", ""), f"{path}.upstream", empty=True),
        share_max=float(share),
    )


def _numbers(kind: type[T], found: Any, path: str) -> T:
    """A dataclass of numbers from a mapping: whole where the default is whole."""
    row = _mapping(found or {}, path)
    known = {one.name: one.default for one in fields(kind)}  # type: ignore[arg-type]  # every T here is a dataclass
    _known(row, list(known), path)
    for name, value in row.items():
        default = known[name]
        _number(value, f"{path}.{name}")
        if default is not MISSING and isinstance(default, int) and not isinstance(value, int):
            raise BadRequest(f"{path}.{name} is a whole number", got=repr(value), fix=f"e.g. {name}: {default}")
    return kind(**row)


def _number(value: Any, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{path} is a number", got=repr(value)[:100])


def _text(value: Any, path: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value.strip() or empty):
        raise BadRequest(f"{path} is a text", got=repr(value)[:100], fix="put it in quotes")
    return value


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRequest(
            f"{path} holds names and values", got=repr(value)[:100], fix=f"{path.rpartition('.')[2]}: {{…}}"
        )
    return {str(name): item for name, item in cast("Mapping[Any, Any]", value).items()}


def _list(value: Any, path: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadRequest(f"{path} is a list", got=repr(value)[:100], fix="write each entry behind a dash")
    return list(cast("Sequence[Any]", value))


def _known(row: Mapping[str, Any], names: Sequence[str], path: str) -> None:
    unknown = sorted(set(row) - set(names))
    if unknown:
        raise BadRequest(f"{path} has no setting of this name", got=unknown[0], allowed=sorted(names))
