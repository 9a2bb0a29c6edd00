"""A judge's standing as Markdown: how good it is, by how many labels, and what it says of runs, for a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pilothouse.records import clean


def calibration_markdown(data: Mapping[str, Any], rates: Sequence[Mapping[str, Any]]) -> str:
    """What a calibration came to, as two tables."""
    count = data["labels"]
    lines = [
        f"### Judge `{_cell(data['judge'])}` {'may gate' if data['may_gate'] else 'may not gate'}",
        "",
        *(f"- {_cell(why)}" for why in data["why_not"]),
        *([""] if data["why_not"] else []),
        f"{count['items']:,} labelled items, {count['counted']:,} of them count ({count['random']:,} of a random sample).",
        "",
        "| measure | value | interval 95 % | by |",
        "| --- | ---: | --- | --- |",
    ]
    both = data["agreement"]
    if both:
        lines.append(_row("agreement", both["observed"], both["observed_interval"], f"{both['items']} items"))
        lines.append(_row("Cohen's kappa", both["kappa"], both["kappa_interval"], f"{both['items']} items"))
    for name in ("sensitivity", "specificity"):
        one = data[name]
        lines.append(_row(name, one["rate"], one["interval"], f"{one['hits']} of {one['of']}"))
    people = data["people"]
    if people["labelled_twice"]:
        by = f"{len(people['names'])} people, {people['labelled_twice']} items"
        lines.append(_row("Krippendorff's alpha of people", people["alpha"], None, by))
    if rates:
        lines += ["", "| run | passes by the judge | truly | interval 95 % |", "| --- | ---: | ---: | --- |"]
        for one in rates:
            raw = f"{one['raw']:.1%} ({one['passed']} of {one['scored']})"
            true = "unknown" if one["corrected"] is None else f"{one['corrected']:.1%}"
            why = _cell(one["uncorrected_because"]) if one["corrected"] is None else _interval(one["interval"])
            lines.append(f"| {_cell(one['run'])} {_cell(one['version'])} | {raw} | {true} | {why} |")
    return "\n".join(lines) + "\n"


def _row(name: str, value: float | None, interval: Sequence[float] | None, by: str) -> str:
    return f"| {name} | {'unknown' if value is None else f'{value:.3f}'} | {_interval(interval)} | {by} |"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _cell(text: object) -> str:
    """Text that cannot end a cell, and is no markup."""
    return clean(str(text)).replace("\n", " ").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
