"""What an annotation says, as the log keeps it: JSON, always in the same order."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pilothouse.records import Actor, Annotation
from pilothouse.store.annotation_log import Item

from .model import Change

_SAID = ("value", "label", "text")


def state_of(change: Change, actor: Actor, run: str, now_ns: int) -> str:
    """The state that a change would make."""
    said = {"value": change.value, "label": change.label, "text": change.text}
    who = {"actor": actor.name, "actor_kind": actor.kind, "actor_id": actor.id, "run": run, "time_ns": now_ns}
    return json.dumps({**said, **who}, ensure_ascii=False)


def says_the_same(one: str | None, other: str | None) -> bool:
    """True where two states say the same, whoever wrote them when."""
    if one is None or other is None:
        return one is other
    first, second = json.loads(one), json.loads(other)
    return all(first[name] == second[name] for name in _SAID)


def actor_of(state: str | None) -> str:
    """The id of who wrote a state; empty where there is none."""
    return "" if state is None else str(json.loads(state)["actor_id"])


def annotation(item: Item, state: str | None) -> Annotation | None:
    """The annotation that an item is in a state; None where it is removed."""
    if state is None:
        return None
    fields: dict[str, Any] = json.loads(state)
    return Annotation(annotation_id=item.annotation_id, kind=item.kind, target=item.target, name=item.name, **fields)


def identity(project: str, change: Change, run: str) -> str:
    """The id of what a change writes: the same for the same run, target and name, or for the same identifier."""
    name = change.name or ("" if change.identifier else change.text)
    own = ["identifier", change.identifier] if change.identifier else ["run", run]
    target = change.target
    parts = [project, change.kind, target.trace_id, target.span_id, target.session_id, name, *own]
    digest = hashlib.blake2b(json.dumps(parts).encode("utf-8", "replace"), digest_size=10).hexdigest()
    return f"{change.kind}_{digest}"
