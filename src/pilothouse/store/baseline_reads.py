"""What is usual for each agent, in two queries over the traces of the last days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .trace_store import TraceStore

BASELINE_DAYS = 7
"""How far back what is usual reaches."""
_TRACES_MIN = 10
_AGENTS_MAX = 5_000
_CANNED_MAX = 2_000
_CANNED_USERS_MAX = 3
"""Different users who may send the same input before it counts as one that people send."""
_CANNED_CHARS_MIN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualRow:
    """What one agent's traces came to."""

    project_id: str
    agent: str
    finished: int
    """Traces whose root arrived."""
    rooted: float
    """Their share."""
    seconds: tuple[float, float, float]
    """Quartiles of the wall clock."""
    priced: int
    usd: tuple[float, float, float]
    """Quartiles of the cost, of those that have one."""
    gap_s: float
    """The 95th percentile of a trace's mean time between spans."""


def usual_rows(store: TraceStore, until_ns: int) -> list[UsualRow]:
    """Every agent with enough traces in the days before a moment."""
    table = store.query(
        "SELECT project_id, agent, countIf(open = 0) AS finished, finished / count() AS rooted, "
        "quantilesTDigestIf(0.25, 0.5, 0.75)(duration_ns / 1e9, open = 0) AS seconds, "
        "countIf(open = 0 AND cost_usd > 0) AS priced, "
        "quantilesTDigestIf(0.25, 0.5, 0.75)(toFloat64(ifNull(cost_usd, 0)), open = 0 AND cost_usd > 0) AS usd, "
        "quantileTDigest(0.95)(duration_ns / 1e9 / greatest(spans, 1)) AS gap_s "
        f"FROM {{db}}.trace FINAL WHERE {_WINDOW} GROUP BY project_id, agent HAVING count() >= {_TRACES_MIN} "
        f"ORDER BY count() DESC, project_id, agent LIMIT {_AGENTS_MAX}",
        _window(until_ns, BASELINE_DAYS),
    )
    return [
        UsualRow(
            project_id=row[0],
            agent=row[1],
            finished=row[2],
            rooted=float(row[3]),
            seconds=_three(row[4]),
            priced=row[5],
            usd=_three(row[6]),
            gap_s=_number(row[7]),
        )
        for row in table.rows
    ]


def canned_inputs(store: TraceStore, until_ns: int, *, traces_min: int) -> list[tuple[str, str, str, int]]:
    """Inputs that came again and again within a day, from few users: project, agent, MD5 of the input, how often."""
    table = store.query(
        "SELECT project_id, agent, lower(hex(MD5(input_text))) AS digest, count() AS times "
        f"FROM {{db}}.trace FINAL WHERE {_WINDOW} AND length(input_text) >= {_CANNED_CHARS_MIN} "
        "GROUP BY project_id, agent, digest HAVING times >= {times:UInt64} "
        f"AND uniqExactIf(user_id, user_id != '') <= {_CANNED_USERS_MAX} "
        f"ORDER BY times DESC, digest LIMIT {_CANNED_MAX}",
        {**_window(until_ns, 1), "times": traces_min},
    )
    return [(project, agent, digest, int(times)) for project, agent, digest, times in table.rows]


_WINDOW = (
    "start_time >= fromUnixTimestamp64Nano({since:Int64}, 'UTC') "
    "AND start_time <= fromUnixTimestamp64Nano({until:Int64}, 'UTC') "
    "AND received_day >= toDate(fromUnixTimestamp64Nano({since:Int64}, 'UTC'))"
)


def _window(until_ns: int, days: int) -> dict[str, Any]:
    return {"since": until_ns - days * 86_400_000_000_000, "until": until_ns}


def _three(values: Any) -> tuple[float, float, float]:
    low, middle, high = (_number(value) for value in values)
    return low, middle, high


def _number(value: Any) -> float:
    # Quantiles of nothing are NaN, which the engine writes as null.
    number = float(value) if value is not None else 0.0
    return number if number == number else 0.0
