"""A run and a comparison for whoever reads them: plain data, Markdown, and JUnit's XML for continuous integration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final
from xml.etree import ElementTree

from pilothouse.records import clean

from .by_tool import ByTool, worst_of
from .compare import BUCKETS, Change, Comparison
from .folding import failing_trace, reason, tally
from .folding import folded as folded_of
from .judges.gating import Hearing
from .runs import Result, Run, by_case

_ROWS_MAX: Final = 50
_XML_BAD: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535))


def summary_of(run: Run) -> dict[str, Any]:
    """What a run came to: counts of cases and attempts, by capability, cost and time."""
    # Without their texts, of which thousands of attempts have many megabytes.
    tools = ByTool()
    cases = by_case(replace(tools.noted(one), text="", tools=(), said=()) for one in run.results())
    attempts = [one for listed in cases.values() for one in listed]
    folded = {case: folded_of(listed) for case, listed in cases.items()}
    return {
        "run": run.about.run,
        "suite": run.about.suite,
        "suite_version": run.about.suite_version,
        "target": run.about.target,
        "version": run.about.version,
        "judges": [f"{name}@{version}" for name, version in run.about.judges.items()],
        "cases": len(cases),
        "passed": sum(one == "pass" for one in folded.values()),
        "failed": sum(one == "fail" for one in folded.values()),
        "flaky": sum(one == "flaky" for one in folded.values()),
        "unscored": sum(one == "unscored" for one in folded.values()),
        "attempts": len(attempts),
        "attempts_passed": sum(one.outcome == "pass" for one in attempts),
        "taken_over": sum(bool(one.taken_from) for one in attempts),
        "cost_usd": round(sum(one.cost_usd or 0.0 for one in attempts if not one.taken_from), 6),
        "judge_usd": round(sum(one.judge_usd for one in attempts if not one.taken_from), 6),
        "seconds": round(sum(one.duration_s for one in attempts if not one.taken_from), 3),
        "by_capability": _by_capability(cases, folded),
        "by_tool": tools.rows(),
        "failures": [
            {"case": case, "why": reason(listed), "attempts": tally(listed), "trace_id": failing_trace(listed)}
            for case, listed in cases.items()
            if folded[case] in ("fail", "flaky", "unscored")
        ][:_ROWS_MAX],
    }


def run_markdown(run: Run) -> str:
    """One run as Markdown, where there is nothing to compare it with."""
    found = summary_of(run)
    counts = ", ".join(f"{found[name]} {name}" for name in ("failed", "flaky", "unscored") if found[name])
    lines = [f"## Evaluation: {found['passed']} of {found['cases']} cases pass", ""]
    lines += [f"{counts or 'none fails'}; {found['cost_usd']:.4f} USD (judges {found['judge_usd']:.4f})", ""]
    if found["failures"]:
        lines += ["| case | attempts | why |", "| --- | --- | --- |"]
        lines += [f"| {one['case']} | {one['attempts']} | {markdown_cell(one['why'])} |" for one in found["failures"]]
    if found["by_tool"]:
        lines += ["", "| tool | scorer | calls | passed | mean | worst |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [
            f"| {markdown_cell(one['tool'])} | {markdown_cell(one['scorer'])} | {one['calls']} | {one['passed']} |"
            f" {'–' if one['mean'] is None else format(one['mean'], '.3g')} | {markdown_cell(worst_of(one))} |"
            for one in found["by_tool"]
        ]
    return "\n".join(lines)


def comparison_data(found: Comparison, *, rows: int = _ROWS_MAX) -> dict[str, Any]:
    """A comparison as plain data; only cases that a reader has to look at are listed."""
    listed = [one for one in found.changes if one.bucket not in ("passed", "failed")]
    verdict = asdict(found.verdict)
    return {
        "base": found.base,
        "candidate": found.candidate,
        "outcome": found.outcome,
        "reasons": list(found.reasons),
        "total": sum(found.counts.values()),
        "counts": {name: count for name, count in found.counts.items() if count},
        "verdict": verdict,
        "judged": {name: asdict(one) for name, one in found.judged.items()},
        "by_capability": [
            {"capability": one.name, **{k: v for k, v in asdict(one).items() if k != "name"}} for one in found.slices
        ],
        "changes": [_change_data(one) for one in listed[:rows]],
        "changes_more": max(0, len(listed) - rows),
        "cost_before_usd": round(found.cost_before_usd, 6),
        "cost_after_usd": round(found.cost_after_usd, 6),
        "judge_usd": round(found.judge_usd, 6),
        "seconds_before": found.seconds_before,
        "seconds_after": found.seconds_after,
    }


def comparison_markdown(found: Comparison, *, rows: int = _ROWS_MAX) -> str:
    """A comparison as Markdown, for a pull request."""
    signs = {"pass": "passes", "fail": "FAILS", "not_enough_data": "not enough data"}
    verdict = found.verdict
    lines = [f"## Evaluation: {signs[found.outcome]}", ""]
    lines += [f"- {reason}" for reason in found.reasons]
    lines += [
        f"- {verdict.test}: p = {verdict.p:.4g} (mid-p {verdict.mid_p:.4g}); accepted loss {verdict.margin:.1%}",
        f"- cost {found.cost_before_usd:.4f} → {found.cost_after_usd:.4f} USD (judges {found.judge_usd:.4f});"
        f" median {found.seconds_before:.2f} → {found.seconds_after:.2f} s",
        "",
        f"{found.base} → {found.candidate}",
        "",
        "| " + " | ".join(name for name in BUCKETS if found.counts[name]) + " | total |",
        "|" + " --- |" * (sum(bool(found.counts[name]) for name in BUCKETS) + 1),
        "| " + " | ".join(str(found.counts[name]) for name in BUCKETS if found.counts[name])
        + f" | {sum(found.counts.values())} |",
        "",
    ]  # fmt: skip
    if found.slices:
        heads = "| capability | compared | regressed | improved | p | p adjusted |"
        lines += [heads, "| --- | --- | --- | --- | --- | --- |"]
        lines += [
            f"| {markdown_cell(one.name)}{' **differs**' if one.found else ''} | {one.compared} | {one.regressed} |"
            f" {one.improved} | {one.p:.3g} | {one.p_adjusted:.3g} |"
            for one in found.slices
        ]
        lines.append("")
    listed = [one for one in found.changes if one.bucket not in ("passed", "failed")]
    if listed:
        lines += ["| case | what | before | after | why |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {one.case} | {one.bucket} | {one.before or '–'} | {one.after or '–'} | {markdown_cell(one.why)} |"
            for one in listed[:rows]
        ]
        if len(listed) > rows:
            lines.append(f"| … | {len(listed) - rows} more | | | `pilothouse eval compare` lists them |")
        lines.append("")
    return "\n".join(lines)


def junit(run: Run, *, quarantined: Mapping[str, str] | None = None, hearing: Hearing | None = None) -> str:
    """A run as JUnit's XML: a case fails where an attempt does; quarantined and unscored ones are skipped, and say why."""
    results = run.results() if hearing is None else hearing.heard(run.results())
    suite = ElementTree.Element("testsuite", name=run.about.suite, timestamp=run.about.started[:19])
    failures = skipped = 0
    cases = by_case(results)
    for case, listed in cases.items():
        seconds = sum(one.duration_s for one in listed)
        name = {"name": case, "classname": listed[0].capability or run.about.suite, "time": f"{seconds:.3f}"}
        element = ElementTree.SubElement(suite, "testcase", name)
        folded, why = folded_of(listed), reason(listed)
        if quarantined and case in quarantined:
            skipped += 1
            ElementTree.SubElement(element, "skipped", message=_xml(f"quarantined: {quarantined[case]}"))
        elif folded in ("fail", "flaky"):
            failures += 1
            failure = ElementTree.SubElement(element, "failure", message=_xml(why), type=folded)
            failure.text = _xml("\n".join(_attempt(one) for one in listed))
        elif folded == "unscored":
            skipped += 1
            ElementTree.SubElement(element, "skipped", message=_xml(f"unscored: {why}"))
    suite.attrib.update(tests=str(len(cases)), failures=str(failures), skipped=str(skipped), errors="0")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


