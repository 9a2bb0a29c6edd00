"""The report of a backtest as Markdown, for a pull request or a review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pilothouse.evals.report import markdown_cell

_SIGNS: Final = {"pass": "passes", "fail": "FAILS", "not_enough_data": "not enough data"}
_MODES: Final = {
    "reference": "the candidate held against what was done in production",
    "judged": "candidate and production, judged alike",
    "rate": "production, judged",
    "judges": "two judges of production",
}


def backtest_markdown(data: Mapping[str, Any]) -> str:
    """The plain data of a report (``report_data``, and what the command adds) as Markdown."""
    taken = data["taken"]
    lines = [f"## Backtest: {_SIGNS[data['outcome']]}", "", f"{_MODES[data['mode']].capitalize()}.", ""]
    lines += [f"- {markdown_cell(reason)}" for reason in data["reasons"]]
    lines.append(f"- {taken['cases']:,} cases of {taken['sessions']:,} sessions; {data['cost_usd']:.4f} USD")
    lines += [f"- left out, {one['count']:,}: {markdown_cell(one['why'])}" for one in taken["left_out"]]
    if data["stopped"]:
        lines.append(f"- stopped: {markdown_cell(data['stopped'])}")
    if data["agreement"]:
        one = data["agreement"]
        lines.append(
            f"- the judges agree on {one['observed']:.1%} of {one['cases']:,} cases; the second is stricter on"
            f" {one['stricter']:,} and milder on {one['milder']:,}"
        )
    if data["base"]:
        lines += ["", f"{data['base']} → {data['run']}"]
    for title, rows in (("customer", data["customers"]), ("week", data["weeks"]), ("release", data["releases"])):
        if rows:
            lines += ["", *_table(title, rows)]
    if data["customers_more"]:
        lines.append(f"| … | {data['customers_more']:,} more |")
    if data["why"]:
        lines += ["", f"### Why {data['failures']:,} cases fail", ""]
        lines += ["| cases | share | check | reason | traces |", "| ---: | ---: | --- | --- | --- |"]
        lines += [
            f"| {one['cases']:,} | {one['share']:.1%} | {markdown_cell(' '.join(filter(None, (one['check'], one['tool']))))} |"
            f" {markdown_cell(one['reason'])} | {_traces(one['examples'])} |"
            for one in data["why"]
        ]
    return "\n".join([*lines, ""])


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    compared = any("before" in one or "difference" in one for one in rows)
    heads = [title, "cases", "pass", "95 % interval"]
    heads += ["before", "difference", "p adjusted", "verdict"] if compared else []
    yield f"| {' | '.join(heads)} |"
    yield f"| --- |{' ---: |' * (len(heads) - 1)}"
    for one in rows:
        low, high = one["interval"]
        cells = [markdown_cell(str(one["name"])), f"{one['cases']:,}", _share(one["rate"]), f"{low:.1%} to {high:.1%}"]
        if compared:
            p = f"{one['p_adjusted']:.3g}" if "p_adjusted" in one else ""
            difference = "" if one.get("difference") is None else f"{100 * one['difference']:+.1f} points"
            cells += [_share(one.get("before")), difference, p, str(one.get("verdict", "")).replace("_", " ")]
        yield f"| {' | '.join(cells)} |"


def _traces(examples: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(markdown_cell(one["trace"] or one["case"]) for one in examples)


def _share(value: Any) -> str:
    return "" if value is None else f"{value:.1%}"
