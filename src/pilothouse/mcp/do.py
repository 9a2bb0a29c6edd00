"""``do``: everything that writes, by name. Without a name it lists what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from pilothouse.records import BadRequest, NeedsApproval

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
    chars: int = 300
    """Of a value that are shown."""


def _reprocess(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
    return desk.caller.post("/reprocess", {"since": given["since"], "until": given.get("until", ""), "dry_run": dry})


_TARGET = {"id": "*a trace, span or session: its id, its unique beginning, or last", "step": "a step of that trace"}
_OWN = {"identifier": "writing again with the same one changes it", "run": "what undoes it; default: this connection's"}


def _annotate(kind: str) -> Callable[[Desk, Mapping[str, Any], bool], dict[str, Any]]:
    def act(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
        item = {name: str(value) if name == "step" else value for name, value in given.items() if name != "run"}
        run = given.get("run") or desk.run
        return desk.caller.post("/annotations", {"items": [{"kind": kind, **item}], "run": run, "dry_run": dry})

    return act


def _remove(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
    path = f"/annotations/{quote(str(given['annotation_id']), safe='')}"
    return desk.caller.delete(path, {"run": given.get("run") or desk.run, "dry_run": dry})


def _undo(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
    return desk.caller.post("/annotations/undo", {"run": given["run"], "dry_run": dry})


def _request_approval(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
    if dry:
        return {"data": dict(given)}
    asked = desk.caller.post("/approvals", given)
    data = cast("dict[str, Any]", asked["data"])
    if data["approval"]["state"] != "pending":
        return asked
    raise NeedsApproval(
        "it waits for a person; look with do(action=approval, approval_id=…)",
        got=data["approval"]["approval_id"],
        allowed=f"a person decides at {data['page']}",
        fix=data["command"],
    )


def _approval(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
    path = f"/approvals/{quote(str(given['approval_id']), safe='')}"
    if given.get("answer") and not dry:
        desk.caller.post(f"{path}/answer", {"text": str(given["answer"])})
    return desk.caller.get(path)


def _in_queue(verb: str) -> Callable[[Desk, Mapping[str, Any], bool], dict[str, Any]]:
    def act(desk: Desk, given: Mapping[str, Any], dry: bool) -> dict[str, Any]:
        said = {name: value for name, value in given.items() if name != "queue"}
        path = f"/queues/{quote(str(given['queue']), safe='')}"
        if dry:
            return {"data": {"queue": desk.caller.get(path)["data"]["name"], **said}}
        more = {"budget": _RECORD_CHARS} if verb == "next" else {}
        return desk.caller.post(f"{path}/{verb}", {**said, **more})

    return act


_RECORD_CHARS = 7_000
"""Of the record of an item of a queue: with all else it fits the budget that a call has unless it says more."""
_QUEUE = {"queue": "*its name: get id=queues"}
_ITEM = {**_QUEUE, "number": "*the item's"}

ACTIONS: dict[str, Action] = {
    "request_approval": Action(
        help="Ask a person whether an action may be done; answers needs_approval with the page and command. Needs write.",
        arguments={
            "tool": "*what would be called",
            "arguments": "*exactly what it would be called with, as an object",
            "rows": "rows it changes",
            "people": "people it reaches",
            "money_usd": "dollars it moves",
            "environment": "where",
            "reason": "why",
            "expected": "what comes of it",
            "rollback": "how it is taken back",
            "ask_key": "an id of your own: the same request twice is one",
        },
        act=_request_approval,
    ),
    "approval": Action(
        help="How an action that was asked for stands, with what reviewers said; or answer their question. Needs read.",
        arguments={
            "approval_id": "*as asking for it answered",
            "answer": "what you say to their question (needs write)",
        },
        act=_approval,
    ),
    "note": Action(
        help="Write a note on a trace, step or session. Needs annotate.",
        arguments={**_TARGET, "text": "*the note", **_OWN},
        act=_annotate("note"),
    ),
    "score": Action(
        help="Judge a trace, step or session by a number or a word. Needs annotate.",
        arguments={
            **_TARGET,
            "name": "*what is judged",
            "value": "the number",
            "label": "the word, such as pass",
            "text": "why",
            **_OWN,
        },
        act=_annotate("score"),
    ),
    "label": Action(
        help="Put a label on a trace, step or session. Needs annotate.",
        arguments={**_TARGET, "name": "*the label", "text": "why", **_OWN},
        act=_annotate("label"),
    ),
    "queue_next": Action(
        help="The next item of an annotation queue, yours for a while, where the queue names you. Needs annotate.",
        arguments={**_QUEUE, "number": "that very item"},
        act=_in_queue("next"),
        chars=_RECORD_CHARS,
    ),
    "queue_label": Action(
        help="Say what an item of a queue is. Needs annotate.",
        arguments={**_ITEM, "choice": "*one of the queue's choices", "note": "why, in a sentence"},
        act=_in_queue("label"),
    ),
    "queue_skip": Action(
        help="Leave an item of a queue to others. Needs annotate.", arguments=_ITEM, act=_in_queue("skip")
    ),
    "queue_undo": Action(
        help="Take back your last label or skip in a queue. Needs annotate.",
        arguments={**_QUEUE, "number": "that of this item"},
        act=_in_queue("undo"),
    ),
    "remove": Action(
        help="Remove a note, score or label of one's own (others' with mode write). Needs annotate.",
        arguments={"annotation_id": "*as get with as=notes shows it", "run": "what undoes it"},
        act=_remove,
    ),
    "undo": Action(
        help="Take back all that a run wrote; what others wrote since stays. Needs annotate.",
        arguments={"run": "*the run, as every write says it"},
        act=_undo,
    ),
    "reprocess": Action(
        help="Normalise and price stored history again, after a rule or a price changed. Needs a key of mode admin.",
        arguments={"since": "*15m, 24h, 7d or ISO 8601", "until": "before; default now"},
        act=_reprocess,
    ),
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
    lines = [title, *outline(data, chars=action.chars)]
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
