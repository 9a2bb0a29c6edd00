"""Scores of single tool calls, put together by tool: how many, how good, and the worst one with its case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .runs import Result

ROWS_MAX: Final = 50


class ByTool:
    """Counts what scorers say of tool calls while results go by; of their reasons it holds those of calls that fail."""

    def __init__(self) -> None:
        # By attempt: one that was made twice counts once, as it was made last.
        self._attempts: dict[tuple[str, int], list[tuple[str, Mapping[str, Any]]]] = {}

    def noted(self, result: Result) -> Result:
        """Count an attempt, and give it back."""
        calls = [
            (said.name, call if call.get("outcome") == "fail" else {**call, "why": ""})
            for said in result.said
            for call in said.calls
        ]
        if calls:
            self._attempts[result.case, result.repeat] = calls
        else:
            self._attempts.pop((result.case, result.repeat), None)
        return result

    def rows(self) -> list[dict[str, Any]]:
        """A row for each tool and scorer, by the tools' names."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for (case, repeat), calls in self._attempts.items():
            for scorer, call in calls:
                tool, outcome, score = str(call.get("tool", "")), call.get("outcome"), call.get("score")
                row = found.setdefault((tool, scorer), _empty(tool, scorer))
                row["calls"] += 1
                row[{"pass": "passed", "fail": "failed"}.get(str(outcome), "unscored")] += 1
                if not isinstance(score, int | float):
                    continue
                row["scored"] += 1
                row["sum"] += score
                if outcome == "fail" and (row["worst"] is None or score < row["worst"]["score"]):
                    row["worst"] = {
                        "case": case, "repeat": repeat, "call": call.get("call"), "score": score, "why": call.get("why", ""),
                    }  # fmt: skip
        return [_done(found[key]) for key in sorted(found)][:ROWS_MAX]


def worst_of(row: Mapping[str, Any]) -> str:
    """The worst call in a line; empty where none failed."""
    one = row["worst"]
    return f"{one['case']}, call {one['call']}: {one['why']}" if one else ""


def _empty(tool: str, scorer: str) -> dict[str, Any]:
    counts = dict.fromkeys(("calls", "passed", "failed", "unscored", "scored", "sum"), 0)
    return {"tool": tool, "scorer": scorer, **counts, "worst": None}


def _done(row: dict[str, Any]) -> dict[str, Any]:
    scored, total = row.pop("scored"), row.pop("sum")
    # Without a score there is no mean: never 0 for what could not be looked at.
    return {**row, "mean": round(total / scored, 6) if scored else None}
