"""``eval judge``: the judges of a suite, people's labels, and what both say of each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest, Fence, NotFound

from .client import segment
from .evals import LOCAL, evals, open_suite, read_text, suite_option
from .help import PlainGroup, command
from .root import Run
from .terminal import clean, one_line, table

if TYPE_CHECKING:
    from pilothouse.evals.judges.labels import Item, Label
    from pilothouse.evals.judges.queue import Queued
    from pilothouse.evals.judges.settings import Judge
    from pilothouse.evals.suite import Suite

_SHOWN_CHARS = 6_000
_RUNS = 20
"""The newest so many runs are looked through for attempts that people labelled."""


@click.group("judge", cls=PlainGroup, help="Judges: ask models, label by people, calibrate.")
def judge() -> None:
    """Judges: ask models, label by people, calibrate."""


evals.add_command(judge)


def judges_of(suite: Suite) -> dict[str, Judge]:
    """The judges that the suite names."""
    from pilothouse.evals.judges.settings import read_judges
    from pilothouse.evals.settings import load_settings

    return read_judges(load_settings(suite.folder).judges, suite.folder)


def one_judge(suite: Suite, name: str) -> Judge:
    """A judge by its name; the suite's first where none is named.

    Raises:
        NotFound: there is none.
    """
    known = judges_of(suite)
    found = known.get(name) if name else next(iter(known.values()), None)
    if found is None:
        raise NotFound("there is no such judge", got=name or None, allowed=list(known) or None, fix="pilothouse eval judge new careful --from-criteria")  # fmt: skip
    return found


@command(
    "ls",
    examples=(
        "pilothouse eval judge ls",
        "pilothouse eval judge ls --suite evals/refunds",
        "pilothouse eval judge ls --fields judges",
    ),
    keys="data: judges[]: judge model rubric gate may_gate why_not[] labels; templates[]: name about",
    exits=LOCAL,
    group=judge,
)
@suite_option
@click.pass_obj
def ls(run: Run, suite: str) -> None:
    """The judges of a suite and whether each may gate, and the rubrics that ship."""
    from pilothouse.evals.judges.calibration import standing
    from pilothouse.evals.judges.rubrics import TEMPLATES

    found = open_suite(suite)
    rows: list[dict[str, Any]] = []
    for one in judges_of(found).values():
        held = standing(one, found.folder)
        rows.append(
            {"judge": one.id, "model": one.model, "rubric": one.rubric.name, "gate": one.gate, "may_gate": held.may_gate,
             "why_not": list(held.why_not), "labels": held.rates.items}
        )  # fmt: skip
    data = {"judges": rows, "templates": [{"name": one.name, "about": one.about} for one in TEMPLATES.values()]}
    run.output.answer(data, human=_listed)


def _listed(data: Mapping[str, Any]) -> Iterable[str]:
    if not data["judges"]:
        yield "no judges yet: pilothouse eval judge new careful --from-criteria"
    for one in data["judges"]:
        yield f"{one['judge']}  {one['model']}  {one['rubric']}  {'may gate' if one['may_gate'] else 'may not gate'}"
        yield from (f"    {clean(why)}" for why in one["why_not"])
    yield "templates:"
    yield from table(("name", "about"), ([one["name"], one["about"]] for one in data["templates"]))


@command(
    "show",
    examples=(
        "pilothouse eval judge show careful",
        "pilothouse eval judge show safety",
        "pilothouse eval judge show careful --fields rubric",
    ),
    keys="data: judge settings rubric may_gate why_not[]",
    exits=LOCAL,
    group=judge,
)
@click.argument("name")
@suite_option
@click.pass_obj
def show(run: Run, name: str, suite: str) -> None:
    """A judge of the suite with its rubric, or the rubric of a template."""
    from dataclasses import asdict

    from pilothouse.evals.judges.calibration import standing
    from pilothouse.evals.judges.rubrics import TEMPLATES

    found = open_suite(suite)
    one = judges_of(found).get(name)
    if one is None and name in TEMPLATES:
        run.output.answer(
            {"judge": "", "settings": {}, "rubric": TEMPLATES[name].text},
            human=lambda data: data["rubric"].splitlines(),
        )
        return
    one = one or one_judge(found, name)
    held = standing(one, found.folder)
    settings = {key: value for key, value in asdict(one).items() if key not in ("rubric", "name")}
    data = {"judge": one.id, "settings": settings, "rubric": one.rubric.text, "may_gate": held.may_gate, "why_not": list(held.why_not)}  # fmt: skip
    run.output.answer(
        data,
        human=lambda _: [
            one.id,
            *(f"  {key}: {value}" for key, value in settings.items()),
            "may gate" if held.may_gate else f"may not gate: {clean('; '.join(held.why_not))}",
            "",
            *clean(one.rubric.text).splitlines(),
        ],
        next=[f"pilothouse eval judge calibrate {one.name} --suite {found.folder}"],
    )


@command(
    "new",
    examples=(
        "pilothouse eval judge new careful --from-criteria --model gpt-4.1",
        "pilothouse eval judge new kind --describe 'Judge whether the tone is kind.'",
        "pilothouse eval judge new strict --from-criteria --ask careful",
    ),
    keys="data: file text section written asked",
    exits=(0, 2, 3, 5),
    group=judge,
)
@click.argument("name")
@suite_option
@click.option("--from-criteria", is_flag=True, help="out of what the suite's cases ask")
@click.option("--describe", default="", metavar="TEXT", help="what is to be judged, in a sentence")
@click.option("--template", default="", metavar="NAME", help="begin with a rubric that ships")
@click.option("--model", default="", metavar="M", help="of the new judge  [the first judge's, gpt-4.1]")
@click.option("--ask", "asked", default="", metavar="JUDGE", help="let this judge's model write it  [by template]")
@click.pass_obj
def new(
    run: Run, name: str, suite: str, from_criteria: bool, describe: str, template: str, model: str, asked: str
) -> None:
    """Write a rubric file for a new judge, and put the judge into suite.yaml where that has none."""
    from pilothouse.evals.judges.rubrics import find_rubric, made_of

    found = open_suite(suite)
    if not name.replace("-", "").replace("_", "").isalnum():
        raise BadRequest("a judge's name is letters, digits, - and _", got=name[:80])
    if not (from_criteria or describe or template):
        raise BadRequest("a rubric is made of something", fix="--from-criteria, --describe TEXT or --template NAME")
    path = found.folder / "rubrics" / f"{name}.md"
    if path.exists():
        raise BadRequest("there is a rubric of this name", got=str(path), fix="change the file, or take another name")
    criteria = _criteria(found) if from_criteria else []
    text = find_rubric(template, found.folder).text + "\n" if template else made_of(criteria, describe=describe)
    if asked:
        text = _written_by(one_judge(found, asked), text, criteria, describe)
    first = next(iter(judges_of(found).values()), None)
    section = (
        f"judges:\n  {name}: {{model: {model or (first.model if first else 'gpt-4.1')}, rubric: rubrics/{name}.md}}\n"
    )
    settings = found.folder / "suite.yaml"
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        before = settings.read_text("utf-8") if settings.exists() else ""
        written = not any(line.startswith("judges:") for line in before.splitlines())
        if written:
            settings.write_text(f"{before.rstrip()}\n{section}" if before.strip() else section, "utf-8")
    except OSError as error:
        raise BadRequest(f"the file cannot be written: {error.strerror}", got=str(path)) from error
    data = {"file": str(path), "text": text, "section": section, "written": written, "asked": asked}
    told = "suite.yaml names it now" if written else f"add it to suite.yaml:\n{section}"
    run.output.answer(
        data,
        human=lambda _: [f"wrote {path}", *told.splitlines(), "", *clean(text).splitlines()],
        next=[f"pilothouse eval judge ls --suite {found.folder}", f"pilothouse eval run --suite {found.folder}"],
    )


def _criteria(suite: Suite) -> list[str]:
    told = (one.text for id, place in suite.places().items() if place.criteria for one in suite.case(id).criteria)
    found = list(dict.fromkeys(told))
    if not found:
        raise BadRequest("no case of the suite has criteria", got=suite.name, fix="pilothouse eval edit CASE --set 'criteria=[\"…\"]'")  # fmt: skip
    return found[:50]


def _written_by(one: Judge, draft: str, criteria: Sequence[str], describe: str) -> str:
    from pilothouse.evals.judges.model import ask
    from pilothouse.evals.judges.rubrics import GENERATE

    fence = Fence()
    wanted = "\n".join([describe, *(f"- {it}" for it in criteria)]).strip()
    asked = (
        f"Mind: {fence.note}.\n\nWhat is asked of the agent:\n{fence.around(wanted)}\n\nA draft:\n{fence.around(draft)}"
    )
    said = asyncio.run(ask(one, [{"role": "system", "content": GENERATE}, {"role": "user", "content": asked}]))
    text = clean(said.text).strip()
    if not text:
        raise BadRequest("the model wrote nothing", got=one.model, fix="leave --ask out: the template makes a draft")
    return text + "\n"


@command(
    "label",
    examples=(
        "pilothouse eval judge label last --next",
        "pilothouse eval judge label last --set late-refund fail --why 'the amount is wrong'",
        "pilothouse eval judge label last --from labels.jsonl --by anna",
    ),
    keys="data: labelled[] left; item: item case criterion how reasons[] record",
    exits=LOCAL,
    group=judge,
)
@click.argument("from_run", metavar="RUN", default="last")
@suite_option
@click.option("--next", "next_", is_flag=True, help="show what to label next  [without --set]")
@click.option(
    "--set", "sets", nargs=2, multiple=True, metavar="ITEM pass|fail", help="an item, or a case of one; repeatable"
)
@click.option("--why", default="", metavar="TEXT", help="the reason, in a sentence")
@click.option("--by", default="", metavar="NAME", help="whose word it is  [the person at the terminal]")
@click.option("--from", "file", default="", metavar="FILE", help="lines of JSON: item or case, outcome, why, who")
@click.option("--judge", "name", default="", metavar="JUDGE", help="only what this one judged")
@click.option("--sample", default=100, metavar="N", help="size of the random sample  [100]")
@click.pass_obj
def label(
    run: Run,
    from_run: str,
    suite: str,
    next_: bool,
    sets: tuple[tuple[str, str], ...],
    why: str,
    by: str,
    file: str,
    name: str,
    sample: int,
) -> None:
    """Label what judges judged: by turns of a random sample, and what tells most. The judge's verdict is not shown."""
    from dataclasses import replace as changed

    from pilothouse.evals import runs
    from pilothouse.evals.judges import labels as kept
    from pilothouse.evals.judges.queue import queue

    found = open_suite(suite)
    made = runs.find(found.folder, from_run)
    items = [one for one in kept.items_of(made) if not name or one.known.judge.partition("@")[0] == name]
    if not items:
        raise NotFound("no judge scored anything in this run", got=made.about.run, fix="pilothouse eval run")
    who = _who(run, by, needed=bool(sets))
    rows = [{"item": item, "outcome": outcome, "why": why} for item, outcome in sets] + (_lines(file) if file else [])
    named = [_label(row, items, who, made.about.run) for row in rows]
    before = kept.read_labels(found.folder)
    hows = {
        person: queue(items, before, {}, who=person, sample=sample).hows(
            [one.item for one in named if one.who == person]
        )
        for person in {one.who for one in named}
    }
    labelled = [changed(one, how=hows[one.who][one.item]) for one in named]
    kept.add_labels(found.folder, labelled, {one.id: one for one in items})
    left = queue(items, kept.read_labels(found.folder), kept.read_known(found.folder), who=who, sample=sample)
    data: dict[str, Any] = {
        "run": made.about.run,
        "labelled": [{"item": one.item, "case": one.case, "outcome": one.outcome, "who": one.who, "how": one.how} for one in labelled],
        "done": left.labelled,
        "left": left.total - left.labelled,
        "random_left": len(left.random),
    }  # fmt: skip
    commands = [f"pilothouse eval judge calibrate --suite {found.folder}"]
    if (next_ or not rows) and left.next is not None:
        data["item"] = _waiting(found, left.next)
        set_ = f"pilothouse eval judge label {made.about.run} --set {left.next.item.id}"
        commands = [f"{set_} pass --suite {found.folder}", f"{set_} fail --suite {found.folder}"]
    elif left.next is not None:
        commands.insert(0, f"pilothouse eval judge label {made.about.run} --next --suite {found.folder}")
    run.output.answer(data, human=_labels, next=commands)


