"""What makes a suite say less than it seems to: it is too easy, repeats itself, leaks its answers, or leaves things out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pilothouse.records import PilothouseError, canonical_json

from . import runs
from .case import Case
from .case_text import as_data
from .matching import reading
from .plain import list_of
from .suite import Suite

Severity = Literal["error", "warning", "note"]
_NEAR: Final = 0.9
"""Two inputs of which this share of the shingles is the same are the same question."""
_SHINGLE_WORDS: Final = 3
_NEAR_CASES_MAX: Final = 5_000
_RUNS_LOOKED_AT: Final = 20
_NEVER_FAILED_RUNS: Final = 3
"""Runs with different versions after which a case that never failed is called easy."""
_EASY_SHARE: Final = 0.95
_LEAK_CHARS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to mend."""

    rule: str
    severity: Severity
    message: str
    cases: Sequence[str] = ()
    fix: str = ""


def lint(suite: Suite) -> list[Finding]:
    """Everything that is to be mended in a suite, the worst first."""
    cases: list[Case] = []
    unreadable: list[str] = []
    for id in suite.places():
        try:
            cases.append(suite.case(id))
        except PilothouseError:
            unreadable.append(id)
    found = [
        *_broken(suite, unreadable),
        *_says_nothing(cases),
        *_leaks(cases),
        *_twins(cases),
        *_kinds(cases),
        *_unnamed(cases),
        *_never_failed(suite, cases),
        *_quarantined(cases),
    ]
    order = ("error", "warning", "note")
    return sorted(found, key=lambda one: order.index(one.severity))


def _broken(suite: Suite, unreadable: Sequence[str]) -> Iterator[Finding]:
    if suite.broken():
        yield Finding(
            rule="broken-file",
            severity="error",
            message=f"{len(suite.broken())} files or lines are no cases: {suite.broken()[0].error}",
            cases=[one.file for one in suite.broken()],
            fix="pilothouse eval list --broken",
        )
    if unreadable:
        yield Finding(
            rule="broken-payload",
            severity="error",
            message="a payload file is missing or was changed",
            cases=unreadable,
            fix="restore the files in payloads/",
        )


def _says_nothing(cases: Sequence[Case]) -> Iterator[Finding]:
    empty = [one.id for one in cases if not one.checks and not one.criteria]
    if empty:
        yield Finding(
            rule="no-check", severity="error", message="nothing is asked of the answer", cases=empty, fix="add checks"
        )
    absent = [
        one.id
        for one in cases
        if one.checks
        and not one.criteria
        and all(check.kind in ("no_tool", "excludes", "at_most", "no_error") for check in one.checks)
    ]
    if absent:
        yield Finding(
            rule="only-absences",
            severity="warning",
            message="an agent that does nothing passes",
            cases=absent,
            fix="say what must be there too",
        )


def _leaks(cases: Sequence[Case]) -> Iterator[Finding]:
    leaking = [one.id for one in cases if _leaked(one)]
    if leaking:
        yield Finding(
            rule="leaked-answer",
            severity="warning",
            message="the answer that is checked for stands in the question",
            cases=leaking,
            fix="ask without the answer, or check for what has to be found out",
        )


def _leaked(case: Case) -> bool:
    """Whether everything the text is checked for can be read off the user's last words."""
    wanted: list[str] = []
    for check in case.checks:
        if check.kind not in ("contains", "text", "label"):
            if check.kind in ("tool", "output", "number", "code", "tools", "contains_any"):
                return False
            continue
        if check.kind == "label" and check.options.get("of"):
            return False
        wanted += [one for one in list_of(check.wanted) or [check.wanted] if isinstance(one, str)]
    asked = reading(case.input.text)
    return (
        bool(wanted) and not case.criteria and all(len(one) >= _LEAK_CHARS and reading(one) in asked for one in wanted)
    )


def _twins(cases: Sequence[Case]) -> Iterator[Finding]:
    same: dict[str, list[str]] = {}
    for case in cases:
        data = as_data(case)
        same.setdefault(canonical_json([data["input"], data.get("stubs"), data.get("checks")]), []).append(case.id)
    twins = [ids for ids in same.values() if len(ids) > 1]
    if twins:
        yield Finding(
            rule="duplicate",
            severity="warning",
            message=f"{sum(len(ids) - 1 for ids in twins)} cases repeat another one: they count as one, and cost as many",
            cases=[id for ids in twins for id in ids],
            fix="pilothouse eval rm the copies",
        )
    known = {id for ids in twins for id in ids[1:]}
    near = _near([one for one in cases if one.id not in known][:_NEAR_CASES_MAX])
    if near:
        yield Finding(
            rule="near-duplicate",
            severity="note",
            message=f"{len(near)} pairs of cases ask nearly the same",
            cases=[id for pair in near[:20] for id in pair],
            fix="keep the harder one, or give them one metadata.cluster",
        )


