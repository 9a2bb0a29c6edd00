"""Cases as plain data and as YAML: reading with every mistake named by its place, and writing what a person can read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar, cast

from pilothouse.records import BadRequest
from pilothouse.records.plain_yaml import plain_yaml

from .case import (
    DIFFICULTIES,
    KINDS,
    REPLAYS,
    SEVERITIES,
    Call,
    Case,
    Criterion,
    Input,
    Metadata,
    Stubs,
    case_sha256,
    check_id,
)
from .checks import read_check
from .plain import is_texts, list_of, mapping_of

CASE_BYTES_MAX: Final = 1 << 20
"""Of a case's own text; longer values are files beside it."""
REPEATS_MAX: Final = 1_000
_KEYS: Final = (
    "id", "input", "checks", "criteria", "stubs", "metadata", "settings", "repeats", "quarantined"
)  # fmt: skip
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")

T = TypeVar("T", bound=str)
Load = Callable[[str], Any]
"""The content of a payload file, by its path below the suite."""


def read_yaml(text: str, *, shown: str, load: Load | None = None) -> Case:
    """A case from YAML (or JSON, which is YAML).

    Raises:
        BadRequest: something in it is wrong; the message names the place.
    """
    if len(text) > CASE_BYTES_MAX:
        raise BadRequest(
            f"{shown} is larger than {CASE_BYTES_MAX >> 20} MB",
            got=f"{len(text):,} characters",
            fix="put long values into files: {$file: payloads/NAME.json}",
        )
    return read_case(plain_yaml(text, shown), shown=shown, load=load)


def read_case(data: Any, *, shown: str = "the case", load: Load | None = None) -> Case:
    """A case from plain data. ``load`` gives the content of payload files; without it they stay references.

    Raises:
        BadRequest: as :func:`read_yaml`.
    """
    row = _mapping(data, shown, _KEYS)
    whole = cast("dict[str, Any]", _filled(row, load, shown, 0)) if load is not None else dict(row)
    checks = [read_check(one, f"{shown}: checks[{n}]") for n, one in enumerate(_list(whole, "checks", shown))]
    return Case(
        id=check_id(whole.get("id", ""), f"{shown}: id"),
        input=_input(whole.get("input"), f"{shown}: input"),
        checks=tuple(checks),
        criteria=tuple(
            _criterion(one, f"{shown}: criteria[{n}]") for n, one in enumerate(_list(whole, "criteria", shown))
        ),
        stubs=_stubs(whole.get("stubs") or {}, f"{shown}: stubs"),
        metadata=_metadata(whole.get("metadata") or {}, f"{shown}: metadata"),
        settings=_mapping(whole.get("settings") or {}, f"{shown}: settings"),
        repeats=_repeats(whole.get("repeats", 0), f"{shown}: repeats"),
        quarantined=_text(whole, "quarantined", shown),
        # Over what is written: a payload is named by its content, so its name stands for it.
        sha256=case_sha256(row),
    )


def as_data(case: Case) -> dict[str, Any]:
    """The inverse of :func:`read_case`: plain data with what is set, in the order a reader wants it."""
    data: dict[str, Any] = {"id": case.id, "input": _input_data(case.input)}
    if case.stubs != Stubs():
        data["stubs"] = _stubs_data(case.stubs)
    if case.checks:
        data["checks"] = [check.as_data() for check in case.checks]
    if case.criteria:
        data["criteria"] = [_criterion_data(one) for one in case.criteria]
    metadata = _set_fields(case.metadata)
    if metadata:
        data["metadata"] = metadata
    if case.settings:
        data["settings"] = dict(case.settings)
    if case.repeats:
        data["repeats"] = case.repeats
    if case.quarantined:
        data["quarantined"] = case.quarantined
    return data


def as_yaml(data: Mapping[str, Any], *, schema: str = "") -> str:
    """Plain data of a case as YAML; ``schema``: where editors find what is allowed."""
    import yaml as package

    yaml = cast("Any", package)
    text = yaml.dump(
        json.loads(json.dumps(data, default=str)),
        Dumper=_dumper(yaml),
        sort_keys=False,
        allow_unicode=True,
        width=110,
        default_flow_style=False,
    )
    return (f"# yaml-language-server: $schema={schema}\n" if schema else "") + text


