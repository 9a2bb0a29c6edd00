"""``eval ci``: the suite on a change and on what it began at, compared and gated, in one call that any CI can make."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from pilothouse.records import BadRequest, GateFailed

from .evals import evals, open_suite, suite_option
from .evals_run import compared_runs, comparison_lines, run_of, written_junit
from .help import command
from .root import Run
from .terminal import clean

_ITEMS_FAILED = 9
_SUMMARY = "GITHUB_STEP_SUMMARY"


@command(
    "ci",
    examples=(
        "pilothouse eval ci --base origin/main --junit junit.xml --report report.md",
        "pilothouse eval ci --base origin/main --setup 'pip install -e .'",
        "pilothouse eval ci --write github",
    ),
    keys="data: base candidate outcome reasons counts changes[] no_baseline files[]",
    exits=(0, 2, 3, 7),
    group=evals,
)
@suite_option
@click.option("--base", default="origin/main", metavar="REF", help="what the change goes into  [origin/main]")
@click.option("--setup", default="", metavar="CMD", help="run in each checkout before its cases; no shell")
@click.option("--target", default="", metavar="T", help="module:attribute or an address  [suite.yaml's]")
@click.option("--repeats", default=0, metavar="N", help="how often each case is run  [the case's, suite.yaml's]")
@click.option("--no-judges", is_flag=True, help="ask no judge")
@click.option("--undecided", type=click.Choice(["pass", "fail"]), default="pass", help="not enough data  [pass]")
@click.option("--junit", default="", metavar="FILE", help="write JUnit's XML of the change")
@click.option("--report", default="", metavar="FILE", help="write Markdown; on GitHub also the step's summary")
@click.option("--write", type=click.Choice(["github", "gitlab"]), default=None, help="write the CI's file instead")
@click.pass_obj
def ci(
    run: Run,
    suite: str,
    base: str,
    setup: str,
    target: str,
    repeats: int,
    no_judges: bool,
    undecided: Literal["pass", "fail"],
    junit: str,
    report: str,
    write: Literal["github", "gitlab"] | None,
) -> int:
    """Run the change and what it began at, compare, gate. Exit 7: a regression is proven, or a critical case regressed."""
    from pilothouse.evals.base import checked_out
    from pilothouse.evals.report import comparison_data, comparison_markdown, run_markdown
    from pilothouse.evals.version import code_version

    found = open_suite(suite)
    if write:
        _written(run, write, _shown(found.folder))
        return 0
    more = [
        *(["--target", target] if target else []),
        *(["--repeats", str(repeats)] if repeats else []),
        *(["--no-judges"] if no_judges else []),
    ]
    folder = found.folder.resolve()
    no_baseline = ""
    with checked_out(base, Path()) as began:
        try:
            before = _ran(folder, began.folder, began.commit, setup, more)
        except BadRequest as error:
            no_baseline, before = f"the base {began.commit} cannot be run: {error.got}", ""
    after = _ran(folder, Path(), code_version(Path()) or "change", setup, more)
    candidate = run_of(found, after)
    files = _write(junit, written_junit(found, candidate)) if junit else []
    if no_baseline:
        text = f"{run_markdown(candidate)}\n\nNot compared: {clean(no_baseline)}\n"
        data: dict[str, Any] = {
            "base": began.commit, "candidate": after, "outcome": "not_enough_data", "reasons": [no_baseline],
            "counts": {}, "changes": [], "no_baseline": no_baseline,
        }  # fmt: skip
    else:
        compared = compared_runs(found, before, after)
        text = comparison_markdown(compared)
        data = {**comparison_data(compared), "no_baseline": "", "judge_rates": {}}
    files += _write(report, text) if report else []
    _append_summary(text)
    closed = data["outcome"] == "fail" or (data["outcome"] == "not_enough_data" and undecided == "fail")
    run.output.answer({**data, "files": files, "closed": closed}, human=_told)
    return GateFailed.exit_code if closed else 0


def _told(data: Mapping[str, Any]) -> Iterable[str]:
    if data["no_baseline"]:
        yield f"NOT COMPARED: {clean(data['no_baseline'])}"
    else:
        yield from comparison_lines(data)
    yield f"the gate is {'closed' if data['closed'] else 'open'}"
    yield from (f"wrote {one}" for one in data["files"])


def _ran(suite: Path, folder: Path, version: str, setup: str, more: Sequence[str]) -> str:
    """Run the suite in a checkout, in a process of its own: both versions of a module cannot be in one.

    Raises:
        BadRequest: it cannot be run there.
    """
    if not folder.is_dir():
        raise BadRequest("the suite's run failed", got="the folder is not there")
    if setup:
        try:
            done = subprocess.run(shlex.split(setup), cwd=folder, check=False, stdout=sys.stderr)
        except (OSError, ValueError) as error:
            raise BadRequest("the setup cannot be run", got=f"{setup}: {error}") from error
        if done.returncode:
            raise BadRequest("the setup failed", got=f"{setup}: exit {done.returncode}")
    words = ["eval", "run", "--suite", str(suite), "--version", version, *more, "--json", "--fields", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words], cwd=folder, check=False, capture_output=True, text=True
    )
    if done.returncode not in (0, _ITEMS_FAILED):
        raise BadRequest("the suite's run failed", got=_why(done.stderr) or f"exit {done.returncode}")
    return str(json.loads(done.stdout)["data"]["run"])


def _why(told: str) -> str:
    """The reason on a run's standard error, which is an error of ours as JSON."""
    for line in reversed(told.strip().splitlines()):
        try:
            error: Any = json.loads(line)["error"]
            got = f" (got {error['got']})" if error.get("got") else ""
            return f"{error['message']}{got}"[:500]
        except (ValueError, KeyError, TypeError):
            continue
    return clean(told.strip()[-300:])


def _write(file: str, text: str) -> list[str]:
    try:
        Path(file).write_text(text, "utf-8", errors="replace")
    except OSError as error:
        raise BadRequest(f"the file cannot be written: {error.strerror}", got=file) from error
    return [file]


def _append_summary(text: str) -> None:
    """Where GitHub's runner shows it; elsewhere nothing."""
    path = os.environ.get(_SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", errors="replace") as file:
            file.write(text + "\n")
    except OSError as error:
        sys.stderr.write(f"hint: the step's summary cannot be written: {error.strerror}\n")


def _shown(folder: Path) -> str:
    try:
        return folder.resolve().relative_to(Path().resolve()).as_posix()
    except ValueError as error:
        raise BadRequest(
            "the suite stands outside this folder", got=str(folder), fix="cd to the repository's top"
        ) from error


def _written(run: Run, kind: Literal["github", "gitlab"], suite: str) -> None:
    from pilothouse.evals.ci_files import FILES

    name, text = FILES[kind]
    text = text.replace("SUITE", suite)
    if shlex.quote(suite) != suite:
        raise BadRequest("a suite's folder in a file for CI is plain letters, digits, / . _ and -", got=suite)
    path = Path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise BadRequest(
            "there is such a file already", got=name, fix="pilothouse docs evals --section 'In CI'"
        ) from error
    except OSError as error:
        raise BadRequest(f"the file cannot be written: {error.strerror}", got=name) from error
    data: dict[str, Any] = {
        "base": "", "candidate": "", "outcome": "written", "reasons": [], "counts": {}, "changes": [], "no_baseline": "",
        "files": [name], "closed": False,
    }  # fmt: skip
    run.output.answer(data, human=lambda _: [f"wrote {name}"], next=["pilothouse eval ci --base origin/main"])
