"""Any JSON answer as compact markdown: one fact a line, rows that are alike as a table, recorded text always quoted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pilothouse.records import visible

# What cannot say anything: names, ids, numbers, moments. All else is written as a JSON string.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+*=$%~<>-]{1,100}")
_ROWS_ALIKE = 0.5


def quoted(value: object, chars: int = 200) -> str:
    """A value in few characters: plain words as they are, anything else as a JSON string, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, str):
        return _cut(text, chars)
    if _PLAIN.fullmatch(text) and len(text) <= chars:
        return text
    return (
        visible(json.dumps(text if len(text) <= chars else text[: chars - 1] + "…", ensure_ascii=False)) if text else ""
    )


def _cut(json_text: str, chars: int) -> str:
    """JSON as it is where it is short; else as a string with its beginning."""
    if len(json_text) <= chars:
        return visible(json_text)
    return visible(json.dumps(json_text[: chars - 1] + "…", ensure_ascii=False))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, chars: int = 120) -> list[str]:
    """A markdown table. A column's name may reach inside (``tokens.total``); columns without any value are left out."""
    values = [[_cell(reach(row, column), chars) for column in columns] for row in rows]
    kept = [place for place in range(len(columns)) if any(row[place] for row in values)] or [0]
    heads = [columns[place] for place in kept]
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' for _ in heads)}|"]
    lines += [f"| {' | '.join(row[place] for place in kept)} |" for row in values]
    return lines


def reach(row: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where it leads nowhere."""
    value: Any = row
    for name in path.split("."):
        value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
    return value


def _cell(value: Any, chars: int) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value)):
        return _piped(" ".join(quoted(one, 60) for one in cast("list[str]", value)[:8]))
    return _piped(quoted(cast("object", value), chars))


def _piped(text: str) -> str:
    return text.replace("|", "\\|")


def outline(data: Any, *, chars: int = 200, depth: int = 0) -> list[str]:
    """Lines for any answer. What is empty is left out; deeper than four levels it is one line of JSON."""
    indent = "  " * depth
    if isinstance(data, list):
        return [indent + line for line in _listed(cast("list[Any]", data), chars)]
    if not isinstance(data, Mapping):
        return [indent + quoted(data, chars)]
    lines: list[str] = []
    for key, value in cast("Mapping[str, Any]", data).items():
        name = quoted(str(key), 80)
        if value in (None, "", [], {}):
            continue
        if isinstance(value, Mapping) and depth < 4 and not _small(value, chars):
            lines += [f"{indent}{name}:", *outline(value, chars=chars, depth=depth + 1)]
        elif isinstance(value, list) and _table_like(cast("list[Any]", value)):
            lines += [f"{indent}{name}:", *_listed(cast("list[Any]", value), chars)]
        elif (
            isinstance(value, list) and depth < 4 and not _small(value, chars) and _has_texts(cast("list[Any]", value))
        ):
            lines += [f"{indent}{name}:", *outline(value, chars=chars, depth=depth + 1)]
        else:
            lines.append(f"{indent}{name}: {quoted(cast('object', value), chars)}")
    return lines


def _small(value: Any, chars: int) -> bool:
    return len(json.dumps(value, ensure_ascii=False)) <= min(chars, 120)


def _has_texts(values: list[Any]) -> bool:
    """Whether a list is worth a line each; numbers are not."""
    return any(isinstance(value, str | Mapping | list) for value in values)


def _table_like(values: list[Any]) -> bool:
    return len(values) > 0 and all(isinstance(value, Mapping) for value in values)


def _listed(values: list[Any], chars: int) -> Iterable[str]:
    if not _table_like(values):
        return [f"- {quoted(value, chars)}" for value in values]
    rows = cast("list[Mapping[str, Any]]", values)
    columns: dict[str, int] = {}
    for row in rows:
        for name in row:
            columns[name] = columns.get(name, 0) + (row[name] not in (None, "", [], {}))
    return table(rows, [name for name, filled in columns.items() if filled], chars=max(60, chars // 2))
