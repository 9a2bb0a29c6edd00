"""``decision``: what the model calls of a trace decided, and on what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from pilothouse.records import BadRequest
from pilothouse.records import command as line

from .budget import dumps
from .client import segment
from .help import command
from .root import Run
from .terminal import code_line, table

_PARTS = ("prompt", "raw_response")
_PROMPT_CHARS = 2_000


@command(
    "decision",
    examples=(
        "pilothouse decision last",
        "pilothouse decision 4bf92f35 14",
        "pilothouse decision 4bf92f35 14 --field prompt --out prompt.json",
    ),
    keys="data: rows[] step model actions valid tools_not_chosen; with STEP: prompt_sha256 prompt raw_response actions[] valid …",
)
@click.argument("id")
@click.argument("step", default="")
@click.option(
    "--field", default="", metavar="NAME", help="of that step, as it is: prompt (its SHA-256 fits) raw_response"
)
@click.option("--after", default=0, metavar="N", help="without STEP: only decisions after this step")
@click.option("--limit", default=100, show_default=True, metavar="N", help="decisions a page")
@click.pass_obj
def decision(run: Run, id: str, step: str, field: str, after: int, limit: int) -> None:
    """Say what each model call decided; with STEP the whole record: prompt, answer, action, valid or not, tools."""
    if not step:
        if field:
            raise BadRequest("--field goes with a step", got=field, fix=line("decision", id, 1, "--field", field))
        found = run.client.get(f"/traces/{segment(id)}/decisions", {"after_step": after, "limit": limit})
        run.output.envelope(found, human=_rows)
        return
    path = f"/traces/{segment(id)}/spans/{segment(step)}/decision"
    if field:
        if field not in _PARTS:
            raise BadRequest(
                "a decision has no such part",
                got=field,
                allowed=list(_PARTS),
                fix=line("decision", id, step, "--field", "prompt"),
            )
        run.output.text(run.client.text(path, {"field": field}))
        return
    run.output.envelope(run.client.get(path), human=_record)


def _rows(data: dict[str, Any]) -> Iterable[str]:
    rows = (
        (
            f"{row['step']:03d}",
            row["agent"],
            row["model"],
            _validity(row["valid"]),
            "; ".join(row["actions"]) or f"({row['status']})",
            f"{row['tools_offered'] - len(row['tools_not_chosen'])} of {row['tools_offered']}",
            row["invalid_reason"],
        )
        for row in data["rows"]
    )
    yield from table(("step", "agent", "model", "valid", "action", "tools", "why not"), rows)
    if data["next_step"] is not None:
        yield f"more of {data['total']:,}: --after {data['next_step']}"


def _record(data: dict[str, Any]) -> Iterable[str]:
    yield f"step {data['step']:03d}  {data['model']}  {data['status']}  agent {data['agent'] or 'none'}"
    if data["code"]:
        yield code_line(data["code"])
    intact = {True: ", and the stored prompt still has it", False: "; the stored prompt differs: masked or cut since"}
    came = {"recorder": "hashed as it was sent", "stored": "over what is stored", "": "no messages were recorded"}
    yield f"prompt {data['prompt_sha256'] or 'unknown'}  ({came[data['prompt_from']]}{intact.get(data['prompt_intact'], '')})"
    yield f"  {data['prompt_messages']} messages, {len(data['tools_offered'])} tools, {len(data['prompt']):,} characters"
    judged = f" (by the {data['judged_by']})" if data["judged_by"] else ""
    yield f"valid {_validity(data['valid'])}{judged}" + (
        f": {data['invalid_reason']}" if data["invalid_reason"] else ""
    )
    for action in data["actions"]:
        yield "next " + _action(action)
    yield "not chosen " + (", ".join(data["tools_not_chosen"]) or "nothing")
    if data["raw_response"]:
        yield f"--- raw answer ({data['raw_from']})"
        yield data["raw_response"]
    else:
        yield "--- answer (its emitter keeps no raw one)"
        for message in data["answer"]:
            yield f"[{message['role']}] {message['text']}"
    yield "--- prompt"
    prompt = data["prompt"]
    yield prompt if len(prompt) <= _PROMPT_CHARS else f"{prompt[:_PROMPT_CHARS]}… (--field prompt gives all of it)"


def _action(action: dict[str, Any]) -> str:
    if action["type"] == "tool_call":
        done = f"  -> step {action['step']:03d} {action['outcome']}" if action["step"] else "  -> not seen"
        return f"tool {action['tool']} {dumps(action['arguments'])}{done}"
    return f"{action['type']} {action['text']}".strip()


def _validity(valid: bool | None) -> str:
    return "?" if valid is None else "yes" if valid else "NO"
