"""Datasets of pydantic-evals, in YAML or JSON: cases with inputs, an expected output and evaluators."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from pilothouse.evals.case_text import as_yaml
from pilothouse.evals.plain import is_texts, list_of, mapping_of

from .model import OURS, Carried, Item, Parts, Unread, exactly, input_of, input_to, left_over, told_of
from .reading import Document

NAME: Final = "pydantic-evals"
_TYPES: Final = {
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "list": "list",
    "dict": "mapping",
    "NoneType": "null",
}
_FIRST: Final = {
    "Equals": "value",
    "Contains": "value",
    "IsInstance": "type_name",
    "MaxDuration": "seconds",
    "LLMJudge": "rubric",
    "ToolCorrectness": "expected_tools",
    "TrajectoryMatch": "expected_trajectory",
    "MaxToolCalls": "max_calls",
    "MaxModelRequests": "max_requests",
}
"""The argument that an evaluator's short form gives."""


def read(path: Path) -> Iterator[Item]:
    """The cases of a dataset."""
    document = Document(path, "cases")
    head = document.head()
    shared = list_of(head.get("evaluators")) or []
    if head.get("report_evaluators"):
        yield Unread(where="report_evaluators", why="evaluators of a whole report have no like here")
    for where, value in document.items():
        row = mapping_of(value)
        if row is None or "inputs" not in row:
            yield Unread(where=where, why="it is no case: it has no inputs")
            continue
        yield _carried(where, row, shared)


def _carried(where: str, row: Mapping[str, Any], shared: list[Any]) -> Carried:
    parts = Parts(input=input_of(row["inputs"]))
    expected = row.get("expected_output")
    own = list_of(row.get("evaluators")) or []
    used = False
    for spec in [*own, *shared]:
        name, given = _spec(spec)
        if name == "EqualsExpected":
            used = True
            if expected is not None:
                parts.checks.append(exactly(expected))
        elif name == "LLMJudge" and given.get("include_expected_output"):
            used = True
            _judged(given, parts, expected)
        elif name in _READ:
            _READ[name](given, parts)
        else:
            parts.lost.append(f"the evaluator {name} has no like here")
    if expected is not None and not used:
        shown = expected if isinstance(expected, str) else json.dumps(expected, ensure_ascii=False)
        parts.criteria.append(f"The answer agrees with what is expected: {shown}")
        parts.lost.append("no evaluator compares expected_output: it became a criterion for a judge")
    parts.note_metadata(row.get("metadata"))
    name = row.get("name")
    return Carried(
        where=where,
        name=name if isinstance(name, str) and name else where,
        data=parts.data(NAME),
        lost=tuple(parts.lost),
    )


