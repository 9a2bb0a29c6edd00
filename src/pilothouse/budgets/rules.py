"""The section ``budgets`` of the policy file: who may spend how much, and what happens at the limit.

budgets:
  company:    {level: system, usd: 500, per: month}
  each-user:  {level: user, usd: 1, per: day, at_limit: cheaper}
  ann:        {level: user, match: ann, usd: 20, per: day}
  each-run:   {level: run, usd: 2}
  one-call:   {level: request, usd: 0.25, input_tokens: 100000, output_tokens: 4000}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, cast, get_args

from pilothouse.records import BadRequest

Level = Literal["request", "run", "user", "feature", "tenant", "system"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
Per = Literal["hour", "day", "week", "month", "ever"]
PERIODS: Final[tuple[Per, ...]] = get_args(Per)
AtLimit = Literal["refuse", "ask", "cheaper"]
AT_LIMIT: Final[tuple[AtLimit, ...]] = get_args(AtLimit)

NOBODY: Final = "(none)"
"""The subject of calls that name no user, feature or tenant: they share one account, so leaving a name out buys nothing."""

PRECEDENCE: Final = (
    "Every level holds: a call must fit a budget of each level that has one (request, run, user, feature, tenant, "
    "system); none overrides another.",
    "Of several budgets of one level and period that match the same name, one holds: an exact name before a pattern, "
    "a longer pattern before a shorter one, the first in the file before a later one.",
    "Where several are full, the strictest decides what happens: refuse, then ask, then cheaper; among equals the "
    "narrowest level is named, request first.",
    f"A call that names no user, feature or tenant counts for {NOBODY}, an account like any other.",
)
"""The one rule of which budget applies, as every surface prints it."""

_USD_MAX: Final = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One budget."""

    name: str
    """As the policy file calls it."""
    level: Level
    match: str = "*"
    """Which users, features, tenants or runs it is for; a pattern with ``*``. Each name has an account of its own."""
    per: Per = "ever"
    """When it begins anew, in UTC; a week begins on Monday."""
    usd: Decimal | None = None
    tokens: int | None = None
    """Of input and output together."""
    input_tokens: int | None = None
    """Of one request; level ``request`` only."""
    output_tokens: int | None = None
    """Of one request; level ``request`` only. A request that sets no bound of its own gets this one."""
    at_limit: AtLimit = "refuse"
    """``refuse``: no call. ``cheaper``: no call with this model, a cheaper one may fit. ``ask``: a person decides."""
    raise_usd: Decimal | None = None
    """With ``ask``: how much more a person is asked for, at once; None: half the limit, or what the call needs."""
    raise_tokens: int | None = None
    """The same of tokens."""


def read_budgets(section: Mapping[str, Any] | None) -> tuple[Rule, ...]:
    """Read the section ``budgets``; None or an empty one bounds nothing.

    Raises:
        BadRequest: something is not known, not of its type or out of range: it names the path, value and remedy.
    """
    if section is not None and not isinstance(cast("object", section), Mapping):
        raise BadRequest(
            "budgets holds budgets by name", got=repr(section)[:100], fix="company: {level: system, usd: 5}"
        )
    return tuple(_rule(str(name), entry) for name, entry in (section or {}).items())


def applying(rules: Sequence[Rule], subjects: Mapping[Level, str]) -> tuple[tuple[Rule, str], ...]:
    """The budgets that hold for a call, each with its subject, by the printed rule; request first, system last."""
    found: list[tuple[Rule, str]] = []
    for level in LEVELS:
        subject = subjects.get(level, NOBODY)
        matching = [rule for rule in rules if rule.level == level and _matches(rule, subject)]
        for per in PERIODS:
            here = [rule for rule in matching if rule.per == per]
            if here:
                found.append((max(here, key=_exactness), subject))
    return tuple(found)


def _matches(rule: Rule, subject: str) -> bool:
    # An exact name is compared as it stands: a user may be called "team[1]".
    return rule.match in (subject, "*") or fnmatchcase(subject, rule.match)