def _who(run: Run, by: str, *, needed: bool) -> str:
    kind, _, name = run.settings.actor.partition(" ")
    if by.strip():
        return by.strip()[:100]
    if kind != "person" or not name:
        if needed:
            raise BadRequest("a label is a person's word, and nobody is at a terminal", got=run.settings.actor, fix="--by NAME says whose it is")  # fmt: skip
        return "nobody"
    return name


def _lines(file: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise BadRequest("a line is no JSON object", got=f"line {number}: {line[:80]}")
        found.append(row)  # pyright: ignore[reportUnknownArgumentType]
    return found


def _label(row: Mapping[str, Any], items: Sequence[Item], who: str, from_run: str) -> Label:
    from pilothouse.evals.judges.labels import Label

    named = str(row.get("item") or row.get("case") or "")
    outcome: Any = row.get("outcome") or row.get("label")
    if outcome not in ("pass", "fail"):
        raise BadRequest("a label is pass or fail", got=str(outcome)[:100], allowed=["pass", "fail"])
    fitting = [one for one in items if one.id == named] or [one for one in items if one.case == named]
    fitting = fitting or [one for one in items if len(named) >= 8 and one.id.startswith(named)]
    if len(fitting) != 1:
        told = [one.id for one in fitting] or [one.case for one in items[:5]]
        message = "this names several items" if fitting else "nothing of this name was judged in the run"
        raise BadRequest(message, got=named[:200], allowed=told[:10], fix="pilothouse eval judge label RUN --next")
    one = fitting[0]
    person = str(row.get("who") or who)
    if person == "nobody":
        raise BadRequest("a label is a person's word, and this one has no name", got=named[:200], fix="--by NAME")
    return Label(
        item=one.id, outcome=outcome, who=person[:100], why=str(row.get("why") or "")[:2_000],
        case=one.case, criterion=one.criterion, run=from_run,
    )  # fmt: skip


def _waiting(suite: Suite, waiting: Queued) -> dict[str, Any]:
    from pilothouse.evals.judges.asking import evidence_of
    from pilothouse.evals.judges.transcript import fit

    one = waiting.item
    shown = fit(evidence_of(suite.folder, one.id), _SHOWN_CHARS // 3)
    record = shown.text or f"({shown.too_long})"
    return {
        "item": one.id,
        "case": one.case,
        "criterion": one.criterion,
        "how": waiting.how,
        "reasons": list(waiting.reasons),
        "record": record,
        "cut": shown.cut,
        "file": str(suite.folder / ".pilothouse/judged" / f"{one.id.partition('-')[0]}.json"),
    }


def _labels(data: Mapping[str, Any]) -> Iterable[str]:
    for one in data["labelled"]:
        yield f"{one['case']}: {one['outcome']} by {clean(one['who'])} ({one['how']})"
    yield f"{data['done']:,} labelled in {data['run']}, {data['left']:,} left, {data['random_left']:,} of them of the random sample"
    item = data.get("item")
    if item:
        fence = Fence()
        told = f": {'; '.join(item['reasons'])}" if item["reasons"] else ""
        yield f"{item['item']}  {item['case']}  [{item['how']}{told}]"
        yield f"criterion: {clean(item['criterion'])}"
        if item["cut"]:
            yield f"not shown: {item['cut']}; all of it: {item['file']}"
        yield from fence.around(clean(item["record"])).splitlines()


@command(
    "import",
    examples=(
        "pilothouse eval judge import refunds",
        "pilothouse eval judge import refunds --criterion 'The refund is right'",
        "pilothouse eval judge import refunds --suite evals/refunds",
    ),
    keys="data: queue labels fresh taken_back of_runs people[] left_out{why: count} held_back unread[]",
    exits=(0, 2, 3, 4, 5),
    group=judge,
)
@click.argument("queue")
@suite_option
@click.option("--criterion", default="", metavar="TEXT", help="what a judge is to be asked  [the queue's question]")
@click.pass_obj
def import_(run: Run, queue: str, suite: str, criterion: str) -> None:
    """Take over what people said in an annotation queue of the server, as labels a judge is held against."""
    from pilothouse.evals import runs
    from pilothouse.evals.judges.from_queue import take_over, words_of

    from .evals_fetch import fetch

    found = open_suite(suite)
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    after = 0
    while not page or after:
        page = run.client.get(f"/queues/{segment(queue)}/labels", {"after": after, "limit": 1_000})["data"]
        rows += page["labels"]
        after = page["next_after"]
    if page["kind"] != "verdict":
        raise BadRequest(
            "a judge is held against pass and fail, and this queue asks for categories",
            got=", ".join(page["choices"])[:200],
            fix=f"pilothouse queues taxonomy {queue}",
        )
    words, left_out = words_of(rows)
    taken = take_over(
        found.folder,
        queue,
        words,
        criterion=criterion or page["question"],
        runs=runs.every(found.folder)[:_RUNS],
        fetch=lambda place, span: fetch(run.client, place, span),
        whole=not page["held_back"],
    )
    data: dict[str, Any] = {
        "queue": queue,
        "criterion": criterion or page["question"],
        "labels": taken.labels,
        "fresh": taken.fresh,
        "taken_back": taken.taken_back,
        "of_runs": taken.of_runs,
        "people": sorted({one.who for one in words}),
        "left_out": left_out,
        "held_back": page["held_back"],
        "unread": [{"id": id, "why": why} for id, why in taken.unread[:100]],
    }
    name = next(iter(judges_of(found)), "")
    following = [f"pilothouse eval judge calibrate {name} --ask --suite {found.folder}"] if name else []
    run.output.answer(data, human=_imported, next=following)


def _imported(data: Mapping[str, Any]) -> Iterable[str]:
    yield f"{data['labels']:,} labels of {data['queue']}: {data['fresh']:,} fresh, {data['taken_back']:,} taken back, {data['of_runs']:,} of runs"
    if data["people"]:
        yield f"  by {', '.join(map(clean, data['people']))}"
    for why, count in data["left_out"].items():
        yield f"  left out: {count:,}, {clean(why)}"
    if data["held_back"]:
        yield f"  {data['held_back']:,} are held back until you have labelled those items yourself"
    for one in data["unread"][:10]:
        yield f"  not read: {one['id'][:12]}: {clean(one['why'])}"


@command(
    "calibrate",
    examples=(
        "pilothouse eval judge calibrate",
        "pilothouse eval judge calibrate careful --ask",
        "pilothouse eval judge calibrate careful --as md --gate",
    ),
    keys="data: judge may_gate why_not[] agreement sensitivity specificity people position_bias verbosity_bias drift[] variance",
    exits=(0, 2, 3, 7),
    group=judge,
)
@click.argument("name", default="")
@suite_option
@click.option("--ask", "asking", is_flag=True, help="ask it about labelled items that this version has not judged")
@click.option("--gate", "gating", is_flag=True, help="exit 7 where it may not gate")
@click.option("--as", "as_", type=click.Choice(["md"]), default=None, help="Markdown, for a pull request")
@click.pass_obj
def calibrate(run: Run, name: str, suite: str, asking: bool, gating: bool, as_: str | None) -> int:
    """Hold a judge against people's labels: agreement, errors, biases, drift, and whether it may gate."""
    from pilothouse.evals import runs
    from pilothouse.evals.judges.calibration import calibrate as held_against
    from pilothouse.evals.judges.calibration import rates_of

    found = open_suite(suite)
    one = one_judge(found, name)
    spent = _ask_again(found, one) if asking else 0.0
    newest = runs.every(found.folder)[:_RUNS]
    data = held_against(one, found.folder, newest)
    data["asked_usd"] = round(spent, 6)
    data["rates"] = rates_of(one, found.folder, newest)
    next_: list[str] = []
    if data["labels"]["not_judged_by_this_version"]:
        next_.append(f"pilothouse eval judge calibrate {one.name} --ask --suite {found.folder}")
    if not data["may_gate"]:
        next_.append(f"pilothouse eval judge label last --next --suite {found.folder}")
    if as_ == "md":
        from pilothouse.evals.judges.judge_table import calibration_markdown

        run.output.text(calibration_markdown(data, data["rates"]))
    else:
        run.output.answer(data, human=_calibrated, next=next_)
    return 7 if gating and not data["may_gate"] else 0


def _ask_again(suite: Suite, one: Judge) -> float:
    from pilothouse.evals.judges.asking import Purse, ask_about, evidence_of
    from pilothouse.evals.judges.calibration import unjudged
    from pilothouse.evals.judges.labels import Known, add_known

    purse = Purse(usd_max=one.max_usd)
    free = asyncio.Semaphore(8)

    async def again(row: Label) -> Known:
        async with free:
            said = await ask_about(one, evidence_of(suite.folder, row.item), row.criterion, purse=purse)
            reading = said.reading
            return Known(
                item=row.item, judge=one.id, outcome=reading.outcome, score=reading.score, samples=said.samples
            )

    async def everything() -> list[Known]:
        return await asyncio.gather(*(again(row) for row in unjudged(one, suite.folder)))

    # What could not be scored is asked again the next time.
    add_known(suite.folder, [known for known in asyncio.run(everything()) if known.outcome != "unscored"])
    return purse.spent


def _calibrated(data: Mapping[str, Any]) -> Iterable[str]:
    yield f"{data['judge']}: {'MAY GATE' if data['may_gate'] else 'MAY NOT GATE'}"
    yield from (f"  {clean(why)}" for why in data["why_not"])
    count = data["labels"]
    yield f"  {count['items']:,} labelled items, {count['counted']:,} count ({count['random']:,} of a random sample)"
    for name in ("sensitivity", "specificity"):
        one = data[name]
        rate = (
            "unknown"
            if one["rate"] is None
            else f"{one['rate']:.3f} [{one['interval'][0]:.3f}, {one['interval'][1]:.3f}]"
        )
        yield f"  {name} {rate}, {one['hits']} of {one['of']}"
    both = data["agreement"]
    if both:
        kappa = "unknown" if both["kappa"] is None else f"{both['kappa']:.3f} {both['kappa_interval']}"
        yield f"  agrees on {both['observed']:.1%} {both['observed_interval']}, kappa {kappa}, {both['pass_share']:.0%} pass"
    people = data["people"]
    if people["labelled_twice"]:
        yield f"  people: {', '.join(map(clean, people['names']))}; {people['labelled_twice']} items labelled twice, {people['split']} split, alpha {people['alpha']}"
    for one in data["rates"]:
        true = "unknown" if one["corrected"] is None else f"{one['corrected']:.3f} {one['interval']}"
        yield f"  {one['run']}: passes {one['passed']} of {one['scored']}, truly {true}"
    for name in ("position_bias", "verbosity_bias", "variance"):
        told = ", ".join(f"{key} {value}" for key, value in data[name].items())
        yield f"  {name.replace('_', ' ')}: {told}"
    for one in data["drift"]:
        yield f"  since {one['before']}: {one['changed']} of {one['items']} changed, right {one['right_before']} → {one['right_after']} (p {one['p_right']:.3g})"


@command(
    "prefer",
    examples=(
        "pilothouse eval judge prefer last-1 last",
        "pilothouse eval judge prefer v1 v2 --judge careful --limit 20",
        "pilothouse eval judge prefer run-0001 --fields position_bias",
    ),
    keys="data: judge first second ties unscored position_bias usd; choices[]: case criterion better why",
    exits=LOCAL,
    group=judge,
)
@click.argument("base")
@click.argument("candidate", default="last")
@suite_option
@click.option("--judge", "name", default="", metavar="JUDGE", help="who chooses  [the suite's first]")
@click.option("--limit", default=100, metavar="N", help="at most so many pairs  [100]")
@click.pass_obj
def prefer(run: Run, base: str, candidate: str, suite: str, name: str, limit: int) -> None:
    """Which of two runs' answers a judge prefers, each pair in both orders; where the orders disagree, it is a tie."""
    from pilothouse.evals.judges.calibration import calibrate as held_against
    from pilothouse.evals.judges.labels import add_preferences
    from pilothouse.evals.judges.pairs import prefer_all

    from .evals_run import run_of

    found = open_suite(suite)
    one = one_judge(found, name)
    matches = _matches(found, run_of(found, base), run_of(found, candidate))[: max(1, limit)]
    if not matches:
        raise NotFound("these runs share no judged case whose answers differ", got=f"{base} {candidate}", fix="pilothouse eval run")  # fmt: skip
    chosen = asyncio.run(prefer_all(one, matches))
    add_preferences(found.folder, [it.preference for it in chosen if it.preference is not None])
    data: dict[str, Any] = {"judge": one.id, "pairs": len(chosen)}
    for key, word in (("first", "first"), ("second", "second"), ("ties", "tie"), ("unscored", "unscored")):
        data[key] = sum(it.better == word for it in chosen)
    data |= {
        "usd": round(sum(it.usd for it in chosen), 6),
        "position_bias": held_against(one, found.folder)["position_bias"],
        "choices": [
            {"case": it.case, "criterion": it.criterion, "better": it.better, "why": it.why} for it in chosen[:100]
        ],
    }
    run.output.answer(data, human=_preferred)


def _matches(suite: Suite, base: Any, candidate: Any) -> list[Any]:
    from pilothouse.evals.judges.asking import evidence_of
    from pilothouse.evals.judges.labels import items_of
    from pilothouse.evals.judges.pairs import Match

    before = {(it.case, it.criterion): it for it in reversed(items_of(base))}
    found: list[Any] = []
    for it in {(it.case, it.criterion): it for it in reversed(items_of(candidate))}.values():
        was = before.get((it.case, it.criterion))
        if was is not None and was.id != it.id:
            texts = evidence_of(suite.folder, was.id), evidence_of(suite.folder, it.id)
            found.append(Match(criterion=it.criterion, first=texts[0], second=texts[1], items=(was.id, it.id)))
    return found


def _preferred(data: Mapping[str, Any]) -> Iterable[str]:
    yield f"{data['judge']}: first {data['first']}, second {data['second']}, ties {data['ties']}, unscored {data['unscored']}"
    yield "  position bias: " + ", ".join(f"{key} {value}" for key, value in data["position_bias"].items())
    for one in data["choices"][:20]:
        yield f"  {one['better']}  {one['case']}  {one_line(one['criterion'], 60)}  {one_line(one['why'], 60)}"
