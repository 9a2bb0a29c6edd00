"""``audit`` and ``level``: what of an agent would fail silently, what it is, and which controls it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from pilothouse.records import BadRequest
from pilothouse.records import command as line

from .client import segment
from .help import command
from .options import window
from .root import Run
from .terminal import one_line, table

_HARMS = ("high", "medium", "low")
_GATE = 7


@command(
    "audit",
    examples=(
        "pilothouse audit refunds",
        "pilothouse audit refunds --since 24h --fail-on high",
        "pilothouse audit refunds --fields checks",
    ),
    keys="data: looked failing cannot_tell passing checks[]: check harm state found count of examples look remedy",
    exits=(0, 2, 3, 4, 5, 7),
)
@click.argument("agent")
@click.option(
    "--fail-on", default="", metavar="HARM", help="exit 7 where a check of this harm or worse fails: high medium low"
)
@window()
@click.pass_obj
def audit(run: Run, agent: str, fail_on: str, since: str, until: str) -> int:
    """What of an agent would fail silently, told from its telemetry alone; no score, a table."""
    if fail_on not in ("", *_HARMS):
        raise BadRequest(
            "there is no such harm", got=fail_on, allowed=list(_HARMS), fix=line("audit", agent, "--fail-on", "high")
        )
    answer = run.client.get(f"/agents/{segment(agent)}/audit", {"since": since, "until": until})
    run.output.envelope(answer, human=_audit)
    counted = _HARMS[: _HARMS.index(fail_on) + 1] if fail_on else ()
    failed = any(one["state"] == "failing" and one["harm"] in counted for one in answer["data"]["checks"])
    return _GATE if failed else 0


def _audit(data: dict[str, Any]) -> Iterable[str]:
    looked = data["looked"]
    yield f"{data['agent']}  {data['window']['since']} to {data['window']['until']}"
    yield f"looked at {looked['traces']:,} of {looked['of_traces']:,} traces, {looked['spans']:,} spans"
    yield f"failing {data['failing']}  cannot tell {data['cannot_tell']}  passing {data['passing']}"
    for state, title in (("failing", "would fail silently"), ("cannot_tell", "cannot be told")):
        chosen = [one for one in data["checks"] if one["state"] == state]
        if chosen:
            yield ""
            yield title
        for one in chosen:
            yield f"  {one['harm']:<6}  {one['check']:<24}  {one['found']}"
            if one["look"]:
                yield f"          look: {one['look']}"
            if state == "failing":
                first, *more = one["remedy"].split("\n")
                yield f"          do:   {first}"
                yield from (f"                {line}" for line in more)
    passing = [one["check"] for one in data["checks"] if one["state"] == "passing"]
    if passing:
        yield ""
        yield f"passing: {', '.join(passing)}"


@command(
    "level",
    examples=("pilothouse level", "pilothouse level refunds --since 24h", "pilothouse level refunds --json"),
    keys="data.agents[]: agent level name looked traits[] controls[]: level name state why remedy",
)
@click.argument("agent", required=False, default="")
@window()
@click.pass_obj
def level(run: Run, agent: str, since: str, until: str) -> None:
    """What an agent is, from stateless (1) to self-correcting (5), and which controls that demands."""
    query = {"since": since, "until": until}
    if agent:
        run.output.envelope(run.client.get(f"/agents/{segment(agent)}/level", query), human=_level)
    else:
        run.output.envelope(run.client.get("/levels", query), human=_levels)


def _levels(data: dict[str, Any]) -> list[str]:
    rows = (
        (f"L{one['level']} {one['name']}", one["agent"], one["looked"]["of_traces"], one["missing"], one["unknown"], one["present"],
         " ".join(control["name"] for control in one["controls"] if control["state"] == "missing"))
        for one in data["agents"]
    )  # fmt: skip
    return table(("level", "agent", "traces", "missing", "unknown", "present", "missing controls"), rows,
                 right="traces missing unknown present")  # fmt: skip


def _level(data: dict[str, Any]) -> Iterable[str]:
    for one in data["agents"]:
        looked = one["looked"]
        yield f"{one['agent']}  L{one['level']} {one['name']}  (looked at {looked['traces']:,} of {looked['of_traces']:,} traces)"
        yield ""
        yield "what its traces show"
        for trait in one["traits"]:
            mark = "yes" if trait["counts"] else "no "
            where = f"  e.g. pilothouse show {_place(trait['examples'][0])}" if trait["examples"] else ""
            yield f"  {mark}  L{trait['level']} {trait['meaning']}: {trait['traces']:,} traces, {trait['share']:.0%}{where}"
        yield ""
        yield "controls this demands"
        for control in one["controls"]:
            yield f"  {control['state']:<8} L{control['level']} {control['name']}: {one_line(control['why'], 200)}"
            if control["remedy"]:
                yield f"           do: {one_line(control['remedy'], 200)}"


def _place(example: dict[str, Any]) -> str:
    step = f" --step {example['step']:03d}" if example["step"] else ""
    return f"{example['trace_id'][:12]}{step}"
