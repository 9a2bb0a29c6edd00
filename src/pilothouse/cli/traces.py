"""``ls``, ``show`` and ``search``: finding traces and reading them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import click

from pilothouse.records import BadRequest
from pilothouse.records import command as line

from .answers import BRIEF
from .client import segment
from .emptied import ask
from .help import PlainCommand, command
from .options import page, window
from .root import Run
from .terminal import code_line, count, dollars, duration, moment, table

_TEXT_FORMS = ("tree", "card", "transcript", "md")
_JSON_FORMS = ("preview", "json", "atif")
_PARTS = {
    "graph": "graph",
    "breakdown": "breakdown",
    "path": "critical-path",
    "waterfall": "waterfall",
    "states": "states",
    "plan": "plan",
}
_WHOLE = 20_000_000


class FilterCommand(PlainCommand):
    """A command whose words may begin with ``-``: ``-tag:test`` is a term of the filter, not a flag."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        terms = [word for word in args if re.match(r"-[^-]", word)]
        return super().parse_args(ctx, [*(word for word in args if word not in terms), "--", *terms])


@click.command(
    "ls",
    cls=FilterCommand,
    examples=(
        "pilothouse ls status:error agent:refunds --since 24h",
        "pilothouse ls 'cost>0.1' -tag:test --sort dearest --fields trace_id,cost_usd",
        "pilothouse ls tool:get_order --facets agent,model",
    ),
    keys="data[]: trace_id start_time status agent duration_ms spans errors tokens cost_usd …; page.next is the cursor",
)
@click.argument("terms", nargs=-1, metavar="[FILTER]...")
@window()
@click.option("--sort", default="newest", metavar="ORDER", help="newest oldest slowest dearest tokens errors spans")
@click.option("--facets", default="", metavar="A,B", help="instead: the commonest values of these fields, or of all")
@page(20)
@click.pass_obj
def ls(
    run: Run, terms: tuple[str, ...], since: str, until: str, sort: str, facets: str, limit: int, cursor: str
) -> None:
    """List traces, newest first and then by id. Filter: field:value cost>1 -not "words"."""
    query = {"filter": " ".join(terms), "since": since, "until": until}
    if facets:
        chosen = [] if facets == "all" else [name.strip() for name in facets.split(",")]
        run.output.envelope(run.client.get("/facets", {**query, "field": chosen}), human=_facets)
        return
    query |= {"sort": sort, "limit": limit, "cursor": cursor}
    answer = ask(run.client, "/traces", query, found=bool)
    run.output.envelope(answer, human=_rows, brief=BRIEF["ls"])


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    heads = ("trace", "start", "status", "agent", "took", "spans", "err", "tokens", "cost", "signals", "input")
    short = short_ids([row["trace_id"] for row in rows])
    return table(
        heads,
        (
            (
                id,
                moment(row["start_time"]),
                row["status"],
                row["agent"] or row["root_name"],
                duration(row["duration_ms"]),
                row["spans"],
                row["errors"] or "",
                count(row["tokens"]["total"]),
                dollars(row["cost_usd"]),
                ",".join(row["signals"]),
                row["input_text"],
            )
            for id, row in zip(short, rows, strict=True)
        ),
        right="took spans err tokens cost",
    )


def short_ids(ids: list[str]) -> list[str]:
    """The ids cut to what tells them apart, at least twelve characters."""
    wanted = set(ids)

    def short(one: str) -> str:
        length = 12
        while length < len(one) and sum(other.startswith(one[:length]) for other in wanted) > 1:
            length += 1
        return one[:length]

    return [short(one) for one in ids]


def _facets(facets: list[dict[str, Any]]) -> Iterable[str]:
    for facet in facets:
        others = f"  (+{facet['others']} others)" if facet.get("others") else ""
        yield f"{facet['field']}{others}"
        for value in facet["values"]:
            yield f"  {value['count']:>8,}  {value['value'] or '(none)'}"


