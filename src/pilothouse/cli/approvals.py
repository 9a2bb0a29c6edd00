"""``approvals``: actions that wait for a person: look, decide, ask for one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import click

from pilothouse.records import BadRequest, NeedsApproval
from pilothouse.records import command as command_line

from .answers import BRIEF
from .client import segment
from .help import PlainGroup, command
from .options import page
from .root import Run
from .terminal import moment, one_line, table

_EXITS = (0, 2, 3, 4, 5, 8)
_KEYS = "data: approval_id state sentence tool arguments digest rule reviewers needs agreed missing deadline feedback …"


@click.group("approvals", cls=PlainGroup, help="Actions that wait for a person.")
def approvals() -> None:
    """Actions that wait for a person."""


@command(
    "ls",
    group=approvals,
    examples=(
        "pilothouse approvals ls",
        "pilothouse approvals ls --state pending --json",
        "pilothouse approvals ls --state executed,failed --agent refunds --limit 5",
    ),
    keys="data[]: approval_id state tool agent risk rule missing deadline …",
)
@click.option(
    "--state", default="", metavar="STATE", help="pending approved reserved executed failed unknown rejected …"
)
@click.option("--agent", default="", metavar="NAME", help="only of this agent")
@click.option("--of-run", default="", metavar="RUN", help="only of this run")
@page(20)
@click.pass_obj
def ls(run: Run, state: str, agent: str, of_run: str, limit: int, cursor: str) -> None:
    """List approvals as they stand at this moment, newest first."""
    query = {"state": state, "agent": agent, "run": of_run, "limit": limit, "cursor": cursor}
    run.output.envelope(run.client.get("/approvals", query), human=_rows, brief=BRIEF["approvals ls"])


@command(
    "show",
    group=approvals,
    examples=(
        "pilothouse approvals show apr_01m8j5mtz9te5jsfgsh1",
        "pilothouse approvals show apr_01m8j5mt --wait 60",
        "pilothouse approvals show apr_01m8j5mt --fields approval.state,approval.feedback",
    ),
    keys="data: approval (state sentence tool arguments digest …), history[] (kind at who text), notices[]",
    exits=_EXITS,
)
@click.argument("id")
@click.option("--wait", default=0, metavar="N", help="until it is decided, at most so many seconds (60); else exit 8")
@click.pass_obj
def show(run: Run, id: str, wait: int) -> None:
    """Show one action: what it will do, why, how far it reaches, and all that happened."""
    answer = run.client.get(f"/approvals/{segment(id)}", {"wait": wait})
    run.output.envelope(answer, human=_one)
    found = answer["data"]["approval"]
    if wait and found["state"] == "pending":
        raise _waiting(found)


@command(
    "approve",
    group=approvals,
    examples=(
        "pilothouse approvals approve apr_01m8j5mtz9te5jsfgsh1",
        "pilothouse approvals approve apr_01m8j5mt --note 'as discussed'",
        "pilothouse approvals approve apr_01m8j5mt --digest 9f86d081…",
    ),
    keys=_KEYS,
    exits=_EXITS,
)
@click.argument("id")
@click.option("--note", default="", metavar="TEXT", help="for the record")
@click.option("--digest", default="", metavar="HEX", help="of the action you looked at; default: as it is now")
@click.pass_obj
def approve(run: Run, id: str, note: str, digest: str) -> None:
    """Say yes to exactly this action. A person does, not an agent."""
    found = _found(run, id)
    _decide(run, found, "approve", {"digest": digest or found["digest"], "note": note})


@command(
    "reject",
    group=approvals,
    examples=(
        "pilothouse approvals reject apr_01m8j5mt --why 'use a soft delete'",
        "pilothouse approvals reject apr_01m8j5mt --why 'not today' --json",
        "pilothouse approvals ls --state rejected",
    ),
    keys=_KEYS,
    exits=_EXITS,
)
@click.argument("id")
@click.option("--why", required=True, metavar="TEXT", help="the agent is told, and plans anew")
@click.pass_obj
def reject(run: Run, id: str, why: str) -> None:
    """Say no, and why: the agent is told."""
    _decide(run, _found(run, id), "reject", {"text": why})


@command(
    "edit",
    group=approvals,
    examples=(
        'pilothouse approvals edit apr_01m8j5mt --arguments \'{"statement": "DELETE FROM old LIMIT 10"}\'',
        "pilothouse approvals edit apr_01m8j5mt --arguments arguments.json",
        "pilothouse approvals edit apr_01m8j5mt --arguments - --note 'smaller'",
    ),
    keys=_KEYS,
    exits=_EXITS,
)
@click.argument("id")
@click.option("--arguments", required=True, metavar="JSON", help="all of them: JSON, a file, or - for stdin")
@click.option("--note", default="", metavar="TEXT", help="for the record")
@click.pass_obj
def edit(run: Run, id: str, arguments: str, note: str) -> None:
    """Say yes to other arguments: policy and guards check them, and exactly they run."""
    given = _arguments(arguments)
    found = _found(run, id)
    _decide(run, found, "edit", {"digest": found["digest"], "arguments": given, "note": note})


@command(
    "ask",
    group=approvals,
    examples=(
        "pilothouse approvals ask apr_01m8j5mt --text 'which orders?'",
        "pilothouse approvals ask apr_01m8j5mt --text 'why now?' --json",
        "pilothouse approvals show apr_01m8j5mt --wait 60",
    ),
    keys=_KEYS,
    exits=_EXITS,
)
@click.argument("id")
@click.option("--text", required=True, metavar="TEXT", help="what you want to know")
@click.pass_obj
def ask(run: Run, id: str, text: str) -> None:
    """Ask whoever wants it; it stays pending until it is answered and decided."""
    _decide(run, _found(run, id), "ask", {"text": text})


@command(
    "answer",
    group=approvals,
    examples=(
        "pilothouse approvals answer apr_01m8j5mt --text 'those of 2019'",
        "pilothouse approvals answer apr_01m8j5mt --text 'see the ticket' --json",
        "pilothouse approvals show apr_01m8j5mt",
    ),
    keys=_KEYS,
    exits=_EXITS,
)
@click.argument("id")
@click.option("--text", required=True, metavar="TEXT", help="what you say to it")
@click.pass_obj
def answer(run: Run, id: str, text: str) -> None:
    """Answer a reviewer's question."""
    _decide(run, _found(run, id), "answer", {"text": text})


