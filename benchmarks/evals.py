"""A thousand cases on the scripted model server: seconds, and what each case costs beside the same calls without a suite.

pydantic-evals and Inspect are measured in the same run where they are installed
(``python -m tests.clients.install_clients rivals``). All setups take turns, several rounds; the medians are shown, and the
machine's load. A machine that is busy makes the seconds long: the time of the processor is the steadier figure.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pilothouse.testing.model_server import ModelServer

from .rivals import ENVIRONMENT

ROOT = Path(__file__).parents[1]
CASES = 1_000
SCRIPT: Mapping[str, Any] = {
    "rules": [
        {"after_tool": "get_order", "reply": {"text": "You get 20 EUR back."}},
        {"seen": r"Refund order (\d+)", "reply": {"calls": [{"name": "get_order", "arguments": {"id": "{match}"}}]}},
    ]
}


def report(folder: Path, *, quick: bool) -> Iterator[str]:
    """The table, line by line."""
    count, rounds = (100, 1) if quick else (CASES, 3)
    rivals = ROOT / ENVIRONMENT / "bin/python"
    # One interpreter for all of them: their libraries' versions are the same then.
    python = str(rivals) if rivals.exists() else sys.executable
    setups = ["bare", "pilothouse"]
    for name, module in (("pydantic-evals", "pydantic_evals"), ("inspect", "inspect_ai")):
        if _has(python, module):
            setups.append(name)
        else:
            yield f"{name}: not installed (python -m tests.clients.install_clients rivals)"
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in setups}
    load = os.getloadavg()[0]
    with ModelServer(SCRIPT, seed=7) as server:
        for round in range(rounds):
            for name in setups:
                row = _measure(python, name, server.openai_url, count, folder / f"{name}-{round}")
                found[name].append(row)
                # A round takes minutes: what is known is shown.
                now = os.getloadavg()[0]
                yield f"  round {round + 1}, {name}: {row['wall_s']:.1f} s, cpu {row['cpu_s']:.1f} s, load {now:.1f}"
    yield f"{count:,} cases, two model calls each, {rounds} rounds, load {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    yield f"{'':<16} {'seconds':>8} {'cpu s':>7} {'+ ms a case':>12} {'+ cpu ms':>9}  passed"
    base = found["bare"]
    for name, rows in found.items():
        wall, cpu = _median(rows, "wall_s"), _median(rows, "cpu_s")
        more = [(one["wall_s"] - other["wall_s"]) / count * 1_000 for one, other in zip(rows, base, strict=True)]
        more_cpu = [(one["cpu_s"] - other["cpu_s"]) / count * 1_000 for one, other in zip(rows, base, strict=True)]
        beside = "" if name == "bare" else f"{statistics.median(more):>12.2f} {statistics.median(more_cpu):>9.2f}"
        yield f"{name:<16} {wall:>8.2f} {cpu:>7.2f} {beside:>22}  {rows[-1]['good']:,}"


def _has(python: str, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def _measure(python: str, setup: str, url: str, count: int, folder: Path) -> dict[str, Any]:
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    done = subprocess.run(
        [python, "-m", "benchmarks.evals_subject", setup, url, str(count), str(folder)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{setup}: {done.stderr[-2_000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _median(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.median(row[name] for row in rows)
