"""Claims that are checked: each cohort is counted a second time, by a query over the index that anybody can run again,
and once more where it should not be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pilothouse.records.statistics import fisher

from .cluster import HOLE, template
from .cohorts import Cohort
from .export import Export

CONFIRMED_SHARE = 0.8
"""A query that finds fewer of the cohort's items does not confirm it."""
_PATTERN_CHARS = 160
_PATTERNS_MAX = 5
_WORDS_MIN = 8
"""A pattern with fewer letters finds anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A cohort as a statement about the index."""

    says: str
    sql: str
    """With its values in place, to be run as it stands."""
    control_sql: str
    """How many traces there are beside the cohort's in which it is found all the same."""
    claimed: int
    """Traces that the readers named."""
    found: int
    """Of those, how many the query finds."""
    elsewhere: int
    """Traces of the run in which it is found although no reader named them."""
    of_elsewhere: int
    p: float
    confirmed: bool
    why: str = ""
    """Why it is not."""

    def as_data(self) -> dict[str, Any]:
        """For files."""
        return {name: getattr(self, name) for name in type(self).__dataclass_fields__}


def check_claim(cohort: Cohort, export: Export, scope: set[str]) -> Claim:
    """Count a cohort again. ``scope`` are the traces that the run read."""
    # What the failures say; else what was quoted of them: a reader's own words are in no trace.
    quoted = Counter(template(str(event.evidence.get("quote", ""))) for event in cohort.events if event.evidence)
    shapes = (cohort.templates, [shape for shape, _ in quoted.most_common(_PATTERNS_MAX)])
    ways = [[pattern for pattern in map(like, some) if pattern] for some in shapes]
    claimed = set(cohort.traces)
    says = f"{len(cohort.items)} items have a step that says: {cohort.templates[0][:120]}"
    nothing = Claim(
        says=says, sql="", control_sql="", claimed=len(claimed), found=0, elsewhere=0,
        of_elsewhere=len(scope - claimed), p=1.0, confirmed=False,
    )  # fmt: skip
    best = _refused(nothing, "what its readers saw cannot be put into a query")
    for patterns in filter(None, ways):
        for loose in (False, True):
            tried = [pattern.replace(" ", "%") if loose else pattern for pattern in patterns]
            counted = _counted(nothing, tried, export, scope, claimed)
            if counted.confirmed:
                return counted
            best = counted if counted.found > best.found or not best.sql else best
    return best


def _counted(claim: Claim, patterns: Sequence[str], export: Export, scope: set[str], claimed: set[str]) -> Claim:
    either = " OR ".join("error LIKE ? ESCAPE '!' OR output LIKE ? ESCAPE '!'" for _ in patterns)
    values = [pattern for pattern in patterns for _ in range(2)]
    rows = export.query(f"SELECT DISTINCT trace_id FROM spans WHERE {either}", values)
    seen = {str(row["trace_id"]) for row in rows} & scope
    found, elsewhere = len(seen & claimed), len(seen - claimed)
    others = len(scope - claimed)
    p = fisher(found, len(claimed), elsewhere, others)
    plain = " OR ".join(
        f"error LIKE {_text(one)} ESCAPE '!' OR output LIKE {_text(one)} ESCAPE '!'" for one in patterns
    )
    names = ", ".join(_text(trace_id) for trace_id in sorted(claimed)[:200])
    counted = Claim(
        says=claim.says,
        sql=f"SELECT count(DISTINCT trace_id) FROM spans WHERE {plain}",
        control_sql=f"SELECT count(DISTINCT trace_id) FROM spans WHERE ({plain}) AND trace_id NOT IN ({names})",
        claimed=len(claimed),
        found=found,
        elsewhere=elsewhere,
        of_elsewhere=others,
        p=float(f"{p:.2g}"),
        confirmed=True,
    )
    if found < CONFIRMED_SHARE * len(claimed):
        return _refused(counted, f"its query finds {found} of the {len(claimed)} traces that were named")
    if others and elsewhere / others >= found / len(claimed):
        return _refused(counted, f"its query finds as much elsewhere: {elsewhere} of {others} other traces")
    return counted


def _refused(claim: Claim, why: str) -> Claim:
    return replace(claim, confirmed=False, why=why)


def like(shape: str) -> str:
    """A template as a pattern of LIKE; empty where too little of it is fixed."""
    shape = shape[:_PATTERN_CHARS]
    if sum(letter.isalpha() for letter in shape) < _WORDS_MIN:
        return ""
    fixed = shape.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{fixed.replace(f' {HOLE} ', '%').replace(HOLE, '%')}%"


def _text(value: str) -> str:
    """A text in SQL, for people to run: our own queries hand values over apart."""
    return "'" + value.replace("'", "''") + "'"
