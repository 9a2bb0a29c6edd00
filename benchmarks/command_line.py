"""What the command line costs to start, and what an installation weighs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distribution, requires
from pathlib import Path
from statistics import median

from packaging.requirements import Requirement

from .ingest import server


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured."""

    help_cpu_s: float
    ls_cpu_s: float
    installed_mb: float


def measure(folder: Path) -> Result:
    """Run it."""
    with server(folder / "cli") as running:
        env = {**os.environ, "PILOTHOUSE_URL": f"http://{running.host}", "PILOTHOUSE_API_KEY": running.key}
        return Result(
            help_cpu_s=cpu_of(["--help"], env), ls_cpu_s=cpu_of(["ls"], env), installed_mb=installed_bytes() / 1e6
        )


def cpu_of(arguments: list[str], env: dict[str, str]) -> float:
    """Median CPU seconds of one command."""
    taken = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "pilothouse.cli", *arguments], env=env, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(taken)


def installed_bytes() -> int:
    """Size of every file of ``pilothouse[all]`` and what it needs, as installed here."""
    seen: set[str] = set()
    waiting = [Requirement("pilothouse[all]")]
    total = 0
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            for text in requires(wanted.name) or ():
                needed = Requirement(text)
                marker = needed.marker
                if marker is None or marker.evaluate({"extra": extra}):
                    key = f"{needed.name}[{','.join(sorted(needed.extras))}]"
                    if key not in seen:
                        seen.add(key)
                        waiting.append(needed)
    for name in {key.split("[")[0].lower() for key in seen} | {"pilothouse"}:
        for file in distribution(name).files or ():
            path = Path(str(file.locate()))
            total += path.stat().st_size if path.exists() else 0
    return total
