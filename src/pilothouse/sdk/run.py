"""The parent's side of ``pilothouse run``: start a command whose Python processes record, and stay out of its way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

from pilothouse.records import BadRequest

HOOK: Final = Path(__file__).parent / "run_hook"
"""Put first on ``PYTHONPATH``, it is what Python imports as ``sitecustomize``."""
REPORTS_VARIABLE: Final = "PILOTHOUSE_RUN"

_FORWARDED: Final = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Sent on to the command."""
_FROM_KEYS: Final = ("SIGINT", "SIGQUIT")
"""A terminal sends them to both: sent on only where they came to us alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended and what its Python processes recorded."""

    returncode: int
    """As :mod:`subprocess` gives it: negative for a signal."""
    processes: int
    """Python processes that recorded."""
    spans: int
    kinds: Mapping[str, int]
    """Spans by kind."""
    traces: tuple[str, ...]
    """Trace ids, oldest first."""
    endpoint: str
    sent: int
    spilled: int
    """Spans and log records on disk, to be delivered when the server answers."""
    dropped: int
    state: str
    """``ok``, or what is wrong with the server."""
    not_instrumented: Mapping[str, str] = field(default_factory=dict[str, str])
    """Libraries that were used and that nothing records: the package that would."""
    without_us: tuple[str, ...] = ()
    """Interpreters in whose environment the recorder is missing."""
    interpreters: tuple[str, ...] = ()


def environment_for(
    reports: Path, *, environment: Mapping[str, str], service: str = "", deployment: str = "", endpoint: str = ""
) -> dict[str, str]:
    """The environment in which every Python process records."""
    path = [str(HOOK), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(path),
        REPORTS_VARIABLE: str(reports),
        **({"OTEL_SERVICE_NAME": service} if service else {}),
        **({"PILOTHOUSE_ENVIRONMENT": deployment} if deployment else {}),
        **({"PILOTHOUSE_URL": endpoint} if endpoint else {}),
    }


def run_command(command: Sequence[str], *, service: str = "", deployment: str = "", endpoint: str = "") -> Ran:
    """Run a command to its end with our standard streams and terminal; signals are passed on.

    Raises:
        BadRequest: there is no such command.
    """
    found = shutil.which(command[0])
    if found is None:
        raise BadRequest("there is no such command", got=command[0], fix="pilothouse run -- python my_agent.py")
    with tempfile.TemporaryDirectory(prefix="pilothouse-run-") as folder:
        environment = environment_for(
            Path(folder), environment=os.environ, service=service, deployment=deployment, endpoint=endpoint
        )
        # By the path that was found, under the name that was given: some programs look at their own name.
        process = subprocess.Popen([command[0], *command[1:]], executable=found, env=environment)
        with _forwarding(process):
            returncode = _waited(process)
        return read_reports(Path(folder), returncode)


def _waited(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The command has had it too, and decides.
            continue


@contextlib.contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Generator[None]:
    def forward(number: int, frame: FrameType | None) -> None:
        if signal.Signals(number).name not in _FROM_KEYS or not _in_front_of_terminal():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    numbers = [getattr(signal, name) for name in (*_FORWARDED, *_FROM_KEYS) if hasattr(signal, name)]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_front_of_terminal() -> bool:
    """True where a terminal's Ctrl-C reaches us and the command alike."""
    with contextlib.suppress(OSError, ValueError):
        return os.tcgetpgrp(sys.__stdin__.fileno() if sys.__stdin__ is not None else 0) == os.getpgrp()
    return False


def read_reports(folder: Path, returncode: int) -> Ran:
    """Put together what the processes of a run said."""
    reports = [found for path in sorted(folder.glob("*.json")) if (found := _read(path)) is not None]
    recorded = [report for report in reports if "missing_module" not in report]
    kinds: dict[str, int] = {}
    missing: dict[str, str] = {}
    for report in recorded:
        for kind, count in report.get("kinds", {}).items():
            kinds[kind] = kinds.get(kind, 0) + count
        missing.update(report.get("not_instrumented", {}))
    wrong = [report["state"] for report in recorded if report.get("state") not in ("", "ok", None)]
    return Ran(
        returncode=returncode,
        processes=len(recorded),
        spans=sum(kinds.values()),
        kinds=kinds,
        traces=tuple(dict.fromkeys(trace for report in recorded for trace in report.get("traces", ()))),
        endpoint=next((report["endpoint"] for report in recorded if report.get("endpoint")), ""),
        sent=sum(report.get("sent", 0) for report in recorded),
        spilled=sum(report.get("spilled", 0) for report in recorded),
        dropped=sum(report.get("dropped", 0) for report in recorded),
        state=wrong[0] if wrong else "ok",
        not_instrumented=missing,
        without_us=tuple(
            dict.fromkeys(
                f"{report['python']}: {report['missing_module']}" for report in reports if "missing_module" in report
            )
        ),
        interpreters=tuple(dict.fromkeys(report["python"] for report in recorded)),
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def hints(ran: Ran) -> list[str]:
    """What keeps a run from being recorded whole, each with its remedy."""
    found: list[str] = []
    for where in ran.without_us:
        python, _, module = where.partition(": ")
        what = "pilothouse" if module == "pilothouse" else f"{module}, which the recorder needs,"
        found.append(f"{what} is missing in the environment of {python}: {python} -m pip install pilothouse")
    if not ran.processes and not ran.without_us:
        found.append("no Python process was seen: python -I and -E, and a changed PYTHONPATH, hide it")
    for module, package in ran.not_instrumented.items():
        # Spans of other kinds may well have been recorded: what this library does was not.
        found.append(f"{module} is used and nothing records it: {_pip(ran)} install {package}")
    if ran.spilled and ran.state != "ok":
        found.append(f"the server is away ({ran.state}); what was recorded waits on disk: pilothouse deliver")
    if ran.dropped:
        found.append(f"{ran.dropped:,} records were lost: pilothouse doctor")
    return found


def _pip(ran: Ran) -> str:
    return f"{ran.interpreters[0]} -m pip" if ran.interpreters else "pip"


def summary(ran: Ran) -> str:
    """One line: how it ended, what was recorded, where to look."""
    end = f"exit {ran.returncode}" if ran.returncode >= 0 else f"ended by {signal.Signals(-ran.returncode).name}"
    parts = [end, f"{ran.spans:,} spans"]
    counts = [f"{ran.kinds[kind]:,} {kind}" for kind in ("agent", "model", "tool") if ran.kinds.get(kind)]
    if counts:
        parts[-1] += f" ({', '.join(counts)})"
    if len(ran.traces) > 1:
        parts.append(f"{len(ran.traces)} traces")
    if ran.traces:
        parts.append(f"{ran.endpoint}/traces/{ran.traces[-1]}")
    return "pilothouse: " + " · ".join(parts)