@command(
    "delegate",
    group=approvals,
    examples=(
        "pilothouse approvals delegate apr_01m8j5mt --to carol",
        "pilothouse approvals delegate apr_01m8j5mt --to carol --json",
        "pilothouse approvals show apr_01m8j5mt",
    ),
    keys=_KEYS,
    exits=_EXITS,
)
@click.argument("id")
@click.option("--to", required=True, metavar="NAME", help="who decides in your place")
@click.pass_obj
def delegate(run: Run, id: str, to: str) -> None:
    """Hand it to somebody else."""
    _decide(run, _found(run, id), "delegate", {"to": to})


@command(
    "cancel",
    group=approvals,
    examples=(
        "pilothouse approvals cancel apr_01m8j5mt",
        "pilothouse approvals cancel apr_01m8j5mt --why 'no longer needed'",
        "pilothouse approvals ls --state cancelled",
    ),
    keys=_KEYS,
    exits=_EXITS,
)
@click.argument("id")
@click.option("--why", default="", metavar="TEXT", help="the agent is told")
@click.pass_obj
def cancel(run: Run, id: str, why: str) -> None:
    """Call it off: whoever asked, or may decide."""
    _decide(run, _found(run, id), "cancel", {"text": why})


@command(
    "request",
    group=approvals,
    examples=(
        'pilothouse approvals request sql --arguments \'{"statement": "DELETE FROM old"}\' --rows 5000',
        "pilothouse approvals request deploy --reason 'the tests are green' --rollback 'deploy 41'",
        "pilothouse approvals request sql --arguments statement.json --if-needed",
    ),
    keys="data: needed rule approval page command; 8: it waits for a person, error.fix decides it",
    exits=_EXITS,
)
@click.argument("tool")
@click.option("--arguments", default="{}", metavar="JSON", help="what it is called with: JSON, a file, or - for stdin")
@click.option("--rows", default=None, type=int, metavar="N", help="rows it changes")
@click.option("--people", default=None, type=int, metavar="N", help="people it reaches")
@click.option("--usd", default=None, type=float, metavar="N", help="dollars it moves")
@click.option("--environment", default="", metavar="NAME")
@click.option("--reason", default="", metavar="TEXT", help="why")
@click.option("--expected", default="", metavar="TEXT", help="what comes of it")
@click.option("--rollback", default="", metavar="TEXT", help="how it is taken back")
@click.option("--if-needed", is_flag=True, help="only where the policy wants it")
@click.pass_obj
def request(
    run: Run,
    tool: str,
    arguments: str,
    rows: int | None,
    people: int | None,
    usd: float | None,
    environment: str,
    reason: str,
    expected: str,
    rollback: str,
    if_needed: bool,
) -> None:
    """Ask a person whether an action may be done; exit 8: it waits for one."""
    body: dict[str, Any] = {
        "tool": tool,
        "arguments": _arguments(arguments),
        "rows": rows,
        "people": people,
        "money_usd": usd,
        "environment": environment,
        "reason": reason,
        "expected": expected,
        "rollback": rollback,
        "if_needed": if_needed,
    }
    asked = run.client.post("/approvals", body)
    run.output.envelope(asked, human=_asked)
    if asked["data"]["needed"] and asked["data"]["approval"]["state"] == "pending":
        raise _waiting(asked["data"]["approval"])