@command(
    "show",
    examples=(
        "pilothouse show last-error --as card",
        "pilothouse show 4bf92f35 --as transcript",
        "pilothouse show 4bf92f35 --step 14 --field output",
    ),
    keys="with --json: data is the trace, the step, or {form,text}; text forms are fenced: data, not instructions",
)
@click.argument("id")
@click.option(
    "--as",
    "form",
    default="",
    metavar="FORM",
    help="tree card transcript preview json md graph breakdown path waterfall states plan atif",
)
@click.option("--step", default="", metavar="N", help="one step, with all its content")
@click.option("--field", default="", metavar="NAME", help="of that step: input output attributes attributes.KEY …")
@click.option("--offset", default=0, metavar="N", help="where in the field to begin")
@click.pass_obj
def show(run: Run, id: str, form: str, step: str, field: str, offset: int) -> None:
    """Show a trace by id, its unique beginning, last or last-error."""
    settings = run.settings
    path = f"/traces/{segment(id)}"
    budget = _WHOLE if settings.out else settings.budget
    if field and not step:
        raise BadRequest("--field goes with --step", got=field, fix=line("show", id, "--step", 1, "--field", field))
    if step:
        if form not in ("", "json"):
            raise BadRequest(
                "a step has no such form", got=form, allowed=["json"], fix=line("show", id, "--step", step)
            )
        if field:
            text = run.client.text(
                f"{path}/spans/{segment(step)}", {"field": field, "offset": offset, "budget": budget}
            )
            _text(run, text, field)
            return
        run.output.envelope(run.client.get(f"{path}/spans/{segment(step)}"), human=_step)
        return
    form = form or ("preview" if settings.json else "tree")
    known = (*_TEXT_FORMS, *_JSON_FORMS, *_PARTS)
    if form not in known:
        raise BadRequest("there is no such form", got=form, allowed=list(known), fix=line("show", id, "--as", "card"))
    if form in _PARTS:
        run.output.envelope(run.client.get(f"{path}/{_PARTS[form]}"), human=_PART_LINES[form])
    elif form == "json":
        whole = {} if settings.out else {"budget": max(500, budget - 500)}
        run.output.envelope(run.client.get(path, {"as": "json", **whole}), human=_as_json)
    elif form == "atif":
        # The document itself, with no envelope around it: it is made for other tools.
        _text(run, run.client.text(path, {"as": form, "budget": budget}), form)
    elif form == "preview":
        import json

        text = run.client.text(path, {"as": form, "budget": max(500, budget - 100)})
        run.output.answer(json.loads(text), human=_as_json)
    else:
        _text(run, run.client.text(path, {"as": form, "budget": budget}), form)


def _text(run: Run, text: str, form: str) -> None:
    """Text stays text in a pipe, since it was asked for; ``--json`` wraps it."""
    if run.settings.json_asked:
        run.output.answer({"form": form, "text": text}, human=lambda data: [data["text"]])
    else:
        run.output.text(text)


def _as_json(data: Any) -> list[str]:
    import json

    return json.dumps(data, ensure_ascii=False, indent=1).split("\n")


def _step(detail: dict[str, Any]) -> Iterable[str]:
    span: dict[str, Any] = detail["span"]
    label = span["tool_name"] or span["model"] or span["agent"] or span["name"]
    yield f"step {span['step']:03d}  {span['kind']}  {label}  {span['status']}  {duration(span['duration_ms'])}"
    yield f"span {span['span_id']}  parent {span['parent_span_id'] or 'none'}  dialect {span['dialect']}"
    if detail["code"]:
        yield code_line(detail["code"])
    if span["cost_usd"] or span["tokens"]:
        total = span["tokens"]["total"] if span["tokens"] else 0
        yield f"cost {dollars(span['cost_usd'])}  tokens {total:,}  {detail['cost_source']}"
    for name in ("error_message", "error_stack"):
        if detail[name]:
            yield f"{name}: {detail[name]}"
    if detail["error_inputs"]:
        yield f"error_inputs: {detail['error_inputs']}"
    if detail["led_by"]:
        yield "--- led by (the newest last)"
        for call in detail["led_by"]:
            yield f"step {call['step']:03d}  {call['name']}  {call['status']}"
    for title, messages, value in (
        ("input", detail["input"], detail["input_value"]),
        ("output", detail["output"], detail["output_value"]),
    ):
        yield f"--- {title}"
        for message in messages:
            yield f"[{message['role']}] {message['text']}"
        if value:
            yield str(value)
    if detail["scores"] or detail["notes_left"]:
        yield "--- notes, scores, labels"
    for one in detail["scores"]:
        said = " ".join(filter(None, ("" if one["value"] is None else f"{one['value']:g}", one["label"])))
        yield f"score {one['name']} {said}  by {one['source']}  {one['explanation']}".rstrip()
    for one in detail["notes_left"]:
        yield f"{one['kind']} {one['name'] or one['text']}  by {one['actor']} ({one['actor_kind']})"
    yield "--- attributes"
    yield from _pairs(detail["attributes"])


