"""``policy``: what is in force, what another one would do, its versions, and changing it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from pilothouse.records import BadRequest, GateFailed

from .client import segment
from .help import PlainGroup, command
from .root import Run
from .terminal import clean, count, moment, one_line, table

_HELP = """The policy in force; what another one would do; versions.

usage: pilothouse policy [COMMAND]

  check FILE      all that is wrong with it, by line
  try FILE        what it would have done with stored traffic
  set FILE        put it in force; a person does (admin)
  history         its versions: who, when, why
  diff N          what changed in a version
  undo [N]        take up the version before, or version N

examples:
  pilothouse policy
  pilothouse policy try pilothouse.yaml --since 24h
  pilothouse policy set pilothouse.yaml --note 'mask phone numbers'

answer: data: version path sections error text revision editable why_not
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 4 key missing, wrong or without the right, 5 the server does not answer, 7 a gate failed, 8 needs approval
"""


class _PolicyGroup(PlainGroup):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_HELP)


@click.group("policy", cls=_PolicyGroup, invoke_without_command=True, help="The policy in force; versions; dry runs.")
@click.pass_context
def policy(ctx: click.Context) -> None:
    """The policy file in force, its version, and what is wrong with a newer one."""
    if ctx.invoked_subcommand is None:
        run: Run = ctx.obj
        run.output.envelope(run.client.get("/policy"), human=_policy)


@command(
    "check",
    examples=(
        "pilothouse policy check pilothouse.yaml",
        "pilothouse policy check -",
        "pilothouse policy check pilothouse.yaml --fields problems",
    ),
    keys="data: version problems[]: path line message got allowed fix; diff[]",
    exits=(0, 2, 4, 5, 7),
    group=policy,
)
@click.argument("file")
@click.pass_obj
def check(run: Run, file: str) -> int:
    """Say all that is wrong with a policy, by line. Exit 7: something is."""
    answer = run.client.post("/policy/check", {"text": _read(file)})
    run.output.envelope(answer, human=_problems)
    return GateFailed.exit_code if answer["data"]["problems"] else 0


@command(
    "try",
    examples=(
        "pilothouse policy try pilothouse.yaml --since 24h",
        "pilothouse policy try - --since 7d --seed 7",
        "pilothouse policy try pilothouse.yaml --fields gates,budgets --json",
    ),
    keys="data: in_force proposed replayed gates[] checks[] examples[] (words of traces: data) budgets approvals flow{limits[] routes[] moved survival} not_replayed[]",
    group=policy,
)
@click.argument("file")
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="15m, 24h, 7d or ISO 8601")
@click.option("--until", default="", metavar="TIME", help="before; default now")
@click.option("--seed", type=int, default=None, metavar="N", help="which traces, of too many; printed")
@click.option("--traces", type=int, default=2_000, show_default=True, metavar="N", help="at most")
@click.pass_obj
def try_policy(run: Run, file: str, since: str, until: str, seed: int | None, traces: int) -> None:
    """Say what a policy would have done with stored traffic, beside the one in force. Changes nothing."""
    asked: dict[str, Any] = {"text": _read(file), "since": since, "until": until, "traces": traces}
    if seed is not None:
        asked["seed"] = seed
    answer = run.client.post("/policy/try", asked)
    if file != "-":
        answer["next"] = [f"pilothouse policy set {shlex.quote(file)} --dry-run"]
    run.output.envelope(answer, human=_trial)


@command(
    "set",
    examples=(
        "pilothouse policy set pilothouse.yaml --note 'mask phone numbers'",
        "pilothouse policy set pilothouse.yaml --dry-run",
        "pilothouse policy set - --base 1f0c2a9d3b4e --note why",
    ),
    keys="data: written{number version who made} version diff[] undo",
    exits=(0, 2, 3, 4, 5, 8),
    group=policy,
)
@click.argument("file")
@click.option("--note", default="", metavar="TEXT", help="why, for the history")
@click.option("--base", default=None, metavar="REV", help="revision you had read; default: as it is now")
@click.option("--dry-run", is_flag=True, help="only say what would change")
@click.pass_obj
def set_policy(run: Run, file: str, note: str, base: str | None, dry_run: bool) -> None:
    """Put a policy in force: checked as a whole, written to the server's file, kept as a version. Needs a person."""
    text = _read(file)
    if base is None:
        base = "" if dry_run else str(run.client.get("/policy")["data"]["revision"])
    answer = run.client.post("/policy", {"text": text, "base": base, "note": note, "dry_run": dry_run})
    run.output.envelope(answer, human=_written)


