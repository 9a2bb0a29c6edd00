"""``eval online``: scores on sampled production traces, made by the server; unlike the rest of ``eval`` it asks the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .client import segment
from .help import PlainGroup, command
from .root import Run
from .terminal import one_line, table

_HELP = """Scores on sampled production traces, made by the server.

usage: pilothouse eval online [COMMAND]

  show NAME      one scorer: by day, unscored by reason, worst traces
  try NAME ID    run it once on a trace or session; writes nothing
  retry NAME     ask again about what its judge left unscored
  stop NAME      until it is started
  start NAME

  --days N       days (UTC), today included  [14]

What is scored stands under online: in pilothouse.yaml.

examples:
  pilothouse eval online
  pilothouse eval online show helpful --days 30
  pilothouse eval online try helpful last

answer: data: scorers[]: name state to_retry down_since version calibrated figures{scored unscored rate rate_low rate_high mean} spent_usd usd_per_day days[] unscored[] worst[]
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 4 key missing, wrong or without the right, 5 the server does not answer
"""


class _OnlineGroup(PlainGroup):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_HELP)


@click.group("online", cls=_OnlineGroup, invoke_without_command=True, help="Scores on sampled production traces.")
@click.option("--days", type=int, default=14, show_default=True, metavar="N", help="days (UTC), today included")
@click.pass_context
def online(ctx: click.Context, days: int) -> None:
    """Scorers of production traces: what they scored, rates, what is unscored and why, money."""
    if ctx.invoked_subcommand is None:
        run: Run = ctx.obj
        run.output.envelope(run.client.get("/evals/online", {"days": days}), human=_scorers)


@command(
    "show",
    examples=(
        "pilothouse eval online show helpful",
        "pilothouse eval online show helpful --days 30 --json",
        "pilothouse eval online show helpful --fields figures,unscored",
    ),
    keys="data: name state to_retry down_since next_retry problem version run scored_by calibrated figures{} days[] unscored[] worst[] (words of judges and traces: data)",
    group=online,
)
@click.argument("name")
@click.option("--days", type=int, default=14, show_default=True, metavar="N", help="days (UTC), today included")
@click.pass_obj
def show(run: Run, name: str, days: int) -> None:
    """Show one scorer: rate or mean with its interval, by day, unscored by reason, the worst traces."""
    run.output.envelope(run.client.get(f"/evals/online/{segment(name)}", {"days": days}), human=_scorer)


@command(
    "try",
    examples=(
        "pilothouse eval online try helpful last",
        "pilothouse eval online try helpful 3f2a --json",
        "pilothouse eval online try whole-talk session-7 --fields results",
    ),
    keys="data: scorer version scored_by calibrated results[]: value label why (words of judges: data) reason usd",
    group=online,
)
@click.argument("name")
@click.argument("id")
@click.pass_obj
def try_scorer(run: Run, name: str, id: str) -> None:
    """Run a scorer once on a trace or session, and write nothing. A judge spends money, which counts for the day."""
    run.output.envelope(run.client.post(f"/evals/online/{segment(name)}/try", {"id": id}), human=_tried)


@command(
    "retry",
    examples=(
        "pilothouse eval online retry helpful",
        "pilothouse eval online retry helpful --since 24h --json",
        "pilothouse eval online retry helpful --reason cap --fields count",
    ),
    keys="data: name reason count since",
    group=online,
)
@click.argument("name")
@click.option("--reason", default="judge_failed", show_default=True, metavar="WORD", help="why it is unscored")
@click.option("--since", default="", metavar="TIME", help="24h, 7d or ISO 8601  [all of it]")
@click.pass_obj
def retry(run: Run, name: str, reason: str, since: str) -> None:
    """Ask again about what a scorer left unscored. It spends the money of the day, up to the cap."""
    body = {"reason": reason, "since": since}
    run.output.envelope(run.client.post(f"/evals/online/{segment(name)}/retry", body), human=_retried)


@command(
    "stop",
    examples=(
        "pilothouse eval online stop helpful",
        "pilothouse eval online stop helpful --json",
        "pilothouse eval online stop helpful --fields state",
    ),
    keys="data: name state changed",
    group=online,
)
@click.argument("name")
@click.pass_obj
def stop(run: Run, name: str) -> None:
    """Stop a scorer until it is started; what it scored stays."""
    run.output.envelope(run.client.post(f"/evals/online/{segment(name)}/stop", {}), human=_switched)


@command(
    "start",
    examples=(
        "pilothouse eval online start helpful",
        "pilothouse eval online start helpful --json",
        "pilothouse eval online start helpful --fields state",
    ),
    keys="data: name state changed",
    group=online,
)
@click.argument("name")
@click.pass_obj
def start(run: Run, name: str) -> None:
    """Let a scorer go on that was stopped."""
    run.output.envelope(run.client.post(f"/evals/online/{segment(name)}/start", {}), human=_switched)


def _scorers(data: dict[str, Any]) -> Iterable[str]:
    if data["error"]:
        yield f"the policy file is wrong, the one before holds: {one_line(data['error'], 300)}"
    if not data["scorers"]:
        yield "nothing is scored: write scorers under online: in pilothouse.yaml (pilothouse docs online-evals)"
        return
    yield from table(
        ("scorer", "level", "sample", "state", "scored", "unscored", "passes", "95 % interval", "mean", "today of cap"),
        (
            (
                one["name"],
                one["level"],
                f"{one['sample']:.4g}",
                one["state"],
                one["figures"]["scored"],
                one["figures"]["unscored"],
                _share(one["figures"]["rate"]),
                _interval(one["figures"], "rate"),
                "" if one["figures"]["mean"] is None else f"{one['figures']['mean']:.3g}",
                _money(one),
            )
            for one in data["scorers"]
        ),
        right="scored unscored passes mean",
    )
    for one in data["scorers"]:
        yield from _troubles(one)


def _troubles(one: dict[str, Any]) -> Iterable[str]:
    if one["problem"]:
        yield f"{one['name']} does not run: {one_line(one['problem'], 300)}"
    if one["state"] == "capped":
        yield f"{one['name']} has spent the money of the day, and goes on at 0:00 UTC"
    if one["down_since"]:
        yield f"{one['name']}: its judge does not answer since {one['down_since']}: {one_line(one['down_why'], 200)}; asked again at {one['next_retry']}"
    if one["to_retry"]:
        yield f"{one['name']}: {one['to_retry']} wait until the judge answers"
    if one["calibrated"] not in ("", "yes"):
        yield f"{one['name']}: its judge is not calibrated: {one_line(one['calibrated'], 200)}"


def _scorer(data: dict[str, Any]) -> Iterable[str]:
    figures = data["figures"]
    yield f"{data['name']} ({data['kind']}, {data['level']}): {one_line(data['what'], 300)}"
    yield f"state {data['state']}; version {data['version'] or '(not run yet)'}; {one_line(data['scored_by'], 200)}"
    yield from _troubles(data)
    yield f"scored {figures['scored']}, unscored {figures['unscored']}"
    if figures["rate"] is not None:
        yield f"passes {_share(figures['rate'])} ({_interval(figures, 'rate')})"
    if figures["mean"] is not None:
        low = f" ({figures['mean_low']:.3g} to {figures['mean_high']:.3g})" if figures["mean_low"] is not None else ""
        yield f"mean {figures['mean']:.3g}{low}"
    if data["usd_per_day"] is not None:
        yield f"spent today {_money(data)}, ${data['held_usd']:.4g} held for calls under way"
    if data["days"]:
        yield ""
        yield from table(
            ("day", "scored", "unscored", "passes", "95 % interval", "mean", "spent"),
            (
                (
                    day["day"],
                    day["figures"]["scored"],
                    day["figures"]["unscored"],
                    _share(day["figures"]["rate"]),
                    _interval(day["figures"], "rate"),
                    "" if day["figures"]["mean"] is None else f"{day['figures']['mean']:.3g}",
                    f"${day['spent_usd']:.4g}" if day["spent_usd"] else "",
                )
                for day in data["days"]
            ),
            right="scored unscored passes mean spent",
        )
    for one in data["unscored"]:
        yield f"unscored {one['count']}: {one['means']}; the newest: {one_line(one['example'], 200)}"
    if data["worst"]:
        yield ""
        yield "the worst:"
        yield from table(
            ("trace or session", "value", "label", "why"),
            (
                (
                    one_line(one["trace_id"] or one["session_id"], 40),
                    "" if one["value"] is None else f"{one['value']:.3g}",
                    one_line(one["label"], 20),
                    one_line(one["why"], 120),
                )
                for one in data["worst"]
            ),
            right="value",
        )


def _tried(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['scorer']}@{data['version']}, {one_line(data['scored_by'], 200)}; nothing is written"
    for one in data["results"]:
        what = one_line(one["trace_id"] or one["session_id"], 60) + (f" {one['span_id']}" if one["span_id"] else "")
        if one["reason"]:
            yield f"{what}: unscored ({one['reason']}): {one_line(one['why'], 400)}"
        else:
            value = "" if one["value"] is None else f" {one['value']:.4g}"
            yield f"{what}:{value} {one_line(one['label'], 100)} {one_line(one['why'], 400)}".rstrip()
        if one["usd"]:
            yield f"  ${one['usd']:.4f}"
    if data["calibrated"] not in ("", "yes"):
        yield f"the judge is not calibrated: {one_line(data['calibrated'], 200)}"


def _retried(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['count']} of {data['name']} are asked about again"


def _switched(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['name']} is {data['state']}{'' if data['changed'] else ', as before'}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _interval(figures: dict[str, Any], name: str) -> str:
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    return "" if low is None else f"{low:.1%} to {high:.1%}"


def _money(one: dict[str, Any]) -> str:
    return "" if one["usd_per_day"] is None else f"${one['spent_usd']:.4g} of ${one['usd_per_day']:g}"
