"""From readings to findings: agreement, cohorts, what differs, claims that are checked, failure modes, actions, report.

Plain code over accepted answers: the same answers give the same files.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pilothouse.records import Clock, SystemClock, iso
from pilothouse.records.statistics import wilson

from .agreement import agreement
from .answers import Stored
from .claims import Claim, check_claim
from .cohorts import Cohort, Grouped, cohorts, events_of, groups_of
from .contrast import by_group, contrast, features, well_and_badly
from .disk import append_line, locked, read_json, write_durably
from .export import Export, values_of
from .failures import cause_of_words
from .report import report
from .run_record import AnalysisRun, export_of, read_run
from .state import Inputs, RunState, run_state, write_plan
from .taxonomy import Placed, place

_EVIDENCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a run came to."""

    report: Path
    findings: int
    dropped: int
    """Cohorts whose query did not confirm them."""
    small: int
    """Failures of fewer than three items."""


def merge(folder: Path, *, clock: Clock | None = None) -> Merged:
    """Write cohorts, findings, actions and the report from the answers that are there.

    Raises:
        BadRequest: the extra for grouping is not installed.
    """
    clock = clock or SystemClock()
    run = read_run(folder)
    export = Export(export_of(folder))
    inputs = Inputs(export, run)
    with locked(folder / "work"):
        return _merge(folder, run, export, inputs, clock)