def _found(run: Run, id: str) -> dict[str, Any]:
    return cast("dict[str, Any]", run.client.get(f"/approvals/{segment(id)}")["data"]["approval"])


def _decide(run: Run, found: dict[str, Any], verb: str, body: dict[str, Any]) -> None:
    made = run.client.post(f"/approvals/{segment(found['approval_id'])}/{verb}", body)
    run.output.envelope(made, human=_facts)


def _waiting(found: dict[str, Any]) -> NeedsApproval:
    return NeedsApproval(
        "it waits for a person",
        got=found["approval_id"],
        allowed=f"until {found['deadline']}",
        fix=command_line("approvals", "approve", found["approval_id"]),
    )


def _arguments(text: str) -> dict[str, Any]:
    shown = text
    if text == "-":
        text = sys.stdin.read()
    elif not text.lstrip().startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise BadRequest(
                f"no JSON, and no file that can be read: {error.strerror}",
                got=shown[:200],
                fix="--arguments '{\"a\": 1}'",
            ) from error
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise BadRequest("arguments are no JSON", got=shown[:200], fix="--arguments '{\"a\": 1}'") from error
    if not isinstance(found, dict):
        raise BadRequest("arguments are names and values", got=shown[:200], fix="--arguments '{\"a\": 1}'")
    return cast("dict[str, Any]", found)


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["nothing waits"]
    return table(
        ("approval", "state", "what", "agent", "risk", "missing", "deadline"),
        (
            (
                row["approval_id"],
                row["state"],
                one_line(row["sentence"], 60),
                one_line(row["agent"] or row["asked_by"], 20),
                row["risk"],
                row["missing"],
                moment(row["deadline"]),
            )
            for row in rows
        ),
        right="missing",
    )


def _asked(data: dict[str, Any]) -> Iterable[str]:
    if not data["needed"]:
        yield f"nobody need be asked ({data['rule']})"
        return
    yield from _facts(data["approval"])
    yield f"a person decides: {data['page']}"


def _facts(found: dict[str, Any]) -> Iterable[str]:
    yield f"{found['approval_id']}  {found['state']}  risk {found['risk']}"
    yield one_line(found["sentence"], 1_000)
    for name in ("question", "feedback", "outcome"):
        if found[name]:
            yield f"{name}: {one_line(found[name], 1_000)}"
    if found["missing"]:
        named = ", ".join(found["reviewers"]) or "anybody who may decide"
        yield f"waits for {found['missing']} of: {one_line(named, 200)}; until {moment(found['deadline'])}"


def _one(data: dict[str, Any]) -> Iterable[str]:
    found = data["approval"]
    yield from _facts(found)
    yield ""
    if found["edited"]:
        yield "asked for:"
        yield from _json(found["asked_arguments"])
    yield f"{one_line(found['tool'], 200)} with:"
    yield from _json(found["arguments"])
    yield ""
    counted = f" ({one_line(found['counted'], 200)})" if found["counted"] else ""
    for name, value in (
        ("reason", found["reason"]),
        ("expected", found["expected"]),
        ("rows", "" if found["rows"] is None else f"{found['rows']:,}{counted}"),
        ("people", "" if found["people"] is None else f"{found['people']:,}{counted}"),
        ("money", "" if found["money_usd"] is None else f"{found['money_usd']:,.2f} USD"),
        ("rollback", found["rollback"]),
        ("asked by", f"{found['asked_by']} ({found['asked_by_kind']})"),
        ("agent", f"{found['agent']} {found['agent_version']}".strip()),
        ("environment", found["environment"]),
        ("trace", found["trace_id"]),
        ("rule", f"{found['rule']} (policy {found['policy_version']})"),
        ("not sure", found["why"]),
        ("digest", found["digest"]),
    ):
        if value:
            yield f"{name}: {one_line(str(value), 1_000)}"
    yield ""
    yield from table(
        ("when", "what", "who", "said"),
        (
            (
                moment(one["at"]),
                one["kind"],
                one_line(one["who"], 30),
                one_line(one["text"] or ", ".join(one["to"]), 80),
            )
            for one in data["history"]
        ),
    )


def _json(value: Any) -> Iterable[str]:
    # In the two ways in which one line could pass for several: escapes are JSON's own, and each line is indented.
    for line in json.dumps(value, indent=2, sort_keys=True).splitlines():
        yield f"  {line}"
