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

from .evals import open_suite, suite_option
from .help import command
from .root import Run

if TYPE_CHECKING:
    from pilothouse.evals.minimise import Minimised, Progress
    from pilothouse.evals.settings import SuiteSettings

_F = TypeVar("_F", bound=Callable[..., Any])


def minimising(function: _F) -> _F:
    """``--target`` and the bounds of minimising."""
    for option in (
        click.option("--times", default=1, show_default=True, metavar="N", help="runs a smaller case must pass alike"),
        click.option("--usd", default=0.0, metavar="USD", help="money that may be spent  [default: no bound]"),
        click.option("--seconds", default=3_600.0, show_default=True, metavar="S", help="time it may take"),
        click.option("--runs", default=200, show_default=True, metavar="N", help="runs of the target, at most"),
        click.option("--target", default="", metavar="T", help="module:attribute or an address  [suite.yaml's]"),
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
@suite_option
@minimising
@click.option("--dry-run", is_flag=True, help="say what it would be, and change nothing")
@click.pass_obj
def minimise(
    run: Run,
    case: str,
    suite: str,
    target: str,
    runs: int,
    seconds: float,
    usd: float,
    times: int,
    dry_run: bool,
) -> None:
    """Leave out of a case what does not change its outcome."""
    from pilothouse.evals.case_text import as_data
    from pilothouse.evals.payloads import forget, keep_long, named_in

    found_suite = open_suite(suite)
    folder = found_suite.folder
    place = found_suite.place(case)
    data = as_data(found_suite.case(place.id))
    found = smaller(data, folder, target, runs=runs, seconds=seconds, usd=usd, times=times)
    if not dry_run:
        before = named_in(found_suite.text(place.id))
        found_suite.add(keep_long(folder, found.data), overwrite=True)
        forget(folder, before, {folder / one.file for one in found_suite.places().values()})
    answer = {"id": place.id, "file": str(folder / place.file), "minimised": found.as_data()}
    run.output.answer(answer, human=_lines, next=[line("eval", "show", place.id, "--suite", folder)])


def smaller(
    data: Mapping[str, Any],
    suite: Path,
    target: str,
    *,
    runs: int = 200,
    seconds: float = 3_600.0,
    usd: float = 0.0,
    times: int = 1,
) -> Minimised:
    """The case made small by running the target: the one that is named, or that of the suite."""
    from pilothouse.evals.minimise import Bounds, target_oracle
    from pilothouse.evals.minimise import minimise as make_small
    from pilothouse.evals.settings import load_settings, scorer_finder
    from pilothouse.evals.targets.resolve import named, resolve

    if runs < 4 or times < 1 or seconds <= 0 or usd < 0:
        raise BadRequest(
            "these bounds leave no run",
            got=f"runs={runs} times={times} seconds={seconds:g} usd={usd:g}",
            fix="--runs 200",
        )
    settings = load_settings(suite)
    oracle = target_oracle(
        resolve(the_target(target, settings)), options=settings.options, scorers=scorer_finder(suite, named)
    )
    bounds = Bounds(runs=runs, seconds=seconds, usd=usd, times=times)
    try:
        return asyncio.run(make_small(data, oracle, bounds=bounds, watch=_watch if sys.stderr.isatty() else None))
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def the_target(named: str, settings: SuiteSettings) -> str:
    """What is run: what is named, or what the suite says.

    Raises:
        BadRequest: neither says it.
    """
    if named or settings.target:
        return named or settings.target
    raise BadRequest("no target is named", fix="--target module:attribute, or target: in suite.yaml")


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
