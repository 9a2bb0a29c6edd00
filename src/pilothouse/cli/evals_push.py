"""``eval push`` and ``unpush``: a run of this folder, kept on the server with a page of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import NotFound

from .client import segment
from .evals import evals, open_suite, suite_option
from .evals_run import hearing_of, run_of
from .help import command
from .root import Run
from .terminal import clean, one_line

if TYPE_CHECKING:
    from pilothouse.evals.runs import Run as EvalRun
    from pilothouse.evals.suite import Suite

SERVERS_PREFIX = "evr_"
"""What ids of runs on a server begin with."""


@command(
    "push",
    examples=(
        "pilothouse eval push",
        "pilothouse eval push run-0007 --baseline main",
        "pilothouse eval push last --suite evals/refunds --fields url,verdict",
    ),
    keys="data: run_id url suite cases passed failed flaky unscored batches sent verdict sentence baseline",
    exits=(0, 2, 3, 4, 5),
    group=evals,
)
@click.argument("name", default="last", metavar="[RUN]")
@suite_option
@click.option(
    "--baseline", default="", metavar="RUN", help="what it is held against, here or on the server  [the run before]"
)
@click.pass_obj
def push(run: Run, name: str, suite: str, baseline: str) -> None:
    """Send a run to the server: it gets a page. Broken off, the same call goes on; sent twice, nothing changes."""
    found = open_suite(suite)
    sent = send(run, found, run_of(found, name), baseline=baseline)
    run.output.answer(sent, human=_sent, next=[f"pilothouse eval results show {sent['run_id']}"])


@command(
    "unpush",
    examples=(
        "pilothouse eval unpush last",
        "pilothouse eval unpush evr_01234567",
        "pilothouse eval unpush run-0007 --suite evals/refunds",
    ),
    keys="data: the run that is gone from the server: run_id suite version totals",
    exits=(0, 2, 3, 4, 5),
    group=evals,
)
@click.argument("name", metavar="RUN")
@suite_option
@click.pass_obj
def unpush(run: Run, name: str, suite: str) -> None:
    """Take a run off the server again, by its name here or its id there. The folder stays, and can be pushed again."""
    id = id_on_server(name, suite)
    run.output.envelope(
        run.client.delete(f"/evals/runs/{segment(id)}"),
        human=lambda data: [
            f"{data['run_id']} ({data['suite']} {one_line(data['version'], 40)}) is gone from the server"
        ],
    )


def id_on_server(name: str, suite: str) -> str:
    """What the server calls a run: its id there, or the name of one of this folder.

    Raises:
        NotFound: this folder has no such run.
    """
    if name.startswith(SERVERS_PREFIX):
        return name
    from pilothouse.evals.sending import run_id

    return run_id(run_of(open_suite(suite), name))


def send(run: Run, suite: Suite, made: EvalRun, *, baseline: str = "") -> dict[str, Any]:
    """Send a run of a folder, as far as the server does not have it; where its page is, and what it came to.

    Raises:
        NotFound: the run has no result yet, or there is no such baseline.
        Unreachable: the server does not answer; what was sent need not be sent again.
    """
    from pilothouse.evals.sending import batches, head_of, run_id
    from pilothouse.evals.settings import load_settings

    settings = load_settings(suite.folder)
    if next(iter(made.results()), None) is None:
        raise NotFound("this run has no result yet", got=made.about.run, fix="pilothouse eval run")
    held = id_on_server(baseline, str(suite.folder)) if baseline else ""
    head = head_of(made, gate=settings.gate, hearing=hearing_of(suite, settings, made), baseline=held)
    quarantined = {id: one.quarantined for id, one in suite.places().items() if one.quarantined}
    path = f"/evals/runs/{run_id(made)}"
    have = set(run.client.put(path, head)["data"]["have"])
    shown = _Shown()
    count = sent = 0
    for batch in batches(made, quarantined=quarantined):
        count += 1
        if batch.digest not in have:
            run.client.post(f"{path}/cases", {"digest": batch.digest, "cases": batch.cases})
            sent += 1
        shown.told(len(batch.cases))
    shown.end()
    kept = run.client.post(f"{path}/finish", {})["data"]
    totals: dict[str, Any] = kept["totals"]
    against: dict[str, Any] = kept["held"] or {}
    return {
        "run_id": kept["run_id"],
        "url": f"{run.client.url}/evals/runs/{kept['run_id']}",
        "suite": kept["suite"],
        "run": made.about.run,
        **{name: totals[name] for name in ("cases", "passed", "failed", "flaky", "unscored")},
        "batches": count,
        "sent": sent,
        "verdict": against.get("verdict", ""),
        "sentence": against.get("sentence", ""),
        "baseline": against.get("baseline", ""),
    }


def _sent(data: Mapping[str, Any]) -> Iterable[str]:
    already = data["batches"] - data["sent"]
    yield data["url"]
    yield f"{data['passed']:,} of {data['cases']:,} cases pass; sent {data['sent']:,} batches, {already:,} were there"
    if data["baseline"]:
        word = {"pass": "PASS", "fail": "FAIL", "not_enough_data": "NOT ENOUGH DATA"}.get(data["verdict"], "not told")
        yield f"against {data['baseline']}: {word}: {clean(data['sentence'])}"


class _Shown:
    """One line on a terminal's standard error: how many cases are there."""

    def __init__(self) -> None:
        self._on, self._cases = sys.stderr.isatty(), 0

    def told(self, cases: int) -> None:
        """So many more."""
        self._cases += cases
        if self._on:
            sys.stderr.write(f"\r{self._cases:,} cases")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._on and self._cases:
            sys.stderr.write("\n")