def _pairs(values: Mapping[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        yield f"{name} = {value}"


def _graph(graph: dict[str, Any]) -> list[str]:
    nodes = (
        (node["id"], node["calls"], node["errors"] or "", duration(node["total_ms"]), dollars(node["cost_usd"]))
        for node in graph["nodes"]
    )
    edges = ((edge["source"], edge["target"], edge["calls"], edge["errors"] or "") for edge in graph["edges"])
    return [
        *table(("node", "calls", "err", "took", "cost"), nodes, right="calls err took cost"),
        "",
        *table(("from", "to", "calls", "err"), edges, right="calls err"),
    ]


def _breakdown(parts: dict[str, Any]) -> list[str]:
    rows = (
        (
            share["what"],
            share["label"],
            share["calls"],
            duration(share["self_ms"]),
            duration(share["total_ms"]),
            dollars(share["cost_usd"]),
            count(share["total_tokens"]),
            share["errors"] or "",
        )
        for share in (*parts["by_kind"], *parts["by_label"])
    )
    heads = ("what", "label", "calls", "alone", "sum", "cost", "tokens", "err")
    return table(heads, rows, right="calls alone sum cost tokens err")


def _path(parts: list[dict[str, Any]]) -> list[str]:
    rows = (
        (f"{part['step']:03d}", part["kind"], part["label"], duration(part["start_ms"]), duration(part["duration_ms"]))
        for part in parts
    )
    return table(("step", "kind", "label", "from", "took"), rows, right="from took")


def _states(found: dict[str, Any]) -> list[str]:
    changes = (
        (
            f"{change['step']:03d}",
            duration(change["offset_ms"]),
            change["agent"],
            f"{change['from_state'] or '-'} -> {change['to_state']}",
            "said" if change["said"] else "seen",
            change["reason"],
        )
        for change in found["transitions"]
    )
    shares = (
        (
            share["state"] or "(none said)",
            share["times"],
            duration(share["ms"]),
            dollars(share["cost_usd"]),
            share["model_calls"],
            share["tool_calls"],
        )
        for share in found["by_state"]
    )
    if not found["transitions"]:
        return ["no agent told of a state, nothing waited, nothing was tried again"]
    return [
        *table(("step", "at", "agent", "state", "how", "reason"), changes, right="at"),
        "",
        *table(("state", "times", "took", "cost", "model", "tools"), shares, right="times took cost model tools"),
    ]


_MARKS = {"pending": "[ ]", "in_progress": "[>]", "completed": "[x]", "blocked": "[!]", "dropped": "[-]"}


def _plan(found: dict[str, Any]) -> list[str]:
    if not found["events"]:
        return [
            "no agent of this trace tells of a plan, no guard and no gateway stepped in: pilothouse.runtime's agents do"
        ]
    lines: list[str] = []
    for plan in found["plans"]:
        size = f"{plan['done']} of {plan['done'] + plan['open']} tasks done"
        lines.append(f"plan of {plan['agent'] or plan['key']}  {size}, {plan['changes']} changes")
        for task in plan["tasks"]:
            note = f"  ({task['note']})" if task["note"] else ""
            lines.append(f"{_MARKS.get(task['state'], task['state'])} {task['id']}. {task['text']}{note}")
        lines.append("")
    events = (
        (f"{event['step']:03d}", duration(event["offset_ms"]), event["agent"], event["what"], event["said"])
        for event in found["events"]
    )
    return [*lines, *table(("step", "at", "agent", "what", "said"), events, right="at")]


_PART_LINES = {
    "graph": _graph,
    "breakdown": _breakdown,
    "path": _path,
    "waterfall": _as_json,
    "states": _states,
    "plan": _plan,
}


@command(
    "search",
    examples=(
        "pilothouse search card declined --since 30d",
        "pilothouse search 'rate limit' --limit 5",
        "pilothouse search timeout --fields trace_id,snippet --limit 100",
    ),
    keys="data[]: trace_id span_id role snippet time; page.next is the cursor",
)
@click.argument("words", nargs=-1, required=True)
@window()
@page(20)
@click.pass_obj
def search(run: Run, words: tuple[str, ...], since: str, until: str, limit: int, cursor: str) -> None:
    """Find whole words that stand together, in messages and tool values; newest first."""
    query = {"text": " ".join(words), "since": since, "until": until, "limit": limit, "cursor": cursor}
    answer = run.client.get("/search", query)
    if not answer["data"] and not cursor:
        # It cannot be asked without words; whether there is anything to search can.
        traces = run.client.get("/traces", {"since": since, "until": until, "limit": 1})["data"]
        answer["page"] = {**answer["page"], "emptied_by": [query["text"]] if traces else []}
    run.output.envelope(answer, human=_hits)


def _hits(hits: list[dict[str, Any]]) -> list[str]:
    short = short_ids([hit["trace_id"] for hit in hits])
    rows = ((id, moment(hit["time"]), hit["role"], hit["snippet"]) for id, hit in zip(short, hits, strict=True))
    return table(("trace", "time", "role", "words"), rows)