def _merge(folder: Path, run: AnalysisRun, export: Export, inputs: Inputs, clock: Clock) -> Merged:
    began = time.monotonic()
    state = run_state(folder, run, inputs, clock)
    answers = state.first
    bad = {answer.job.item.id for answer in answers if answer.answer.get("verdict") == "problem"}
    grouped = cohorts(events_of(answers)) if run.playbook.reads_failures else Grouped(cohorts=(), small=())
    described = features(run, inputs.rows)
    scope = {trace_id for answer in answers for trace_id in answer.job.item.traces}
    claims = [check_claim(cohort, export, scope) for cohort in grouped.cohorts]
    confirmed = [(cohort, claim) for cohort, claim in zip(grouped.cohorts, claims, strict=True) if claim.confirmed]
    dropped = [(cohort, claim) for cohort, claim in zip(grouped.cohorts, claims, strict=True) if not claim.confirmed]
    placed, gone = place(
        folder.parent,
        run.id,
        run.created,
        [cohort for cohort, _ in confirmed],
        len(answers),
        scope=f"{run.playbook.name} {run.where}".strip(),
    )
    findings = [
        _finding(number, cohort, claim, mode, answers, run, inputs, described, export.path)
        for number, ((cohort, claim), mode) in enumerate(zip(confirmed, placed, strict=True), 1)
    ]
    groups = by_group(run, bad) if run.by else []
    data: dict[str, Any] = {
        "run": run.id,
        "items": len(run.items),
        "read": len(answers),
        "verdicts": dict(Counter(str(answer.answer.get("verdict")) for answer in answers).most_common()),
        "agreement": agreement(answers, state.second, {item.id for item in run.items if item.again}),
        "groups": groups_of([event for cohort in (*grouped.cohorts, *grouped.small) for event in cohort.events]),
        "cohorts": findings,
        "dropped": [
            {"cohort": cohort.name, "items": list(cohort.items)[:50], **claim.as_data()} for cohort, claim in dropped
        ],
        "small": [
            {"name": cohort.name, "items": list(cohort.items), "failures": len(cohort.events)}
            for cohort in grouped.small
        ],
        "gone": [{"id": mode["id"], "name": mode["name"]} for mode in gone],
        "by": run.by,
        "by_group": groups,
        "why_there": well_and_badly(run, groups, described) if groups else {},
        "problems_have": contrast(bad, described),
        "spent": {"tokens": state.tokens, "usd": round(state.usd, 6), "readings_of_unknown_cost": state.unknown_costs},
        "open": [
            {"item": one.job.item.id, "reader": one.job.reader, "status": one.status, "why": one.why}
            for one in state.open
        ],
        "limits": _limits(run, state, inputs),
    }
    actions = [_action(finding) for finding in findings]
    _lines(folder / "findings.jsonl", findings)
    _lines(folder / "actions.jsonl", actions)
    write_durably(folder / "cohorts.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    profile = read_json(folder / "profile.json")
    pages = report(run, data, cast("dict[str, Any]", profile) if isinstance(profile, dict) else {}, actions)
    write_durably(folder / "cohorts.md", pages.cohorts)
    write_durably(folder / "report.md", pages.report)
    write_plan(folder, run, state)
    took = round((time.monotonic() - began) * 1000)
    append_line(folder / "log.jsonl", {"at": iso(clock.now_ns()), "event": "merged", "findings": len(findings), "ms": took})  # fmt: skip
    return Merged(report=folder / "report.md", findings=len(findings), dropped=len(dropped), small=len(grouped.small))


def _finding(
    number: int,
    cohort: Cohort,
    claim: Claim,
    mode: Placed,
    answers: Sequence[Stored],
    run: AnalysisRun,
    inputs: Inputs,
    described: Mapping[str, frozenset[tuple[str, str]]],
    export: Path,
) -> dict[str, Any]:
    items = set(cohort.items)
    interval = wilson(len(items), len(answers))
    open_items = {event.item.id for event in cohort.events if event.open}
    causes = Counter(event.root_cause for event in cohort.events if event.root_cause)
    kind, guess = cause_of_words(cohort.events[0].text, cohort.component)
    groups = (
        Counter(event.item.group for event in cohort.events if event.item.id in items) if run.by else Counter[str]()
    )
    return {
        "id": f"f{number:02d}",
        "mode": mode.id,
        "mark": mode.mark,
        "title": cohort.name,
        "severity": severity(len(open_items), len(answers)),
        "component": cohort.component,
        "components": cohort.components,
        "items": len(items),
        "of": len(answers),
        "share": round(len(items) / max(len(answers), 1), 4),
        "interval": [round(interval.low, 4), round(interval.high, 4)],
        "failures": len(cohort.events),
        "items_not_made_good": len(open_items),
        "cause": kind,
        "root_cause": causes.most_common(1)[0][0] if causes else f"{kind}: {guess}",
        "groups": dict(groups.most_common(10)),
        "item_ids": list(cohort.items)[:200],
        "evidence": _evidence(cohort),
        "code": _code(cohort, export, inputs),
        "counter_example": _counter_example(cohort, answers, inputs),
        "differs": contrast(items, _without(described, cohort)),
        "claim": claim.as_data(),
    }


def severity(not_made_good: int, of: int) -> str:
    """The one table: by the share of all items in which nothing made the failure good.

    ``high`` from a tenth on, ``medium`` from one in a hundred on, else ``low``; where everything was made good, ``low``.
    """
    share = not_made_good / of if of else 0.0
    return "high" if share >= 0.1 else "medium" if share >= 0.01 else "low"


def _evidence(cohort: Cohort) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for event in cohort.events:
        if event.evidence and event.item.id not in seen:
            seen.add(event.item.id)
            found.append({"item": event.item.id, **event.evidence})
        if len(found) == _EVIDENCE:
            break
    return found


def _code(cohort: Cohort, export: Path, inputs: Inputs) -> list[dict[str, Any]]:
    """Where the code is, as far as ``code.json`` of its traces knows: service, revision, file and line."""
    found: Counter[str] = Counter()
    for event in cohort.events[:50]:
        for folder in inputs.folders(event.item):
            about = read_json(export / folder / "code.json")
            for one in places(
                cast("dict[str, Any]", about) if isinstance(about, dict) else {}, event.component, event.step
            ):
                found[json.dumps(one, sort_keys=True)] += 1
    return [json.loads(text) for text, _ in found.most_common(3)]


def places(about: Mapping[str, Any], component: str, step: str) -> list[dict[str, Any]]:
    """What ``code.json`` says of a step: where it was raised, else where its component is; the service where neither is
    known."""
    facts = {name: about[name] for name in ("service", "agent_version") if about.get(name)}
    for name, many in (("revision", "revisions"), ("release", "releases")):
        values = about.get(many)
        if isinstance(values, list) and values:
            facts[name] = str(cast("list[Any]", values)[0])
    raised = [one for one in _entries(about, "raised") if one.get("step") == step]
    parts = [one for one in _entries(about, "components") if f"{one.get('kind')}:{one.get('name')}" == component]
    found = [one for one in (*raised, *parts) if one.get("file")]
    told = [{**facts, **{name: one.get(name) for name in ("file", "line", "function")}} for one in found[:1]]
    return told or ([facts] if facts else [])


def _entries(about: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = about.get(name)
    some = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in some if isinstance(one, dict)]


def _counter_example(cohort: Cohort, answers: Sequence[Stored], inputs: Inputs) -> dict[str, Any] | None:
    """An item that used the same component and went well; else one that went well."""
    inside = set(cohort.items)
    tool = cohort.component.removeprefix("tool:")
    fine = [one for one in answers if one.answer.get("verdict") == "ok" and one.job.item.id not in inside]
    for used in (True, False):
        for one in fine:
            tools = {name for id in one.job.item.traces for name in values_of(inputs.rows.get(id, {}), "tools")}
            if tool in tools or not used:
                folder = inputs.folders(one.job.item)
                return {"item": one.job.item.id, "folder": folder[0] if folder else "", "used_the_component": tool in tools}  # fmt: skip
    return None


def _without(
    described: Mapping[str, frozenset[tuple[str, str]]], cohort: Cohort
) -> dict[str, frozenset[tuple[str, str]]]:
    """Features without those that only say what the cohort is: that its tool was called."""
    own = {("tools", name.removeprefix("tool:")) for name in cohort.components}
    return {id: pairs - own for id, pairs in described.items()}


_DO = {
    "tool_missing": "offer {who} to the agent, or take it out of its instructions",
    "timeout": "give {who} more time or a smaller request, and tell the agent what to do when it takes too long",
    "unreachable": "find out why what is behind {who} was away; retry with a pause where the call has no effect",
    "denied": "give the agent the right that {who} asks for, or do not offer it",
    "arguments": "say in the description and schema of {who} what it refuses, and check arguments before the call",
    "not_found": "have the agent look up what it names before it calls {who}",
    "not_possible": "have the agent check the state of the world before it calls {who}, and say what to offer instead",
    "rate_limit": "ask {who} less often: a pause, a queue, or a higher limit",
    "cut_off": "raise the limit on output tokens, or ask for less at once",
    "failed": "read the evidence and find out why {who} fails",
}


def _action(finding: Mapping[str, Any]) -> dict[str, Any]:
    claim = cast("dict[str, Any]", finding["claim"])
    return {
        "id": f"a{str(finding['id'])[1:]}",
        "finding": finding["id"],
        "mode": finding["mode"],
        "do": _DO.get(str(finding["cause"]), _DO["failed"]).format(who=finding["component"]),
        "where": finding["code"],
        "check": {
            "how": "pull an export of the same filter after the change, and run this over its index.db",
            "sql": claim["sql"],
            "now": claim["found"] + claim["elsewhere"],
            "of": claim["claimed"] + claim["of_elsewhere"],
            "passes": f"a share below {finding['interval'][0]:.1%}: the lower end of the interval of now",
        },
        "status": "open",
    }


def _limits(run: AnalysisRun, state: RunState, inputs: Inputs) -> list[str]:
    limits = list(run.limits)
    if run.worker == "builtin":
        limits.append("the built-in analyst sees what failed or was said to; a wrong answer that nobody objected to it does not see")  # fmt: skip
    changed = [item for item in run.items if inputs.sha(item) not in ("", item.input_sha)]
    if changed:
        limits.append(f"{len(changed):,} items have changed since the run was made; they were read as they are now")
    if state.open:
        limits.append(f"{len(state.open):,} readings are open and left out")
    if state.unknown_costs:
        limits.append(f"of {state.unknown_costs:,} readings nobody knows the cost")
    estimated = sum(answer.run.get("tokens_are") == "estimated" for answer in (*state.first, *state.second))
    if estimated:
        limits.append(f"tokens of {estimated:,} readings are estimated from characters")
    groups = len({item.group for item in run.items}) if run.by else 0
    if groups > 1:
        limits.append(f"{groups:,} groups were compared; p values are corrected for that")
    return limits


def _lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_durably(path, "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows))
