"""The profile of what a run reads, made in code before anybody reads: what repeats, what fails, what measures nothing."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .disk import write_durably
from .export import Export, values_of
from .failures import said_by_itself
from .fence import one_line
from .run_record import AnalysisRun

CANNED_TIMES = 3
"""An input that came at least so often is counted as canned."""
SCORES_MIN = 20
"""Fewer values of a score say nothing about whether it measures anything."""
_TOP = 10
_EVALUATORS = ("evaluator", "eval", "judge")
_TRACES_A_QUERY = 500


def profile(export: Export, run: AnalysisRun) -> dict[str, Any]:
    """What can be counted about the items of a run."""
    ids = [trace_id for item in run.items for trace_id in item.traces]
    wanted = set(ids)
    rows = [row for row in export.traces() if row["trace_id"] in wanted]
    inputs = Counter(" ".join(str(row["input"] or "").split()) for row in rows)
    inputs.pop("", None)
    canned = {text: times for text, times in inputs.items() if times >= CANNED_TIMES}
    failing = _failing(export, ids)
    by_status = {str(row["trace_id"]) for row in rows if row["status"] == "error"} | failing.by_status
    return {
        "items": len(run.items),
        "traces": len(rows),
        "inputs": {
            "known": sum(inputs.values()),
            "distinct": len(inputs),
            "canned_share": _share(sum(canned.values()), sum(inputs.values())),
            "canned": [
                {"times": times, "input": one_line(text, 120)}
                for text, times in sorted(canned.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
            ],
        },
        "failing": {
            "traces_by_status": len(by_status),
            "traces_by_body_only": len(failing.by_body - by_status),
            "steps_by_status": failing.steps_by_status,
            "steps_by_body": failing.steps_by_body,
            "components": [
                {"component": name, "failed": failed, "calls": failing.calls[name]}
                for name, failed in failing.components.most_common(_TOP)
            ],
        },
        "evaluator_steps_left_out": failing.evaluators,
        "scores": _scores(export, wanted),
        "signals": dict(Counter(name for row in rows for name in values_of(row, "signals")).most_common()),
        "fields": {
            column: dict(Counter(value for row in rows for value in values_of(row, column)).most_common(_TOP))
            for column in ("agent", "agent_version", "environment", "service", "models", "tools")
        },
    }


def write_profile(folder: Path, found: Mapping[str, Any]) -> None:
    """Write ``profile.json``."""
    write_durably(folder / "profile.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")


class _Failing:
    def __init__(self) -> None:
        self.by_status: set[str] = set()
        self.by_body: set[str] = set()
        self.steps_by_status = 0
        self.steps_by_body = 0
        self.components: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.evaluators = 0


def _failing(export: Export, ids: Sequence[str]) -> _Failing:
    found = _Failing()
    for first in range(0, len(ids), _TRACES_A_QUERY):
        some = ids[first : first + _TRACES_A_QUERY]
        marks = ",".join("?" * len(some))
        for row in export.query(
            f"SELECT trace_id, kind, label, tool, status, output FROM spans WHERE trace_id IN ({marks})", some
        ):
            kind, trace_id = str(row["kind"]), str(row["trace_id"])
            if kind in _EVALUATORS:
                found.evaluators += 1
                continue
            name = f"{kind}:{row['tool'] or row['label']}"
            found.calls[name] += 1
            if row["status"] == "error":
                found.steps_by_status += 1
                found.by_status.add(trace_id)
            elif row["status"] == "soft_error" or (
                kind == "tool" and said_by_itself(str(row["output"] or ""), str(row["tool"] or ""))
            ):
                found.steps_by_body += 1
                found.by_body.add(trace_id)
            else:
                continue
            found.components[name] += 1
    return found


def _scores(export: Export, wanted: set[str]) -> list[dict[str, Any]]:
    """Each score with how many values it has; ``dead`` where enough values are all the same, or all missing."""
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for row in export.query("SELECT trace_id, name, value, label FROM scores ORDER BY name"):
        if row["trace_id"] in wanted:
            value = row["label"] or ("" if row["value"] is None else f"{row['value']:g}")
            values[str(row["name"])][str(value)] += 1
    return [
        {
            "name": name,
            "values": sum(counts.values()),
            "missing": counts[""],
            "distinct": len(set(counts) - {""}),
            "dead": sum(counts.values()) >= SCORES_MIN and len(set(counts) - {""}) <= 1,
        }
        for name, counts in sorted(values.items())
    ]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
