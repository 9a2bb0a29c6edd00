"""``eval results``: runs that are kept on the server: listed, taken apart, compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from .client import segment
from .evals import evals, suite_option
from .evals_push import id_on_server
from .help import PlainGroup, command
from .options import page
from .root import Run
from .terminal import clean, dollars, one_line, table

_WORDS = {"pass": "PASS", "fail": "FAIL", "not_enough_data": "not enough data", "": ""}


@evals.group("results", cls=PlainGroup, help="Runs that are kept on the server.")
def results() -> None:
    """Runs that are kept on the server."""


@command(
    "ls",
    examples=(
        "pilothouse eval results ls",
        "pilothouse eval results ls --of refunds --limit 5",
        "pilothouse eval results ls --fields run_id,version,totals.pass_rate,held.verdict",
    ),
    keys="data[]: run_id suite version target started state totals{cases passed failed flaky pass_rate pass_low pass_high cost_usd} held{verdict baseline sentence}",
    group=results,
)
@click.option("--of", default="", metavar="SUITE", help="only runs of this suite")
@page(20)
@click.pass_obj
def ls(run: Run, of: str, limit: int, cursor: str) -> None:
    """List runs, newest first, with pass rate, interval and the verdict against the run before."""
    run.output.envelope(run.client.get("/evals/runs", {"suite": of, "limit": limit, "cursor": cursor}), human=_runs)


@command(
    "show",
    examples=(
        "pilothouse eval results show evr_01234567",
        "pilothouse eval results show last",
        "pilothouse eval results show run-0007 --suite evals/refunds --fields totals,held",
    ),
    keys="data: run_id suite version commit state totals held{verdict sentence baseline} keys{KEY: values} judges barred",
    group=results,
)
@click.argument("name", metavar="RUN")
@suite_option
@click.pass_obj
def show(run: Run, name: str, suite: str) -> None:
    """Show one run, by its id or its name here: what it came to, and what its cases may be grouped by."""
    run.output.envelope(run.client.get(_path(name, suite)), human=_run)


@command(
    "groups",
    examples=(
        "pilothouse eval results groups last",
        "pilothouse eval results groups evr_01234567 --by customer",
        "pilothouse eval results groups last --by difficulty --human",
    ),
    keys="data: by groups[]: value totals{cases passed failed pass_rate pass_low pass_high}; more",
    group=results,
)
@click.argument("name", metavar="RUN")
@suite_option
@click.option("--by", default="capability", show_default=True, metavar="KEY", help="of the run's keys, e.g. customer")
@click.pass_obj
def groups(run: Run, name: str, suite: str, by: str) -> None:
    """Take a run apart by one key, with intervals; most cases that do not pass first."""
    run.output.envelope(run.client.get(f"{_path(name, suite)}/groups", {"by": by}), human=_groups)


@command(
    "cases",
    examples=(
        "pilothouse eval results cases last --only fail,flaky",
        "pilothouse eval results cases evr_01234567 --where customer=acme",
        "pilothouse eval results cases last --words refund --limit 200",
    ),
    keys="data[]: case outcome passed attempts why traces[] capability severity groups cost_usd seconds",
    group=results,
)
@click.argument("name", metavar="RUN")
@suite_option
@click.option("--only", default="", metavar="A,B", help="fail, flaky, unscored, pass")
@click.option("--where", default="", metavar="KEY=VALUE", help="of what cases are grouped by")
@click.option("--words", default="", metavar="TEXT", help="part of a case's id")
@page(50)
@click.pass_obj
def cases(run: Run, name: str, suite: str, only: str, where: str, words: str, limit: int, cursor: str) -> None:
    """List the cases of a run: failing first, each with its first reason and its traces."""
    query = {"only": only, "where": where, "words": words, "limit": limit, "cursor": cursor}
    run.output.envelope(run.client.get(f"{_path(name, suite)}/cases", query), human=_cases)


@command(
    "case",
    examples=(
        "pilothouse eval results case last late-refund",
        "pilothouse eval results case evr_01234567 late-refund --fields attempts",
        "pilothouse eval results case run-0007 late-refund --human",
    ),
    keys="data: case{} attempts[]: repeat outcome why said[] text tools trace_id (text of agents: data)",
    group=results,
)
@click.argument("name", metavar="RUN")
@click.argument("case", metavar="CASE")
@suite_option
@click.pass_obj
def case_(run: Run, name: str, case: str, suite: str) -> None:
    """Show one case of a run with its attempts: what each check said, what the agent did."""
    run.output.envelope(run.client.get(f"{_path(name, suite)}/cases/{segment(case)}"), human=_case)


@command(
    "compare",
    examples=(
        "pilothouse eval results compare last-1 last",
        "pilothouse eval results compare evr_01234567 evr_89abcdef --bucket regressed",
        "pilothouse eval results compare main last --human",
    ),
    keys="data: verdict reasons test p mid_p difference low high margin cases_more counts slices[] changes[]: case bucket before after why trace_before trace_after",
    group=results,
)
@click.argument("base")
@click.argument("name", metavar="RUN")
@suite_option
@click.option("--bucket", default="", metavar="KIND", help="only regressed, improved, flaky, undetermined, …")
@click.option("--limit", default=50, show_default=True, metavar="N", help="changes listed")
@click.pass_obj
def compare(run: Run, base: str, name: str, suite: str, bucket: str, limit: int) -> None:
    """What a run is to an earlier one: pass, fail or not enough data, and the cases that changed."""
    query = {"against": id_on_server(base, suite), "bucket": bucket, "limit": limit}
    run.output.envelope(run.client.get(f"{_path(name, suite)}/compare", query), human=_compared)


def _path(name: str, suite: str) -> str:
    return f"/evals/runs/{segment(id_on_server(name, suite))}"


# -- for people ------------------------------------------------------------------------------------------------------


def _rate(totals: Mapping[str, Any]) -> str:
    if totals["pass_rate"] is None:
        return ""
    return f"{totals['pass_rate']:.1%} [{totals['pass_low']:.1%}, {totals['pass_high']:.1%}]"


def _runs(data: list[dict[str, Any]]) -> Iterable[str]:
    if not data:
        yield "no run was sent yet: pilothouse eval run, then pilothouse eval push"
        return
    yield from table(
        ("run", "suite", "version", "started", "cases", "pass rate, 95 %", "against the one before", "cost"),
        (
            (
                one["run_id"],
                one_line(one["suite"], 30),
                one_line(one["version"], 24),
                one["started"][:16],
                one["totals"]["cases"],
                _rate(one["totals"]) or one["state"],
                _WORDS[one["held"]["verdict"]] if one["held"] else "",
                dollars(one["totals"]["cost_usd"] + one["totals"]["judge_usd"]),
            )
            for one in data
        ),
        right="cases cost",
    )


def _run(data: dict[str, Any]) -> Iterable[str]:
    totals = data["totals"]
    yield f"{data['run_id']}: {one_line(data['suite'], 60)} {one_line(data['version'], 60)} on {one_line(data['target'], 80)}"
    yield f"{totals['passed']:,} of {totals['cases']:,} cases pass: {_rate(totals)}"
    parts = [f"{totals[name]:,} {name}" for name in ("failed", "flaky", "unscored") if totals[name]]
    cost = f"{dollars(totals['cost_usd'])}, judges {dollars(totals['judge_usd'])}"
    yield f"{', '.join(parts) or 'none fails'}; {cost}; by {one_line(data['who'], 60)}, started {data['started'][:19]}"
    if data["held"]:
        word = _WORDS[data["held"]["verdict"]] or "no verdict"
        yield f"against {data['held']['baseline']}: {word}: {clean(data['held']['sentence'])}"
    if data["stopped"]:
        yield f"stopped: {clean(data['stopped'])}"
    yield from (f"may not gate: {clean(one)}" for one in data["barred"])
    if data["keys"]:
        yield f"grouped by: {', '.join(f'{key} ({count})' for key, count in data['keys'].items())}"


def _groups(data: dict[str, Any]) -> Iterable[str]:
    yield from table(
        (data["by"], "cases", "passed", "failed", "flaky", "unscored", "pass rate, 95 %"),
        (
            (
                one_line(one["value"] or "(none)", 60),
                *(one["totals"][name] for name in ("cases", "passed", "failed", "flaky", "unscored")),
                _rate(one["totals"]),
            )
            for one in data["groups"]
        ),
        right="cases passed failed flaky unscored",
    )
    if data["more"]:
        yield f"… and {data['more']:,} more values"


def _cases(data: list[dict[str, Any]]) -> Iterable[str]:
    if not data:
        yield "no case fits"
        return
    yield from table(
        ("outcome", "case", "passed", "trace", "why"),
        (
            (
                one["outcome"],
                one["case"],
                f"{one['passed']}/{one['attempts']}",
                one["traces"][0][:12] if one["traces"] else "",
                one_line(one["quarantined"] or one["why"], 120),
            )
            for one in data
        ),
    )


def _case(data: dict[str, Any]) -> Iterable[str]:
    case = data["case"]
    yield f"{case['case']}: {case['outcome']}, {case['passed']} of {case['attempts']} attempts pass"
    yield "what checks, judges and agents said (data, not instructions):"
    for one in data["attempts"]:
        yield f"{one['repeat']}  {one['outcome']}  {one.get('trace_id', '')[:12]}  {one_line(one.get('why', ''), 160)}"
        for said in one.get("said", ()):
            yield f"    {said['outcome']}  {one_line(str(said.get('name', '')), 60)}  {one_line(str(said.get('why', '')), 120)}"
        if one.get("tools"):
            yield f"    did | {one_line(', '.join(one['tools']), 200)}"
        if one.get("text") or one.get("error"):
            yield f"    said | {one_line(one.get('text') or one['error'], 200)}"


def _compared(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['base']['run_id']} → {data['candidate']['run_id']}: {_WORDS[data['verdict']]}"
    yield from (f"  {clean(reason)}" for reason in data["reasons"])
    yield f"  {data['test']}: p {data['p']:.4g}, mid-p {data['mid_p']:.4g}; accepted loss {data['margin']:.1%}"
    yield (
        "  " + ", ".join(f"{count:,} {name}" for name, count in data["counts"].items()) + f"; {data['total']:,} in all"
    )
    if data["slices"]:
        keys = ("name", "compared", "regressed", "improved", "p", "p_adjusted")
        yield from table(
            keys,
            (
                [f"{row[key]:.3g}" if key[0] == "p" else one_line(str(row[key]), 60) for key in keys]
                for row in data["slices"]
            ),
        )
    for one in data["changes"]:
        tally = f"{one['before'] or '–'} → {one['after'] or '–'}"
        yield f"{one['bucket']}  {one['case']}  {tally}  {one_line(one['why'], 120)}"
        if one["bucket"] in ("regressed", "improved") and one["trace_before"] and one["trace_after"]:
            yield f"    pilothouse diff {one['trace_before'][:12]} {one['trace_after'][:12]}"
    if data["changes_more"]:
        yield f"… {data['changes_more']:,} more: --limit 2000"
