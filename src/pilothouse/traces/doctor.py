"""The doctor: what was refused, dropped, skewed, orphaned or counted twice, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pilothouse.store import TraceStore
from pilothouse.store.health_reads import checks

from .model import Doctor, Finding, Forwarded, Refused, ServerFacts
from .windows import time_range

Level = Literal["ok", "note", "warn", "bad"]


class _Check(NamedTuple):
    level: Level
    fine: str
    found: str
    fix: str


_CHECKS = {
    "double_instrumented": _Check(
        "note",
        "no call was seen by two instrumentations",
        "{count} spans are second views of a call; they are left out of sums",
        "switch one of the two instrumentations off; pilothouse cost why ID shows the pairs",
    ),
    "unknown_prices": _Check(
        "warn",
        "every model has a price",
        "{count} calls have no price: {kinds} models are not in the price book",
        "add [[prices]] rows to pilothouse.toml, then: pilothouse reprocess",
    ),
    "ambiguous_usage": _Check(
        "note",
        "no usage can be read in two ways",
        "the usage of {count} calls can be read with or without cached tokens: the instrumentation is not known",
        "pilothouse cost why ID shows both readings",
    ),
    "orphans": _Check(
        "warn",
        "every span's parent arrived",
        "{count} spans in {kinds} traces name a parent that never arrived",
        "flush the exporter before the process ends; propagate context into threads and processes",
    ),
    "stale_running": _Check(
        "note",
        "no trace was left unfinished",
        "{count} traces have no end, and nothing of them arrived for 10 minutes",
        "the process died, or its root span is not exported: pilothouse ls status:running",
    ),
    "skewed_clocks": _Check(
        "warn",
        "all clocks make sense",
        "{count} spans had impossible times, which were corrected",
        "check the clock of the service; what was sent is in attributes['pilothouse.sent.start_ns']",
    ),
    "usage_gap": _Check(
        "note",
        "agents report what their calls add up to",
        "in {count} traces an agent reports other token totals than its calls add up to",
        "pilothouse cost why ID shows the difference; some calls may not be instrumented",
    ),
    "unknown_dialect": _Check(
        "note",
        "every instrumentation is understood",
        "{count} spans come from {kinds} instrumentations that say nothing about agents",
        "nothing, where they are of a web framework or a database",
    ),
}


def doctor(
    store: TraceStore,
    project: str,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    server: ServerFacts | None = None,
) -> Doctor:
    """Examine a window. ``server`` is what only the running server knows of it."""
    covered = time_range(since_ns, until_ns)
    server = server or ServerFacts()
    findings = [_refused(server.refused), *(_forwarded(row) for row in server.forwards)]
    spans, found = checks(store, project, covered.since_ns, covered.until_ns)
    if spans == 0:
        findings.append(
            Finding(
                check="silence",
                level="warn",
                count=0,
                summary="no span started in this window",
                examples=(),
                fix="point an OTLP exporter here; a key that is refused shows above",
            )
        )
    for name, about in _CHECKS.items():
        count, kinds = found[name].count, found[name].kinds
        findings.append(
            Finding(
                check=name,
                level=about.level if count else "ok",
                count=count,
                summary=about.found.format(count=f"{count:,}", kinds=f"{kinds:,}") if count else about.fine,
                examples=tuple({"what": what, "count": times} for what, times in found[name].examples),
                fix=about.fix if count else "",
            )
        )
    order = {"bad": 0, "warn": 1, "note": 2, "ok": 3}
    findings.sort(key=lambda finding: order[finding.level])
    healthy = all(finding.level in ("ok", "note") for finding in findings)
    return Doctor(window=covered.as_window(), healthy=healthy, findings=tuple(findings))


def _forwarded(row: Forwarded) -> Finding:
    lost = row.refused + row.undecodable
    level: Level = "bad" if row.failing_since or row.skipped else "warn" if lost else "ok"
    said = f"{row.sent:,} requests passed on to {row.name}"
    if row.failing_since:
        said += f"; it has not answered since {row.failing_since}, {row.pending_bytes:,} bytes wait"
    if lost:
        said += f"; {lost:,} it would not take"
    if row.skipped:
        said += f"; {row.skipped:,} times it was too far behind, and the journal went on without it"
    return Finding(
        check=f"forward {row.name}",
        level=level,
        count=lost + row.skipped,
        summary=said,
        examples=({"what": row.last_error},) if row.last_error and level != "ok" else (),
        fix="" if level == "ok" else "see its answer; mend its url, headers or quota, and what waits is sent by itself",
    )


def _refused(refused: Sequence[Refused]) -> Finding:
    count = sum(row.count for row in refused)
    if not count:
        return Finding(check="refused", level="ok", count=0, summary="no write was refused", examples=(), fix="")
    worst = max(refused, key=lambda row: row.count)
    fix = "wait: the server was protecting itself; exporters come back by themselves"
    if worst.reason.startswith(("401", "403")):
        fix = "give that sender a good key: pilothouse keys new --mode write"
    elif worst.reason.startswith(("400", "413", "415", "partial")):
        fix = "see what the sender was told, in detail"
    return Finding(
        check="refused",
        level="bad",
        count=count,
        summary=f"{count:,} writes were refused; most often {worst.reason} ({worst.source})",
        examples=tuple(
            {"what": row.reason, "source": row.source, "count": row.count, "last": row.last, "detail": row.detail}
            for row in sorted(refused, key=lambda row: -row.count)[:5]
        ),
        fix=fix,
    )
