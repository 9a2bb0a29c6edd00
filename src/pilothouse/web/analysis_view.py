"""Findings of an analysis as a page shows them. What was recorded and what was read stays text, whatever it looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

_TRACE = re.compile(r"(?:^|[/-])([0-9a-f]{32})(?:-|/|$)")
_STEP = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceLine:
    """Words that show a finding, and where they stand."""

    url: str
    """The step's page, or the trace's; empty where it is not known."""
    place: str
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is more often in a cohort than outside of it."""

    field: str
    value: str
    inside: str
    outside: str
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortView:
    """One finding: a failure that several items share."""

    id: str
    title: str
    severity: str
    mode: str
    """Its name in the taxonomy of failure modes."""
    mark: str
    """Against earlier runs: new, persistent, …"""
    component: str
    root_cause: str
    items: int
    of: int
    share: float
    low: float
    """Ends of the interval of the share, Wilson's at 95 %."""
    high: float
    not_made_good: int
    evidence: tuple[EvidenceLine, ...]
    against: EvidenceLine | None
    """An item with the same component that went well."""
    differs: tuple[Difference, ...]
    code: tuple[str, ...]
    """File and line, or service and revision."""
    sql: str
    """The query that checks the claim, over the export's index.db."""
    control_sql: str
    found: int
    claimed: int
    elsewhere: int
    of_elsewhere: int


def cohort_views(findings: Mapping[str, Any]) -> tuple[CohortView, ...]:
    """The cohorts of a report's data."""
    return tuple(_cohort(one) for one in _rows(findings.get("cohorts")))


def trace_of(path: str) -> str:
    """The trace whose folder a path leads into; empty where there is none."""
    found = _TRACE.search(path)
    return found[1] if found else ""


def _cohort(one: Mapping[str, Any]) -> CohortView:
    claim = _row(one.get("claim"))
    low, high = [*_numbers(one.get("interval")), 0.0, 0.0][:2]
    against = _row(one.get("counter_example"))
    return CohortView(
        id=_text(one, "id"),
        title=_text(one, "title"),
        severity=_text(one, "severity"),
        mode=_text(one, "mode"),
        mark=_text(one, "mark"),
        component=_text(one, "component"),
        root_cause=_text(one, "root_cause"),
        items=_number(one, "items"),
        of=_number(one, "of"),
        share=float(one.get("share") or 0),
        low=low,
        high=high,
        not_made_good=_number(one, "items_not_made_good"),
        evidence=tuple(_evidence(line) for line in _rows(one.get("evidence"))),
        against=_line(_text(against, "folder"), "", _text(against, "item")) if against else None,
        differs=tuple(_difference(row) for row in _rows(one.get("differs"))[:5]),
        code=tuple(_code(row) for row in _rows(one.get("code"))),
        sql=_text(claim, "sql"),
        control_sql=_text(claim, "control_sql"),
        found=_number(claim, "found"),
        claimed=_number(claim, "claimed"),
        elsewhere=_number(claim, "elsewhere"),
        of_elsewhere=_number(claim, "of_elsewhere"),
    )


def _evidence(line: Mapping[str, Any]) -> EvidenceLine:
    return _line(_text(line, "file"), _text(line, "step"), _text(line, "quote"))


def _line(path: str, step: str, quote: str) -> EvidenceLine:
    trace_id = trace_of(path)
    url = f"/traces/{trace_id}" if trace_id else ""
    if url and _STEP.fullmatch(step):
        url += f"/spans/{int(step)}"
    return EvidenceLine(url=url, place=f"{trace_id[-12:] or path} {step}".strip(), quote=quote)


def _difference(row: Mapping[str, Any]) -> Difference:
    return Difference(
        field=_text(row, "field"),
        value=_text(row, "value"),
        inside=f"{row.get('inside', 0)}/{row.get('of_inside', 0)}",
        outside=f"{row.get('outside', 0)}/{row.get('of_outside', 0)}",
        p=float(row.get("p_corrected") or 0),
    )


def _code(row: Mapping[str, Any]) -> str:
    if row.get("file"):
        return f"{row['file']}:{row.get('line')}"
    return " ".join(f"{name}={value}" for name, value in row.items())


def _rows(value: object) -> Sequence[Mapping[str, Any]]:
    rows: list[Any] = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", row) for row in rows if isinstance(row, dict)]


def _row(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _numbers(value: object) -> list[float]:
    return [float(one) for one in cast("list[Any]", value)] if isinstance(value, list) else []


def _text(row: Mapping[str, Any], name: str) -> str:
    return str(row.get(name) or "")


def _number(row: Mapping[str, Any], name: str) -> int:
    return int(row.get(name) or 0)
