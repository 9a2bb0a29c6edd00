"""``eval minimise``: a case without what does not change what an agent does with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pilothouse.records import BadRequest
from pilothouse.records import command as line

from .help import command
from .root import Run

if TYPE_CHECKING:
    from pilothouse.evals.minimise import Minimised, Progress

_F = TypeVar("_F", bound=Callable[..., Any])


def minimising(function: _F) -> _F:
    """``--target`` and the bounds of minimising."""
    for option in (
        click.option("--times", default=1, show_default=True, metavar="N", help="runs a smaller case must pass alike"),
        click.option("--usd", default=0.0, metavar="USD", help="money that may be spent  [default: no bound]"),
        click.option("--seconds", default=3_600.0, show_default=True, metavar="S", help="time it may take"),
        click.option("--runs", default=200, show_default=True, metavar="N", help="runs of the target, at most"),
        click.option("--target", default="", metavar="NAME", help="module:attribute or an address"),
    ):
        function = option(function)
    return function


@command(
    "minimise",
    examples=(
        "pilothouse eval minimise late-refund --suite evals/refunds --target shop:agent",
        "pilothouse eval minimise late-refund --suite evals/refunds --target shop:agent --runs 50 --times 3",
        "pilothouse eval minimise late-refund --suite evals/refunds --target shop:agent --dry-run",
    ),
    keys="data: id file minimised (before after runs seconds same shows left_out stopped sentence)",
    exits=(0, 2, 3),
)
@click.argument("case")
@click.option("--suite", "folder", required=True, metavar="FOLDER", help="the suite's folder")
@minimising
@click.option("--dry-run", is_flag=True, help="say what it would be, and change nothing")
@click.pass_obj
def minimise(
    run: Run,
    case: str,
    folder: str,
    target: str,
    runs: int,
    seconds: float,
    usd: float,
    times: int,
    dry_run: bool,
) -> None:
    """Leave out of a case what does not change the outcome: messages, data, paragraphs, lines, sentences."""
    from pilothouse.evals.case_text import as_data
    from pilothouse.evals.payloads import forget, keep_long, named_in
    from pilothouse.evals.suite import Suite

    if not target:
        raise BadRequest(
            "minimising runs a target", got="none", fix=f"{line('eval', 'minimise', case)} --target my_agent:agent"
        )
    suite = Suite(Path(folder))
    place = suite.place(case)
    found = smaller(as_data(suite.case(case)), target, runs=runs, seconds=seconds, usd=usd, times=times)
    if not dry_run:
        before = named_in(suite.text(place.id))
        suite.add(keep_long(suite.folder, found.data), overwrite=True)
        forget(suite.folder, before, {suite.folder / one.file for one in suite.places().values()})
    data = {"id": place.id, "file": str(suite.folder / place.file), "minimised": found.as_data()}
    run.output.answer(data, human=_lines, next=[line("eval", "show", place.id, "--suite", folder)])


def smaller(data: Mapping[str, Any], target: str, *, runs: int, seconds: float, usd: float, times: int) -> Minimised:
    """The case made small by running the target."""
    from pilothouse.evals.minimise import Bounds, target_oracle
    from pilothouse.evals.minimise import minimise as make_small
    from pilothouse.evals.targets.resolve import resolve

    if runs < 4 or times < 1 or seconds <= 0 or usd < 0:
        raise BadRequest("these bounds leave no run", got=f"runs={runs} times={times} seconds={seconds:g} usd={usd:g}", fix="--runs 200")  # fmt: skip
    oracle = target_oracle(resolve(target))
    bounds = Bounds(runs=runs, seconds=seconds, usd=usd, times=times)
    try:
        return asyncio.run(make_small(data, oracle, bounds=bounds, watch=_watch if sys.stderr.isatty() else None))
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def _watch(progress: Progress) -> None:
    bar = "#" * round(30 * progress.runs / max(1, progress.runs_max))
    sys.stderr.write(f"\r[{bar:<30}] {progress.runs} runs, {progress.bytes:,} bytes, {progress.level or 'whole'} ")
    sys.stderr.flush()


def _lines(data: Mapping[str, Any]) -> Iterable[str]:
    found = data["minimised"]
    yield f"{data['file']}: {found['sentence']}"
    yield f"  still shows ({found['same']}): {found['shows']}"
    for what, count in found["left_out"].items():
        yield f"  left out: {count} {what}"
