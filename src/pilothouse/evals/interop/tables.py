"""Tables: a case a row, with ``input`` and what is expected; the columns of promptfoo's tables too."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from pilothouse.evals.plain import is_texts, list_of, mapping_of

from .model import OURS, Carried, Item, Parts, Unread, input_of
from .reading import table

NAME: Final = "csv"
_GIVEN: Final = ("input", "inputs", "question", "prompt", "query")
_EXPECTED: Final = ("expected", "expected_output", "ideal", "answer", "reference", "target", "output")
_TEXTS: Final = (
    *("scenario", "difficulty", "capability", "severity", "kind", "why", "cluster", "customer", "week", "release"),
)
_JSON: Final = ("checks", "criteria", "stubs", "settings", "repeats", "quarantined", "provenance")
_COLUMNS: Final = ("id", "input", "expected", *_TEXTS, "tags", *_JSON)
_PREFIXES: Final = {"icontains": "contains", "contains": "contains", "not-icontains": "excludes"}


def read(path: Path) -> Iterator[Item]:
    """The rows of a table."""
    for found in table(path):
        if isinstance(found, Unread):
            yield found
            continue
        where, row = found
        given = next((name for name in _GIVEN if name in row), "")
        values = {name: value for name, value in row.items() if not name.startswith("__")}
        if not given and len(values) == len(row):
            yield Unread(where=where, why=f"it has nothing in any of the columns {', '.join(_GIVEN)}")
            continue
        yield _carried(where, row, given, values)


def _carried(where: str, row: Mapping[str, str], given: str, values: Mapping[str, str]) -> Carried:
    # A row of variables for a prompt, as promptfoo's tables have them, is data.
    parts = Parts(input=input_of(_read_cell(row[given])) if given else {"data": dict(values)})
    expected = next((name for name in _EXPECTED if name in row), "")
    if expected:
        parts.checks.append({"contains": row[expected]})
    used = {given, expected, "id", "__description", *_TEXTS, "tags", *_JSON}
    for name in sorted(row):
        if name.startswith("__expected"):
            _expected(row[name], parts)
        elif name.startswith("__metadata:"):
            parts.metadata.setdefault("provenance", {})[name.partition(":")[2]] = row[name]
        elif name.startswith("__") and name not in used:
            parts.lost.append(f"the column {name} has no like here")
    for name in _JSON:
        if name in row:
            parts.rest[name] = _cell(row[name])
    metadata: dict[str, Any] = {name: row[name] for name in _TEXTS if name in row}
    if "tags" in row:
        metadata["tags"] = [one.strip() for one in row["tags"].split(";") if one.strip()]
    provenance = parts.rest.pop("provenance", None)
    if provenance is not None:
        metadata[OURS] = {**parts.rest, "metadata": {"provenance": provenance}}
    elif parts.rest:
        metadata[OURS] = dict(parts.rest)
    more = {name: value for name, value in row.items() if name not in used and not name.startswith("__")}
    parts.note_metadata({**metadata, **(more if given else {})})
    return Carried(
        where=where,
        name=row.get("id") or row.get("__description") or where,
        data=parts.data(NAME),
        lost=tuple(parts.lost),
    )


def _expected(cell: str, parts: Parts) -> None:
    kind, _, value = cell.partition(":")
    if kind in _PREFIXES and value:
        parts.checks.append({_PREFIXES[kind]: value.strip()})
    elif kind in ("llm-rubric", "grade") and value:
        parts.criteria.append(value.strip())
    elif kind in ("fn", "eval", "javascript", "python", "similar", "file"):
        parts.lost.append(f"the assertion {kind} has no like here")
    else:
        parts.checks.append({"text": value.strip() if kind == "equals" else cell, "mode": "exact"})


def _read_cell(cell: str) -> Any:
    """The cell as data where it is an object or a list in JSON, else the text."""
    if cell.lstrip()[:1] in ("[", "{"):
        return _cell(cell)
    return cell


def _cell(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def write(cases: Iterable[Mapping[str, Any]], out: IO[str]) -> Iterator[tuple[str, str]]:
    """Write a row a case. Nothing is lost: what has no column of its own stands in one as JSON."""
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for data in cases:
        row: dict[str, str] = {"id": data["id"]}
        given = data["input"]
        row["input"] = given if isinstance(given, str) and given.lstrip()[:1] not in ("[", "{") else _json(given)
        checks = list(list_of(data.get("checks")) or [])
        only = next((one for one in checks if set(one) == {"contains"} and isinstance(one["contains"], str)), None)
        if only is not None:
            row["expected"] = only["contains"]
            checks.remove(only)
        rest = {**data, "checks": checks}
        metadata = dict(mapping_of(data.get("metadata")) or {})
        rest["provenance"] = metadata.pop("provenance", None)
        tags = metadata.pop("tags", None)
        if tags and is_texts(tags):
            row["tags"] = ";".join(tags)
        row.update({name: str(metadata[name]) for name in _TEXTS if name in metadata})
        row.update({name: _json(rest[name]) for name in _JSON if rest.get(name)})
        rows.writerow([row.get(name, "") for name in _COLUMNS])
    yield from ()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
