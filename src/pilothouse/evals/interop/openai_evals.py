"""Samples of OpenAI evals, a JSON object a line: ``input`` and ``ideal``, or an ``item`` of the hosted service."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from pilothouse.evals.plain import is_texts, list_of, mapping_of

from .model import OURS, Carried, Item, Parts, Unread, input_of, input_to, left_over, told_of
from .reading import json_lines

NAME: Final = "openai-evals"
_GIVEN: Final = ("input", "question", "prompt", "messages")
_IDEAL: Final = ("ideal", "expected", "reference_answer", "correct_label", "ground_truth", "answer")
_OTHER: Final = ("id", "metadata")


def read(path: Path) -> Iterator[Item]:
    """The samples of a file."""
    for found in json_lines(path):
        if isinstance(found, Unread):
            yield found
            continue
        where, whole = found
        row = mapping_of(whole.get("item")) or whole
        given = next((name for name in _GIVEN if name in row), "")
        if not given:
            yield Unread(where=where, why=f"it is no sample: none of {', '.join(_GIVEN)}")
            continue
        yield _carried(where, row, given)


def _carried(where: str, row: Mapping[str, Any], given: str) -> Carried:
    parts = Parts(input=input_of(row[given]))
    name = next((name for name in _IDEAL if name in row), "")
    ideal = row.get(name)
    wanted: Any = ideal if is_texts(ideal) and ideal else [ideal] if isinstance(ideal, str | int | float) else None
    if wanted:
        # Which class of eval reads the file stands in another one: having one of them is what they share.
        texts = [str(one) for one in wanted if str(one)]
        parts.checks.append({"contains": texts[0]} if len(texts) == 1 else {"contains_any": texts})
    elif name:
        parts.lost.append(f"{name} is neither a text nor a list of texts")
    parts.note_metadata(row.get("metadata"))
    more = {key: value for key, value in row.items() if key not in (given, name, *_OTHER)}
    if more:
        provenance = dict(mapping_of(parts.metadata.get("provenance")) or {})
        parts.metadata["provenance"] = {**provenance, "sample": more}
    id = row.get("id")
    return Carried(
        where=where,
        name=str(id) if isinstance(id, str | int) and id != "" else where,
        data=parts.data(NAME),
        lost=tuple(parts.lost),
    )


def write(cases: Iterable[Mapping[str, Any]], out: IO[str]) -> Iterator[tuple[str, str]]:
    """Write a sample a line; what it cannot say, by case."""
    for data in cases:
        row: dict[str, Any] = {"id": data["id"]}
        given = input_to(data["input"])
        row["input"] = [{"role": "user", "content": given}] if isinstance(given, str) else given
        other: list[Any] = []
        for check in data.get("checks", ()):
            ideal = check.get("contains", check.get("contains_any")) if len(check) == 1 else None
            if ideal is None or "ideal" in row or (list_of(ideal) and "contains" in check):
                other.append(check)
            else:
                row["ideal"] = ideal
        rest = left_over(data, other, data.get("criteria", ()))
        yield from ((data["id"], one) for one in told_of(rest, NAME))
        metadata = dict(mapping_of(data.get("metadata")) or {})
        provenance = metadata.pop("provenance", None)
        kept = {**rest, **({"metadata": {"provenance": provenance}} if provenance else {})}
        if kept:
            metadata[OURS] = kept
        if metadata:
            row["metadata"] = metadata
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
