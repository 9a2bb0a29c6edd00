"""An action that may need a person: what exactly is done, how much it touches, and the digest that stands for it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilothouse.records import BadRequest, TooLarge

ARGUMENTS_BYTES_MAX: Final = 256 * 1024
_DEPTH_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is about to be done, and what is known of how far it reaches."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Exactly what the tool is called with: plain JSON."""
    rows: int | None = None
    """How many rows it changes; None: nobody counted."""
    people: int | None = None
    """How many people it reaches; None: nobody counted."""
    money_usd: float | None = None
    """What it moves, in US dollars; None: nobody said."""
    environment: str = ""
    agent: str = ""
    agent_version: str = ""
    user: str = ""
    """For whom the agent works."""
    cost_so_far_usd: float = 0.0
    """What the run has spent on models."""

    def facts(self) -> dict[str, Any]:
        """The names that conditions and sentences know, with their values."""
        return {
            "tool": self.tool,
            "args": dict(self.arguments),
            "rows": self.rows,
            "people": self.people,
            "money": self.money_usd,
            "environment": self.environment,
            "agent": self.agent,
            "agent_version": self.agent_version,
            "user": self.user,
            "cost_so_far": self.cost_so_far_usd,
        }


FACTS: Final = (
    "tool",
    "args",
    "rows",
    "people",
    "money",
    "environment",
    "agent",
    "agent_version",
    "user",
    "cost_so_far",
)
"""The names that conditions and sentences know."""


def canonical(arguments: Mapping[str, Any]) -> str:
    """The one text of arguments: keys sorted, no spaces, ASCII. Two texts are equal only where the call is.

    Raises:
        BadRequest: they are no plain JSON.
        TooLarge: they pass the bound.
    """
    _check_plain(arguments, 0)
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    if len(text) > ARGUMENTS_BYTES_MAX:
        raise TooLarge(
            "arguments that a person is to approve are too large",
            got=f"{len(text):,} bytes",
            allowed=f"{ARGUMENTS_BYTES_MAX:,} bytes",
            fix="pass a handle or a path, and what it holds by its hash",
        )
    return text


def digest(key: bytes, project_id: str, action: Action) -> str:
    """What stands for an action: HMAC-SHA256 of the tool, its exact arguments, and who does it where.

    How much it touches is not part of it: that is what is known of an action, not what it is.
    """
    named = (project_id, action.tool, canonical(action.arguments), action.agent, action.environment, action.user)
    # As JSON: no two lists of names come out as the same bytes.
    return hmac.new(key, json.dumps(named).encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two digests are equal, in constant time; an empty one equals nothing."""
    return bool(one) and hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


# What a model wrote may be anything.
def _check_plain(value: Any, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise BadRequest("arguments are nested too deeply", allowed=f"{_DEPTH_MAX} levels")
    if isinstance(value, Mapping):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            if not isinstance(key, str):
                raise BadRequest("arguments are plain JSON: names are text", got=repr(key)[:100])  # pyright: ignore[reportUnknownArgumentType]
            _check_plain(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            _check_plain(inner, depth + 1)
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise BadRequest("arguments are plain JSON: a number is finite", got=repr(value))
    elif value is not None and not isinstance(value, str | bool | int):
        raise BadRequest(
            "arguments are plain JSON", got=type(value).__name__, fix="pass text, numbers, lists and mappings"
        )
