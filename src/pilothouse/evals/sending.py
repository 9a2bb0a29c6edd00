"""A run in the shape in which a server keeps it: a head, then cases in batches that are the same however often they are made.

A case is sent with all its attempts, so that whoever keeps it can compare it again; long texts are cut. A batch is named by
its content: a server that has it need not be sent it again, and one that gets it twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from pilothouse.records import canonical_json

from .plain import mapping_of
from .runs import Result, Run, read_result, result_of

if TYPE_CHECKING:
    # A server that reads what was sent needs neither runner nor statistics for it.
    from .judges.gating import Hearing
    from .settings import Gate

CASES_A_BATCH: Final = 500
BATCH_BYTES: Final = 2 << 20
"""A batch ends with the case that passes this."""
ATTEMPTS_MAX: Final = 200
"""Attempts of one case that are sent; later ones stay in the run's folder."""
_WHY_CHARS: Final = 1_000
_TEXT_CHARS: Final = 2_000
_TOOLS: Final = 30
_SAID: Final = 50
_FROM_HISTORY: Final = ("customer", "week", "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some cases of a run, in order of their ids."""

    digest: str
    """Of what it says: 32 hex digits."""
    cases: list[dict[str, Any]]


def run_id(run: Run) -> str:
    """What a server calls this run: the same for the same run, wherever it is sent from, and for no other one."""
    about = run.about
    told = canonical_json([about.suite, about.run, about.started, about.target, about.version, about.seed])
    return f"evr_{hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"


def head_of(run: Run, *, gate: Gate, hearing: Hearing | None = None, baseline: str = "") -> dict[str, Any]:
    """What a server is told of a run before its cases. ``baseline``: what a server calls the run it is held against."""
    about, summary = run.about, run.summary
    standings = hearing.standings.values() if hearing is not None else ()
    return {
        "run": about.run,
        "suite": about.suite,
        "suite_version": about.suite_version,
        "target": about.target,
        "version": about.version,
        "commit": about.commit,
        "started": about.started,
        "ended": str(summary.get("ended", "")),
        "finished": bool(summary),
        "stopped": str(summary.get("stopped", ""))[:500],
        "seed": about.seed,
        "repeats": about.repeats,
        "note": about.note[:1_000],
        "judges": dict(about.judges),
        "gate": asdict(gate),
        "standings": [
            {
                "judge": one.judge,
                "may_gate": one.may_gate,
                "why_not": list(one.why_not),
                "rates": asdict(one.rates),
                "unchecked": one.unchecked,
            }
            for one in standings
        ],
        "baseline": baseline,
    }


def batches(run: Run, *, quarantined: Mapping[str, str] | None = None) -> Iterator[Batch]:
    """The cases of a run, a few hundred at a time: a run of 100,000 is never held as a whole."""
    places = _places(run)
    if not places:
        return
    cases: list[dict[str, Any]] = []
    size = 0
    with (run.folder / "results.jsonl").open("rb") as file:
        for case in sorted(places):
            attempts: list[Result] = []
            for _, offset in sorted(places[case].items())[:ATTEMPTS_MAX]:
                file.seek(offset)
                found = read_result(file.readline())
                if found is not None:
                    attempts.append(found)
            row = _case(attempts, (quarantined or {}).get(case, ""))
            cases.append(row)
            size += len(json.dumps(row["attempts"]))
            if len(cases) >= CASES_A_BATCH or size >= BATCH_BYTES:
                yield _batch(cases)
                cases, size = [], 0
    if cases:
        yield _batch(cases)


def _places(run: Run) -> dict[str, dict[int, int]]:
    """Where in the file each attempt stands, by case and repeat; where one was made twice, the later one counts."""
    found: dict[str, dict[int, int]] = {}
    path = run.folder / "results.jsonl"
    if not path.exists():
        return found
    with path.open("rb") as file:
        offset = 0
        for line in file:
            result = read_result(line)
            if result is not None:
                found.setdefault(result.case, {})[result.repeat] = offset
            offset += len(line)
    return found


def _batch(cases: list[dict[str, Any]]) -> Batch:
    text = canonical_json(cases).encode("utf-8", "surrogatepass")
    return Batch(digest=hashlib.sha256(text).hexdigest()[:32], cases=cases)


def _case(attempts: list[Result], quarantined: str) -> dict[str, Any]:
    last = attempts[-1]
    return {
        "case": last.case,
        "sha256": last.sha256,
        "capability": last.capability[:120],
        "cluster": last.cluster[:200],
        "severity": last.severity[:40],
        "quarantined": quarantined[:500],
        "groups": {**{name: told for name in _FROM_HISTORY if (told := str(getattr(last, name)))}, **last.groups},
        "attempts": [_attempt(one) for one in attempts],
    }


def _attempt(one: Result) -> dict[str, Any]:
    row: dict[str, Any] = {
        "repeat": one.repeat,
        "outcome": one.outcome,
        "why": one.why[:_WHY_CHARS],
        "said": [
            {name: value for name, value in _said(said).items() if value not in ("", None)} for said in one.said[:_SAID]
        ],
        "text": one.text[:_TEXT_CHARS],
        "tools": [tool[:300] for tool in one.tools[:_TOOLS]],
        "error": one.error[:_WHY_CHARS],
        "model_calls": one.model_calls,
        "tokens": one.tokens,
        "cost_usd": one.cost_usd,
        "judge_usd": one.judge_usd,
        "duration_s": one.duration_s,
        "trace_id": one.trace_id,
        "taken_from": one.taken_from,
    }
    return {name: value for name, value in row.items() if value not in ("", None, [], 0.0)}


def _said(said: Any) -> dict[str, Any]:
    return {
        "name": said.name[:200],
        "outcome": said.outcome,
        "why": said.why[:_WHY_CHARS],
        "score": said.score,
        "judge": said.judge,
    }


def attempts_of(case: str, row: Mapping[str, Any]) -> list[Result]:
    """The attempts of a case as it was sent, as they were in the run; what cannot be read is left out."""
    shared = {name: str(row.get(name, "")) for name in ("sha256", "capability", "cluster", "severity")}
    listed: Any = row.get("attempts")
    found: list[Result] = []
    for one in listed if isinstance(listed, list) else []:  # pyright: ignore[reportUnknownVariableType]  # from JSON
        attempt = mapping_of(one)
        if attempt is not None:
            result = result_of({**attempt, **shared, "case": case})
            if result is not None:
                found.append(result)
    return found
