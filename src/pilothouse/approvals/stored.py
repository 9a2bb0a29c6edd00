"""An approval as JSON text and back: what the store keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pilothouse.records import Actor

from .action import Action
from .model import Approval, Event, Evidence, Reservation
from .rules import Fallback, Rung


def encode(approval: Approval) -> str:
    """As JSON text."""
    return json.dumps(asdict(approval), sort_keys=True)


def decode(text: str) -> Approval:
    """An approval from its JSON text."""
    row: dict[str, Any] = json.loads(text)
    evidence: dict[str, Any] = row["evidence"]
    evidence["links"] = tuple(evidence["links"])
    row |= {
        "action": Action(**row["action"]),
        "asked_action": Action(**row["asked_action"]),
        "evidence": Evidence(**evidence),
        "asker": Actor(**row["asker"]),
        "reviewers": tuple(row["reviewers"]),
        "agreed": tuple(row["agreed"]),
        "notify": tuple(row["notify"]),
        "escalate": tuple(Rung(after_s=one["after_s"], to=tuple(one["to"])) for one in row["escalate"]),
        "fallback": Fallback(**row["fallback"]) if row["fallback"] else None,
        "reservation": Reservation(**row["reservation"]) if row["reservation"] else None,
    }
    return Approval(**row)


def encode_detail(event: Event) -> str:
    """What an event says, as JSON text."""
    return json.dumps(dict(event.detail), sort_keys=True)


def decode_event(row: Mapping[str, Any]) -> Event:
    """An event of its row."""
    return Event(
        kind=row["kind"], at_ns=row["at_ns"], who=row["who"], who_kind=row["who_kind"], detail=json.loads(row["detail"])
    )
