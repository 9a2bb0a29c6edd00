"""One run of a suite: what it came to, part by part and case by case, and what it is to another run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.results import CaseResult, CaseShown, Compared, EvalRun, Groups
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit, link

ROWS = 50
CHANGES = 200
OTHERS = 30
GROUPS_SHOWN = 40
OUTCOMES = ("", "fail", "flaky", "unscored", "pass")
_BUCKETS = ("", "regressed", "improved", "flaky", "undetermined", "quarantined", "changed", "added", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRunPage(PageContext):
    """One run of a suite."""

    run: EvalRun = field(metadata=told("the run: totals with the interval of the pass rate, cost, verdict, judges"))
    groups: Groups = field(metadata=told("its cases by one key, those with most that do not pass first"))
    cases: tuple[CaseResult, ...] = field(metadata=told("cases of this page, those that fail first"))
    total: int = field(metadata=told("how many cases fit, on all pages"))
    next: str = field(metadata=told("cursor of the next page; empty at the end"))
    cursor: str = field(metadata=told("which page this is; empty for the first"))
    only: str = field(metadata=told("fail, flaky, unscored or pass; empty: all cases"))
    where: str = field(metadata=told("only cases with this key and value, as customer=acme"))
    words: str = field(metadata=told("only cases whose id holds this text"))
    shown: CaseShown | None = field(metadata=told("one case with its attempts, where one is asked for"))
    against: str = field(metadata=told("the run it is compared with; empty: with none"))
    bucket: str = field(metadata=told("only such changes are listed; empty: all"))
    compared: Compared | None = field(metadata=told("what it is to that run: verdict, test, margin, changed cases"))
    others: tuple[EvalRun, ...] = field(metadata=told("other runs of the suite that it can be compared with"))

    @property
    def outcomes(self) -> dict[str, int]:
        """How many cases come out how."""
        totals = self.run.totals
        return {"fail": totals.failed, "flaky": totals.flaky, "unscored": totals.unscored, "pass": totals.passed}

    def here(self, **changed: Any) -> str:
        """The same page with something changed."""
        asked = {
            "by": self.groups.by if self.groups.by != "capability" else "",
            **{name: getattr(self, name) for name in ("only", "where", "words", "against", "bucket")},
        }
        return link(f"/evals/runs/{self.run.run_id}", **(asked | changed))


def gather(visit: Visit) -> EvalRunPage:
    """Read one run, a page of its cases, and what it is to another one where that is asked."""
    reader = visit.reader
    run = reader.eval_run(visit.parts["run"])
    only = visit.word("only", OUTCOMES)
    where, words = visit.text("where", 200), visit.text("words", 120)
    cursor, against = visit.text("cursor", 140), visit.text("against", 60)
    bucket = visit.word("bucket", _BUCKETS)
    found = reader.eval_cases(
        run.run_id, outcomes=(only,) if only else (), where=where, words=words, limit=ROWS, cursor=cursor
    )
    asked = visit.text("case", 120)
    others = reader.eval_runs(run.suite, limit=OTHERS, cursor="").items
    return EvalRunPage(
        title=f"{run.suite} {run.version}".strip(),
        command=f"pilothouse eval results show {run.run_id}",
        run=run,
        groups=reader.eval_groups(run.run_id, visit.text("by", 40) or _first_key(run)),
        cases=found.items,
        total=found.total,
        next=found.next,
        cursor=cursor,
        only=only,
        where=where,
        words=words,
        shown=reader.eval_case(run.run_id, asked) if asked else None,
        against=against,
        bucket=bucket,
        compared=reader.eval_compared(against, run.run_id, bucket, limit=CHANGES) if against else None,
        others=tuple(one for one in others if one.run_id != run.run_id),
    )


def _first_key(run: EvalRun) -> str:
    """Capability where cases have one, else the key with fewest values that tells them apart."""
    if run.keys.get("capability"):
        return "capability"
    telling = [(count, key) for key, count in run.keys.items() if count > 1]
    return min(telling)[1] if telling else "capability"


EVAL_RUN = PageSpec(name="eval_run", path="/evals/runs/{run}", context=EvalRunPage, gather=gather, nav="evals")