# -- within ----------------------------------------------------------------------------------------------------------


def _by_capability(cases: Mapping[str, Sequence[Result]], folded: Mapping[str, str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for case, listed in cases.items():
        name = listed[0].capability or "none"
        row = found.setdefault(
            name, {"capability": name, "cases": 0, "passed": 0, "failed": 0, "flaky": 0, "unscored": 0}
        )
        row["cases"] += 1
        row[{"pass": "passed", "fail": "failed"}.get(folded[case], folded[case])] += 1
    return [found[name] for name in sorted(found)]


def _change_data(one: Change) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if value != ""}


def _attempt(one: Result) -> str:
    return f"attempt {one.repeat}: {one.outcome} {one.why}\n  {', '.join(one.tools)}\n  {one.text or one.error}"[:4_000]


def markdown_cell(text: str) -> str:
    """Text as a cell of a table in Markdown, on one line and bounded."""
    # Text of cases and agents is data: it may neither end the cell nor begin a link or an image.
    plain = clean(text).replace("\n", " ").replace("\\", "\\\\")
    for char in "|`[]<>*_!":
        plain = plain.replace(char, f"\\{char}")
    return plain if len(plain) <= 200 else f"{plain[:200].rstrip(chr(92))}…"


def _xml(text: str) -> str:
    return clean(text).translate(_XML_BAD)
