"""The JSON Schemas of what commands answer, from the API's own models and the shapes that commands have of their own.

The file that ``pilothouse schema`` reads is a promise: keys are added, never renamed and never taken away. So it is not
written over where a key would go, unless ``--keys-may-go`` says that this was meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pilothouse.api.build import build
from pilothouse.cli.answers import BRIEF, LINES, OWN, ROUTES

FILE = Path(__file__).parent.parent / "src/pilothouse/cli/schemas.json"
_REF = "#/$defs/"

_PAGE = {
    "next": {"type": "string"}, "more": {"type": "boolean"}, "total": {"type": "integer"}, "total_is": {"type": "string"},
    "since": {"type": "string"}, "until": {"type": "string"}, "since_is": {"type": "string"},
    "emptied_by": {"type": "array", "items": {"type": "string"}},
}  # fmt: skip
_AROUND: dict[str, Any] = {
    "page": {"type": "object", "properties": _PAGE},
    "cut": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "bytes": {"type": "integer"}, "get": {"type": "string"}},
            "required": ["path", "bytes", "get"],
        },
    },
    "next": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
}
_CUT = "Of the whole answer: where cut is there, long texts are shortened and lists folded. --fields keeps those named."


@cache
def described() -> dict[str, Any]:
    """What the API says of itself; it is not to be changed."""
    return build(None).openapi()  # type: ignore[arg-type]  # the description needs nobody who answers


def made() -> str:
    """The file."""
    document = described()
    models: dict[str, Any] = _with_defs(document["components"]["schemas"])
    commands: dict[str, Any] = {}
    for name, (method, path) in ROUTES.items():
        content = document["paths"][f"/api/v1{path}"][method]["responses"]["200"]["content"]["application/json"]
        envelope = models[content["schema"]["$ref"].rsplit("/", 1)[-1]]
        commands[name] = _envelope(_as_shown(name, envelope["properties"]["data"], models))
    commands |= {name: _envelope(data) for name, data in OWN.items()}
    commands |= {name: {**line, "description": "One line of the answer."} for name, line in LINES.items()}
    ordered = {name: commands[name] for name in sorted(commands)}
    used = {name: models[name] for name in sorted(_used(ordered, models))}
    return json.dumps({"$defs": used, "commands": ordered}, ensure_ascii=False, indent=1) + "\n"


def _with_defs(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_defs(item) for item in value]
    if not isinstance(value, dict):
        return value.replace("#/components/schemas/", _REF) if isinstance(value, str) else value
    return {key: _with_defs(item) for key, item in value.items() if key != "title" or not isinstance(item, str)}


def _envelope(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": _CUT,
        "properties": {"ok": {"const": True}, "data": data, **_AROUND},
        "required": ["ok", "data"],
    }


def _as_shown(name: str, data: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    """The data as the command gives it, which for some is not quite as the API does."""
    if name == "live":
        rows = _model(data, models)["properties"]["rows"]
        return {**rows, "items": _brief(_model(rows["items"], models), BRIEF[name], models)}
    if name in BRIEF:
        return {**data, "items": _brief(_model(data["items"], models), BRIEF[name], models)}
    if name == "context":
        whole = _model(data, models)
        # Each call in as few words as tell it: what is empty, false or said above is left out.
        calls = {"type": "array", "items": {"type": "object", "required": ["step", "thread", "tokens", "parts"]}}
        return {**whole, "properties": {**whole["properties"], "calls": calls}}
    if name == "diff":
        whole = _model(data, models)
        found = _model(whole["properties"]["diff"], models)
        short = {"type": "object", "required": ["trace_id", "agent", "status", "root_name", "start_time"]}
        slim = {**found, "properties": {**found["properties"], "a": short, "b": short}}
        return {**whole, "properties": {**whole["properties"], "diff": slim}}
    return dict(data)


def _brief(row: Mapping[str, Any], fields: Sequence[str], models: Mapping[str, Any]) -> dict[str, Any]:
    """A row with what is shown unless ``--fields`` says otherwise; all that can be chosen is described."""
    properties = dict(row["properties"])
    for field in fields:
        if "." in field:
            properties[field] = {"description": f"{field}: of what is inside"}
    return {**row, "properties": properties, "required": list(fields)}


def _model(schema: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    return models[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else dict(schema)


def _used(value: Any, models: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            name = str(one.get("$ref", "")).removeprefix(_REF)
            if name and name not in found:
                found.add(name)
                waiting.append(models[name])
            waiting += one.values()
    return found


def keys(text: str) -> dict[str, str]:
    """Every key of every command's answer, with its type."""
    known = json.loads(text)
    return {
        path: kind
        for section in ("commands", "$defs")
        for name, schema in known[section].items()
        for path, kind in _keys(name, schema)
    }


def _keys(path: str, schema: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", str(inner.get("$ref") or inner.get("type") or "")
        yield from _keys(f"{path}.{name}", inner)
    if "items" in schema:
        yield from _keys(f"{path}[]", schema["items"])


def gone(old: str, new: str) -> list[str]:
    """What the new file no longer has, or has as something else."""
    before, after = keys(old), keys(new)
    lost = [f"{path} is gone" for path in before if path not in after]
    # A model that nobody answers with any more takes its keys along; what was shown of it is among the commands'.
    changed = [f"{path} was {kind}, is {after[path]}" for path, kind in before.items() if after.get(path, kind) != kind]
    return lost + changed
