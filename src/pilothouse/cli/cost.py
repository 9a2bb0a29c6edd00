"""``cost``: what was spent, by what, and why one call costs what it costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .client import segment
from .emptied import ask
from .help import PlainGroup, command
from .options import window
from .root import Run
from .terminal import count, dollars, table


class _CostGroup(PlainGroup):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(_HELP)


_HELP = """What was spent, dearest first; why one call costs what it costs.

usage: pilothouse cost [--by A,B] [FILTER options]
       pilothouse cost why ID

  --by A,B      up to four dimensions, such as agent model environment user; default agent,model
  --filter F    only traces that fit, as in ls
  --since TIME  15m, 24h, 7d or ISO 8601; default 7d
  --until TIME  before; default now

examples:
  pilothouse cost --since 24h
  pilothouse cost --by agent,model,environment
  pilothouse cost why 4bf92f35

answer: data: total_usd calls cost_unknown ambiguous rows[]: key calls tokens cost_usd
also: --json --human --budget N --fields a,b --out FILE
exit: 0 ok, 2 the call is wrong, 3 not found, 4 key missing, wrong or without the right, 5 the server does not answer
"""


@click.group("cost", cls=_CostGroup, invoke_without_command=True, help="What was spent, dearest first.")
@click.option("--by", default="", metavar="A,B")
@click.option("--filter", "filter_text", default="", metavar="FILTER")
@window()
@click.pass_context
def cost(ctx: click.Context, by: str, filter_text: str, since: str, until: str) -> None:
    """What was spent, dearest first."""
    if ctx.invoked_subcommand is not None:
        return
    run: Run = ctx.obj
    query = {"by": by, "filter": filter_text, "since": since, "until": until}
    answer = ask(run.client, "/cost", query, found=lambda data: data["rows"])
    run.output.envelope(answer, human=_costs)


def _costs(costs: dict[str, Any]) -> Iterable[str]:
    unknown = f", {costs['cost_unknown']:,} of unknown price" if costs["cost_unknown"] else ""
    yield f"{dollars(costs['total_usd'])} in {costs['calls']:,} calls{unknown}, {costs['window']['since']} to {costs['window']['until']}"
    if costs["ambiguous"]:
        yield f"{costs['ambiguous']:,} calls whose usage can be read in two ways: pilothouse doctor"
    names = list(costs["by"])
    heads = (*names, "cost", "calls", "tokens", "input", "cached", "output", "unknown")
    rows = (
        (
            *(row["key"].get(name, "") or "(none)" for name in names),
            dollars(row["cost_usd"]),
            row["calls"],
            count(row["tokens"]["total"]),
            count(sum(row["tokens"][part] for part in ("input_uncached", "cache_read", "cache_write", "audio_input"))),
            f"{row['cost_from_cache_share']:.0%}",
            count(sum(row["tokens"][part] for part in ("output", "reasoning", "audio_output"))),
            row["cost_unknown"] or "",
        )
        for row in costs["rows"]
    )
    yield from table(heads, rows, right="cost calls tokens input cached output unknown")
    if costs["others"]:
        yield f"and {costs['others']:,} combinations more"


@command(
    "why",
    group=cost,
    examples=(
        "pilothouse cost why last",
        "pilothouse cost why 4bf92f35",
        "pilothouse cost why 00f067aa0ba902b7 --json",
    ),
    keys="data: cost_usd counted aggregates duplicates unknown gap_tokens spans[]: why rule reported buckets prices",
)
@click.argument("id")
@click.pass_obj
def why(run: Run, id: str) -> None:
    """Explain every number of a trace's or a span's cost."""
    run.output.envelope(run.client.get(f"/cost/{segment(id)}"), human=_why)


def _why(answer: dict[str, Any]) -> Iterable[str]:
    yield (
        f"trace {answer['trace_id'][:12]}: {dollars(answer['cost_usd'])} over {answer['counted']} counted spans; left out: "
        f"{answer['aggregates']} aggregates, {answer['duplicates']} duplicates; {answer['unknown']} without a known price"
    )
    if answer["gap_tokens"]:
        yield f"aggregates report {answer['gap_tokens']:,} tokens beyond the sum of their leaves"
    for span in answer["spans"]:
        yield ""
        yield f"step {span['step']:03d}  {span['kind']}  {span['model']}  {dollars(span['cost_usd'])}  ({span['cost_source']})"
        yield f"  {span['why']}"
        reported = ", ".join(f"{name}={value}" for name, value in span["reported"].items())
        yield f"  read by {span['rule']}{' (ambiguous)' if span['ambiguous'] else ''}: {reported}"
        for price in span["prices"]:
            yield "  " + "  ".join(f"{name} {value}" for name, value in price.items())
        for note in span["notes"]:
            yield f"  note: {note}"
    if answer["cut"]:
        yield f"and {answer['cut']} spans more"
