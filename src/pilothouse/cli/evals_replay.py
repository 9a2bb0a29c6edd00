"""``eval replay``: a recorded session, decision by decision, against the agent of today."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from pilothouse.records import BadRequest, GateFailed, NotFound
from pilothouse.records import command as line

from .evals import suite_folder, suite_option
from .evals_fetch import fetch
from .evals_minimise import the_target
from .help import command
from .root import Run

if TYPE_CHECKING:
    from pilothouse.evals.case import Replay
    from pilothouse.evals.settings import SuiteSettings


@command(
    "replay",
    examples=(
        "pilothouse eval replay last --target shop:agent",
        "pilothouse eval replay 4bf92f35 --target shop:agent --mode strict",
        "pilothouse eval replay 4bf92f35 --target shop:agent --live search --writes refund,cancel",
    ),
    keys="data: mode holds decisions failing counts steps[] (number verdict holds recorded today why)",
    exits=(0, 2, 3, 4, 5, 7),
)
@click.argument("id")
@click.option("--target", default="", metavar="T", help="module:attribute or an address  [suite.yaml's]")
@suite_option
@click.option(
    "--mode",
    type=click.Choice(("strict", "in_order", "nearest")),
    default="in_order",
    show_default=True,
    help="the same; the same tools; whatever exists",
)
@click.option("--live", default="", metavar="A,B", help="tools that may run themselves")
@click.option("--safe", default="", metavar="A,B", help="those of them that may although they write")
@click.option("--writes", default="", metavar="A,B", help="tools that change the world")
@click.option("--parallel", default=4, show_default=True, metavar="N", help="decisions at once")
@click.pass_obj
def replay(
    run: Run, id: str, target: str, suite: str, mode: str, live: str, safe: str, writes: str, parallel: int
) -> int:
    """Decide again, today, at each decision of a recorded session."""
    from pilothouse.evals.targets.resolve import resolve
    from pilothouse.evals.trajectory import replay as again

    if not 1 <= parallel <= 64:
        raise BadRequest("1 to 64 decisions are replayed at once", got=parallel, fix="--parallel 4")
    settings = _settings(suite, target)
    agent = resolve(the_target(target, settings))
    recording = fetch(run.client, id)
    found = asyncio.run(
        again(
            recording,
            agent,
            mode=cast("Replay", mode),
            live=_names(live),
            safe=_names(safe),
            writing=settings.options.writing | set(_names(writes)),
            timeout_s=settings.options.timeout_s,
            parallel=parallel,
        )
    )
    trace = str(recording.about.get("trace", id))
    run.output.answer(found.as_data(), human=_lines, next=[line("show", trace, "--as", "transcript")])
    return 0 if found.holds else GateFailed.exit_code


def _settings(suite: str, target: str) -> SuiteSettings:
    """What the suite says of the target and its tools; nothing where a target is named and no suite is clear."""
    from pilothouse.evals.settings import SuiteSettings, load_settings

    try:
        return load_settings(suite_folder(suite))
    except NotFound:
        if target:
            return SuiteSettings()
        raise


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _lines(data: Mapping[str, Any]) -> Iterable[str]:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in data["counts"].items())
    yield f"{data['decisions']} decisions, mode {data['mode']}: {counts}; {data['failing']} do not hold"
    for step in data["steps"]:
        mark = "ok  " if step["holds"] else "FAIL"
        yield f"{mark} {step['number']:03d} {step['verdict']:<10} {step['today']}"
        if step["verdict"] != "same":
            yield f"         then: {step['recorded']}"
