"""Answers of workers: taken apart, checked against the schema and against the files they quote, accepted once."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .disk import JSON_BYTES_MAX, locked, publish, read_json
from .evidence import occurs
from .playbook import Playbook
from .run_record import Item, Job
from .schema_check import problems

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n\s*```", re.DOTALL)
_LINES_MAX = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a worker gave back."""

    answer: dict[str, Any] | None
    """None where there is no JSON object in it."""
    tokens: int = 0
    usd: float | None = None
    estimated: bool = False
    """True where the tokens were counted by characters."""


def parsed(text: str) -> Said:
    """The JSON object in what a worker printed: alone, in a fence, or with words around it.

    The result of ``claude -p --output-format json`` and of tools that print the same is opened, with what it cost.
    """
    found = _object(text)
    if found is None or found.get("type") != "result" or not isinstance(found.get("result"), str):
        return Said(answer=found)
    usage = cast("dict[str, Any]", found.get("usage") or {})
    tokens = sum(value for name, value in usage.items() if name.endswith("_tokens") and isinstance(value, int))
    usd = found.get("total_cost_usd")
    return Said(
        answer=_object(str(found["result"])),
        tokens=tokens,
        usd=float(usd) if isinstance(usd, int | float) else None,
    )


def _object(text: str) -> dict[str, Any] | None:
    if len(text) > JSON_BYTES_MAX:
        return None
    for candidate in _candidates(text):
        try:
            found: object = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return cast("dict[str, Any]", found)
    return None


def _candidates(text: str) -> Iterator[str]:
    yield text
    yield from reversed(_FENCE.findall(text))
    last = text.rstrip().rsplit("\n", 1)[-1]
    yield last
    first, end = text.find("{"), text.rfind("}")
    if 0 <= first < end:
        yield text[first : end + 1]


def check(answer: Mapping[str, Any] | None, playbook: Playbook, item: Item, export: Path) -> list[str]:
    """What is wrong with an answer, in sentences that can be handed back to the worker; empty where it is good."""
    if answer is None:
        return ["there is no JSON object in the answer"]
    found = problems(dict(answer), playbook.schema)
    if found or not playbook.reads_failures:
        return found
    if answer["verdict"] == "problem" and not answer["evidence"]:
        found.append("answer.evidence is empty although the verdict is a problem: quote what shows it")
    for number, piece in enumerate(cast("list[dict[str, Any]]", answer["evidence"])):
        wrong = _unfound(piece, item, export)
        if wrong:
            found.append(f"answer.evidence[{number}]: {wrong}")
    return found


def _unfound(piece: Mapping[str, Any], item: Item, export: Path) -> str:
    """Why a piece of evidence cannot be believed; empty where its words stand in the line it names."""
    name = str(piece["file"])
    if not any(name.startswith(folder + "/") for folder in item.folders):
        return f"{name[:120]} is no file of this item"
    path = (export / name).resolve()
    if not any(path.is_relative_to((export / folder).resolve()) for folder in item.folders) or not path.is_file():
        return f"{name[:120]} is no file of this item"
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if number == piece["line"]:
                return "" if occurs(str(piece["quote"]), line) else f"line {number} of {name} does not hold the quote"
            if number >= _LINES_MAX:
                break
    return f"{name} has no line {piece['line']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An accepted answer."""

    job: Job
    answer: dict[str, Any]
    run: dict[str, Any]
    """How it came about: attempt, worker, input_sha, tokens, usd, ms, at."""


def stored(folder: Path, job: Job, playbook: Playbook, sha: str) -> Stored | None:
    """The answer of a job, where it is done: it parses, fits the schema, and is about the files as they are now."""
    found = read_json(folder / job.path)
    if not isinstance(found, dict):
        return None
    fields = cast("dict[str, Any]", found)
    about: object = fields.pop("run", None)
    if not isinstance(about, dict) or cast("dict[str, Any]", about).get("input_sha") != sha:
        return None
    if problems(fields, playbook.schema):
        return None
    return Stored(job=job, answer=fields, run=cast("dict[str, Any]", about))


def accept(
    folder: Path, job: Job, playbook: Playbook, answer: Mapping[str, Any], about: Mapping[str, Any], sha: str
) -> bool:
    """Make an answer the answer of its job; False where there is one already. ``sha`` is that of its input now.

    However many attempts end at once, one is accepted: the file is made exclusively. What lies in its place without
    being an answer, or is about files that have changed since, is put aside first, by one process at a time.
    """
    path = folder / job.path
    text = json.dumps({**answer, "run": {**about, "input_sha": sha}}, ensure_ascii=False, indent=1) + "\n"
    if publish(path, text):
        return True
    with locked(folder):
        if stored(folder, job, playbook, sha) is not None:
            return False
        aside = folder / "work" / job.key / f"put-aside-{secrets.token_hex(4)}.json"
        aside.parent.mkdir(parents=True, exist_ok=True)
        path.replace(aside)
        return publish(path, text)