def _spec(spec: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    row = mapping_of(spec) or {}
    if "name" in row:
        name, given = str(row["name"]), row.get("arguments")
        first = list_of(given)
        given = first[0] if first else given
    else:
        name, given = next(iter(row.items()), ("?", None))
    known = mapping_of(given)
    if known is not None:
        return name, known
    return name, {} if given is None else {_FIRST.get(name, "value"): given}


# -- evaluators as checks --------------------------------------------------------------------------------------------


def _equals(given: Mapping[str, Any], parts: Parts) -> None:
    parts.checks.append(exactly(given.get("value")))


def _contains(given: Mapping[str, Any], parts: Parts) -> None:
    value = given.get("value")
    if mapping_of(value) is not None:
        parts.checks.append({"output": value, "mode": "subset"})
    elif not isinstance(value, str):
        parts.checks.append({"output": {"$contains": value}, "mode": "exact"})
    elif given.get("case_sensitive", True):
        parts.checks.append({"text": {"$contains": value}, "mode": "exact"})
    else:
        parts.checks.append({"contains": value})


def _instance(given: Mapping[str, Any], parts: Parts) -> None:
    name = str(given.get("type_name"))
    if name in _TYPES:
        parts.checks.append({"output": {"$type": _TYPES[name]}})
    elif name != "str":
        parts.lost.append(f"an answer's class cannot be checked: IsInstance {name}")


def _judged(given: Mapping[str, Any], parts: Parts, expected: Any = None) -> None:
    text = str(given.get("rubric", ""))
    if expected is not None:
        shown = expected if isinstance(expected, str) else json.dumps(expected, ensure_ascii=False)
        text = f"{text}\n\nExpected: {shown}"
    parts.criteria.append(text)
    if given.get("model"):
        parts.lost.append(f"the judge's model is the suite's, not {given['model']}")


def _steps(given: Mapping[str, Any], parts: Parts) -> None:
    steps = "\n".join(f"- {one}" for one in list_of(given.get("evaluation_steps")) or [])
    parts.criteria.append(f"{given.get('criteria', '')}\n\n{steps}")
    parts.lost.append("GEval's scale became a criterion that holds or does not")


def _tools(given: Mapping[str, Any], parts: Parts) -> None:
    wanted = list_of(given.get("expected_tools")) or []
    if not wanted:
        parts.checks.append({"no_tool": "*"})
        return
    extra = "allow" if given.get("allow_extra") else "forbid"
    parts.checks.append({"tools": wanted, "order": "any", "extra": extra})


def _trajectory(given: Mapping[str, Any], parts: Parts) -> None:
    order = {"exact": "exact", "in_order": "in_order", "any_order": "any"}[str(given.get("order", "in_order"))]
    wanted = list_of(given.get("expected_trajectory")) or []
    parts.checks.append({"tools": wanted, "order": order, "extra": "forbid"} if wanted else {"no_tool": "*"})
    if order != "exact":
        parts.lost.append("TrajectoryMatch is graded there; here it holds or does not")


def _arguments(given: Mapping[str, Any], parts: Parts) -> None:
    mode = "exact" if given.get("match_mode") == "exact" else "subset"
    check = {"tool": given.get("tool_name"), "arguments": given.get("expected_arguments"), "mode": mode}
    parts.checks.append(check)


def _at_most(bound: str, argument: str) -> Callable[[Mapping[str, Any], Parts], None]:
    def read_bound(given: Mapping[str, Any], parts: Parts) -> None:
        parts.checks.append({"at_most": {bound: given.get(argument)}})

    return read_bound


_READ: Final[dict[str, Callable[[Mapping[str, Any], Parts], None]]] = {
    "Equals": _equals,
    "Contains": _contains,
    "IsInstance": _instance,
    "LLMJudge": _judged,
    "GEval": _steps,
    "ToolCorrectness": _tools,
    "TrajectoryMatch": _trajectory,
    "ArgumentCorrectness": _arguments,
    "MaxDuration": _at_most("duration_s", "seconds"),
    "MaxToolCalls": _at_most("tool_calls", "max_calls"),
    "MaxModelRequests": _at_most("model_calls", "max_requests"),
}


# -- writing ---------------------------------------------------------------------------------------------------------


def write(cases: Iterable[Mapping[str, Any]], out: IO[str], *, name: str, as_json: bool) -> Iterator[tuple[str, str]]:
    """Write a dataset, a case at a time; what it cannot say, by case."""
    out.write(f'{{"name": {json.dumps(name)},\n"cases": [' if as_json else as_yaml({"name": name}) + "cases:\n")
    first = True
    for data in cases:
        row, rest = _row(data)
        yield from ((data["id"], one) for one in told_of(rest, NAME))
        if as_json:
            out.write(("\n" if first else ",\n") + json.dumps(row, ensure_ascii=False))
        else:
            out.write(as_yaml_item(row))
        first = False
    if as_json:
        out.write("\n]}\n")
    elif first:
        out.write("  []\n")


def as_yaml_item(row: Mapping[str, Any]) -> str:
    """A mapping as a member of a list in YAML."""
    lines = as_yaml(row).splitlines(keepends=True)
    return "".join(
        f"{'- ' if number == 0 else '  ' if line.strip() else ''}{line}" for number, line in enumerate(lines)
    )


def _row(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    row: dict[str, Any] = {"name": data["id"], "inputs": input_to(data["input"])}
    evaluators: list[Any] = []
    other: list[Any] = []
    expected: list[Any] = []
    for check in data.get("checks", ()):
        found = _evaluator(check)
        if found == "EqualsExpected" and expected:
            found = {"Equals": {"value": check.get("text", check.get("output"))}}
        elif found == "EqualsExpected":
            expected.append(check.get("text", check.get("output")))
        (evaluators if found is not None else other).append(check if found is None else found)
    criteria = [one for one in data.get("criteria", ()) if not isinstance(one, str)]
    evaluators += [{"LLMJudge": {"rubric": one, "include_input": True}} for one in data.get("criteria", ()) if isinstance(one, str)]  # fmt: skip
    rest = left_over(data, other, criteria)
    metadata = dict(mapping_of(data.get("metadata")) or {})
    provenance = metadata.pop("provenance", None)
    kept = {**rest, **({"metadata": {"provenance": provenance}} if provenance else {})}
    if kept:
        metadata[OURS] = kept
    if metadata:
        row["metadata"] = metadata
    if expected:
        row["expected_output"] = expected[0]
    if evaluators:
        row["evaluators"] = evaluators
    return row, rest


def _evaluator(check: Mapping[str, Any]) -> Any:
    """A check as an evaluator; None where there is no like."""
    if len(check) == 1:
        if "contains" in check and isinstance(check["contains"], str):
            return {"Contains": {"value": check["contains"], "case_sensitive": False}}
        bounds = mapping_of(check.get("at_most")) or {}
        if len(bounds) == 1:
            bound, value = next(iter(bounds.items()))
            known = {"duration_s": "MaxDuration", "tool_calls": "MaxToolCalls", "model_calls": "MaxModelRequests"}
            if bound in known:
                return {known[bound]: {_FIRST[known[bound]]: value}}
        return None
    if check.get("mode") == "exact" and set(check) == {"text", "mode"} and isinstance(check["text"], str):
        return "EqualsExpected"
    inside = mapping_of(check.get("text")) or {}
    if check.get("mode") == "exact" and set(check) == {"text", "mode"} and isinstance(inside.get("$contains"), str):
        return {"Contains": {"value": inside["$contains"]}}
    if check.get("mode") == "exact" and set(check) == {"output", "mode"} and not _operator(check["output"]):
        return "EqualsExpected" if check["output"] is not None else None
    if set(check) == {"output", "mode"} and check["mode"] == "subset" and mapping_of(check["output"]):
        return None if _operator(check["output"]) else {"Contains": {"value": check["output"]}}
    return _of_tools(check)


def _of_tools(check: Mapping[str, Any]) -> Any:
    if set(check) == {"tools", "order", "extra"} and is_texts(check["tools"]):
        if check["order"] == "any":
            allow = check["extra"] == "allow"
            return {"ToolCorrectness": {"expected_tools": check["tools"], "allow_extra": allow}}
        if check["order"] == "exact" and check["extra"] == "forbid":
            return {"TrajectoryMatch": {"expected_trajectory": check["tools"], "order": "exact"}}
    return None


def _operator(value: Any) -> bool:
    """Whether one of our own operators stands in it."""
    row, listed = mapping_of(value), list_of(value)
    if row is not None:
        return any(name.startswith("$") or _operator(one) for name, one in row.items())
    return any(map(_operator, listed or []))
