"""What people said in an annotation queue of the server, as labels beside a suite.

A trace that is an attempt of a run is labelled as what the judge was asked about there. Any other one becomes an item of
its own: what happened in it is kept beside the suite, so that a judge can be asked about it later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from pilothouse.evals import payloads
from pilothouse.evals.recording import Recording
from pilothouse.evals.runs import Run
from pilothouse.records import NotFound, PilothouseError, clean

from .asking import evidence_of, item_id
from .labels import LABELLED, How, Item, Known, Label, add_labels, read_labels, take_back
from .transcript import Transcript, recorded

SOURCE: Final = "queue:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One person's word on a trace, a step or a session, as the server keeps it."""

    place: str
    """The trace or the session."""
    span: str
    outcome: Literal["pass", "fail"]
    who: str
    at: str
    why: str
    how: How


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """What became of the words of a queue."""

    labels: int
    """Those that are beside the suite now."""
    fresh: int
    """Those that were not there, or said something else."""
    taken_back: int
    """Those that were there and are no label of the server any more."""
    of_runs: int
    """Labels of what a judge was asked about in a run."""
    unread: tuple[tuple[str, str], ...]
    """Traces whose content is not there, and why."""


def words_of(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Word], dict[str, int]]:
    """The words that a judge can be held against, and how many others there are, by why."""
    found: list[Word] = []
    left: dict[str, int] = {}
    for row in rows:
        why = ""
        if row["who_kind"] != "person":
            why = "a program's word"
        elif row["choice"] not in ("pass", "fail"):
            why = f"neither pass nor fail: {row['choice']}"
        if why:
            left[why] = left.get(why, 0) + 1
            continue
        how = row["how"] if row["how"] in get_args(How) else "chosen"
        found.append(
            Word(
                place=row["trace_id"] or row["session_id"],
                span=row["span_id"],
                outcome=row["choice"],
                who=clean(str(row["who"]))[:100],
                at=str(row["time"]),
                why=clean(str(row["note"]))[:2_000],
                how=cast("How", how),
            )
        )
    return found, left


def take_over(
    folder: Path,
    queue: str,
    words: Sequence[Word],
    *,
    criterion: str,
    runs: Sequence[Run],
    fetch: Callable[[str, str], Recording],
    whole: bool,
) -> TakenOver:
    """Keep words as labels.

    ``whole``: these are all words of the queue, so that a label that is not among them was taken back.
    The same words twice change nothing.
    """
    judged = _judged(runs, {one.place for one in words}, criterion)
    before = {(one.item, one.who): one for one in read_labels(folder)}
    items: dict[tuple[str, str], str | None] = {}
    unread: list[tuple[str, str]] = []
    labels: list[Label] = []
    known: dict[str, Item] = {}
    for word in words:
        key = (word.place, word.span)
        item = None if word.span else judged.get(word.place)
        if item is not None:
            known[item.id] = item
            items[key] = item.id
        elif key not in items:
            items[key] = _kept(folder, word, criterion, fetch, unread)
        id = items[key]
        if id is None:
            continue
        labels.append(
            Label(
                item=id, outcome=word.outcome, who=word.who, at=word.at, why=word.why, how=word.how,
                case=item.case if item is not None else _case(word),
                criterion=item.criterion if item is not None else criterion,
                run=f"{SOURCE}{queue}",
            )
        )  # fmt: skip
    fresh = [one for one in labels if not _same(one, before.get((one.item, one.who)))]
    add_labels(folder, fresh, known)
    now = {(one.item, one.who) for one in labels}
    gone = [one for key, one in before.items() if one.run == f"{SOURCE}{queue}" and key not in now]
    if whole and not unread:
        take_back(folder, gone)
    else:
        gone = []
    return TakenOver(
        labels=len(labels),
        fresh=len(fresh),
        taken_back=len(gone),
        of_runs=sum(one.item in known for one in labels),
        unread=tuple(unread),
    )


def _judged(runs: Sequence[Run], places: set[str], criterion: str) -> dict[str, Item]:
    """What a judge was asked about in attempts of these traces, where it is clear which of it is meant."""
    found: dict[str, Item] = {}
    for run in runs:
        for result in run.results():
            if result.trace_id not in places or result.trace_id in found:
                continue
            asked = [one for one in result.said if one.judge and one.item and one.outcome != "unscored"]
            fitting = [one for one in asked if one.name == criterion] or asked
            if len({one.item for one in fitting}) != 1:
                continue
            one = fitting[0]
            known = Known(item=one.item, judge=one.judge, outcome=one.outcome, score=one.score, samples=one.samples)
            found[result.trace_id] = Item(
                id=one.item, case=result.case, criterion=one.name, known=known, repeat=result.repeat, checks_pass=None
            )
    return found


def _kept(
    folder: Path,
    word: Word,
    criterion: str,
    fetch: Callable[[str, str], Recording],
    unread: list[tuple[str, str]],
) -> str | None:
    """The item of a trace, whose record is then beside the suite; None where it cannot be read."""
    place = folder / LABELLED / "places.jsonl"
    for line in place.read_text("utf-8").splitlines() if place.exists() else []:
        row: dict[str, str] = json.loads(line)
        if (row["place"], row["span"]) == (word.place, word.span):
            try:
                evidence_of(folder, row["record"])
            except NotFound:
                continue
            return item_id(row["record"], criterion)
    try:
        found: Transcript = recorded(fetch(word.place, word.span), case=_case(word))
    except PilothouseError as error:
        unread.append((word.place, error.message))
        return None
    path = folder / LABELLED / f"{found.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    payloads.write(path, json.dumps(asdict(found), ensure_ascii=False).encode("utf-8", "replace"))
    with place.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"place": word.place, "span": word.span, "record": found.id}) + "\n")
    return item_id(found.id, criterion)


def _case(word: Word) -> str:
    return clean(f"trace {word.place[:12]}" + (f" step {word.span}" if word.span else ""))


def _same(one: Label, other: Label | None) -> bool:
    return other is not None and (one.outcome, one.why, one.how, one.run) == (
        other.outcome,
        other.why,
        other.how,
        other.run,
    )
