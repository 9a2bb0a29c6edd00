"""``eval from-trace``: what happened in production, as a case of a suite."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import NotFound, iso
from pilothouse.records import command as line

from .evals import suite_folder
from .evals_fetch import fetch
from .evals_minimise import smaller, the_target
from .help import command
from .root import Run

if TYPE_CHECKING:
    from pilothouse.evals.recording import Recording
    from pilothouse.evals.suite import Suite

_SUITE = "evals/captured"
_EXITS = (0, 2, 3, 4, 5)


@command(
    "from-trace",
    examples=(
        "pilothouse eval from-trace last --suite evals/refunds",
        "pilothouse eval from-trace 4bf92f35 --step 14 --bad --expect 'tool refund amount=5'",
        "pilothouse eval from-trace last-error --bad --expect 'no_tool refund' --minimise",
    ),
    keys="data: id suite file verdict checks input stubs bytes masked trimmed minimised",
    exits=_EXITS,
)
@click.argument("id")
@click.option("--step", default="", metavar="N", help="one decision, not all")
@click.option("--suite", "named", default="", metavar="FOLDER", help=f"made if need be  [this one, or {_SUITE}]")
@click.option("--id", "name", default="", metavar="ID", help="of the case")
@click.option("--good/--bad", "good", default=True, help="it was right, or wrong")
@click.option("--expect", multiple=True, metavar="TEXT", help="'tool NAME key=value', 'contains TEXT' …")
@click.option("--expect-json", multiple=True, metavar="CHECK", help="a check, as in a case")
@click.option("--why", default="", metavar="TEXT", help="why it is here")
@click.option("--mask", "words", multiple=True, metavar="TEXT", help="mask this too")
@click.option("--no-mask", is_flag=True, help="keep personal data and secrets")
@click.option("--whole", is_flag=True, help="keep system prompts")
@click.option("--minimise", is_flag=True, help="as eval minimise")
@click.option("--target", default="", metavar="T", help="for that  [suite.yaml's]")
@click.option("--overwrite", is_flag=True, help="replace the case")
@click.pass_obj
def from_trace(
    run: Run,
    id: str,
    step: str,
    named: str,
    name: str,
    good: bool,
    expect: tuple[str, ...],
    expect_json: tuple[str, ...],
    why: str,
    words: tuple[str, ...],
    no_mask: bool,
    whole: bool,
    minimise: bool,
    target: str,
    overwrite: bool,
) -> None:
    """Make a case of a recorded session, or of one decision."""
    from pilothouse.evals.capture import capture
    from pilothouse.evals.expectation import read_expectation, read_json_check
    from pilothouse.evals.settings import load_settings
    from pilothouse.evals.suite import Suite

    folder = _folder(named)
    if minimise:
        # Before anything is fetched.
        the_target(target, load_settings(folder))
    checks = [*map(read_expectation, expect), *map(read_json_check, expect_json)]
    recording = fetch(run.client, id, step)
    masked: dict[str, int] = {}
    if not no_mask:
        recording, checks, masked = _masked(recording, checks, words)
    case_id = name or _name(recording, folder)
    data = capture(
        recording,
        id=case_id,
        captured=iso(time.time_ns()),
        verdict="good" if good else "bad",
        expect=checks,
        why=why,
    )
    about: dict[str, Any] = {"verdict": "good" if good else "bad", "masked": masked}
    if not whole:
        from pilothouse.evals.trim import trim

        data, trimmed = trim(data)
        about["trimmed"] = trimmed
    if minimise:
        found = smaller(data, folder, target)
        data, about["minimised"] = dict(found.data), found.as_data()
    folder.mkdir(parents=True, exist_ok=True)
    suite = Suite(folder)
    _write(run, suite, data, about, overwrite)


def _masked(
    recording: Recording, checks: Sequence[Mapping[str, Any]], words: Sequence[str]
) -> tuple[Recording, list[dict[str, Any]], dict[str, int]]:
    """The recording without personal data and secrets; the same value has the same placeholder everywhere."""
    from pilothouse.guards.mask import Numbered, masker

    # The longest first: a whole name is one, not a first name and the rest.
    longest = sorted(filter(None, (word.strip() for word in words)), key=lambda word: -len(word))
    own = {"name": f"(?i)(?:{'|'.join(re.escape(word) for word in longest)})"} if longest else {}
    with_words = masker(("secrets", "personal"), own, placeholder=Numbered())
    found = recording.changed(with_words.mask_data)
    return found, [with_words.mask_data(dict(one)) for one in checks], dict(with_words.hits)


def _name(recording: Recording, folder: Path) -> str:
    """What the case is called: the agent, the beginning of the trace's id, the step."""
    from pilothouse.evals.suite import Suite

    about = recording.about
    agent, trace = (_slug(str(about.get(key) or "")) for key in ("agent", "trace"))
    step = f"-step-{recording.step}" if recording.step is not None else ""
    short = f"{agent[:40].strip('-') or 'case'}-{trace[:12]}{step}"
    suite = Suite(folder) if folder.is_dir() else None
    if suite is not None and short in suite.places():
        # Some make ids that begin alike.
        known = suite.case(short).metadata.provenance.get("trace")
        return short if known == about.get("trace") else short.replace(trace[:12], trace)
    return short


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _folder(named: str) -> Path:
    """The suite that is named, or the one that is here, or the one for whatever is captured."""
    try:
        return suite_folder(named)
    except NotFound:
        return Path(_SUITE)


def _write(run: Run, suite: Suite, data: Mapping[str, Any], about: Mapping[str, Any], overwrite: bool) -> None:
    from pilothouse.evals.payloads import keep_long

    there = data["id"] in suite.places()
    case = suite.add(keep_long(suite.folder, data), overwrite=overwrite and there)
    answer: dict[str, Any] = {
        "id": case.id,
        "suite": str(suite.folder),
        "file": str(suite.folder / case.path),
        "checks": [check.name for check in case.checks],
        "input": f"{len(case.input.turns)} turns" if case.input.turns else f"{len(case.input.messages)} messages",
        "stubs": len(case.stubs.calls),
        "bytes": suite.place(case.id).length,
        **about,
    }
    following = [line("eval", "show", case.id, "--suite", suite.folder)]
    run.output.answer(answer, human=_lines, next=following)


def _lines(data: Mapping[str, Any]) -> Iterable[str]:
    yield f"{data['file']}  {data['bytes']:,} bytes, {data['input']}, {data['stubs']} recorded calls"
    for check in data["checks"]:
        yield f"  must hold: {check}"
    for what, count in data.get("masked", {}).items():
        yield f"  masked: {what}, {count} times"
    if "trimmed" in data:
        for what, count in data["trimmed"].items():
            if what != "chars":
                yield f"  left out: {count} {what}"
    if "minimised" in data:
        yield f"  minimised: {data['minimised']['sentence']}"
