"""The formats of other tools, by name; which one a file has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, Literal, get_args

from pilothouse.evals.plain import mapping_of
from pilothouse.records import BadRequest

from . import inspect_logs, openai_evals, promptfoo, pydantic_evals, tables
from .model import Item
from .reading import sized

Format = Literal["pydantic-evals", "inspect", "promptfoo", "openai-evals", "csv"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_LOOKED_AT: Final = 256 << 10
_READ: Final = {
    "pydantic-evals": pydantic_evals.read,
    "inspect": inspect_logs.read,
    "promptfoo": promptfoo.read,
    "openai-evals": openai_evals.read,
    "csv": tables.read,
}


def read(path: Path, format: Format) -> Iterator[Item]:
    """Read a file of a format, an item at a time.

    Raises:
        BadRequest: it is none, or is damaged.
    """
    return _READ[format](path)


def write(
    cases: Iterable[Mapping[str, Any]], out: IO[str], format: Format, *, name: str, as_json: bool = False
) -> Iterator[tuple[str, str]]:
    """Write cases, one at a time; gives what the format cannot say, a case's id and a sentence each."""
    if format == "pydantic-evals":
        return pydantic_evals.write(cases, out, name=name, as_json=as_json)
    if format == "promptfoo":
        return promptfoo.write(cases, out, name=name)
    if format == "inspect":
        return inspect_logs.write(cases, out)
    return openai_evals.write(cases, out) if format == "openai-evals" else tables.write(cases, out)


def format_of(path: Path) -> Format:
    """The format of a file, by its ending and its beginning.

    Raises:
        BadRequest: it is none of them.
    """
    sized(path)
    ending = path.suffix.lower()
    if ending == ".eval":
        return "inspect"
    if ending in (".csv", ".tsv"):
        return "csv"
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT).decode("utf-8-sig", "replace")
    found: Format | None = None
    if ending == ".jsonl":
        found = _of_line(start.lstrip().partition("\n")[0])
    elif ending == ".json":
        found = _of_words(set(re.findall(r'"(\w+)"\s*:', start)))
    elif ending in (".yaml", ".yml"):
        found = _of_words(set(re.findall(r"^(?:- +|  )?(\w+)\s*:", start, re.MULTILINE)))
    if found is None:
        raise BadRequest(
            "which tool's file this is cannot be seen", got=path.name, allowed=list(FORMATS), fix="--format NAME"
        )
    return found


def _of_line(line: str) -> Format | None:
    try:
        row = mapping_of(json.loads(line)) or {}
    except (ValueError, RecursionError):
        # The first line may be longer than what was looked at.
        row = dict.fromkeys(re.findall(r'"(\w+)"\s*:', line))
    if "vars" in row:
        return "promptfoo"
    if "input" in row and "target" in row:
        return "inspect"
    return "openai-evals" if row.keys() & {"input", "item", "messages", "prompt", "question"} else None


def _of_words(words: set[str]) -> Format | None:
    if "cases" in words and "inputs" in words:
        return "pydantic-evals"
    if {"eval", "version"} <= words:
        return "inspect"
    return "promptfoo" if words & {"tests", "prompts", "vars"} else None
