"""What people say of judged items, and what judges said of the same: two files beside the suite, a line each.

labels.jsonl           whose word it is, when and why; a later line of the same person on the same item counts instead
judged.jsonl           each judge's verdict on labelled items, by version
labelled/3fa1….json    what was judged, so that labels outlive the runs that they were made on
"""

from __future__ import annotations

import fcntl
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pilothouse.evals import payloads
from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.evals.runs import Run
from pilothouse.records import BadRequest, NotFound, iso

from .asking import EVIDENCE

LABELS: Final = "labels.jsonl"
JUDGED: Final = "judged.jsonl"
LABELLED: Final = "labelled"
TAKEN_BACK: Final = "taken-back"
"""In the place of an outcome: what this person said of this item counts no more."""
How = Literal["random", "informative", "chosen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One person's word on one item."""

    item: str
    outcome: Literal["pass", "fail"]
    who: str
    at: str = ""
    why: str = ""
    how: How = "chosen"
    """How the item was come by: only a random sample says how often the judge errs."""
    case: str = ""
    criterion: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One judge's verdict on one item."""

    item: str
    judge: str
    """``name@version``."""
    outcome: Literal["pass", "fail", "unscored"]
    score: float | None = None
    samples: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One judge's choice between two attempts, in both orders: the place it chose."""

    pair: tuple[str, str]
    judge: str
    as_given: Literal["first", "second", "tie"]
    swapped: Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that a judge judged in a run."""

    id: str
    case: str
    criterion: str
    known: Known
    repeat: int
    checks_pass: bool | None
    """Whether all checks of the attempt passed; None where it has none."""


def items_of(run: Run) -> list[Item]:
    """What judges scored in a run, each once."""
    found: dict[str, Item] = {}
    for result in run.results():
        checks = [one.outcome == "pass" for one in result.said if not one.judge]
        for one in result.said:
            if one.judge and one.item and one.outcome != "unscored":
                known = Known(item=one.item, judge=one.judge, outcome=one.outcome, score=one.score, samples=one.samples)
                found.setdefault(
                    one.item,
                    Item(
                        id=one.item, case=result.case, criterion=one.name, known=known, repeat=result.repeat,
                        checks_pass=all(checks) if checks else None,
                    ),
                )  # fmt: skip
    return list(found.values())


def read_labels(folder: Path) -> list[Label]:
    """All labels, the later one of a person on an item in the place of the earlier one.

    Raises:
        BadRequest: a line is no label; the message names it.
    """
    found: dict[tuple[str, str], Label] = {}
    for number, row in _rows(folder / LABELS):
        if row.get("outcome") == TAKEN_BACK:
            found.pop((str(row.get("item")), str(row.get("who"))), None)
            continue
        try:
            label = Label(**{one.name: row[one.name] for one in fields(Label) if one.name in row})
            good = label.outcome in ("pass", "fail") and label.how in get_args(How)
        except TypeError:
            label, good = None, False
        if label is None or not good or not label.who:
            raise BadRequest(f"{LABELS} line {number} is no label", got=str(row)[:200], allowed="item, outcome (pass or fail), who")  # fmt: skip
        found[label.item, label.who] = label
    return list(found.values())


def add_labels(folder: Path, labels: Sequence[Label], items: Mapping[str, Item]) -> None:
    """Append labels, with what was judged and what the judge said of it."""
    now = iso(time.time_ns())
    for one in labels:
        _keep(folder, one.item)
    _append(folder / LABELS, [{k: v for k, v in asdict(one).items() if v} | {"at": one.at or now} for one in labels])
    add_known(folder, [items[one.item].known for one in labels if one.item in items])


def take_back(folder: Path, labels: Sequence[Label]) -> None:
    """Append that these labels count no more."""
    now = iso(time.time_ns())
    _append(folder / LABELS, [{"item": one.item, "outcome": TAKEN_BACK, "who": one.who, "at": now} for one in labels])


def read_known(folder: Path) -> dict[str, dict[str, Known]]:
    """Judges' verdicts on labelled items: by judge's id, then by item; the latest counts."""
    found: dict[str, dict[str, Known]] = {}
    for _, row in _rows(folder / JUDGED):
        if "item" in row and "judge" in row:
            known = Known(**{one.name: row[one.name] for one in fields(Known) if one.name in row})
            found.setdefault(known.judge, {})[known.item] = known
    return found


def add_known(folder: Path, found: Iterable[Known]) -> None:
    """Append judges' verdicts; those that are there already are not written again."""
    there = read_known(folder)
    fresh = {(one.judge, one.item): one for one in found if one.item not in there.get(one.judge, {})}
    _append(
        folder / JUDGED, [{k: v for k, v in asdict(one).items() if v not in ("", None, ())} for one in fresh.values()]
    )


def read_preferences(folder: Path) -> list[Preference]:
    """What judges chose between pairs of attempts; of the same pair the latest."""
    found: dict[tuple[str, tuple[str, str]], Preference] = {}
    for _, row in _rows(folder / JUDGED):
        pair = list_of(row.get("pair"))
        if pair and len(pair) == 2:
            one = Preference(
                pair=(pair[0], pair[1]), judge=row["judge"], as_given=row["as_given"], swapped=row["swapped"]
            )
            found[one.judge, one.pair] = one
    return list(found.values())


def add_preferences(folder: Path, found: Sequence[Preference]) -> None:
    """Append choices between pairs."""
    _append(folder / JUDGED, [asdict(one) for one in found])


def truth_of(labels: Iterable[Label]) -> dict[str, bool]:
    """What most people say of each item; where they are split, nothing."""
    votes: dict[str, Counter[str]] = {}
    for one in labels:
        votes.setdefault(one.item, Counter())[one.outcome] += 1
    return {item: count["pass"] > count["fail"] for item, count in votes.items() if count["pass"] != count["fail"]}


def _keep(folder: Path, item: str) -> None:
    name = f"{item.partition('-')[0]}.json"
    target = folder / LABELLED / name
    if target.exists():
        return
    try:
        body = (folder / EVIDENCE / name).read_bytes()
    except OSError as error:
        raise NotFound("what was judged is not there any more", got=item, fix="pilothouse eval run --fresh") from error
    target.parent.mkdir(exist_ok=True)
    payloads.write(target, body)


def _rows(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest("the file cannot be read", got=path.name) from error
    found: list[tuple[int, Mapping[str, Any]]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = mapping_of(json.loads(line))
        except ValueError:
            row = None
        if row is None:
            # The last line may be torn by a kill; one in the middle was not written by us.
            if number == len(lines) and not text.endswith("\n"):
                break
            raise BadRequest(f"{path.name} line {number} is no JSON object", got=line[:200])
        found.append((number, row))
    return found


def _append(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, 2)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                # A line that a kill tore is cut off where it begins.
                file.seek(0)
                whole = file.read()
                file.truncate(whole.rfind(b"\n") + 1)
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
