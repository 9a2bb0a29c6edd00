"""Which masking rules apply to which project, as the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pilothouse.guards import Masker, masker
from pilothouse.records import BadRequest

DEFAULT_GROUPS = ("secrets",)
"""What is masked where the configuration says nothing: secrets, since no trace is the better for a live key."""


def read_maskers(rules: Mapping[str, Any]) -> dict[str, Masker]:
    """Maskers by project id, ``""`` for every other project.

    ``rules`` is ``{"": {"groups": ["secrets", "personal"], "rules": {"order": "ORD-[0-9]{6}"}}, …}``.
    """
    maskers = {project: _masker(project, entry) for project, entry in rules.items()}
    maskers.setdefault("", masker(DEFAULT_GROUPS))
    return maskers


def _masker(project: str, entry: Any) -> Masker:
    if not isinstance(entry, Mapping):
        raise BadRequest("masking rules are a table with `groups` and `rules`", got=f"{project}: {entry!r}"[:200])
    table = cast("Mapping[str, Any]", entry)
    unknown = set(table) - {"groups", "rules"}
    if unknown:
        raise BadRequest("no such masking setting", got=sorted(unknown), allowed=["groups", "rules"])
    return masker(tuple(table.get("groups", DEFAULT_GROUPS)), table.get("rules", {}))