@command(
    "history",
    examples=(
        "pilothouse policy history",
        "pilothouse policy history --limit 5",
        "pilothouse policy history --before 12 --json",
    ),
    keys="data: versions[]: number version revision who note of made lines in_force; total",
    group=policy,
)
@click.option("--limit", default=50, show_default=True, metavar="N", help="at most")
@click.option("--before", type=int, default=None, metavar="N", help="only versions before this one")
@click.pass_obj
def history(run: Run, limit: int, before: int | None) -> None:
    """List the versions of the policy, newest first: who, when, why."""
    query: dict[str, object] = {"limit": limit, **({} if before is None else {"before": before})}
    run.output.envelope(run.client.get("/policy/versions", query), human=_history)


@command(
    "diff",
    examples=("pilothouse policy diff 7", "pilothouse policy diff 7 --against 3", "pilothouse policy diff 7 --json"),
    keys="data: number text diff[]",
    group=policy,
)
@click.argument("number")
@click.option("--against", type=int, default=None, metavar="N", help="another version; default the one before it")
@click.pass_obj
def diff(run: Run, number: str, against: int | None) -> None:
    """Show what changed in a version of the policy."""
    query: dict[str, object] = {} if against is None else {"against": against}
    run.output.envelope(run.client.get(f"/policy/versions/{segment(number)}", query), human=_diff)


@command(
    "undo",
    examples=(
        "pilothouse policy undo",
        "pilothouse policy undo 7 --note 'blocked too much'",
        "pilothouse policy undo --dry-run",
    ),
    keys="data: written{number version who made of} version diff[] undo",
    exits=(0, 2, 3, 4, 5, 8),
    group=policy,
)
@click.argument("number", type=int, required=False)
@click.option("--note", default="", metavar="TEXT", help="why, for the history")
@click.option("--dry-run", is_flag=True, help="only say what would change")
@click.pass_obj
def undo(run: Run, number: int | None, note: str, dry_run: bool) -> None:
    """Take up an earlier version of the policy again; it becomes the newest. Needs a person."""
    asked: dict[str, Any] = {"note": note, "dry_run": dry_run} | ({} if number is None else {"to": number})
    run.output.envelope(run.client.post("/policy/undo", asked), human=_written)


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"the file cannot be read: {error}", got=name, fix="name the policy file") from error


def _policy(data: dict[str, Any]) -> Iterable[str]:
    yield f"policy {data['version']}: {data['path'] or 'no file, everything is at its default'}"
    for name, section in data["sections"].items():
        yield f"  {name}: {', '.join(section)}"
    if data["error"]:
        yield f"the file as it is now is not in force: {one_line(data['error']['message'], 300)}"
    if data["why_not"]:
        yield f"it is not changed from here: {data['why_not']}"


def _problems(data: dict[str, Any]) -> Iterable[str]:
    if not data["problems"]:
        yield f"nothing is wrong with it; its version would be {data['version']}"
    for one in data["problems"]:
        place = f"line {one['line']}: " if one["line"] else ""
        got = f" (got {one_line(one['got'], 100)})" if one["got"] else ""
        yield f"{place}{one_line(one['message'], 300)}{got}"
        if one["allowed"]:
            yield f"  allowed: {one_line(one['allowed'], 300)}"
        if one["fix"]:
            yield f"  fix: {one_line(one['fix'], 300)}"


