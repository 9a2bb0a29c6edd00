"""Configurations of promptfoo, and its files of tests: variables, assertions, and the prompt they are put into.

Nothing a configuration names is run or fetched: a prompt or test in another file, a function, a provider is told of.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from pilothouse.evals.case_text import as_yaml
from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.records import BadRequest

from .model import OURS, Carried, Item, Parts, Unread, input_of, input_to, is_messages, left_over, told_of
from .pydantic_evals import as_yaml_item
from .reading import Document, json_lines

NAME: Final = "promptfoo"
_VARIABLE: Final = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)\s*-?\}\}")
_EACH_MAX: Final = 1_000
"""Tests that one may stand for, by lists of values and several prompts."""
_INPUT: Final = "input"
_JUDGED: Final = ("llm-rubric", "model-graded-closedqa", "g-eval")


def read(path: Path) -> Iterator[Item]:
    """The tests of a configuration, or of a file of tests."""
    if path.suffix.lower() == ".jsonl":
        prompts: list[Any] = []
        default: Mapping[str, Any] = {}
        rows: Iterable[Any] = json_lines(path)
    else:
        document = Document(path, "tests")
        head = document.head()
        prompts, told = _prompts(head.get("prompts"))
        yield from told
        default = mapping_of(head.get("defaultTest")) or {}
        if isinstance(head.get("defaultTest"), str):
            yield Unread(where="defaultTest", why=f"it stands in another file: {head['defaultTest']}")
        if isinstance(head.get("tests"), str):
            raise BadRequest(
                "the tests stand in another file", got=head["tests"], fix="import that file, with --format promptfoo"
            )
        for name in ("scenarios", "derivedMetrics"):
            if head.get(name):
                yield Unread(where=name, why="it is not read")
        rows = document.items()
    for found in rows:
        if isinstance(found, Unread):
            yield found
            continue
        where, value = found
        row = mapping_of(value)
        if row is None:
            reason = f"it stands in another file: {value}" if isinstance(value, str) else "it is no test"
            yield Unread(where=where, why=reason)
            continue
        yield from _tests(where, row, default, prompts)


def _prompts(told: Any) -> tuple[list[Any], list[Unread]]:
    found: list[Any] = []
    lost: list[Unread] = []
    for number, one in enumerate([told] if isinstance(told, str) else list_of(told) or [], start=1):
        row = mapping_of(one)
        text: Any = row.get("raw", row.get("id")) if row is not None else one
        if isinstance(text, str) and not text.startswith(("file://", "exec:")):
            found.append(text)
        else:
            lost.append(Unread(where=f"prompts {number}", why=f"it stands in another file: {str(text)[:200]}"))
    return found, lost


def _tests(where: str, row: Mapping[str, Any], default: Mapping[str, Any], prompts: list[Any]) -> Iterator[Item]:
    values = {**(mapping_of(default.get("vars")) or {}), **(mapping_of(row.get("vars")) or {})}
    lists = {name: one for name, value in values.items() if (one := list_of(value)) and not is_messages(one)}
    each: list[Any] = prompts or [None]
    many = len(each)
    for one in lists.values():
        many *= len(one)
    if many > _EACH_MAX:
        yield Unread(where=where, why=f"it stands for {many:,} tests, and {_EACH_MAX:,} are read")
        return
    number = 0
    for prompt in each:
        for chosen in itertools.product(*lists.values()):
            number += 1
            told = {**values, **dict(zip(lists, chosen, strict=True))}
            yield _carried(where if many == 1 else f"{where} ({number})", row, default, told, prompt)


def _carried(
    where: str, row: Mapping[str, Any], default: Mapping[str, Any], values: Mapping[str, Any], prompt: str | None
) -> Carried:
    parts = Parts()
    parts.input = _input(prompt, values, parts)
    for one in [*(list_of(default.get("assert")) or []), *(list_of(row.get("assert")) or [])]:
        _assertion(mapping_of(one) or {}, values, parts)
    parts.note_metadata({**(mapping_of(default.get("metadata")) or {}), **(mapping_of(row.get("metadata")) or {})})
    for name in ("threshold", "assertScoringFunction", "providers", "provider"):
        if row.get(name):
            parts.lost.append(f"{name} of a test has no like here")
    for name in ("transform", "postprocess", "prefix", "suffix"):
        if (mapping_of(row.get("options")) or {}).get(name):
            parts.lost.append(f"options.{name} is not carried over")
    name = row.get("description")
    return Carried(
        where=where,
        name=name if isinstance(name, str) and name else where,
        data=parts.data(NAME),
        lost=tuple(parts.lost),
    )


def _input(prompt: str | None, values: Mapping[str, Any], parts: Parts) -> Any:
    if prompt is None:
        return input_of(values[_INPUT]) if set(values) == {_INPUT} else {"data": dict(values)}
    only = _VARIABLE.fullmatch(prompt.strip())
    if only is not None and only[1] in values and not isinstance(values[only[1]], str):
        return input_of(values[only[1]])
    text = _filled(prompt, values)
    if "{%" in prompt or "{{" in text:
        parts.lost.append("the prompt has more than {{names}} in it: the rest stands as it is written")
    try:
        chat = json.loads(text)
    except ValueError:
        return text
    return {"messages": chat} if is_messages(chat) else text


def _filled(text: str, values: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            return found[0]
        told = values[found[1]]
        return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)

    return _VARIABLE.sub(value, text)


def _assertion(told: Mapping[str, Any], values: Mapping[str, Any], parts: Parts) -> None:
    kind, value = str(told.get("type", "")), told.get("value")
    if kind == "assert-set":
        for one in list_of(told.get("assert")) or []:
            _assertion(mapping_of(one) or {}, values, parts)
        if told.get("threshold"):
            parts.lost.append("the threshold of an assert-set has no like here: all of it must hold")
        return
    if isinstance(value, str):
        value = _filled(value, values)
        if value.startswith(("file://", "package:")):
            parts.lost.append(f"{kind}: its value stands in another file: {value[:200]}")
            return
    if kind in _JUDGED or kind == "factuality":
        texts = [str(one) for one in list_of(value) or [value]]
        parts.criteria += [f"The answer agrees with this: {one}" if kind == "factuality" else one for one in texts]
        if told.get("threshold") or told.get("provider"):
            parts.lost.append(f"{kind}: threshold and provider are the judge's of the suite")
        return
    check = _check(kind, value, told)
    if check is None:
        parts.lost.append(f"the assertion {kind or '?'} has no like here")
        return
    parts.checks.append(check)
    if told.get("weight") is not None:
        parts.lost.append(f"{kind}: a weight has no like here, each check must hold")


def _check(kind: str, value: Any, told: Mapping[str, Any]) -> dict[str, Any] | None:
    """An assertion as a check; None where there is no like."""
    negative, plain = kind.startswith("not-"), kind.removeprefix("not-")
    texts = [str(one) for one in list_of(value) or ([value] if value is not None else [])]
    if plain in ("icontains", "icontains-all") and texts:
        wanted: Any = texts[0] if len(texts) == 1 else texts
        if not negative:
            return {"contains": wanted}
        return {"excludes": wanted} if len(texts) == 1 else None
    if plain == "icontains-any" and texts:
        return {"excludes" if negative else "contains_any": texts}
    if kind == "cost" and told.get("threshold") is not None:
        return {"at_most": {"cost_usd": told["threshold"]}}
    if kind == "latency" and told.get("threshold") is not None:
        return {"at_most": {"duration_s": float(told["threshold"]) / 1_000}}
    if kind == "is-json" and value is None:
        return {"output": {"$present": True}}
    wanted = _operator(plain, value, texts)
    if wanted is None:
        return None
    if negative:
        wanted = {"$not": wanted}
    where = "output" if plain == "equals" and not isinstance(value, str) else "text"
    return {where: wanted, "mode": "exact"}


def _operator(plain: str, value: Any, texts: list[str]) -> Any:
    if plain == "equals":
        return value
    if plain == "regex" and isinstance(value, str):
        return {"$matches": value}
    if plain == "starts-with" and isinstance(value, str):
        return {"$matches": f"^{re.escape(value)}"}
    if plain == "contains" and len(texts) == 1:
        return {"$contains": texts[0]}
    if plain == "contains-any" and texts:
        return {"$any": [{"$contains": one} for one in texts]}
    return None


# -- writing ---------------------------------------------------------------------------------------------------------


def write(cases: Iterable[Mapping[str, Any]], out: IO[str], *, name: str) -> Iterator[tuple[str, str]]:
    """Write a configuration, a test at a time; what it cannot say, by case."""
    head = {"description": name, "prompts": ["{{input}}"], "providers": ["file://provider.py"]}
    out.write(as_yaml(head) + "tests:\n")
    empty = True
    for data in cases:
        row, rest = _row(data)
        yield from ((data["id"], one) for one in told_of(rest, NAME))
        out.write(as_yaml_item(row))
        empty = False
    if empty:
        out.write("  []\n")


def _row(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    asserts: list[Any] = []
    other: list[Any] = []
    for check in data.get("checks", ()):
        found = _assert(check)
        (other if found is None else asserts).append(check if found is None else found)
    criteria = [one for one in data.get("criteria", ()) if not isinstance(one, str)]
    asserts += [{"type": "llm-rubric", "value": one} for one in data.get("criteria", ()) if isinstance(one, str)]
    rest = left_over(data, other, criteria)
    metadata = dict(mapping_of(data.get("metadata")) or {})
    provenance = metadata.pop("provenance", None)
    kept = {**rest, **({"metadata": {"provenance": provenance}} if provenance else {})}
    if kept:
        metadata[OURS] = kept
    row: dict[str, Any] = {"description": data["id"], "vars": {_INPUT: input_to(data["input"])}}
    if asserts:
        row["assert"] = asserts
    if metadata:
        row["metadata"] = metadata
    return row, rest


def _assert(check: Mapping[str, Any]) -> dict[str, Any] | None:
    kinds = {"contains": "icontains-all", "contains_any": "icontains-any", "excludes": "not-icontains-any"}
    if len(check) == 1:
        kind, value = next(iter(check.items()))
        if kind in kinds:
            if isinstance(value, str):
                return {"type": "not-icontains" if kind == "excludes" else "icontains", "value": value}
            return {"type": kinds[kind], "value": value} if len(value) > 1 or kind == "contains_any" else None
        bounds = mapping_of(value) or {}
        if kind == "at_most" and set(bounds) == {"cost_usd"}:
            return {"type": "cost", "threshold": bounds["cost_usd"]}
        if kind == "at_most" and set(bounds) == {"duration_s"}:
            return {"type": "latency", "threshold": bounds["duration_s"] * 1_000}
        return None
    if set(check) != {"text", "mode"} or check["mode"] != "exact":
        return None
    wanted, inside = check["text"], mapping_of(check["text"]) or {}
    if isinstance(wanted, str):
        return {"type": "equals", "value": wanted}
    for operator, kind in (("$contains", "contains"), ("$matches", "regex")):
        if isinstance(inside.get(operator), str) and len(inside) == 1:
            return {"type": kind, "value": inside[operator]}
    return None
