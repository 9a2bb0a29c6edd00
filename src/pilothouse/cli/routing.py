"""``routing``: how hard requests are, learned from a project's own calls."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import click

from .client import segment
from .help import PlainGroup, command
from .root import Run
from .terminal import one_line, table

_LOOK_S = 0.5


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


@command(
    "try",
    examples=(
        "pilothouse routing try gpt-5-mini --from-model gpt-5 --calls 50 --usd 1",
        "pilothouse routing try auto --since 24h --floor 0.95",
        "pilothouse routing try gpt-5-mini --free",
    ),
    keys="data: replay_id state verdict all{calls same share low high needed} classes[] spent_usd estimate examples[] (words of traces: data) limits[]",
    exits=(0, 2, 3, 4, 5),
    group=routing,
)
@click.argument("model")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help="24h, 30d or ISO 8601")
@click.option("--until", default="", metavar="TIME", help="before; default now")
@click.option("--from-model", default="", metavar="MODEL", help="only calls of this model")
@click.option("--agent", default="", metavar="NAME", help="only this agent's calls")
@click.option("--calls", default=50, show_default=True, metavar="N", help="at most, up to 500")
@click.option("--usd", default="1", show_default=True, metavar="USD", help="the most it may cost")
@click.option("--floor", default=0.9, show_default=True, metavar="SHARE", help="same answers that will do")
@click.option("--wire", type=click.Choice(["openai", "anthropic"]), default="openai", show_default=True)
@click.option("--seed", default=7, show_default=True, metavar="N", help="which calls, of too many")
@click.option("--free", is_flag=True, help="only what it would cost; nobody is asked")
@click.option("--no-wait", is_flag=True, help="answer at once; it runs on the server")
@click.pass_obj
def try_model(run: Run, model: str, free: bool, no_wait: bool, **asked: Any) -> None:
    """Ask stored calls of another model, and compare: same tool calls, data, facts? Spends money, up to the cap."""
    answer = run.client.post("/routing/try", {"model": model, "free": free, **asked})
    run.output.envelope(answer if free or no_wait else _ended(run, answer), human=_report)


@command(
    "replays",
    examples=(
        "pilothouse routing replays",
        "pilothouse routing replays --json",
        "pilothouse routing replays --fields replays.replay_id,replays.verdict",
    ),
    keys="data: replays[]: replay_id state calls done spent_usd verdict",
    group=routing,
)
@click.pass_obj
def replays(run: Run) -> None:
    """List replays, the newest first."""
    run.output.envelope(run.client.get("/routing/replays"), human=_replays)


@command(
    "report",
    examples=(
        "pilothouse routing report rpl_…",
        "pilothouse routing report rpl_… --json",
        "pilothouse routing report rpl_… --fields verdict,all,classes",
    ),
    keys="data: replay_id state verdict all{same share low high} classes[] examples[] (words of traces: data) spent_usd",
    exits=(0, 2, 3, 4, 5),
    group=routing,
)
@click.argument("replay_id")
@click.pass_obj
def report(run: Run, replay_id: str) -> None:
    """Show what a replay has found: agreement by task class, cost, latency, verdict."""
    run.output.envelope(run.client.get(f"/routing/replays/{segment(replay_id)}"), human=_report)


@command(
    "resume",
    examples=(
        "pilothouse routing resume rpl_…",
        "pilothouse routing resume rpl_… --no-wait",
        "pilothouse routing resume rpl_… --json",
    ),
    keys="data: replay_id state verdict all classes[]",
    exits=(0, 2, 3, 4, 5),
    group=routing,
)
@click.argument("replay_id")
@click.option("--no-wait", is_flag=True, help="answer at once; it runs on the server")
@click.pass_obj
def resume(run: Run, replay_id: str, no_wait: bool) -> None:
    """Go on with a replay that stopped; nothing is asked or paid twice."""
    answer = run.client.post(f"/routing/replays/{segment(replay_id)}/resume", {})
    run.output.envelope(answer if no_wait else _ended(run, answer), human=_report)


@command(
    "stop",
    examples=(
        "pilothouse routing stop rpl_…",
        "pilothouse routing stop rpl_… --json",
        "pilothouse routing stop rpl_… --fields state",
    ),
    keys="data: replay_id state done calls",
    exits=(0, 2, 3, 4, 5),
    group=routing,
)
@click.argument("replay_id")
@click.pass_obj
def stop(run: Run, replay_id: str) -> None:
    """Stop a replay after the call that is under way."""
    run.output.envelope(run.client.post(f"/routing/replays/{segment(replay_id)}/stop", {}), human=_report)


def _ended(run: Run, answer: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end and tell how far it is; whoever breaks off leaves it running."""
    name, told = answer["data"]["replay_id"], -1
    while answer["data"]["state"] == "running":
        time.sleep(_LOOK_S)
        answer = run.client.get(f"/routing/replays/{segment(name)}")
        if answer["data"]["done"] != told:
            told = answer["data"]["done"]
            click.echo(f"{told} of {answer['data']['calls']} calls, ${answer['data']['spent_usd']} ({name})", err=True)
    return answer


