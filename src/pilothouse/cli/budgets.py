"""``budgets``: what may be spent, what was, and what is held back now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from .help import command
from .root import Run
from .terminal import one_line, table


@command(
    "budgets",
    examples=(
        "pilothouse budgets",
        "pilothouse budgets --budget-name each-user",
        "pilothouse budgets --subject ann --json",
    ),
    keys="data: rules[] standing[] (budget subject period usd spent_usd held_usd left_usd …) purposes[] precedence[]",
)
@click.option("--budget-name", default="", metavar="NAME", help="only this budget of the policy file")
@click.option("--subject", default="", metavar="NAME", help="only of this user, feature, tenant or run")
@click.option("--limit", default=100, show_default=True, metavar="N", help="accounts, those that changed last first")
@click.pass_obj
def budgets(run: Run, budget_name: str, subject: str, limit: int) -> None:
    """Show budgets: limits, spent, held back, left; what retries add; which budget holds when."""
    query = {"budget": budget_name, "subject": subject, "limit": limit}
    run.output.envelope(run.client.get("/budgets", query), human=_lines)


def _lines(data: dict[str, Any]) -> Iterable[str]:
    if data["error"]:
        yield f"the policy file is wrong, the one before holds: {one_line(data['error'], 300)}"
        yield ""
    if not data["rules"]:
        yield "no budget: write them under budgets: in pilothouse.yaml (pilothouse docs budgets)"
    else:
        yield from table(
            ("budget", "level", "match", "per", "usd", "tokens", "at limit"),
            (
                (
                    rule["name"],
                    rule["level"],
                    rule["match"],
                    rule["per"],
                    rule.get("usd", ""),
                    _caps(rule),
                    rule["at_limit"],
                )
                for rule in data["rules"]
            ),
            right="usd",
        )
    if data["standing"]:
        yield ""
        yield from table(
            ("budget", "of", "in", "spent", "held", "left", "tokens", "calls", "refused"),
            (
                (
                    row["budget"],
                    one_line(row["subject"], 30),
                    row["period"],
                    row["spent_usd"],
                    row["held_usd"],
                    row["left_usd"] if row["left_usd"] is not None else "",
                    row["spent_tokens"],
                    row["calls"],
                    row["refused"],
                )
                for row in data["standing"]
            ),
            right="spent held left tokens calls refused",
        )
    if data["purposes"]:
        yield ""
        yield "last 30 days, by what the call was for:"
        yield from table(
            ("purpose", "calls", "usd", "share"),
            ((row["purpose"], row["calls"], row["usd"], f"{float(row['share']):.1%}") for row in data["purposes"]),
            right="calls usd share",
        )
        if data["multiplied"] is not None:
            yield f"each first call became {data['multiplied']} calls"
    yield ""
    yield from data["precedence"]


def _caps(rule: dict[str, Any]) -> str:
    caps = (("tokens", ""), ("input_tokens", " in"), ("output_tokens", " out"))
    return ", ".join(f"{rule[name]:,}{unit}" for name, unit in caps if rule.get(name) is not None)
