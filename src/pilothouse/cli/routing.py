"""``routing``: how hard requests are, learned from a project's own calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .help import PlainGroup, command
from .root import Run
from .terminal import one_line, table


@click.group("routing", cls=PlainGroup, help="Which model a request needs: learned, rated.")
def routing() -> None:
    """Which model a request needs: learned, rated."""


@command(
    "train",
    examples=(
        "pilothouse routing train --since 30d",
        "pilothouse routing train --cheap gpt-5-mini --score helpful",
        "pilothouse routing train --dry-run --fields evaluation,thresholds",
    ),
    keys="data: version cheap calls bad sessions evaluation{auc auc_low brier …} useful in_force thresholds[]: below strong_share good_share good_low calls",
    exits=(0, 2, 4, 5),
    group=routing,
)
@click.option("--since", default="30d", show_default=True, metavar="TIME", help="24h, 30d or ISO 8601")
@click.option("--until", default="", metavar="TIME", help="before; default now")
@click.option("--cheap", default="", metavar="MODEL", help="the cheap model; default the cheapest known")
@click.option("--score", default="", metavar="NAME", help="only scores of this name count")
@click.option("--only-told", is_flag=True, help="calls without a score or a fault count as unknown")
@click.option("--dry-run", is_flag=True, help="keep nothing")
@click.pass_obj
def train(run: Run, since: str, until: str, cheap: str, score: str, only_told: bool, dry_run: bool) -> None:
    """Learn from stored calls which requests the cheap model does badly; in force where it tells them apart."""
    asked: dict[str, Any] = {"since": since, "until": until, "cheap": cheap, "score": score}
    answer = run.client.post("/routing/train", {**asked, "quiet": not only_told, "dry_run": dry_run})
    run.output.envelope(answer, human=_trained)


@command(
    "show",
    examples=(
        "pilothouse routing show",
        "pilothouse routing show --json",
        "pilothouse routing show --fields models.version,models.useful",
    ),
    keys="data: models[]: version made cheap calls bad evaluation useful in_force thresholds[]",
    group=routing,
)
@click.pass_obj
def show(run: Run) -> None:
    """Show what was learned: how it did on calls it had not seen, and thresholds on your traffic."""
    run.output.envelope(run.client.get("/routing"), human=_models)


@command(
    "rate",
    examples=(
        "pilothouse routing rate 'What time is it in Lyon?'",
        "pilothouse routing rate 'Refactor this' --tools 12",
        "pilothouse routing rate 'Hello' --task triage --json",
    ),
    keys="data: difficulty version model",
    exits=(0, 2, 3, 4, 5),
    group=routing,
)
@click.argument("text")
@click.option("--tools", default=0, metavar="N", help="how many tools it offers")
@click.option("--task", default="", metavar="NAME", help="its task, else feature, else agent")
@click.pass_obj
def rate(run: Run, text: str, tools: int, task: str) -> None:
    """Say how hard a text would be rated: 0 to 1."""
    run.output.envelope(
        run.client.get("/routing/difficulty", {"text": text, "tools": tools, "task": task}), human=_rated
    )


def _rated(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['difficulty']:.3f} by model {data['version']}: how likely {one_line(data['model']['cheap'], 60)} does badly"


def _models(data: dict[str, Any]) -> Iterable[str]:
    if not data["models"]:
        yield "nothing was learned yet: pilothouse routing train --since 30d"
        return
    yield from table(
        ("version", "made", "cheap model", "calls", "bad", "auc", "useful", ""),
        (
            (
                one["version"],
                one["made"][:16],
                one_line(one["cheap"], 40),
                one["calls"],
                one["bad"],
                f"{one['evaluation']['auc']:.2f}",
                "yes" if one["useful"] else "no",
                "in force" if one["in_force"] else "",
            )
            for one in data["models"]
        ),
        right="calls bad auc",
    )
    yield ""
    yield from _trained(data["models"][0])


def _trained(data: dict[str, Any]) -> Iterable[str]:
    tested = data["evaluation"]
    told = ", ".join(f"{name} {number:,}" for name, number in sorted(data["outcomes"].items()))
    yield f"model {data['version']}: {data['calls']:,} calls of {one_line(data['cheap'], 60)}, {data['bad']:,} bad, in {data['sessions']:,} sessions"
    yield f"outcomes told by: {told}; {data['unknown']:,} calls unknown"
    yield (
        f"on {tested['calls']:,} later calls in {tested['sessions']:,} other sessions: auc {tested['auc']:.2f} "
        f"({tested['auc_low']:.2f} to {tested['auc_high']:.2f}), brier {tested['brier']:.3f} "
        f"({tested['brier_of_share']:.3f} without it), calibration off by {tested['calibration_error']:.3f}"
    )
    if not data["useful"]:
        yield "it does not tell hard from easy: no rule should go by it, and it is not in force"
    yield f"weighs most: {one_line(', '.join(data['words']), 200)}"
    yield ""
    yield from table(
        ("difficulty below", "strong calls", "cheap did well", "95 % interval", "calls"),
        (
            (
                f"{one['below']:.3f}",
                f"{one['strong_share']:.0%}",
                "" if one["good_share"] is None else f"{one['good_share']:.1%}",
                f"{one['good_low']:.1%} to {one['good_high']:.1%}",
                one["calls"],
            )
            for one in data["thresholds"]
        ),
        right="calls",
    )
