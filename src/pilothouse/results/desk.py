"""The verbs of runs on a server: take one in, list, show, take apart, compare, let go of one."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final

from pilothouse.evals.grouping import is_group_key
from pilothouse.guards import Masker
from pilothouse.records import BadRequest, NotFound, Overloaded, PilothouseError, iso
from pilothouse.store.result_store import CASES_MAX, FOLDED, CaseFilter, CaseRow, ResultStore, RunRow

from .comparing import CHANGES_MAX, compare_kept
from .counting import NOTHING, groups_of, totals_as_dict, totals_from, totals_of
from .model import (
    CHANGED,
    Begun,
    CasePage,
    CaseResult,
    CaseShown,
    Compared,
    EvalRun,
    Groups,
    Held,
    RunPage,
    SuiteRuns,
)
from .reading import fit_to_keep, read_cases

SUITES_MAX: Final = 50
SUITE_RUNS: Final = 30
KEYS_MAX: Final = 30
_VALUES_COUNTED: Final = 1_000
_COMPARED_KEPT: Final = 8
_WAIT_S: Final = 60
_ID: Final = re.compile(r"evr_[0-9a-z]{8,36}")


class Results:
    """What a server keeps of runs. Safe for several threads."""

    def __init__(self, store: ResultStore, masker: Callable[[str], Masker]) -> None:
        """``masker``: masks what must not be kept, by project."""
        self._store, self._masker = store, masker
        # One at a time: a large one takes a core for seconds, and memory for both runs.
        self._comparing = threading.Lock()
        self._compared: dict[tuple[Any, ...], Compared] = {}

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    # -- taking in -------------------------------------------------------------------------------------------------

    def begin(self, project: str, run_id: str, head: Mapping[str, Any], *, who: str) -> Begun:
        """Begin to take a run in, or go on with it.

        Raises:
            BadRequest: the id is none, or it does not say when it started.
        """
        if _ID.fullmatch(run_id) is None:
            raise BadRequest(
                "a run is sent under an id of its own", got=run_id[:60], allowed="evr_ and 8 to 36 of a-z, 0-9"
            )
        head = fit_to_keep(head, self._masker(project))
        row = RunRow(
            run_id=run_id,
            suite=str(head["suite"]),
            target=str(head["target"]),
            version=str(head["version"]),
            state="open",
            started_ns=_moment_ns(str(head["started"])),
            sent_ns=time.time_ns(),
            who=who,
            cases=0,
            revision=0,
            head=head,
            totals={},
            held={},
        )
        have = self._store.begin(project, row)
        return Begun(run_id=run_id, have=tuple(sorted(have)), cases_max=CASES_MAX)

    def add(self, project: str, run_id: str, digest: str, cases: Sequence[Mapping[str, Any]]) -> bool:
        """Take in a batch of cases; False where it is here already, and nothing changes.

        Raises:
            BadRequest: a case cannot be read.
            NotFound: the run was not begun.
            TooLarge: the run has too many cases.
        """
        return self._store.add(project, run_id, digest, read_cases(cases, self._masker(project)))

    def finish(self, project: str, run_id: str) -> EvalRun:
        """Say that all of it is here: it is counted, and held against the run before it. Twice changes nothing.

        Raises:
            NotFound: the run was not begun.
        """
        row = self._row(project, run_id)
        if row.state == "finished":
            return _shown(row)
        totals = totals_of(self._store.count_by(project, row.run_id))
        counted = {**totals_as_dict(totals), "keys": self._keys(project, row.run_id)}
        # Counted first: what it is worth against another one may take a while, or lack what it needs.
        self._store.finish(project, row.run_id, counted, {})
        held = self._held(project, self._row(project, row.run_id))
        if held is not None:
            self._store.finish(project, row.run_id, counted, asdict(held))
        return self.run(project, row.run_id)

    def delete(self, project: str, run_id: str) -> EvalRun:
        """Let go of a run; where its folder still is, sending it again brings it back.

        Raises:
            NotFound: there is none.
        """
        row = self._row(project, run_id)
        if not self._store.delete(project, row.run_id):
            raise _no_run(run_id)
        return _shown(row)

    # -- telling ---------------------------------------------------------------------------------------------------

    def runs(self, project: str, *, suite: str = "", limit: int = 50, cursor: str = "") -> RunPage:
        """Runs, newest first.

        Raises:
            BadRequest: the cursor is none.
        """
        before = _cursor(cursor)
        rows, total = self._store.runs(project, suite=suite, limit=limit + 1, before=before)
        shown = rows[:limit]
        more = f"{shown[-1].started_ns}:{shown[-1].run_id}" if len(rows) > limit else ""
        return RunPage(items=tuple(_shown(row) for row in shown), total=total, next=more)

    def suites(self, project: str) -> tuple[SuiteRuns, ...]:
        """Suites with their newest runs, the one that ran last first; fifty at most."""
        found: list[SuiteRuns] = []
        for suite, total in self._store.suites(project, limit=SUITES_MAX):
            rows, _ = self._store.runs(project, suite=suite, limit=SUITE_RUNS)
            found.append(SuiteRuns(suite=suite, total=total, runs=tuple(_shown(row) for row in rows)))
        return tuple(found)

    def run(self, project: str, run_id: str) -> EvalRun:
        """One run, by its id or the unique beginning of it.

        Raises:
            NotFound: there is none.
            BadRequest: several begin so.
        """
        return _shown(self._row(project, run_id))

    def groups(self, project: str, run_id: str, by: str) -> Groups:
        """A run taken apart: by capability, severity, cluster, or any key of its cases.

        Raises:
            BadRequest: nothing can be grouped by this.
        """
        if not is_group_key(by):
            raise BadRequest("nothing is grouped by this", got=by[:60], allowed="a name of letters, digits and _ . -")
        row = self._row(project, run_id)
        return groups_of(by, self._store.count_by(project, row.run_id, by))

    def cases(
        self,
        project: str,
        run_id: str,
        *,
        outcomes: Sequence[str] = (),
        where: str = "",
        words: str = "",
        limit: int = 50,
        cursor: str = "",
    ) -> CasePage:
        """Cases of a run. ``where``: ``customer=acme``; ``words``: part of an id.

        Raises:
            BadRequest: an outcome, the key or the cursor is none.
        """
        unknown = [one for one in outcomes if one not in FOLDED]
        if unknown:
            raise BadRequest("a case does not come out so", got=unknown[0], allowed=list(FOLDED))
        key, sign, value = where.partition("=")
        if where and not (sign and is_group_key(key)):
            raise BadRequest(
                "cases are chosen by KEY=VALUE", got=where[:100], allowed="capability=refunds, customer=acme"
            )
        row = self._row(project, run_id)
        wanted = CaseFilter(folded=tuple(outcomes), key=key, value=value, words=words)
        after = _cursor(cursor)
        found, total = self._store.cases(project, row.run_id, wanted, limit=limit + 1, after=after)
        shown = found[:limit]
        more = f"{FOLDED.index(shown[-1].folded)}:{shown[-1].case_id}" if len(found) > limit else ""
        return CasePage(items=tuple(_case(one) for one in shown), total=total, next=more)

    def case(self, project: str, run_id: str, case: str) -> CaseShown:
        """One case of a run with its attempts.

        Raises:
            NotFound: the run or the case is not there.
        """
        row = self._row(project, run_id)
        found = self._store.case(project, row.run_id, case)
        if found is None:
            raise NotFound("this run has no such case", got=case, fix=f"pilothouse eval results cases {row.run_id}")
        return CaseShown(case=_case(found.row), attempts=tuple(found.attempts))

    def compare(
        self, project: str, base: str, candidate: str, *, bucket: str = "", limit: int = CHANGES_MAX
    ) -> Compared:
        """What the second run is to the first. ``bucket``: only such changes are listed.

        Raises:
            NotFound: one of them is not there.
            BadRequest: they are of two suites, or the server lacks what comparing needs.
            Overloaded: others are being compared.
        """
        before, after = self._row(project, base), self._row(project, candidate)
        if before.suite != after.suite:
            raise BadRequest("these are runs of two suites", got=after.suite, allowed=before.suite)
        if before.run_id == after.run_id:
            raise BadRequest("a run is held against another one", got=after.run_id)
        if bucket and bucket not in CHANGED:
            raise BadRequest("a comparison lists no such changes", got=bucket, allowed=list(CHANGED))
        found = self._compare(project, before, after)
        fits = [one for one in found.changes if bucket in ("", one.bucket)]
        return replace(found, changes=tuple(fits[:limit]), changes_more=found.changes_more + max(0, len(fits) - limit))

    # -- within ----------------------------------------------------------------------------------------------------

    def _compare(self, project: str, before: RunRow, after: RunRow) -> Compared:
        # By when it first came too: one that was taken away and sent again counts its batches from the beginning.
        key = project, *((one.run_id, one.sent_ns, one.revision, str(one.head)) for one in (before, after))
        known = self._compared.get(key)
        if known is not None:
            return known
        if not self._comparing.acquire(timeout=_WAIT_S):
            raise Overloaded("other runs are being compared", fix="try again in a minute", retry_after_s=30)
        try:
            found = compare_kept(self._store, project, (before, _shown(before)), (after, _shown(after)))
            while len(self._compared) >= _COMPARED_KEPT:
                self._compared.pop(next(iter(self._compared)), None)
            self._compared[key] = found
            return found
        finally:
            self._comparing.release()

    def _held(self, project: str, row: RunRow) -> Held | None:
        """What a run is worth against the one it names, else against the one before it; None where there is none."""
        try:
            before = self._baseline(project, row)
        except PilothouseError as error:
            return Held(
                baseline=str(row.head.get("baseline", "")), baseline_version="", verdict="", sentence=error.message,
                regressed=0, improved=0,
            )  # fmt: skip
        if before is None:
            return None
        told = {"baseline": before.run_id, "baseline_version": before.version}
        try:
            found = self._compare(project, before, row)
        except PilothouseError as error:
            return Held(**told, verdict="", sentence=error.message, regressed=0, improved=0)
        counts = found.counts
        return Held(
            **told,
            verdict=found.verdict,
            sentence="; ".join(found.reasons[:3]),
            regressed=counts.get("regressed", 0),
            improved=counts.get("improved", 0),
        )

    def _baseline(self, project: str, row: RunRow) -> RunRow | None:
        named = str(row.head.get("baseline") or "")
        if named:
            return self._row(project, named)
        earlier, _ = self._store.runs(project, suite=row.suite, limit=20, before=(row.started_ns, row.run_id))
        for one in earlier:
            # A run of a few cases is no measure for one of all of them.
            if one.state == "finished" and one.target == row.target and one.cases * 2 >= row.cases:
                return one
        return None

    def _keys(self, project: str, run_id: str) -> dict[str, int]:
        values: dict[str, set[str]] = {}
        for one in self._store.groups(project, run_id):
            for key, value in one.items():
                known = values.setdefault(key, set())
                if len(known) < _VALUES_COUNTED:
                    known.add(value)
        return {key: len(values[key]) for key in sorted(values)[:KEYS_MAX]}

    def _row(self, project: str, run_id: str) -> RunRow:
        found = self._store.run(project, run_id) if run_id else []
        if len(found) > 1:
            raise BadRequest("several runs begin so", got=run_id, allowed=[one.run_id for one in found])
        if not found:
            raise _no_run(run_id)
        return found[0]


def _no_run(run_id: str) -> NotFound:
    return NotFound("there is no such run here", got=run_id[:60], fix="pilothouse eval results ls")


def _shown(row: RunRow) -> EvalRun:
    head = row.head
    totals = dict(row.totals)
    keys: Mapping[str, int] = totals.pop("keys", {})
    judges: Mapping[str, str] = head.get("judges") or {}
    return EvalRun(
        run_id=row.run_id,
        run=str(head.get("run", "")),
        suite=row.suite,
        suite_version=str(head.get("suite_version", "")),
        target=row.target,
        version=row.version,
        commit=str(head.get("commit", "")),
        started=iso(row.started_ns),
        ended=str(head.get("ended", "")),
        state="finished" if row.state == "finished" else "open",
        stopped=str(head.get("stopped", ""))
        or ("" if head.get("finished") else "it was broken off, and can be gone on with"),
        sent=iso(row.sent_ns),
        who=row.who,
        note=str(head.get("note", "")),
        judges=tuple(f"{name}@{version}" for name, version in judges.items()),
        barred=tuple(
            f"{one['judge']}: {'; '.join(one['why_not'])}" for one in head.get("standings") or () if not one["may_gate"]
        ),
        totals=totals_from(totals) if totals else replace(NOTHING, cases=row.cases),
        held=Held(**row.held) if row.held else None,
        keys=keys,
    )


def _case(row: CaseRow) -> CaseResult:
    return CaseResult(
        case=row.case_id,
        outcome=row.folded,  # type: ignore[arg-type]  # one of FOLDED
        attempts=row.attempts,
        passed=row.passed,
        why=row.why,
        capability=row.capability,
        severity=row.severity,
        cluster=row.cluster,
        quarantined=row.quarantined,
        groups=row.groups,
        traces=row.traces,
        cost_usd=round(row.cost_usd + row.judge_usd, 6),
        seconds=round(row.seconds, 4),
    )


def _cursor(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    number, colon, id = cursor.partition(":")
    if not colon or not (number.isascii() and number.isdecimal() and len(number) <= 19):
        raise BadRequest("this is no cursor", got=cursor[:60], allowed="page.next of the page before")
    return int(number), id


def _moment_ns(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("a run says when it started, in ISO 8601", got=text[:60]) from error
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1_000_000) * 1_000