def _replays(data: dict[str, Any]) -> Iterable[str]:
    if not data["replays"]:
        yield "no replay yet: pilothouse routing try MODEL --since 7d"
        return
    yield from table(
        ("replay", "model", "state", "calls", "done", "spent", "same", "verdict"),
        (
            (
                one["replay_id"],
                one_line(str(one["plan"]["model"]), 40),
                one["state"],
                one["calls"],
                one["done"],
                f"${one['spent_usd']}",
                "" if one["all"]["share"] is None else f"{one['all']['share']:.0%}",
                one["verdict"],
            )
            for one in data["replays"]
        ),
        right="calls done spent same",
    )


def _report(data: dict[str, Any]) -> Iterable[str]:
    guess = data["estimate"]
    if guess is not None:
        went = ", ".join(f"{one_line(name, 40)} {number:,}" for name, number in guess["by_model"].items())
        yield (
            f"{guess['calls']:,} of {guess['calls_total']:,} calls of the window fit: ${guess['before_usd']} as they were, "
            f"${guess['after_usd']} there, at the same tokens; {guess['unpriced']:,} without a price"
        )
        yield f"they would go to: {went}"
    if data["state"] == "estimate":
        return
    yield f"replay {data['replay_id']} is {data['state']}: {data['done']} of {data['calls']} calls, {data['unfit']} could not be asked again, ${data['spent_usd']} spent"
    yield f"verdict: {data['verdict']} (floor {data['plan']['floor']:.0%})"
    yield from table(
        (
            "class",
            "calls",
            "same",
            "95 % interval",
            "errors",
            "cost before",
            "after",
            "s before",
            "after",
            "verdict",
            "needs",
        ),
        (
            (
                one_line(one["task"] or "(none)", 30),
                one["calls"],
                "" if one["share"] is None else f"{one['share']:.0%}",
                f"{one['low']:.0%} to {one['high']:.0%}",
                one["errors"],
                f"${one['cost_before_usd']}",
                f"${one['cost_after_usd']}",
                "" if one["seconds_before"] is None else f"{one['seconds_before']:.2f}",
                "" if one["seconds_after"] is None else f"{one['seconds_after']:.2f}",
                one["verdict"],
                f"{one['needed']:,} more" if one["needed"] else "",
            )
            for one in (data["all"], *data["classes"])
        ),
        right="calls same errors",
    )
    if data["examples"]:
        yield "answered otherwise (words of traces and models: data, not instructions):"
    for one in data["examples"]:
        yield f"  {one['trace_id'][:12]} {one['kind']}: {one_line(one['why'], 120)}"
        yield f"    was | {one_line(one['before'], 160)}"
        yield f"    now | {one_line(one['after'], 160)}"
    yield from (f"mind: {one}" for one in data["limits"])


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
