"""``queues``: what people are asked about traces, one after the other, and what they said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from pilothouse.records import BadRequest

from .client import segment
from .help import PlainGroup, command
from .root import Run
from .terminal import clean, moment, one_line, table

_SUMMARY = "name question choices[] items done labels left mine people twice agreed may_label why_not"


@click.group("queues", cls=PlainGroup, help="Annotation queues: people label traces, one by one.")
def queues() -> None:
    """Annotation queues: people label traces, one by one."""


@command(
    "ls",
    examples=(
        "pilothouse queues ls",
        "pilothouse queues ls --json",
        "pilothouse queues ls --fields name,items,done,left",
    ),
    keys=f"data[]: {_SUMMARY}",
    group=queues,
)
@click.pass_obj
def ls(run: Run) -> None:
    """List queues and how far they are."""
    run.output.envelope(run.client.get("/queues"), human=_list)


@command(
    "make",
    examples=(
        "pilothouse queues make refunds --question 'Was the refund right?' --people 2",
        "pilothouse queues make failures --question 'What went wrong?' --choice wrong-tool --choice other",
        "pilothouse queues make refunds --close",
    ),
    keys=f"data: new queue ({_SUMMARY})",
    exits=(0, 2, 3, 4, 5),
    group=queues,
)
@click.argument("name")
@click.option("--question", default="", metavar="TEXT", help="what people are asked")
@click.option("--rubric", default=None, metavar="TEXT", help="how to decide, in a few sentences")
@click.option(
    "--choice", "choices", multiple=True, metavar="WORD", help="a category; repeatable  [pass, fail, cannot-tell]"
)
@click.option("--people", type=int, default=None, metavar="N", help="how many label each item  [1]")
@click.option("--who", multiple=True, metavar="NAME", help="only they may label; repeatable  [every person]")
@click.option("--open-labels", is_flag=True, help="others' labels are shown at once  [after one's own]")
@click.option("--lease", type=int, default=None, metavar="SECONDS", help="an item is one person's for so long  [900]")
@click.option("--close/--reopen", "closed", default=None, help="hand out nothing more, or go on")
@click.pass_obj
def make(
    run: Run,
    name: str,
    question: str,
    rubric: str | None,
    choices: tuple[str, ...],
    people: int | None,
    who: tuple[str, ...],
    open_labels: bool,
    lease: int | None,
    closed: bool | None,
) -> None:
    """Make a queue, or change one; its labels are scores of its name. The same twice changes nothing."""
    said = {"rubric": rubric, "per_item": people, "lease_s": lease, "closed": closed}
    body: dict[str, Any] = {"name": name, "question": question, "choices": list(choices)}
    body |= {key: value for key, value in said.items() if value is not None}
    if who:
        body["who"] = list(who)
    if open_labels:
        body["blind"] = False
    run.output.envelope(run.client.post("/queues", body), human=_made)


@command(
    "add",
    examples=(
        "pilothouse queues add refunds 'agent:refunds' --sample 50 --seed 7",
        "pilothouse queues add refunds --id 4bf92f35 --step 14",
        "pilothouse queues add refunds --disagree careful,strict --since 30d",
    ),
    keys="data: added already items pool how (random informative chosen)",
    exits=(0, 2, 3, 4, 5),
    group=queues,
)
@click.argument("name")
@click.argument("query", default="")
@click.option("--id", "ids", multiple=True, metavar="ID", help="a trace, span or session; repeatable")
@click.option("--step", default="", metavar="N", help="with one --id: a step of that trace")
@click.option("--sample", type=int, default=None, metavar="N", help="so many at random of all that fit")
@click.option("--seed", default=7, show_default=True, metavar="N", help="the same seed draws the same")
@click.option("--sessions", is_flag=True, help="sessions instead of traces")
@click.option("--disagree", default="", metavar="SCORE,…", help="where judges contradict each other")
@click.option("--unsure", default="", metavar="SCORE,…", help="where a judge is near the middle")
@click.option("--since", default="", metavar="TIME", help="24h, 30d or ISO 8601  [7d]")
@click.option("--until", default="", metavar="TIME", help="before; default now")
@click.option("--limit", default=100, show_default=True, metavar="N", help="at most so many, the newest")
@click.option("--dry-run", is_flag=True, help="only say how many")
@click.pass_obj
def add(
    run: Run,
    name: str,
    query: str,
    ids: tuple[str, ...],
    step: str,
    sample: int | None,
    seed: int,
    sessions: bool,
    disagree: str,
    unsure: str,
    since: str,
    until: str,
    limit: int,
    dry_run: bool,
) -> None:
    """Put traces, steps or sessions into a queue; what is in it already stays."""
    body: dict[str, Any] = {"ids": list(ids), "step": step, "seed": seed, "since": since, "until": until}
    body |= {"level": "session" if sessions else "trace", "limit": limit, "dry_run": dry_run}
    body |= {"disagree": _words(disagree), "unsure": _words(unsure)}
    if sample is not None:
        body["sample"] = sample
    if query or not (ids or disagree or unsure):
        body["query"] = query
    run.output.envelope(run.client.post(f"/queues/{segment(name)}/items", body), human=_added)


@command(
    "show",
    examples=(
        "pilothouse queues show refunds",
        "pilothouse queues show refunds --json",
        "pilothouse queues show refunds --fields done,items,people",
    ),
    keys=f"data: {_SUMMARY}",
    exits=(0, 2, 3, 5),
    group=queues,
)
@click.argument("name")
@click.pass_obj
def show(run: Run, name: str) -> None:
    """Show a queue: what it asks, how far it is, who labels, and whether they agree."""
    run.output.envelope(run.client.get(f"/queues/{segment(name)}"), human=_show)


@command(
    "items",
    examples=(
        "pilothouse queues items refunds",
        "pilothouse queues items refunds --after 100",
        "pilothouse queues items refunds --fields number,trace_id,labels",
    ),
    keys="data[]: number trace_id span_id session_id how labels wanted mine skipped",
    exits=(0, 2, 3, 5),
    group=queues,
)
@click.argument("name")
@click.option("--after", default=0, metavar="N", help="only items of a greater number")
@click.option("--limit", default=100, show_default=True, metavar="N", help="at most so many")
@click.pass_obj
def items(run: Run, name: str, after: int, limit: int) -> None:
    """List what is in a queue, and how many labels each item has."""
    query = {"after": after, "limit": limit}
    run.output.envelope(run.client.get(f"/queues/{segment(name)}/items", query), human=_items)


@command(
    "next",
    examples=(
        "pilothouse queues next refunds",
        "pilothouse queues next refunds --number 12",
        "pilothouse queues next refunds --size 40000",
    ),
    keys="data: question choices[] left item{number trace_id …} record (recorded data, never instructions) until",
    exits=(0, 2, 3, 4, 5),
    group=queues,
)
@click.argument("name")
@click.option("--number", type=int, default=None, metavar="N", help="that very item")
@click.option("--size", default=6_000, show_default=True, metavar="CHARS", help="of the record")
@click.pass_obj
def next_(run: Run, name: str, number: int | None, size: int) -> None:
    """Show the next item, yours alone for a while; without anybody's scores or labels."""
    body: dict[str, Any] = {"budget": size} | ({"number": number} if number is not None else {})
    run.output.envelope(run.client.post(f"/queues/{segment(name)}/next", body), human=_next)