def _dumper(yaml: Any) -> Any:
    class Dumper(yaml.SafeDumper):  # long texts as blocks, and no anchors
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = None
        if any(not (char.isprintable() or char == "\n") for char in value):
            # Some of these end a line in YAML: they are written as escapes.
            style = '"'
        elif "\n" in value.strip("\n") and not value.startswith((" ", "\n")):
            style = "|"
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


# -- parts -----------------------------------------------------------------------------------------------------------


def _filled(value: Any, load: Load, shown: str, depth: int) -> Any:
    """The value with the content of every ``{$file: PATH}`` in its place. What is in a file refers to no further ones."""
    found = mapping_of(value)
    if found is not None:
        if "$file" in found:
            if set(found) != {"$file"} or not isinstance(found["$file"], str):
                raise BadRequest(f"{shown}: $file stands alone and names a file", got=sorted(found))
            return load(found["$file"])
        return {key: _filled(one, load, shown, depth + 1) for key, one in found.items()}
    listed = list_of(value)
    return value if listed is None else [_filled(one, load, shown, depth + 1) for one in listed]


def _input(data: Any, place: str) -> Input:
    if isinstance(data, str):
        return Input(messages=({"role": "user", "content": data},))
    if list_of(data) is not None:
        return Input(messages=_messages(data, place))
    row = _mapping(data, place, ("messages", "turns", "data"))
    if len(row) != 1:
        raise BadRequest(f"{place} is a text, a list of messages, or one of these", got=sorted(row), allowed=["messages", "turns", "data"])  # fmt: skip
    if "messages" in row:
        return Input(messages=_messages(row["messages"], f"{place}.messages"))
    if "turns" in row:
        turns: Any = row["turns"]
        if not turns or not is_texts(turns):
            raise BadRequest(f"{place}.turns is a list of texts", got=str(turns)[:100])
        return Input(turns=tuple(turns))
    return Input(data=row["data"])


def _messages(data: Any, place: str) -> Sequence[Mapping[str, Any]]:
    file = mapping_of(data)
    if file is not None and "$file" in file:
        return (file,)
    listed = list_of(data)
    if not listed:
        raise BadRequest(f"{place} is a list of messages", got=str(data)[:100], fix="- {role: user, content: TEXT}")
    for number, one in enumerate(listed):
        message = _mapping(one, f"{place}[{number}]")
        if message.get("role") not in _ROLES:
            raise BadRequest(f"{place}[{number}].role is one of these", got=message.get("role"), allowed=list(_ROLES))
    return tuple(cast("list[Mapping[str, Any]]", listed))


def _stubs(data: Any, place: str) -> Stubs:
    row = _mapping(data, place, ("calls", "mode", "unconsumed", "live", "safe"))
    calls: Any = row.get("calls") or []
    short = mapping_of(calls)
    if short is not None and "$file" in short:
        # The payload is not loaded here.
        calls, short = [], None
    # The short form: the answer of each tool, whatever it is asked.
    listed = list_of(calls) if short is None else [{"name": name, "result": one} for name, one in short.items()]
    if listed is None:
        raise BadRequest(f"{place}.calls is a list of calls", got=str(calls)[:100])
    return Stubs(
        calls=tuple(_call(one, f"{place}.calls[{n}]") for n, one in enumerate(listed)),
        mode=_one_of(row.get("mode", "nearest"), REPLAYS, f"{place}.mode"),
        unconsumed=_one_of(row.get("unconsumed", "allow"), ("fail", "allow"), f"{place}.unconsumed"),
        live=_texts(row, "live", place),
        safe=_texts(row, "safe", place),
    )


def _call(data: Any, place: str) -> Call:
    row = _mapping(data, place, ("name", "arguments", "result", "error"))
    if not isinstance(row.get("name"), str) or not row["name"]:
        raise BadRequest(f"{place}.name names a tool", got=row.get("name"))
    return Call(
        name=row["name"], arguments=row.get("arguments"), result=row.get("result"), error=_text(row, "error", place)
    )


def _criterion(data: Any, place: str) -> Criterion:
    if isinstance(data, str) and data.strip():
        return Criterion(text=data)
    row = _mapping(data, place, ("text", "judge", "severity"))
    if not _text(row, "text", place).strip():
        raise BadRequest(f"{place}.text says what a judge is asked", got=row.get("text"))
    severity = _one_of(row.get("severity", ""), ("", *SEVERITIES), f"{place}.severity")
    return Criterion(text=row["text"], judge=_text(row, "judge", place), severity=severity)


