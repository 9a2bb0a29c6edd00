"""``suite.yaml``: what a suite is run against, how, and what its gate wants. All of it is optional.

target: my_agent:agent            # module:attribute, or an address
repeats: 3
run: {parallel: 8, timeout_s: 120, per_minute: 300, usd_max: 2.50, push: true}
tools: {writing: [refund], live: [search, "effect:read"]}   # run only where a case says so; run themselves
scorers:                          # functions asked about every case
  - {code: "shop:exact_amount", level: tool_call, of: [refund], at_least: 0.8}
gate: {margin: 0.02, alpha: 0.05, critical: true}
judges:
  careful: {model: gpt-4.1, url: http://127.0.0.1:4318/gateway/openai/v1}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pilothouse.records import BadRequest
from pilothouse.records.plain_yaml import plain_yaml

from .checks import Check, read_check
from .plain import is_texts, list_of, mapping_of
from .runner import PARALLEL, PARALLEL_MAX, TIMEOUT_S, Options
from .suite import SUITE_FILE

MARGIN: Final = 0.02
ALPHA: Final = 0.05
_SECTIONS: Final = (
    "target",
    "version",
    "repeats",
    "run",
    "tools",
    "scorers",
    "gate",
    "judges",
    "optimizer",
    "description",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When a change may go through."""

    margin: float = MARGIN
    """The loss of pass rate that is accepted, as a share."""
    alpha: float = ALPHA
    """How often a false alarm, or a false pass, is accepted."""
    critical: bool = True
    """Whether one regressed case of severity critical closes the gate by itself."""
    least_pass: float = 0.0
    """The share of cases that must pass, whatever the base did; 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings:
    """What ``suite.yaml`` says."""

    target: str = ""
    version: str = ""
    description: str = ""
    repeats: int = 1
    options: Options = field(default_factory=Options)
    push: bool = False
    """Whether each run is sent to the server as it ends."""
    gate: Gate = field(default_factory=Gate)
    judges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Each judge's own section, by name: the judges read them."""
    optimizer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Which model proposes prompts: the names of a judge's section."""


def load_settings(folder: Path) -> SuiteSettings:
    """What the file of a suite says; the defaults where there is none.

    Raises:
        BadRequest: something in it is wrong; the message names the place.
    """
    path = folder / SUITE_FILE
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return SuiteSettings()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest("the suite's file cannot be read", got=str(path)) from error
    return read_settings(plain_yaml(text, str(path)) or {}, shown=SUITE_FILE)


def read_settings(data: Any, *, shown: str = SUITE_FILE) -> SuiteSettings:
    """Settings from plain data.

    Raises:
        BadRequest: as :func:`load_settings`.
    """
    row = _section(data, shown, _SECTIONS)
    run = _section(row.get("run") or {}, f"{shown}: run", ("parallel", "timeout_s", "per_minute", "usd_max", "push"))
    tools = _section(row.get("tools") or {}, f"{shown}: tools", ("writing", "live"))
    named: dict[str, Any] = {name: tools.get(name) or [] for name in ("writing", "live")}
    for name, value in named.items():
        if not is_texts(value):
            raise BadRequest(f"{shown}: tools.{name} is a list of names", got=str(value)[:100])
    gate = _section(row.get("gate") or {}, f"{shown}: gate", ("margin", "alpha", "critical", "least_pass"))
    judges = _section(row.get("judges") or {}, f"{shown}: judges")
    return SuiteSettings(
        target=_text(row, "target", shown),
        version=_text(row, "version", shown),
        description=_text(row, "description", shown),
        repeats=int(_number(row, "repeats", 1, shown, least=1, most=1_000, whole=True)),
        options=Options(
            parallel=int(_number(run, "parallel", PARALLEL, f"{shown}: run", least=1, most=PARALLEL_MAX, whole=True)),
            timeout_s=_number(run, "timeout_s", TIMEOUT_S, f"{shown}: run", least=0.01, most=86_400),
            per_minute=_number(run, "per_minute", 0.0, f"{shown}: run", least=0, most=1e6),
            usd_max=_number(run, "usd_max", 0.0, f"{shown}: run", least=0, most=1e6),
            writing=frozenset(named["writing"]),
            live=frozenset(named["live"]),
            scorers=_scorers(row.get("scorers") or [], f"{shown}: scorers"),
        ),
        push=_truth(run, "push", f"{shown}: run", default=False),
        gate=Gate(
            margin=_number(gate, "margin", MARGIN, f"{shown}: gate", least=0, most=0.99),
            alpha=_number(gate, "alpha", ALPHA, f"{shown}: gate", least=1e-6, most=0.49),
            critical=_truth(gate, "critical", f"{shown}: gate"),
            least_pass=_number(gate, "least_pass", 0.0, f"{shown}: gate", least=0, most=1),
        ),
        optimizer=_section(row.get("optimizer") or {}, f"{shown}: optimizer"),
        judges={name: _section(one, f"{shown}: judges.{name}") for name, one in judges.items()},
    )


def _scorers(data: Any, place: str) -> tuple[Check, ...]:
    listed = list_of(data)
    if listed is None:
        raise BadRequest(f"{place} is a list", got=str(data)[:100], fix="scorers: [{code: 'shop:polite'}]")
    found = tuple(read_check(one, f"{place}[{n}]") for n, one in enumerate(listed))
    other = next((one.kind for one in found if one.kind != "code"), "")
    if other:
        raise BadRequest(f"{place} are functions", got=other, allowed=["code"], fix="put it into the checks of a case")
    return found


def scorer_finder(folder: Path, find: Callable[[str], Any]) -> Callable[[str], Any]:
    """Finds the functions that ``code`` checks name, each once."""
    known: dict[str, Any] = {}

    def found(name: str) -> Any:
        if name not in known:
            known[name] = find(name)
        return known[name]

    return found


def _section(data: Any, place: str, allowed: Sequence[str] = ()) -> Mapping[str, Any]:
    row = mapping_of(data)
    if row is None:
        raise BadRequest(f"{place} is a mapping of names to values", got=str(data)[:100], allowed=list(allowed) or None)
    unknown = sorted(set(row) - set(allowed)) if allowed else []
    if unknown:
        raise BadRequest(f"{place} has no such name", got=unknown[0], allowed=list(allowed))
    return row


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name) or ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise BadRequest(f"{place}: {name} is a text", got=str(value)[:100])
    return str(value)


def _number(
    row: Mapping[str, Any], name: str, default: float, place: str, *, least: float, most: float, whole: bool = False
) -> float:
    value = row.get(name, default)
    good = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not good or (whole and int(value) != value):
        raise BadRequest(f"{place}.{name} is a number from {least:g} to {most:g}", got=str(value)[:100])
    return value


def _truth(row: Mapping[str, Any], name: str, place: str, *, default: bool = True) -> bool:
    value = row.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{place}.{name} is true or false", got=str(value)[:100])
    return value
