"""Taking findings out of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .verdict import Finding

REMOVED = {"injection": "removed", "links": "removed", "terms": "removed", "grounding": "removed"}
"""How the place of a finding is marked, by the kind of check; else ``masked``."""


def rewrite(text: str, findings: Sequence[Finding], kinds: Mapping[str, str]) -> str:
    """The text with each finding that is to be rewritten replaced by what it was, e.g. ``[masked: email]``."""
    places = sorted(
        (
            found.start,
            found.end,
            found.put or f"[{REMOVED.get(kinds.get(found.check, found.check), 'masked')}: {found.rule}]",
        )
        for found in findings
        if found.action == "rewrite" and found.end > found.start
    )
    made: list[str] = []
    done = 0
    for start, end, mark in places:
        if start < done:
            # Two findings overlap: what the second adds goes too, under the name of the first.
            done = max(done, end)
            continue
        made += [text[done:start], mark]
        done = end
    return "".join([*made, text[done:]])
