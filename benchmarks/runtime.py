"""Bad models with and without each capability, and on others' planning: who finishes what, and at what price."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pilothouse.runtime.adapters.drift import DriftWatch
from pilothouse.runtime.adapters.pydantic_ai import FinishGate, LargeData, Planning
from pilothouse.runtime.adapters.tool_names import ToolNaming
from pilothouse.runtime.handles import HandleStore
from pilothouse.store.plan_store import plans_in

from .bad_models import FAULTS
from .bad_runs import Played, play
from .rivals import ENVIRONMENT

Setup = Callable[[Path], list[Any]]

SETUPS: Mapping[str, Setup] = {
    "nothing": lambda _: [],
    "Planning": lambda folder: [Planning(plans=plans_in(folder))],
    "Planning+FinishGate": lambda folder: [Planning(plans=plans_in(folder)), FinishGate(plans=plans_in(folder))],
    "Planning+DriftWatch": lambda folder: [Planning(plans=plans_in(folder)), DriftWatch(plans=plans_in(folder))],
    "LargeData": lambda folder: [LargeData(store=HandleStore(folder / "values"))],
    "ToolNaming": lambda _: [ToolNaming()],
    "all": lambda folder: [
        Planning(plans=plans_in(folder)),
        FinishGate(plans=plans_in(folder)),
        DriftWatch(plans=plans_in(folder)),
        LargeData(store=HandleStore(folder / "values")),
        ToolNaming(),
    ],
}
"""Ours, by the names in the table."""

RIVALS: Mapping[str, str] = {
    "harness": "harness Planning",
    "harness+limits": "harness Planning + limits",
    "todos": "LangChain todos",
    "deepagents": "todos + deepagents files",
}


def ours(faults: Sequence[str] = tuple(FAULTS), setups: Sequence[str] = tuple(SETUPS)) -> Iterator[Played]:
    """Every fault in every setup of ours."""
    for fault in faults:
        for setup in setups:
            with tempfile.TemporaryDirectory(prefix="pilothouse-bad-") as folder:
                yield play(fault, setup, SETUPS[setup](Path(folder)))


def theirs(root: Path = Path()) -> list[Played]:
    """The same on the others, where their environment is; else none."""
    python = root / ENVIRONMENT / "bin/python"
    if not python.exists():
        return []
    said = subprocess.run(
        [str(python), "-m", "benchmarks.rivals"], cwd=root, capture_output=True, text=True, check=True
    )
    return [Played(**json.loads(line)) for line in said.stdout.splitlines()]


def report() -> Iterator[str]:
    """The lines of the table."""
    runs = [*ours(), *theirs()]
    by_place = {(run.fault, run.setup): run for run in runs}
    names = {**{name: name for name in SETUPS}, **RIVALS}
    there = [setup for setup in names if any(run.setup == setup for run in runs)]
    for setup in names:
        if setup not in there:
            yield f"{names[setup]}: not installed (python -m tests.clients.install_clients rivals)"
    yield "tasks finished in the world / wanted, model calls, thousand tokens in, tokens out; * not ended by an answer"
    width = max(map(len, FAULTS)) + 2
    for setup in there:
        yield f"\n{names[setup]}"
        for fault in FAULTS:
            run = by_place[fault, setup]
            ended = "" if run.ended == "answered" else f"  * {run.ended[:90]}"
            twice = f"  {run.twice} tried twice" if run.twice else ""
            yield (
                f"  {fault:<{width}}{run.finished:>3}/{run.wanted:<3}{run.calls:>4} calls"
                f"{run.tokens_in / 1000:>8.1f}k in{run.tokens_out:>7,} out{twice}{ended}"
            )