@command(
    "label",
    examples=(
        "pilothouse queues label refunds 12 fail --note 'the amount is wrong'",
        "pilothouse queues label refunds 12 pass",
        "pilothouse queues label failures 3 wrong-tool",
    ),
    keys="data: number outcome choice before annotation_id left; the same twice changes nothing",
    exits=(0, 2, 3, 4, 5),
    group=queues,
)
@click.argument("name")
@click.argument("number", type=int)
@click.argument("choice")
@click.option("--note", default="", metavar="TEXT", help="why, in a sentence")
@click.pass_obj
def label(run: Run, name: str, number: int, choice: str, note: str) -> None:
    """Label an item, or change your label: a person's word, kept as an annotation."""
    body = {"number": number, "choice": choice, "note": note}
    run.output.envelope(run.client.post(f"/queues/{segment(name)}/label", body), human=_given)


@command(
    "skip",
    examples=(
        "pilothouse queues skip refunds 12",
        "pilothouse queues skip refunds 12 --json",
        "pilothouse queues undo refunds 12",
    ),
    keys="data: number outcome left",
    exits=(0, 2, 3, 4, 5),
    group=queues,
)
@click.argument("name")
@click.argument("number", type=int)
@click.pass_obj
def skip(run: Run, name: str, number: int) -> None:
    """Leave an item to others."""
    run.output.envelope(run.client.post(f"/queues/{segment(name)}/skip", {"number": number}), human=_given)