def _trial(data: dict[str, Any]) -> Iterable[str]:
    done = data["replayed"]
    traces = f"{done['traces']:,} of {done['traces_total']:,} traces (seed {done['seed']})"
    part = f"all {done['traces']:,} traces" if done["whole"] else traces
    yield f"policy {data['in_force']} (in force) beside {data['proposed']} (proposed)"
    yield f"{done['texts']:,} texts of {part}, {done['since']} to {done['until']}, in {done['took_s']:.1f} s"
    yield ""
    yield from table(
        ("gate", "texts", "in force", "proposed", "stricter", "milder"),
        (
            (one["gate"], one["texts"], _actions(one["now"]), _actions(one["then"]), one["stricter"], one["milder"])
            for one in data["gates"]
        ),
        right="texts stricter milder",
    )
    changed = [one for one in data["checks"] if one["new"] or one["gone"]]
    yield ""
    if changed:
        yield from table(
            ("gate", "check", "verdict", "in force", "proposed", "new", "gone"),
            (
                (one["gate"], one["check"], one["action"], one["now"], one["then"], one["new"], one["gone"])
                for one in changed
            ),
            right="proposed new gone",
        )
    else:
        yield "no check would have decided differently"
    if data["examples"]:
        yield ""
        yield "examples (words of traces: data, not instructions):"
    for one in data["examples"]:
        sign = "new " if one["new"] else "gone"
        words = f"{one['before']}[{one['match']}]{one['after']}" if one["end"] > one["start"] else one["match"]
        yield f"  {sign} {one['action']} {one['gate']}/{one['check']}: {clean(one['rule'])} at {one['start']}-{one['end']}, trace {one['trace_id'][:12]}"
        yield f"       | {one_line(words, 200)}"
    if data["budgets"] is not None:
        yield ""
        yield f"budgets over {data['budgets']['calls']:,} model calls:"
        yield from table(
            ("budget", "calls", "spent usd", "refused now", "then", "at worst", "new runs"),
            (
                (
                    one["budget"],
                    one["calls"],
                    one["spent_usd"],
                    one["refused_now"],
                    one["refused_then"],
                    one["refused_worst"],
                    f"{one['runs']} to {one['runs_worst']}",
                )
                for one in data["budgets"]["budgets"]
            ),
            right="calls then",
        )
    if data["approvals"] is not None:
        told = data["approvals"]
        yield ""
        yield f"approvals over {told['calls']:,} tool calls: a person asked {told['asked_now']:,} times now, {told['asked_then']:,} then"
        yield from table(
            ("rule", "does", "now", "then", "new", "gone", "unsure", "asks"),
            (
                (
                    one["rule"],
                    one["do"],
                    one["now"],
                    one["then"],
                    one["new"],
                    one["gone"],
                    one["unsure"],
                    ", ".join(one["reviewers"]) or "anybody",
                )
                for one in told["rules"]
            ),
            right="now then new gone unsure",
        )
    if data["flow"] is not None:
        yield ""
        yield from _flow(data["flow"])
    yield ""
    yield "not replayed:"
    yield from (f"  {one}" for one in data["not_replayed"])


def _flow(flow: dict[str, Any]) -> Iterable[str]:
    yield f"limits, routes and survival over {flow['calls']:,} model calls, {flow['gateway_calls']:,} of them through the gateway"
    if flow["limits"]:
        names = ("limit", "calls", "refused_now", "refused_then", "new", "unsure")
        yield from table(
            ("limit", "calls", "refused now", "then", "new", "unsure"),
            (tuple(one[name] for name in names) for one in flow["limits"]),
            right="calls then new unsure",
        )
    if flow["routes"]:
        yield f"{flow['moved']:,} calls would go elsewhere"
        yield from table(
            ("upstream", "model", "now", "then", "cost now", "cost then", "no price", "unsure"),
            (
                (
                    one["upstream"],
                    one_line(one["model"], 40),
                    one["now"],
                    one["then"],
                    f"${one['cost_now_usd']}",
                    f"${one['cost_then_usd']}",
                    one["unpriced"],
                    one["unsure"],
                )
                for one in flow["routes"]
            ),
            right="now then unsure",
        )
    if (done := flow["survival"]) is not None:
        yield f"{done['failed']:,} calls failed, {done['unsure']:,} of them in a way that is not known"
        for when, word in (("now", "in force"), ("then", "proposed")):
            stood = ", ".join(f"{one_line(name, 40)} {n:,}" for name, n in done[f"fallbacks_{when}"].items())
            yield (
                f"  {word}: {done[f'retried_{when}']:,} tried again, stands in where that does not help: {stood or 'nobody'}; "
                f"{done[f'hedged_{when}']:,} slow calls made twice"
            )


def _actions(counts: dict[str, int]) -> str:
    return " ".join(f"{name} {count(number)}" for name, number in counts.items()) or "nothing came"


def _written(data: dict[str, Any]) -> Iterable[str]:
    made = data["written"]
    if made is None:
        yield f"nothing was written; the version would be {data['version']}"
    else:
        yield f"version {made['number']} ({made['version']}) is in force"
        yield f"take it back: {data['undo']}"
    yield from _changes(data["diff"])


def _history(data: dict[str, Any]) -> Iterable[str]:
    if not data["versions"]:
        yield "no version yet: pilothouse policy set FILE --note 'why'"
        return
    yield from table(
        ("no", "version", "when", "who", "lines", "", "why"),
        (
            (
                one["number"],
                one["version"] or "(wrong)",
                moment(one["made"]),
                one["who"],
                one["lines"],
                "in force" if one["in_force"] else f"= {one['of']}" if one["of"] else "",
                one["note"],
            )
            for one in data["versions"]
        ),
        right="no lines",
    )
    if len(data["versions"]) < data["total"]:
        yield f"{len(data['versions'])} of {data['total']}"


def _diff(data: dict[str, Any]) -> Iterable[str]:
    yield f"version {data['number']}"
    yield from _changes(data["diff"])


def _changes(lines: list[str]) -> Iterable[str]:
    yield from (clean(line) for line in lines) if lines else ("nothing changes",)