def _exactness(rule: Rule) -> tuple[bool, int]:
    # `max` keeps the first of equals, which is the first in the file.
    wild = any(sign in rule.match for sign in "*?[")
    return (not wild, len(rule.match))


def _rule(name: str, entry: Any) -> Rule:
    path = f"budgets.{name}"
    if not name.strip() or len(name) > 100:
        raise BadRequest("a budget has a name of 1 to 100 characters", got=name[:120])
    if not isinstance(entry, Mapping):
        raise BadRequest(
            f"{path} holds names and values", got=repr(entry)[:100], fix=f"{name}: {{level: user, usd: 1}}"
        )
    row = {str(key): value for key, value in cast("Mapping[Any, Any]", entry).items()}
    known = [one.name for one in fields(Rule) if one.name != "name"]
    if unknown := sorted(set(row) - set(known)):
        raise BadRequest(f"{path} has no setting of this name", got=unknown[0], allowed=known)
    level = row.get("level")
    if level not in LEVELS:
        raise BadRequest(f"{path}.level says whose budget it is", got=repr(level), allowed=list(LEVELS))
    per = row.get("per", "ever")
    allowed_per = ["ever"] if level in ("request", "run") else list(PERIODS)
    if per not in allowed_per:
        raise BadRequest(f"{path}.per is when it begins anew", got=repr(per), allowed=allowed_per)
    at_limit = row.get("at_limit", "refuse")
    if at_limit not in AT_LIMIT:
        raise BadRequest(f"{path}.at_limit is what happens at the limit", got=repr(at_limit), allowed=list(AT_LIMIT))
    match = row.get("match", "*")
    if not isinstance(match, str) or not match:
        raise BadRequest(
            f"{path}.match is a name or a pattern", got=repr(match)[:100], fix='put it in quotes, e.g. "*"'
        )
    if match != "*" and level in ("request", "system"):
        raise BadRequest(f"{path}.match: level {level} is one for all", got=match, fix="leave it out")
    counts = {
        key: _count(row[key], f"{path}.{key}") for key in ("tokens", "input_tokens", "output_tokens") if key in row
    }
    if level != "request" and (only := sorted(set(counts) & {"input_tokens", "output_tokens"})):
        raise BadRequest(f"{path}.{only[0]} is a bound of one request", got=level, fix="level: request, or tokens: …")
    usd = _usd(row["usd"], f"{path}.usd") if "usd" in row else None
    if usd is None and not counts:
        raise BadRequest(f"{path} bounds nothing", fix="give it usd or tokens")
    for key, bound in (("raise_usd", usd), ("raise_tokens", counts.get("tokens"))):
        if key in row and (at_limit != "ask" or bound is None or level == "request"):
            raise BadRequest(
                f"{path}.{key} is what a person is asked for, where at_limit is ask and there is a limit to raise",
                got=f"at_limit: {at_limit}, level: {level}",
                fix="take it out, or write at_limit: ask",
            )
    raise_usd = _usd(row["raise_usd"], f"{path}.raise_usd") if "raise_usd" in row else None
    raise_tokens = _count(row["raise_tokens"], f"{path}.raise_tokens") if "raise_tokens" in row else None
    return Rule(
        name=name,
        level=level,
        match=match,
        per=per,
        usd=usd,
        at_limit=at_limit,
        raise_usd=raise_usd,
        raise_tokens=raise_tokens,
        **counts,
    )


def _usd(value: Any, path: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadRequest(f"{path} is an amount in US dollars", got=repr(value)[:100], fix="e.g. 12.50, without a sign")
    # By its text: 0.1 of a file is a tenth, not the float next to it.
    amount = Decimal(str(value))
    if not amount.is_finite() or not 0 <= amount <= _USD_MAX:
        raise BadRequest(f"{path} is out of range", got=str(value), allowed=f"0 to {_USD_MAX:,}")
    return amount


def _count(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**15:
        raise BadRequest(f"{path} is a whole number of tokens", got=repr(value)[:100])
    return value