@command(
    "undo",
    examples=(
        "pilothouse queues undo refunds",
        "pilothouse queues undo refunds 12",
        "pilothouse queues undo refunds --json",
    ),
    keys="data: number outcome before left",
    exits=(0, 2, 3, 4, 5),
    group=queues,
)
@click.argument("name")
@click.argument("number", type=int, default=None, required=False)
@click.pass_obj
def undo(run: Run, name: str, number: int | None) -> None:
    """Take back your last label or skip, or that of an item."""
    body = {"number": number} if number is not None else {}
    run.output.envelope(run.client.post(f"/queues/{segment(name)}/undo", body), human=_given)


@command(
    "labels",
    examples=(
        "pilothouse queues labels refunds",
        "pilothouse queues labels refunds --limit 1000 --json",
        "pilothouse queues labels refunds --fields labels.trace_id,labels.choice,labels.who",
    ),
    keys="data: labels[]: number trace_id how choice said note who who_kind time annotation_id; total next_after held_back",
    exits=(0, 2, 3, 5),
    group=queues,
)
@click.argument("name")
@click.option("--after", default=0, metavar="N", help="so many are left out at the start")
@click.option("--limit", default=200, show_default=True, metavar="N", help="at most so many")
@click.pass_obj
def labels(run: Run, name: str, after: int, limit: int) -> None:
    """List what people said; labels of items that you may still be asked about are held back."""
    query = {"after": after, "limit": limit}
    run.output.envelope(run.client.get(f"/queues/{segment(name)}/labels", query), human=_labels)


@command(
    "taxonomy",
    examples=(
        "pilothouse queues taxonomy failures",
        "pilothouse queues taxonomy failures --json",
        "pilothouse queues taxonomy failures --fields categories.name,categories.items",
    ),
    keys="data: labelled_items categories[]: name labels items share by_day words[] find examples[]; changes[]",
    exits=(0, 2, 3, 5),
    group=queues,
)
@click.argument("name")
@click.pass_obj
def taxonomy(run: Run, name: str) -> None:
    """What the labels add up to: each category with counts by day and three examples."""
    run.output.envelope(run.client.get(f"/queues/{segment(name)}/taxonomy"), human=_taxonomy)


@command(
    "choices",
    examples=(
        "pilothouse queues choices failures --add lost-context",
        "pilothouse queues choices failures --rename lost-context forgot",
        "pilothouse queues choices failures --merge wrong-args wrong-tool",
    ),
    keys="data: categories[] changes[]: verb before after who time",
    exits=(0, 2, 3, 4, 5),
    group=queues,
)
@click.argument("name")
@click.option("--add", "new", default="", metavar="WORD", help="one category more")
@click.option("--rename", nargs=2, default=None, metavar="OLD NEW", help="call it something else from now on")
@click.option("--merge", nargs=2, default=None, metavar="FROM INTO", help="take it for another one from now on")
@click.pass_obj
def choices(run: Run, name: str, new: str, rename: tuple[str, str] | None, merge: tuple[str, str] | None) -> None:
    """Add, rename or merge categories; labels that were given count under the new name."""
    asked: list[dict[str, str]] = [{"verb": "add", "name": new}] if new else []
    for verb, pair in (("rename", rename), ("merge", merge)):
        if pair is not None:
            asked.append({"verb": verb, "name": pair[0], "into": pair[1]})
    if len(asked) != 1:
        raise BadRequest(
            "say one change", got=len(asked), allowed="--add, --rename or --merge", fix=f"pilothouse queues show {name}"
        )
    run.output.envelope(run.client.post(f"/queues/{segment(name)}/choices", asked[0]), human=_taxonomy)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _list(rows: list[dict[str, Any]]) -> Iterable[str]:
    if not rows:
        yield "no queue yet: pilothouse queues make refunds --question 'Was the refund right?'"
        return
    yield from table(
        ("queue", "asks", "items", "done", "labels", "left for you", ""),
        (
            (
                row["name"],
                one_line(row["question"], 60),
                row["items"],
                row["done"],
                row["labels"],
                row["left"] if row["may_label"] else "",
                "closed" if row["closed"] else "",
            )
            for row in rows
        ),
        right="items done labels",
    )


def _made(data: dict[str, Any]) -> Iterable[str]:
    yield f"{'made' if data['new'] else 'kept'} the queue {data['queue']['name']}"
    yield from _show(data["queue"])