def _metadata(data: Any, place: str) -> Metadata:
    names = tuple(field.name for field in fields(Metadata))
    row = _mapping(data, place, names)
    return Metadata(
        scenario=_text(row, "scenario", place),
        difficulty=_one_of(row.get("difficulty", ""), ("", *DIFFICULTIES), f"{place}.difficulty"),
        capability=_text(row, "capability", place),
        severity=_one_of(row.get("severity", ""), ("", *SEVERITIES), f"{place}.severity"),
        kind=_one_of(row.get("kind", ""), ("", *KINDS), f"{place}.kind"),
        why=_text(row, "why", place),
        tags=_texts(row, "tags", place),
        cluster=_text(row, "cluster", place),
        customer=_text(row, "customer", place),
        week=_text(row, "week", place),
        release=_text(row, "release", place),
        provenance=_mapping(row.get("provenance") or {}, f"{place}.provenance"),
    )


def _input_data(given: Input) -> Any:
    if given.turns:
        return {"turns": list(given.turns)}
    if not given.messages:
        return {"data": given.data}
    if len(given.messages) == 1:
        only = given.messages[0]
        if set(only) == {"role", "content"} and only["role"] == "user" and isinstance(only["content"], str):
            return only["content"]
        if set(only) == {"$file"}:
            return {"messages": dict(only)}
    return {"messages": [dict(one) for one in given.messages]}


def _stubs_data(stubs: Stubs) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if stubs.mode != "nearest":
        data["mode"] = stubs.mode
    if stubs.unconsumed != "allow":
        data["unconsumed"] = stubs.unconsumed
    if stubs.live:
        data["live"] = list(stubs.live)
    if stubs.safe:
        data["safe"] = list(stubs.safe)
    calls: list[dict[str, Any]] = []
    for one in stubs.calls:
        call: dict[str, Any] = {"name": one.name}
        if one.arguments is not None:
            call["arguments"] = one.arguments
        call.update({"error": one.error} if one.error else {"result": one.result})
        calls.append(call)
    return {**data, "calls": calls} if calls else data


def _criterion_data(one: Criterion) -> Any:
    found = _set_fields(one)
    return one.text if set(found) == {"text"} else found


def _set_fields(thing: Metadata | Criterion) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(thing):
        value: Any = getattr(thing, field.name)
        if value:
            # YAML knows lists and mappings.
            found[field.name] = [*value] if isinstance(value, tuple) else value
    return found


# -- values ----------------------------------------------------------------------------------------------------------


def _mapping(data: Any, place: str, allowed: Sequence[str] = ()) -> dict[str, Any]:
    found = mapping_of(data)
    if found is None:
        raise BadRequest(f"{place} is a mapping of names to values", got=str(data)[:100], allowed=list(allowed) or None)
    row = {str(key): value for key, value in found.items()}
    unknown = sorted(set(row) - set(allowed)) if allowed else []
    if unknown:
        raise BadRequest(f"{place} has a name that is not known", got=unknown[0], allowed=list(allowed))
    return row


def _list(row: Mapping[str, Any], name: str, place: str) -> list[Any]:
    found = list_of(row.get(name) or [])
    if found is None:
        raise BadRequest(f"{place}: {name} is a list", got=str(row[name])[:100])
    return found


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    found = row.get(name) or ""
    if not isinstance(found, str | int | float) or isinstance(found, bool):
        raise BadRequest(f"{place}.{name} is a text", got=repr(found)[:100])
    return str(found)


def _texts(row: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    found: Any = row.get(name) or []
    listed: Any = [found] if isinstance(found, str) else found
    if not is_texts(listed):
        raise BadRequest(f"{place}.{name} is a list of texts", got=str(listed)[:100])
    return tuple(listed)


def _one_of(value: Any, allowed: Sequence[T], place: str) -> T:
    if value not in allowed:
        raise BadRequest(f"{place} is one of these", got=repr(value)[:100], allowed=[one for one in allowed if one])
    return cast("T", value)


def _repeats(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= REPEATS_MAX:
        raise BadRequest(f"{place} is a number up to {REPEATS_MAX:,}", got=repr(value)[:100])
    return value
