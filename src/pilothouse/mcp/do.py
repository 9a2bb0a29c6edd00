"""``do``: everything that writes, by name. Without a name it lists what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.records import BadRequest

from .answers import Answer
from .caller import Desk
from .calls import call
from .outline import outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that can be done."""

    help: str
    """A sentence, with the key mode it needs."""
    arguments: Mapping[str, str]
    """Name to meaning; a meaning that begins with ``*`` belongs to one that must be given."""
    act: Callable[[Desk, Mapping[str, Any], bool], dict[str, Any]]
    """Given the desk, the arguments and whether only to say what would happen; gives the API's envelope."""


def _reprocess(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
    return desk.caller.post("/reprocess", {"since": given["since"], "until": given.get("until", ""), "dry_run": dry})


ACTIONS: dict[str, Action] = {
    "reprocess": Action(
        help="Normalise and price stored history again, after a rule or a price changed. Needs a key of mode admin.",
        arguments={"since": "*15m, 24h, 7d or ISO 8601", "until": "before; default now"},
        act=_reprocess,
    )
}


def do(desk: Desk, arguments: Mapping[str, Any]) -> Answer:
    """Act, or list what can be done.

    Raises:
        BadRequest: there is no such action, or its arguments are wrong.
        Forbidden: the key may not.
    """
    name = str(arguments.get("action") or "")
    if not name:
        return Answer(text="\n".join(_catalogue()), suggested=[])
    action = ACTIONS.get(name)
    if action is None:
        raise BadRequest("there is no such action", got=name, allowed=sorted(ACTIONS))
    given = _given(name, action, arguments)
    dry = bool(arguments.get("dry_run"))
    envelope = action.act(desk, given, dry)
    data = envelope.get("data")
    title = f"# {name}: {'would do' if dry else 'done'}"
    suggested = [call("do", action=name, arguments=dict(given))] if dry else []
    undo = cast("Mapping[str, Any]", data).get("undo") if isinstance(data, Mapping) else None
    lines = [title, *outline(data, chars=300)]
    return Answer(text="\n".join(lines), suggested=suggested, facts={"undo": undo} if undo else {})


def _given(name: str, action: Action, arguments: Mapping[str, Any]) -> dict[str, Any]:
    given: object = arguments.get("arguments") or {}
    if not isinstance(given, Mapping):
        raise BadRequest("arguments is an object", got=str(given)[:100], allowed=dict(action.arguments))
    named = dict(cast("Mapping[str, Any]", given))
    unknown = sorted(set(named) - set(action.arguments))
    if unknown:
        raise BadRequest(f"{name} takes no such argument", got=unknown[0], allowed=dict(action.arguments))
    missing = [
        one for one, meaning in action.arguments.items() if meaning.startswith("*") and named.get(one) in (None, "")
    ]
    if missing:
        raise BadRequest(f"{name} needs {' and '.join(missing)}", got=sorted(named), allowed=dict(action.arguments))
    return named


def _catalogue() -> list[str]:
    lines = ["# actions: do {action, arguments, dry_run}; * must be given"]
    for name, action in sorted(ACTIONS.items()):
        lines.append(f"- {name}: {action.help}")
        lines += [f"  - {one}: {meaning}" for one, meaning in action.arguments.items()]
    return lines