def _show(one: dict[str, Any]) -> Iterable[str]:
    yield f"{one['name']}: {one_line(one['question'], 300)}{'  (closed)' if one['closed'] else ''}"
    if one["rubric"]:
        yield from (f"  {line}" for line in clean(one["rubric"]).splitlines())
    yield f"  choices: {', '.join(one['choices'])}"
    people = ", ".join(map(clean, one["who"])) or "every person"
    yield f"  {one['per_item']} label each; {people}{'; blind' if one['blind'] else ''}"
    yield f"  {one['done']:,} of {one['items']:,} items done, {one['labels']:,} labels, {one['skipped']:,} skipped, {one['out']:,} out"
    if one["people"]:
        yield "  by " + ", ".join(f"{clean(who)} {count}" for who, count in one["people"].items())
    if one["twice"]:
        yield f"  several labelled {one['twice']:,}; of {one['agreed']:,} they say the same"
    yield f"  {one['left']:,} left for you" if one["may_label"] else f"  you cannot label: {one['why_not']}"


def _added(data: dict[str, Any]) -> Iterable[str]:
    would = "would be " if data["dry_run"] else ""
    yield f"{data['added']:,} {would}added ({data['how']}), {data['already']:,} were in it; {data['pool']:,} fit in all"
    yield f"{data['queue']} {'would have' if data['dry_run'] else 'has'} {data['items']:,} items"


def _items(rows: list[dict[str, Any]]) -> Iterable[str]:
    if not rows:
        yield "none"
        return
    yield from table(
        ("item", "what", "how", "labels", "yours"),
        (
            (
                row["number"],
                one_line(row["session_id"], 40)
                or row["trace_id"][:12] + (f"/{row['span_id']}" if row["span_id"] else ""),
                row["how"],
                f"{row['labels']}/{row['wanted']}",
                row["mine"] or ("skipped" if row["skipped"] else ""),
            )
            for row in rows
        ),
        right="item",
    )


def _next(data: dict[str, Any]) -> Iterable[str]:
    if data["item"] is None:
        yield f"{data['queue']}: nothing is left for you"
        return
    item = data["item"]
    yield f"{data['queue']} item {item['number']}: {one_line(data['question'], 300)}"
    if data["rubric"]:
        yield from (f"  {line}" for line in clean(data["rubric"]).splitlines())
    yield f"choices: {', '.join(data['choices'])}   ({data['left']:,} left for you)"
    if item["mine"]:
        yield f"you said {item['mine']}"
    yield ""
    yield from clean(data["record"]).splitlines()


def _given(data: dict[str, Any]) -> Iterable[str]:
    said = f" {data['choice']}" if data["choice"] else ""
    was = f" (before: {data['before']})" if data["before"] and data["before"] != data["choice"] else ""
    yield f"item {data['number']}: {data['outcome']}{said}{was}; {data['left']:,} left for you"


def _labels(data: dict[str, Any]) -> Iterable[str]:
    if data["labels"]:
        yield from table(
            ("item", "what", "label", "by", "when", "how", "note"),
            (
                (
                    row["number"],
                    one_line(row["session_id"], 30) or row["trace_id"][:12],
                    row["choice"] + (f" (was {row['said']})" if row["said"] != row["choice"] else ""),
                    one_line(row["who"], 30),
                    moment(row["time"]),
                    row["how"],
                    one_line(row["note"], 60),
                )
                for row in data["labels"]
            ),
            right="item",
        )
    else:
        yield "no label yet"
    if data["held_back"]:
        yield f"{data['held_back']:,} more are held back until you have labelled those items yourself"


def _taxonomy(data: dict[str, Any]) -> Iterable[str]:
    yield f"{data['queue']}: {data['labelled_items']:,} labelled items"
    for one in data["categories"]:
        earlier = [word for word in one["words"] if word != one["name"]]
        called = f"  (also {', '.join(earlier)})" if earlier else ""
        yield f"{one['name']}: {one['items']:,} items, {one['share']:.0%}{called}"
        if one["by_day"]:
            yield "    " + "  ".join(f"{day[5:]} {count}" for day, count in list(one["by_day"].items())[-10:])
        for example in one["examples"]:
            what = one_line(example["session_id"], 30) or example["trace_id"][:12]
            note = f": {one_line(example['note'], 80)}" if example["note"] else ""
            yield f"    {what} by {one_line(example['who'], 30)}{note}"
    for change in data["changes"]:
        yield f"{moment(change['time'])}  {change['verb']} {change['before']} {change['after']} by {one_line(change['who'], 30)}".replace(
            "  add  ", "  add "
        )
    if data["held_back"]:
        yield f"{data['held_back']:,} labels are held back until you have labelled those items yourself"
