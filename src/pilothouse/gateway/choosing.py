"""Which of a route's models a call goes to: rules over what it asks, in CEL, read from its request alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pilothouse.policy.conditions import Condition
from pilothouse.records import BadRequest, Unverified

LOG: Final = logging.getLogger("pilothouse.gateway")
FACTS: Final = (
    *("model", "tokens", "turns", "tools", "has_images", "max_tokens", "stream"),
    *("task", "feature", "agent", "environment", "user", "tenant"),
    "difficulty",
)
"""What a rule may ask: the model as asked for, tokens of the request (a quarter of its bytes), messages, tools offered,
whether there is a picture, the bound of the answer (0: none), what the headers say of the caller, and how likely the
cheap model is to do badly (0 to 1), where the project has a model that says so: ``pilothouse routing train``."""
_BYTES_A_TOKEN: Final = 4
_CHOICES_MAX: Final = 50
_IMAGES: Final = (b'"image_url"', b'"input_image"', b'"image"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One rule of a route."""

    when: Condition
    send_as: str
    """The model that is asked where it holds."""
    upstream: str
    """Empty: the route's."""

    @property
    def asks_difficulty(self) -> bool:
        """Whether it wants to know how hard a call is."""
        return "difficulty" in self.when.names


def chosen(choices: Sequence[Choice], facts: Mapping[str, Any]) -> Choice | None:
    """The first rule that holds; None where none does. One that cannot be decided is passed over, and said in the log."""
    for choice in choices:
        try:
            if choice.when.holds(facts):
                return choice
        except Unverified as error:
            LOG.warning("a rule of a route is passed over: %s", error.message)
    return None


def facts_of(request: bytes, body: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, Any]:
    """What rules may ask of a call. ``said``: what its headers say of the caller."""
    given = body.get("messages") if body.get("messages") is not None else body.get("input")
    tools = body.get("tools")
    bounds = (body.get(name) for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"))
    return {
        "model": str(body.get("model") or ""),
        "tokens": len(request) // _BYTES_A_TOKEN,
        "turns": len(cast("list[Any]", given)) if isinstance(given, list) else 1,
        "tools": len(cast("list[Any]", tools)) if isinstance(tools, list) else 0,
        "has_images": any(sign in request for sign in _IMAGES),
        "max_tokens": next((bound for bound in bounds if type(bound) is int), 0),
        "stream": body.get("stream") is True,
        **{name: said.get(name, "") for name in ("task", "feature", "agent", "environment", "user", "tenant")},
    }


def read_choices(value: Any, place: str, upstreams: Mapping[str, str], wire: str) -> tuple[Choice, ...]:
    """The rules, read and checked. ``upstreams``: their wire formats by name.

    Raises:
        BadRequest: a setting is unknown or wrong, or an expression cannot be read.
    """
    rows = cast("list[Any]", value) if isinstance(value, list) else None
    if rows is None or len(rows) > _CHOICES_MAX:
        raise BadRequest(f"{place} is a list of at most {_CHOICES_MAX} rules", got=repr(cast("object", value))[:100])
    found: list[Choice] = []
    for number, row in enumerate(rows):
        here = f"{place}[{number}]"
        table = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
        unknown = sorted({str(name) for name in table} - {"when", "difficulty", "send_as", "upstream"})
        asks = isinstance(table.get("when"), str) or "difficulty" in table
        if unknown or not asks or not isinstance(table.get("send_as"), str):
            raise BadRequest(
                f"{here} says when, and which model then",
                got=(unknown or [repr(cast("object", row))])[0][:100],
                allowed=["when", "difficulty", "send_as", "upstream"],
                fix='{when: "tokens < 400 && tools == 0", send_as: gpt-5-mini}',
            )
        upstream = table.get("upstream", "")
        if upstream and upstreams.get(upstream) != wire:
            raise BadRequest(
                f"{here}.upstream is none that speaks {wire}",
                got=repr(upstream)[:100],
                allowed=sorted(name for name, spoken in upstreams.items() if spoken == wire),
            )
        text = " && ".join(_clauses(table, here))
        when = Condition(text, f"{here}.when", known=FACTS)
        found.append(Choice(when=when, send_as=table["send_as"], upstream=upstream))
    return tuple(found)


def _clauses(table: Mapping[str, Any], place: str) -> list[str]:
    """What a rule says as expressions that must all hold."""
    bounds = table.get("difficulty")
    found: list[str] = []
    if "difficulty" in table:
        rows = cast("dict[str, Any]", bounds) if isinstance(bounds, dict) else {}
        good = all(type(value) in (int, float) and 0 <= value <= 1 for value in rows.values())
        if not rows or set(rows) - {"below", "from"} or not good:
            raise BadRequest(
                f"{place}.difficulty says below or from which difficulty the rule holds",
                got=repr(cast("object", bounds))[:100],
                allowed="below and from, each 0 to 1",
                fix="difficulty: {below: 0.3}",
            )
        signs = {"below": "<", "from": ">="}
        found = [f"difficulty {signs[name]} {float(value)}" for name, value in sorted(rows.items())]
    when = table.get("when")
    if when is not None:
        if not isinstance(when, str):
            raise BadRequest(f"{place}.when is an expression", got=repr(when)[:100], fix='when: "tokens < 400"')
        found.append(f"({when})" if found else when)
    return found


Facts = Callable[[], Mapping[str, Any]]
"""Gives the facts of a call, where a route asks."""
