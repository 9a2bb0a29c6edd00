"""``eval replay``: a recorded session, decision by decision, against the agent of today."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from pilothouse.records import BadRequest, GateFailed, NotFound
from pilothouse.records import command as line

from .evals import suite_folder, suite_option
from .evals_fetch import fetch
from .evals_minimise import the_target
from .help import command
from .root import Run
from .terminal import clean

if TYPE_CHECKING:
    from pilothouse.evals.case import Replay
    from pilothouse.evals.judges.settings import Judge
    from pilothouse.evals.judges.trajectory import Judged
    from pilothouse.evals.recording import Recording
    from pilothouse.evals.settings import SuiteSettings
    from pilothouse.evals.trajectory import Replayed


@command(
    "replay",
    examples=(
        "pilothouse eval replay last --target shop:agent",
        "pilothouse eval replay 4bf92f35 --target shop:agent --judge trajectory",
        "pilothouse eval replay 4bf92f35 --target shop:agent --live search --writes refund,cancel",
    ),
    keys="data: mode holds decided_by decisions failing counts judged steps[] (number verdict holds recorded today why)",
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
@click.option(
    "--live", default="", metavar="A,B", help="tools that may run themselves; effect:read for all that only read"
)
@click.option("--safe", default="", metavar="A,B", help="those of them that may although they write")
@click.option("--writes", default="", metavar="A,B", help="tools that change the world")
@click.option("--judge", default="", metavar="NAME", help="of suite.yaml, or a rubric: is another way as good?")
@click.option("--parallel", default=4, show_default=True, metavar="N", help="decisions at once")
@click.pass_obj
def replay(
    run: Run,
    id: str,
    target: str,
    suite: str,
    mode: str,
    live: str,
    safe: str,
    writes: str,
    judge: str,
    parallel: int,
) -> int:
    """Decide again, today, at each decision of a recorded session."""
    from pilothouse.evals.judges.trajectory import holds, replay_data
    from pilothouse.evals.targets.resolve import resolve
    from pilothouse.evals.trajectory import replay as again

    if not 1 <= parallel <= 64:
        raise BadRequest("1 to 64 decisions are replayed at once", got=parallel, fix="--parallel 4")
    settings = _settings(suite, "" if judge else target)
    # Before anything is fetched or run: whether there is such a judge.
    asked = _judge(judge, settings, suite_folder(suite)) if judge else None
    named = the_target(target, settings)
    agent = resolve(named)
    recording = fetch(run.client, id)
    found = asyncio.run(
        again(
            recording,
            agent,
            mode=cast("Replay", mode),
            live=[*settings.options.live, *_names(live)],
            safe=_names(safe),
            writing=settings.options.writing | set(_names(writes)),
            timeout_s=settings.options.timeout_s,
            parallel=parallel,
        )
    )
    trace = str(recording.about.get("trace", id))
    judged, next_ = None, [line("show", trace, "--as", "transcript")]
    if asked is not None:
        folder = suite_folder(suite)
        judged, kept = _judged(found, recording, asked, folder, settings, named, trace)
        next_.insert(0, line("eval", "judge", "label", kept, "--next", "--suite", str(folder)))
    run.output.answer(replay_data(found, judged), human=_lines, next=next_)
    return 0 if holds(found, judged) else GateFailed.exit_code


def _judge(name: str, settings: SuiteSettings, folder: Path) -> Judge:
    from pilothouse.evals.backtests.judging import asked
    from pilothouse.evals.judges.trajectory import check_judge
    from pilothouse.evals.settings import scorer_finder
    from pilothouse.evals.targets.resolve import named

    return check_judge(asked(name, settings, folder, scorer_finder(folder, named)).judge, name)


def _judged(
    found: Replayed,
    recording: Recording,
    judge: Judge,
    folder: Path,
    settings: SuiteSettings,
    target: str,
    trace: str,
) -> tuple[Judged, str]:
    """What the judge says, and the run that it is kept in."""
    from pilothouse.evals.judges.trajectory import judge_replay, keep_judged
    from pilothouse.evals.version import code_version
    from pilothouse.guards.mask import Numbered, masker

    # What leaves for a model, and what people label, is masked as what a suite keeps is.
    mask = masker(("secrets", "personal"), placeholder=Numbered()).mask_data
    judged = asyncio.run(judge_replay(found, recording, judge, folder, mask=mask))
    version = settings.version or code_version(folder)
    kept = keep_judged(folder, found, judged, session=trace, target=target, version=version)
    return judged, kept.about.run


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
    if "judged" in data:
        yield from _judged_lines(data)
    for step in data["steps"]:
        mark = "ok  " if step["holds"] else "FAIL"
        yield f"{mark} {step['number']:03d} {step['verdict']:<10} {step['today']}"
        if step["verdict"] != "same":
            yield f"         then: {step['recorded']}"


def _judged_lines(data: Mapping[str, Any]) -> Iterable[str]:
    one = data["judged"]
    yield f"{'HOLDS' if data['holds'] else 'DOES NOT HOLD'}, by {'the judge' if data['decided_by'] == 'judge' else 'mode'}"
    yield f"judge {one['judge']}: {one['verdict'].replace('_', ' ')}: {clean(one['why'])}"
    if not one["counts"]:
        yield f"  its word decides nothing, it may not gate: {clean('; '.join(one['why_not']))}"
    elif one["why_not"]:
        yield f"  it gates unchecked, as the suite says: {clean('; '.join(one['why_not']))}"
