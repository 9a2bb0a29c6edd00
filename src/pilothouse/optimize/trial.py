"""One prompt on some cases, in a process of its own: agents read prompts when they are imported.

The contract: the environment variable ``PILOTHOUSE_PROMPT_FILE`` names the file that the target reads its prompt from. A
target that never opens it cannot be improved, and the trial says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pilothouse.evals import payloads
from pilothouse.evals.judges.asking import Panel
from pilothouse.evals.judges.settings import read_judges
from pilothouse.evals.runner import run_suite
from pilothouse.evals.runs import About, Run
from pilothouse.evals.settings import load_settings, scorer_finder
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.resolve import named, resolve
from pilothouse.records import BadRequest, PilothouseError

VARIABLE: Final = "PILOTHOUSE_PROMPT_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is to be run."""

    suite: str
    """The suite's folder."""
    folder: str
    """Of this trial's results; what stands there already is not run again."""
    prompt: str
    """The candidate's file."""
    cases: Sequence[str]
    target: str
    version: str
    repeats: int = 0
    usd_max: float = 0.0
    judges: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How it went."""

    usd: float
    """What was spent now; results that were there already cost nothing."""
    stopped: str = ""
    """Why not all cases were run; empty where they were."""


Runs = Callable[[Trial], Tried]
"""Runs a trial; the results are in its folder then."""


def run_of(trial: Trial) -> Run:
    """The results of a trial, in the form of a run."""
    about = About(
        run=Path(trial.folder).name, suite=Path(trial.suite).name, suite_version="", target=trial.target,
        version=trial.version, repeats=trial.repeats or 1,
    )  # fmt: skip
    suite = Suite(Path(trial.suite))
    settings = load_settings(suite.folder)
    if trial.judges and settings.judges:
        judges = read_judges(settings.judges, suite.folder)
        about = replace(about, judges={name: one.version for name, one in judges.items()})
    return Run(Path(trial.folder), about)


def in_process(trial: Trial) -> Tried:
    """Run a trial here, where nothing that reads prompts was imported yet.

    Raises:
        BadRequest: the target cannot be run, or never opened the prompt's file.
    """
    os.environ[VARIABLE] = trial.prompt
    opened = _watch(trial.prompt)
    suite = Suite(Path(trial.suite))
    settings = load_settings(suite.folder)
    run = run_of(trial)
    run.folder.mkdir(parents=True, exist_ok=True)
    payloads.write(run.folder / "run.json", json.dumps(asdict(run.about), indent=1).encode())
    panel = None
    if run.about.judges and any(suite.place(one).criteria for one in trial.cases):
        panel = Panel(folder=suite.folder, judges=read_judges(settings.judges, suite.folder))
    target = resolve(trial.target, folder=Path.cwd())
    options = replace(settings.options, repeats=trial.repeats, usd_max=trial.usd_max, fresh=True)
    before = sum(1 for _ in run.results())
    _, progress = asyncio.run(
        run_suite(
            suite, target, run.about, cases=trial.cases, options=options, judges=panel,
            scorers=scorer_finder(suite.folder, named), again=run,
        )
    )  # fmt: skip
    if not opened() and sum(1 for _ in run.results()) > before:
        raise BadRequest(
            "the target never opened the prompt's file, so no prompt can change what it does",
            got=trial.target, fix=f'open(os.environ.get("{VARIABLE}", "prompt.md"))',
        )  # fmt: skip
    return Tried(usd=progress.cost_usd, stopped=progress.stopped)


def _watch(path: str) -> Callable[[], bool]:
    """Whether this process has opened a file since now."""
    seen: list[bool] = []
    wanted = str(Path(path).resolve())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not seen and isinstance(arguments[0], str | os.PathLike):
            name = os.fspath(arguments[0])  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            if isinstance(name, str) and os.path.abspath(name) == wanted:  # noqa: PTH100  # called for every file
                seen.append(True)

    sys.addaudithook(hook)
    return lambda: bool(seen)


def in_child(trial: Trial) -> Tried:
    """Run a trial in a process of its own, here in this folder. It ends when this process does, however that ends.

    Raises:
        BadRequest: it cannot be run; the message is the child's.
    """
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(
            [sys.executable, "-m", "pilothouse.optimize.trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            # The pipe stays open as long as this process is there: the child watches it.
            child.stdin.write(json.dumps(asdict(trial)).encode() + b"\n")
            child.stdin.flush()
            lines = child.stdout.read().decode("utf-8", "replace").strip().splitlines()
        finally:
            child.stdin.close()
            child.wait()
        told.seek(max(0, told.seek(0, os.SEEK_END) - 500))
        why = told.read().decode("utf-8", "replace").strip()[-300:]
    try:
        said: Any = json.loads(lines[-1]) if lines else {}
    except ValueError:
        said = {}
    if "usd" in said:
        return Tried(usd=said["usd"], stopped=said["stopped"])
    error = said.get("error")
    if error:
        raise BadRequest(error["message"], got=error.get("got"), allowed=error.get("allowed"), fix=error.get("fix"))
    raise BadRequest("the trial's process ended without an answer", got=why or f"exit {child.returncode}")


def _end_with_parent() -> None:
    """Stop when whoever started this is gone: a resumed optimization would else meet its own trial."""
    pipe = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Read a trial from standard input, run it, and answer with one line of JSON."""
    # Byte by byte: what is read ahead would be missed by the thread that waits for the pipe's end.
    line = bytearray()
    while (byte := os.read(0, 1)) and byte != b"\n":
        line += byte
    _end_with_parent()
    out = os.fdopen(os.dup(1), "w")
    # What the agent and its children print must not pass for the answer.
    os.dup2(2, 1)
    try:
        said: dict[str, Any] = asdict(in_process(Trial(**json.loads(line))))
    except PilothouseError as error:
        said = {"error": error.as_dict()}
    out.write(json.dumps(said, default=str) + "\n")
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