def _near(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """Pairs with nearly the same words, found by their rarest shingles."""
    shingles = {one.id: _shingles(one.input.text) for one in cases}
    count: dict[tuple[str, ...], int] = {}
    for held in shingles.values():
        for one in held:
            count[one] = count.get(one, 0) + 1
    places: dict[tuple[str, ...], list[str]] = {}
    found: list[tuple[str, str]] = []
    for id, held in shingles.items():
        if len(held) < 4:
            continue
        # Two sets that share nine tenths share one of any tenth and one more: the rarest are looked up.
        rare = sorted(held, key=lambda one: (count[one], one))[: max(1, len(held) - int(_NEAR * len(held)) + 1)]
        others = {other for one in rare for other in places.get(one, ())}
        for other in sorted(others):
            both = len(held & shingles[other])
            if both >= _NEAR * len(held | shingles[other]):
                found.append((other, id))
        for one in rare:
            places.setdefault(one, []).append(id)
    return found


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())[:2_000]
    return {tuple(words[n : n + _SHINGLE_WORDS]) for n in range(max(0, len(words) - _SHINGLE_WORDS + 1))}


def _kinds(cases: Sequence[Case]) -> Iterator[Finding]:
    if not cases:
        yield Finding(rule="empty", severity="error", message="the suite has no cases", fix="pilothouse eval add FILE")
        return
    for kind, what in (("adversarial", "tries to mislead the agent"), ("edge", "is at the edge of what is allowed")):
        if not any(one.metadata.kind == kind for one in cases):
            yield Finding(
                rule=f"no-{kind}",
                severity="warning",
                message=f"no case {what}",
                fix=f"write some, and set metadata.kind: {kind}",
            )
    tools = {check.wanted for one in cases for check in one.checks if check.kind == "tool"}
    if tools and not any(check.kind == "no_tool" for one in cases for check in one.checks):
        yield Finding(
            rule="never-refused",
            severity="note",
            message="tools are wanted everywhere, and nowhere is one not to be called",
            fix="add cases in which the agent has to leave a tool alone",
        )


def _unnamed(cases: Sequence[Case]) -> Iterator[Finding]:
    unnamed = [one.id for one in cases if not one.metadata.capability]
    if unnamed:
        yield Finding(
            rule="no-capability",
            severity="note",
            message=f"{len(unnamed)} cases name no capability, so a report cannot say what got worse",
            cases=unnamed,
            fix="pilothouse eval edit CASE --set metadata.capability=NAME",
        )
    sizes: dict[str, list[str]] = {}
    for one in cases:
        if one.metadata.capability:
            sizes.setdefault(one.metadata.capability, []).append(one.id)
    thin = {name: ids for name, ids in sizes.items() if len(ids) < 5}
    if thin and len(cases) >= 20:
        yield Finding(
            rule="thin-capability",
            severity="note",
            message=f"fewer than 5 cases say nothing of a capability: {', '.join(sorted(thin)[:8])}",
            cases=[id for ids in thin.values() for id in ids],
        )


def _never_failed(suite: Suite, cases: Sequence[Case]) -> Iterator[Finding]:
    versions: dict[str, set[str]] = {}
    failed: set[str] = set()
    last: dict[str, str] = {}
    for run in runs.every(suite.folder)[:_RUNS_LOOKED_AT]:
        for result in run.results():
            versions.setdefault(result.case, set()).add(run.about.version or run.about.run)
            last.setdefault(result.case, result.outcome)
            if result.outcome != "pass":
                failed.add(result.case)
    easy = [one.id for one in cases if len(versions.get(one.id, ())) >= _NEVER_FAILED_RUNS and one.id not in failed]
    if easy:
        yield Finding(
            rule="never-failed",
            severity="note",
            message=f"{len(easy)} of {len(cases)} cases have passed in every one of at least {_NEVER_FAILED_RUNS} versions",
            cases=easy,
            fix="run them rarely, and look for harder ones among failures: pilothouse ls status:error",
        )
    told = [last[one.id] for one in cases if one.id in last]
    if len(told) >= 20 and sum(one == "pass" for one in told) / len(told) > _EASY_SHARE:
        yield Finding(
            rule="too-easy",
            severity="warning",
            message=f"{sum(one == 'pass' for one in told)} of {len(told)} cases pass: there is hardly a way to get better",
            fix="add harder cases: pilothouse eval from-trace TRACE --bad",
        )


def _quarantined(cases: Sequence[Case]) -> Iterator[Finding]:
    waiting = [one.id for one in cases if one.quarantined]
    if waiting:
        yield Finding(
            rule="quarantined",
            severity="note",
            message=f"{len(waiting)} cases do not count for now",
            cases=waiting,
            fix="mend them, or take them away: they cost as much as the others",
        )
