"""Runs of a small suite, made on disk as the runner makes them, and sent as the command sends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pilothouse.evals import runs
from pilothouse.evals.runs import About, Result, Run, Said
from pilothouse.evals.sending import batches, head_of, run_id
from pilothouse.evals.settings import Gate
from pilothouse.results import EvalRun, Results

PROJECT = "prj_shop"


def trace(number: int) -> str:
    """The id of a trace."""
    return f"{number:032x}"


def make_run(
    folder: Path,
    version: str,
    *,
    cases: int = 40,
    failing: Callable[[int], bool] = lambda number: False,
    repeats: int = 1,
    judges: Mapping[str, str] | None = None,
    started: str = "2026-11-29T10:00:00Z",
    finished: bool = True,
    **of_all: Any,
) -> Run:
    """A run of so many cases, some of which fail."""
    about = About(
        run="", suite="refunds", suite_version="ab12", target="shop:agent", version=version, started=started,
        judges=dict(judges or {}), commit="0123456789ab",
    )  # fmt: skip
    run = runs.begin(folder, about)
    with run.writing() as writer:
        for repeat in range(1, repeats + 1):
            for number in range(cases):
                fails = failing(number)
                result = Result(
                    case=f"case-{number:04}",
                    sha256=f"{number:064x}",
                    repeat=repeat,
                    outcome="fail" if fails else "pass",
                    why="no refund was made" if fails else "",
                    said=[Said(name="tool refund", outcome="fail" if fails else "pass")],
                    text="sorry, no" if fails else "here it is",
                    tools=["get_order({})"],
                    cost_usd=0.001,
                    duration_s=0.5,
                    trace_id=trace(number + 1 + 10_000 * (version != "v1")),
                    capability=("refunds", "returns")[number % 2],
                    groups={"customer": ("acme", "bolt", "core")[number % 3], "week": f"2026-W{44 + number % 2}"},
                )
                writer.add(_with(result, of_all))
    if finished:
        run.finish({"stopped": ""})
    return run


def _with(result: Result, changed: Mapping[str, Any]) -> Result:
    from dataclasses import replace

    return replace(result, **changed)


def send(
    results: Results,
    run: Run,
    *,
    project: str = PROJECT,
    baseline: str = "",
    hearing: Any = None,
    gate: Gate | None = None,
    quarantined: Mapping[str, str] | None = None,
) -> EvalRun:
    """Send a run whole."""
    id = run_id(run)
    head = head_of(run, gate=gate or Gate(), baseline=baseline, hearing=hearing)
    have = results.begin(project, id, head, who="ann").have
    for batch in batches(run, quarantined=quarantined):
        if batch.digest not in have:
            results.add(project, id, batch.digest, batch.cases)
    return results.finish(project, id)
