"""Runs of two suites to look at: in a real store, with one that regressed, one that comes in, and hostile words."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from pilothouse.evals import runs
from pilothouse.evals.runs import About, Result, Said
from pilothouse.evals.sending import batches, head_of, run_id
from pilothouse.evals.settings import Gate
from pilothouse.guards import masker
from pilothouse.records import iso
from pilothouse.results import Results
from pilothouse.store.result_store import ResultStore

from .sample import HOSTILE, NOW_NS, SECOND

PROJECT = "sample"
CASES = 64
HOUR = 3_600 * SECOND


@cache
def sample_evals() -> Results:
    """Six runs of one suite, the last one worse; one of another suite whose cases come in."""
    folder = Path(tempfile.mkdtemp(prefix="pilothouse-sample-"))
    results = Results(ResultStore(f"sqlite:///{folder / 'results.db'}"), lambda _: masker(("secrets",)))
    for number in range(6):
        failing = {4: range(3), 5: range(12)}.get(number, range(6 - number))
        _send(results, folder, f"v{number + 1}", "refunds", failing, NOW_NS - (40 - 7 * number) * HOUR)
    _send(results, folder, HOSTILE, "search <b>", range(2), NOW_NS - HOUR, whole=False, hostile=True)
    _send(results, folder, "v1", "search <b>", range(1), NOW_NS - 2 * HOUR, hostile=True)
    return results


@cache
def sample_runs_of_evals() -> tuple[str, ...]:
    """Ids of the runs, newest first."""
    return tuple(one.run_id for one in sample_evals().runs(PROJECT).items)


def _send(
    results: Results,
    folder: Path,
    version: str,
    suite: str,
    failing: range,
    started_ns: int,
    *,
    whole: bool = True,
    hostile: bool = False,
) -> None:
    about = About(
        run="", suite=suite, suite_version="ab12cd34ef56", target="shop:agent", version=version, started=iso(started_ns),
        commit="0123456789ab+9f", judges={"careful": "3"} if hostile else {}, repeats=2,
    )  # fmt: skip
    run = runs.begin(folder, about)
    with run.writing() as writer:
        for number in range(CASES):
            for repeat in (1, 2):
                fails = number in failing and (repeat == 1 or number % 3 > 0)
                writer.add(_result(number, repeat, fails, hostile=hostile, seed=started_ns))
    run.finish({"stopped": "the money is spent: 2.5012 of 2.50 USD" if hostile else "", "ended": ""})
    id = run_id(run)
    results.begin(PROJECT, id, head_of(run, gate=Gate()), who="ann")
    for batch in batches(run, quarantined={"case-0005": "flaky since the move"}):
        results.add(PROJECT, id, batch.digest, batch.cases)
    if whole:
        results.finish(PROJECT, id)


def _result(number: int, repeat: int, fails: bool, *, hostile: bool, seed: int) -> Result:
    outcome: Any = "fail" if fails else "pass"
    why = (HOSTILE if hostile else f"the answer has no {number}.00 EUR within 0.01") if fails else ""
    return Result(
        case=f"case-{number:04}",
        sha256=f"{number:064x}",
        repeat=repeat,
        outcome=outcome,
        why=why,
        said=[
            Said(name="tool get_order", outcome="pass"),
            Said(
                name="number" if not hostile else HOSTILE,
                outcome=outcome,
                why=why,
                judge="careful@3" if hostile else "",
            ),
        ],
        text=HOSTILE if hostile else f"You get {number} EUR back",
        tools=[f'get_order({{"id": {4400 + number}}})'],
        cost_usd=0.0012,
        duration_s=0.4 + number / 100,
        trace_id=f"{seed % 10**12 + number * 10 + repeat:032x}",
        capability=("refunds", "returns", "exchange")[number % 3],
        severity="critical" if number == 1 else "",
        groups={
            "customer": (HOSTILE[:100] if hostile else "acme", "bolt", "core", "dyno")[number % 4],
            "week": f"2026-W{44 + number % 3}",
        },
    )
