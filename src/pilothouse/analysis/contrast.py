"""Why here and not there: which fields differ most between some items and the rest, with a test that knows how many
questions were asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pilothouse.records.statistics import corrected, fisher, wilson

from .export import values_of
from .run_record import AnalysisRun

FIELDS = ("agent", "agent_version", "environment", "service", "models", "tools", "user_id")
NUMBERS = (("input", "length of the input"), ("spans", "steps"), ("tokens", "tokens"), ("duration_ms", "duration"))
"""Columns that are compared by whether they are above the middle of all items."""
SHOWN = 5
LEVEL = 0.05

Row = Mapping[str, Any]


def features(run: AnalysisRun, rows: Mapping[str, Row]) -> dict[str, frozenset[tuple[str, str]]]:
    """What can be said of each item: pairs of field and value."""
    found: dict[str, set[tuple[str, str]]] = {item.id: set() for item in run.items}
    parts = {item.id: [rows[trace_id] for trace_id in item.traces if trace_id in rows] for item in run.items}
    for id, some in parts.items():
        for row in some:
            for column in FIELDS:
                found[id] |= {(column, value) for value in values_of(row, column)}
    for column, name in NUMBERS:
        amounts = {id: sum(_number(row.get(column)) for row in some) for id, some in parts.items()}
        ordered = sorted(amounts.values())
        middle = ordered[len(ordered) // 2] if ordered else 0.0
        for id, amount in amounts.items():
            if ordered and ordered[0] != ordered[-1]:
                found[id].add((name, "above the middle" if amount > middle else "up to the middle"))
    return {id: frozenset(pairs) for id, pairs in found.items()}


def _number(value: object) -> float:
    if isinstance(value, str):
        return float(len(value))
    return float(value) if isinstance(value, int | float) else 0.0


def contrast(inside: set[str], described: Mapping[str, frozenset[tuple[str, str]]]) -> list[dict[str, Any]]:
    """The fields that are over-represented inside, the surest first: counts on both sides, and p corrected for how many
    fields and values were compared. Only what is below the level of 5 % is given."""
    outside = set(described) - inside
    if not inside or not outside:
        return []
    here = Counter(pair for id in inside if id in described for pair in described[id])
    there = Counter(pair for id in outside for pair in described[id])
    # What all items have in common differs nowhere: no question asked.
    pairs = sorted(pair for pair in here | there if 0 < here[pair] + there[pair] < len(described))
    tests = [fisher(here[pair], len(inside), there[pair], len(outside)) for pair in pairs]
    found: list[dict[str, Any]] = [
        {
            "field": field,
            "value": value,
            "inside": here[field, value],
            "of_inside": len(inside),
            "outside": there[field, value],
            "of_outside": len(outside),
            "p": p,
            "p_corrected": q,
            "compared": len(pairs),
        }
        for (field, value), p, q in zip(pairs, tests, corrected(tests), strict=True)
        if q < LEVEL and here[field, value] / len(inside) > there[field, value] / len(outside)
    ]
    found.sort(key=lambda one: (one["p"], one["field"], one["value"]))
    return [{**one, "p": _short(one["p"]), "p_corrected": _short(one["p_corrected"])} for one in found[:SHOWN]]


def by_group(run: AnalysisRun, bad: set[str]) -> list[dict[str, Any]]:
    """Each customer (or whatever the run is broken down by): how many of its items went wrong, against all others."""
    items = Counter(item.group or "(none)" for item in run.items)
    wrong = Counter(item.group or "(none)" for item in run.items if item.id in bad)
    names = sorted(items)
    every, every_wrong = sum(items.values()), sum(wrong.values())
    tests = [fisher(wrong[name], items[name], every_wrong - wrong[name], every - items[name]) for name in names]
    rows: list[dict[str, Any]] = []
    for name, p, q in zip(names, tests, corrected(tests), strict=True):
        interval = wilson(wrong[name], items[name])
        rows.append(
            {
                "group": name,
                "items": items[name],
                "problems": wrong[name],
                "share": round(wrong[name] / items[name], 4),
                "interval": [round(interval.low, 4), round(interval.high, 4)],
                "p": _short(p),
                "p_corrected": _short(q),
            }
        )
    rows.sort(key=lambda row: (-row["share"], -row["items"], row["group"]))
    return rows


def well_and_badly(
    run: AnalysisRun, groups: Sequence[Mapping[str, Any]], described: Mapping[str, frozenset[tuple[str, str]]]
) -> dict[str, Any]:
    """Why it goes well here and badly there: what the groups that do worse than the rest have that the others have not."""
    worse = {str(row["group"]) for row in groups if row["p_corrected"] < LEVEL and row["share"] > _overall(groups)}
    better = {str(row["group"]) for row in groups if row["p_corrected"] < LEVEL and row["share"] < _overall(groups)}
    members = {item.id for item in run.items if (item.group or "(none)") in worse}
    own = ("user_id",) if run.by == "user_id" else (run.by,)
    others = {id: frozenset(pair for pair in pairs if pair[0] not in own) for id, pairs in described.items()}
    return {"worse": sorted(worse), "better": sorted(better), "worse_have": contrast(members, others)}


def _overall(groups: Sequence[Mapping[str, Any]]) -> float:
    every = sum(int(row["items"]) for row in groups)
    return sum(int(row["problems"]) for row in groups) / every if every else 0.0


def _short(value: float) -> float:
    return float(f"{value:.2g}")
