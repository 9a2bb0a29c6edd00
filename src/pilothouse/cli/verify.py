"""``verify``: whether an agent's record can be trusted."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

import click

from pilothouse.records import BadRequest

from .help import command
from .root import Run
from .run import command_after_dashes

_MARKS = {"pass": "pass", "fail": "FAIL", "unknown": "could not tell"}


@command(
    "verify",
    examples=(
        "pilothouse verify -- python my_agent.py 'a harmless task'",
        "pilothouse verify --fail-tool get_weather --runs 20 -- python my_agent.py",
        "pilothouse verify --runs 0 --json -- python -m shop.agent",
    ),
    keys="data: verdict checks[]: name verdict says evidence[] remedy; overhead",
    exits=(0, 2, 6, 7),
)
@click.option("--fail-tool", default="", metavar="NAME", help="make this tool fail; default: the first one called")
@click.option("--runs", default=6, show_default=True, metavar="N", help="pairs of runs for the overhead; 0: none")
@click.option("--timeout", default=300.0, show_default=True, metavar="S", help="longest a run may take")
@click.option("--model-env", multiple=True, metavar="NAME", help="variable with your model's address; repeatable")
@click.option("--input", "stdin", type=click.File("rb"), metavar="FILE", help="standard input of each run; - for ours")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND …")
@click.pass_obj
def verify(
    run: Run,
    fail_tool: str,
    runs: int,
    timeout: float,
    model_env: tuple[str, ...],
    stdin: BinaryIO | None,
    words: tuple[str, ...],
) -> int:
    """Run an agent and check: its record is complete, tells a failure, costs little. It runs 2 + 2 x N times, tools too."""
    wanted = command_after_dashes(run, words, "pilothouse verify -- python my_agent.py")
    if not 0 <= runs <= 1_000:
        raise BadRequest("--runs is a number of pairs", got=runs, allowed="0 to 1000", fix="--runs 6")
    if timeout <= 0:
        raise BadRequest("--timeout is a number of seconds", got=timeout, allowed="above 0", fix="--timeout 300")
    from pilothouse.sdk.verify import Options
    from pilothouse.sdk.verify import verify as check

    options = Options(
        command=wanted,
        fail_tool=fail_tool,
        runs=runs,
        timeout_s=timeout,
        model_variables=model_env,
        stdin=stdin.read() if stdin is not None else b"",
    )
    report = check(options, _tell)
    run.output.answer(report.as_dict(), human=_table)
    return report.exit_code


def _tell(step: str) -> None:
    sys.stderr.write(f"{step} …\n")
    sys.stderr.flush()


def _table(data: dict[str, Any]) -> Iterable[str]:
    width = max(len(check["name"]) for check in data["checks"])
    for check in data["checks"]:
        yield f"{check['name']:<{width}}  {_MARKS[check['verdict']]:<14}  {check['says']}"
        for line in check["evidence"]:
            yield f"{'':<{width}}  {'':<14}  - {line}"
        if check["remedy"]:
            yield f"{'':<{width}}  {'':<14}  hint: {check['remedy']}"
    yield data["verdict"]
