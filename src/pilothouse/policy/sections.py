"""Which sections the policy file has, and the JSON Schema that editors are given.

The schema fixes the sections and their outer shape. What a section says within is read by the package that owns it,
into dataclasses of its own, with errors that name the place: one rule would otherwise be written down twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of the policy file."""

    name: str
    owner: str
    """The package that reads it."""
    help: str


SECTIONS: tuple[Section, ...] = (
    Section(name="guards", owner="guards", help="What is allowed in and out: checks at four gates, caps, switches."),
    Section(name="budgets", owner="budgets", help="What may be spent, by level and period."),
    Section(name="limits", owner="survival", help="How many calls and tokens a key, user or model may have."),
    Section(name="survival", owner="survival", help="Retries, circuit breakers, fallback chains, alerts."),
    Section(name="gateway", owner="gateway", help="Upstreams and routes of the gateway."),
    Section(name="approvals", owner="approvals", help="Which actions wait for a person."),
    Section(
        name="online", owner="online", help="What is scored of production traces, how much, and for how much money."
    ),
)


def json_schema() -> dict[str, Any]:
    """JSON Schema of the whole file (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pilothouse.yaml",
        "description": "What agents may do, spend and survive.",
        "type": "object",
        "additionalProperties": False,
        "properties": {section.name: {"type": ["object", "null"], "description": section.help} for section in SECTIONS},
    }
