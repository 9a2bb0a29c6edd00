"""The section ``approvals`` of the policy file: which actions wait for a person, for whom, and for how long.

approvals:
  rules:
    - name: large-writes
      tool: [sql, "db_*"]
      when: rows > 1000
      say: Change {rows} rows with {args.statement}
      reviewers: [ann, ben]
      needs: 2
      deadline: 4h
      escalate: [{after: 1h, to: [carol]}]
      on_timeout: cancel
      risk: high
  notify:
    ops: {slack: env:SLACK_WEBHOOK}
    ann: {apprise: env:ANN_MAIL, reviewers: [ann]}
  address: https://pilothouse.example.com
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, cast, get_args

from pilothouse.records import BadRequest

from .action import FACTS, canonical
from .conditions import Condition

Do = Literal["ask", "allow", "forbid"]
OnTimeout = Literal["escalate", "cancel", "fallback"]
Risk = Literal["low", "medium", "high"]
Edit = Literal["allow", "forbid"]
ChannelKind = Literal["webhook", "slack", "apprise"]
CHANNEL_KINDS: Final[tuple[ChannelKind, ...]] = get_args(ChannelKind)

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,6})\s*([smhd])")
DEADLINE_S_MAX: Final = 90 * 86_400
_RULES_MAX: Final = 500
_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a ladder: whom else to ask, and when."""

    after_s: int
    """Since it was asked for."""
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What is done instead where nobody answers."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. The first of the file that fits an action decides."""

    name: str
    tool: tuple[str, ...] = ("*",)
    """Names of tools, or patterns with ``*``."""
    when: Condition | None = None
    """In CEL; None: always. One that fails, or cannot be said, means that a person is asked."""
    do: Do = "ask"
    """``allow``: nobody is asked. ``forbid``: nobody can allow it."""
    say: str = ""
    """What it will do, in one sentence with ``{rows}`` or ``{args.NAME}``; empty: the tool and its arguments."""
    reviewers: tuple[str, ...] = ()
    """Who may decide, by name; empty: whoever may decide at all."""
    needs: Literal[1, 2] = 1
    """How many people must agree. Who asked never counts, and one person counts once."""
    deadline_s: int = 86_400
    """Without a decision by then: what ``on_timeout`` says."""
    use_within_s: int = 3_600
    """An approved action must begin within this time."""
    escalate: tuple[Rung, ...] = ()
    on_timeout: OnTimeout = "cancel"
    fallback: Fallback | None = None
    edit: Edit = "allow"
    """Whether a reviewer may change the arguments."""
    risk: Risk = "medium"
    notify: tuple[str, ...] = ()
    """Channels that are told; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where people are told that something waits for them."""

    name: str
    kind: ChannelKind
    source: str
    """``env:NAME`` or ``file:PATH``: where the address stands. It is a secret, and read when it is used."""
    reviewers: tuple[str, ...] = ()
    """Whose channel it is: told where one of them may decide, with links of their own. Empty: told of everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRules:
    """All that the section says."""

    rules: tuple[Rule, ...] = ()
    channels: tuple[Channel, ...] = ()
    address: str = ""
    """Where people reach the server, for links; empty: where it listens."""


ASKED: Final = Rule(name="(asked)")
"""Stands for the rule where an agent asks of itself."""


def read_approvals(section: Mapping[str, Any] | None) -> ApprovalRules:
    """Read the section ``approvals``; None or an empty one asks for nothing.

    Raises:
        BadRequest: something is not known, not of its type or out of range: it names the path, value and remedy.
    """
    row = _row(section or {}, "approvals", ("rules", "notify", "address"))
    channels = tuple(
        _channel(str(name), entry) for name, entry in _mapping(row.get("notify"), "approvals.notify").items()
    )
    listed = _list(row.get("rules"))
    if listed is None or len(listed) > _RULES_MAX:
        raise BadRequest(
            f"approvals.rules is a list of at most {_RULES_MAX} rules",
            got=repr(row["rules"])[:100],
            fix="rules: [{name: writes, tool: sql, when: rows > 1000}]",
        )
    rules: list[Rule] = []
    for number, entry in enumerate(listed):
        rule = _rule(entry, f"approvals.rules[{number}]", [channel.name for channel in channels])
        if rule.name in {one.name for one in rules}:
            raise BadRequest(f"approvals.rules[{number}].name stands twice", got=rule.name, fix="give each its own")
        rules.append(rule)
    address = row.get("address", "")
    if address and (not isinstance(address, str) or not address.startswith(("http://", "https://"))):
        raise BadRequest(
            "approvals.address is where people reach this server",
            got=repr(address)[:100],
            fix="address: https://pilothouse.example.com",
        )
    return ApprovalRules(rules=tuple(rules), channels=channels, address=address)


def fits(rule: Rule, tool: str) -> bool:
    """Whether a rule is about this tool."""
    return any(pattern == tool or fnmatchcase(tool, pattern) for pattern in rule.tool)


def _rule(entry: Any, path: str, channels: Sequence[str]) -> Rule:
    known = [one.name.removesuffix("_s") for one in fields(Rule)]
    row = _row(entry, path, known)
    name = _text(row.get("name"), f"{path}.name", 100)
    path = f"{path} ({name})"
    found: dict[str, Any] = {"name": name}
    if "tool" in row:
        found["tool"] = _names(row["tool"], f"{path}.tool", fix='tool: [sql, "db_*"]')
    if row.get("when") is not None:
        if not isinstance(row["when"], str):
            raise BadRequest(
                f"{path}.when is an expression in quotes", got=repr(row["when"])[:100], fix='when: "rows > 1000"'
            )
        found["when"] = Condition(row["when"], f"{path}.when")
    for key, allowed in (
        ("do", get_args(Do)),
        ("on_timeout", get_args(OnTimeout)),
        ("edit", get_args(Edit)),
        ("risk", get_args(Risk)),
    ):
        if key in row:
            found[key] = _one_of(row[key], f"{path}.{key}", allowed)
    if "say" in row:
        found["say"] = _sentence(row["say"], f"{path}.say")
    if "reviewers" in row:
        found["reviewers"] = _names(row["reviewers"], f"{path}.reviewers", fix="reviewers: [ann, ben]")
    if "needs" in row:
        # True is 1 in Python, and no number of people.
        if isinstance(row["needs"], bool) or row["needs"] not in (1, 2):
            raise BadRequest(
                f"{path}.needs is how many people must agree", got=repr(row["needs"])[:100], allowed=[1, 2]
            )
        found["needs"] = row["needs"]
    for key in ("deadline", "use_within"):
        if key in row:
            found[f"{key}_s"] = _seconds(row[key], f"{path}.{key}")
    deadline_s: int = found.get("deadline_s", ASKED.deadline_s)
    if row.get("escalate"):
        found["escalate"] = _ladder(row["escalate"], f"{path}.escalate", deadline_s)
    if row.get("fallback") is not None:
        found["fallback"] = _fallback(row["fallback"], f"{path}.fallback")
    if "notify" in row:
        found["notify"] = _names(row["notify"], f"{path}.notify", fix="notify: [ops]")
        if unknown := [one for one in found["notify"] if one not in channels]:
            raise BadRequest(f"{path}.notify names no channel", got=unknown[0], allowed=list(channels))
    rule = Rule(**found)
    if (rule.on_timeout == "fallback") != (rule.fallback is not None):
        raise BadRequest(
            f"{path}: on_timeout: fallback and fallback go together",
            got=f"on_timeout: {rule.on_timeout}",
            fix="on_timeout: fallback, fallback: {tool: draft_email, args: {}}",
        )
    if rule.on_timeout == "escalate" and not rule.escalate:
        raise BadRequest(f"{path}: on_timeout: escalate needs a ladder", fix="escalate: [{after: 1h, to: [carol]}]")
    everybody = {person.casefold() for person in rule.reviewers}
    everybody |= {person.casefold() for rung in rule.escalate for person in rung.to}
    if rule.reviewers and len(everybody) < rule.needs:
        raise BadRequest(f"{path}.reviewers are too few for needs: {rule.needs}", got=list(rule.reviewers))
    return rule


def _channel(name: str, entry: Any) -> Channel:
    path = f"approvals.notify.{name}"
    row = _row(entry, path, (*CHANNEL_KINDS, "reviewers"))
    kinds: list[ChannelKind] = [kind for kind in CHANNEL_KINDS if kind in row]
    if len(kinds) != 1:
        raise BadRequest(f"{path} is one of these", got=sorted(row), allowed=list(CHANNEL_KINDS), fix="slack: env:NAME")
    source = row[kinds[0]]
    how, _, where = source.partition(":") if isinstance(source, str) else ("", "", "")
    if how not in ("env", "file") or not where:
        # The text is not repeated: somebody who did not read this wrote an address there, and it is a secret.
        raise BadRequest(
            f"{path}.{kinds[0]}: an address is named, not written down",
            allowed=["env:NAME", "file:/PATH"],
            fix=f"{kinds[0]}: env:APPROVALS_{kinds[0].upper()}",
        )
    reviewers = _names(row["reviewers"], f"{path}.reviewers", fix="reviewers: [ann]") if "reviewers" in row else ()
    return Channel(name=name, kind=kinds[0], source=cast("str", source), reviewers=reviewers)


def _ladder(value: Any, path: str, deadline_s: int) -> tuple[Rung, ...]:
    listed = _list(value)
    if listed is None or len(listed) > 20:
        raise BadRequest(
            f"{path} is a list of at most 20 steps", got=repr(value)[:100], fix="[{after: 1h, to: [carol]}]"
        )
    rungs: list[Rung] = []
    for number, entry in enumerate(listed):
        at = f"{path}[{number}]"
        row = _row(entry, at, ("after", "to"))
        rung = Rung(
            after_s=_seconds(row.get("after"), f"{at}.after"), to=_names(row.get("to"), f"{at}.to", fix="to: [carol]")
        )
        if rung.after_s >= deadline_s or (rungs and rung.after_s <= rungs[-1].after_s):
            raise BadRequest(
                f"{at}.after is later than the step before and earlier than the deadline", got=row["after"]
            )
        rungs.append(rung)
    return tuple(rungs)


def _fallback(value: Any, path: str) -> Fallback:
    row = _row(value, path, ("tool", "args"))
    arguments = _mapping(row.get("args"), f"{path}.args")
    canonical(arguments)
    return Fallback(tool=_text(row.get("tool"), f"{path}.tool", 200), arguments=arguments)


def _sentence(value: Any, path: str) -> str:
    text = _text(value, path, 500)
    for place in _PLACE.findall(text):
        if place.partition(".")[0] not in FACTS or (place == "args" or (place.startswith("args.") and not place[5:])):
            raise BadRequest(
                f"{path} has a place that is not known",
                got=f"{{{place}}}",
                allowed=[f"{{{fact}}}" for fact in FACTS if fact != "args"] + ["{args.NAME}"],
            )
    return text


def _seconds(value: Any, path: str) -> int:
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 1 <= seconds <= DEADLINE_S_MAX:
        raise BadRequest(
            f"{path} is a time of 1s to {DEADLINE_S_MAX // 86_400}d", got=repr(value)[:100], fix="e.g. 30m, 4h or 2d"
        )
    return seconds


def _names(value: Any, path: str, *, fix: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else _list(value)
    if not listed or len(listed) > 100 or any(not isinstance(one, str) or not one.strip() for one in listed):
        raise BadRequest(f"{path} is one name or a list of names", got=repr(value)[:100], fix=fix)
    return tuple(cast("str", one).strip()[:200] for one in listed)


def _one_of(value: Any, path: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise BadRequest(f"{path} is none of these", got=repr(value)[:100], allowed=list(allowed))
    return cast("str", value)


def _text(value: Any, path: str, chars: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > chars:
        raise BadRequest(f"{path} is a text of 1 to {chars} characters", got=repr(value)[:100], fix="put it in quotes")
    return value.strip()


def _list(value: Any) -> list[Any] | None:
    """The list, an empty one for nothing; None where it is something else."""
    return [] if value is None else cast("list[Any]", value) if isinstance(value, list) else None


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRequest(f"{path} holds names and values", got=repr(value)[:100])
    return {str(key): inner for key, inner in cast("Mapping[Any, Any]", value).items()}


def _row(value: Any, path: str, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRequest(f"{path} holds names and values", got=repr(value)[:100])
    row = _mapping(value, path)
    if unknown := sorted(set(row) - set(known)):
        raise BadRequest(f"{path} has no setting of this name", got=unknown[0], allowed=list(known))
    return row
