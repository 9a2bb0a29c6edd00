"""Where judges are worth a person's look: scores that contradict each other, or lie near the middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pilothouse.records import Target

from .trace_store import TraceStore

Doubt = Literal["disagree", "unsure"]

_VERDICT = (
    "multiIf(lower(label) IN ('pass', 'passed', 'yes', 'true', 'good'), 1, "
    "lower(label) IN ('fail', 'failed', 'no', 'false', 'bad'), 0, "
    "isNotNull(value) AND label = '', toInt32(value >= 0.5), NULL)"
)
# How near the middle; 0.4 and less is a clear word.
_MIDDLE = "if(isNotNull(value) AND value BETWEEN 0 AND 1, 1 - abs(2 * value - 1), toFloat64(lower(label) IN ('unsure', 'unclear', 'cannot-tell')))"
_WEIGHTS: dict[Doubt, tuple[str, float]] = {
    "disagree": (f"least(countIf(({_VERDICT}) = 1), countIf(({_VERDICT}) = 0)) / count()", 0.0),
    "unsure": (f"max({_MIDDLE})", 0.4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubted:
    """One thing that judges are not at one about, or not sure of."""

    target: Target
    weight: float
    """The greater, the more a person's word tells."""


def doubted(
    store: TraceStore,
    project: str,
    names: Sequence[str],
    doubt: Doubt,
    *,
    since_ns: int,
    until_ns: int,
    limit: int,
) -> list[Doubted]:
    """What scores of these names by judges and programs leave in doubt, the most telling first; people's do not count."""
    weight, above = _WEIGHTS[doubt]
    asked: dict[str, Any] = {"project": project, "names": list(names), "above": above, "limit": limit}
    found = store.query(
        f"SELECT trace_id, span_id, session_id, {weight} AS weight FROM {{db}}.score FINAL "
        "WHERE project_id = {project:String} AND name IN {names:Array(String)} AND removed = 0 "
        "AND actor_kind != 'person' AND toUnixTimestamp64Nano(time) >= {since:Int64} "
        "AND toUnixTimestamp64Nano(time) < {until:Int64} "
        "GROUP BY trace_id, span_id, session_id HAVING weight > {above:Float64} "
        "ORDER BY weight DESC, trace_id, span_id, session_id LIMIT {limit:UInt32}",
        asked | {"since": since_ns, "until": until_ns},
    )
    return [
        Doubted(
            target=Target(trace_id=row[0], span_id=row[1], session_id="" if row[0] else row[2]), weight=float(row[3])
        )
        for row in found.rows
    ]
