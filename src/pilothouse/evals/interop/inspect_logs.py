"""Logs of Inspect, ``.eval`` and ``.json``, and its datasets in lines: samples become cases, scores the results of a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.imports import inspect_logs
from pilothouse.imports.sources import find
from pilothouse.imports.trajectory import Foreign, Skipped
from pilothouse.records import BadRequest

from .model import OURS, Carried, Item, Parts, Scored, Source, Unread, input_to, left_over, told_of
from .reading import Document, json_lines, sized

NAME: Final = "inspect"
_ATTACHMENT: Final = "attachment://"
_LETTERS: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_DEPTH_MAX: Final = 40
_TOOLS_MAX: Final = 2_000


def read(path: Path) -> Iterator[Item]:
    """The samples of a log or of a dataset."""
    sized(path)
    if path.suffix.lower() == ".jsonl":
        for found in json_lines(path):
            yield found if isinstance(found, Unread) else _carried(found[0], found[1], ())
        return
    [source] = find([path], ())
    try:
        if inspect_logs.packed(source):
            yield from _archive(inspect_logs.archived(source))
            return
    except Foreign as error:
        raise BadRequest(str(error), got=path.name) from error
    if path.suffix.lower() == ".eval":
        raise BadRequest("this is no log of Inspect: a file .eval is a zip archive", got=path.name)
    document = Document(path, "samples")
    head = document.head()
    yield _source(head)
    scorers = _scorers(head)
    for where, value in document.items():
        row = mapping_of(value)
        yield Unread(where=where, why="it is no sample") if row is None else _carried(where, row, scorers)


def _archive(samples: Iterable[inspect_logs.Sample | Skipped]) -> Iterator[Item]:
    told = False
    for found in samples:
        if isinstance(found, Skipped):
            yield Unread(where=found.where, why=found.reason)
            continue
        if not told:
            told = True
            yield _source(found.head)
        row = mapping_of(found.sample)
        if row is None:
            yield Unread(where=found.where, why="it is no sample")
        else:
            yield _carried(found.where, row, _scorers(found.head))


def _source(head: Mapping[str, Any]) -> Source:
    about = mapping_of(head.get("eval")) or {}
    task, model = str(about.get("task") or "inspect"), str(about.get("model") or "")
    revision = mapping_of(about.get("revision")) or {}
    version = str(revision.get("commit") or about.get("task_version") or "")
    return Source(
        target=f"inspect:{task}",
        version=" ".join(one for one in (model, version) if one),
        started=str(about.get("created") or ""),
    )


def _scorers(head: Mapping[str, Any]) -> tuple[str, ...]:
    about = mapping_of(head.get("eval")) or {}
    names = [str((mapping_of(one) or {}).get("name", "")) for one in list_of(about.get("scorers")) or []]
    return tuple(name.rpartition("/")[2] for name in names if name)


def _carried(where: str, row: Mapping[str, Any], scorers: tuple[str, ...]) -> Carried | Unread:
    if "input" not in row:
        return Unread(where=where, why="it has no input")
    attached = mapping_of(row.get("attachments")) or {}
    parts = Parts()
    given = _resolved(row["input"], attached, 0)
    choices = list_of(row.get("choices"))
    if isinstance(given, str):
        parts.input = given
        if choices:
            letters = (f"{chr(65 + number)}) {one}" for number, one in enumerate(choices[:26]))
            parts.input = "\n".join([given, "", *letters])
    else:
        messages = [_message(mapping_of(one) or {}, parts) for one in list_of(given) or []]
        if not messages:
            return Unread(where=where, why="its input is neither a text nor messages")
        parts.input = {"messages": messages}
    parts.note_metadata(row.get("metadata"))
    if "input" in parts.rest:
        parts.input = parts.rest.pop("input")
    _expect(row.get("target"), scorers or tuple((mapping_of(row.get("scores")) or {}).keys()), parts)
    calls = _calls(_resolved(row.get("messages"), attached, 0))
    if calls and "stubs" not in parts.rest:
        parts.rest["stubs"] = {"calls": calls[:_TOOLS_MAX]}
        if len(calls) > _TOOLS_MAX:
            parts.lost.append(f"of {len(calls):,} calls of tools the first {_TOOLS_MAX:,} are kept")
    for name in ("sandbox", "files", "setup"):
        if row.get(name):
            parts.lost.append(f"{name}: a case has no sandbox of its own")
    id = str(row.get("id", where))
    scored = _scored(row, parts, calls)
    return Carried(
        where=where,
        name=id,
        key=id,
        data=parts.data(NAME),
        lost=tuple(parts.lost),
        scored=(scored,) if scored is not None else (),
    )


def _resolved(value: Any, attached: Mapping[str, Any], depth: int) -> Any:
    """The value with long texts in the places from which the log took them out."""
    if isinstance(value, str):
        return attached.get(value.removeprefix(_ATTACHMENT), value) if value.startswith(_ATTACHMENT) else value
    row, listed = mapping_of(value), list_of(value)
    if depth > _DEPTH_MAX or (row is None and listed is None) or not attached:
        return value
    if row is not None:
        return {name: _resolved(one, attached, depth + 1) for name, one in row.items()}
    return [_resolved(one, attached, depth + 1) for one in listed or []]


def _message(told: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    content: Any = told.get("content")
    listed = list_of(content)
    if listed is not None:
        rows = [mapping_of(one) or {} for one in listed]
        if any(one.get("type") not in ("text", "reasoning") for one in rows):
            parts.lost.append("images, sounds and files of messages are not carried over")
        content = "\n".join(str(one["text"]) for one in rows if one.get("type") == "text" and one.get("text"))
    message: dict[str, Any] = {"role": str(told.get("role", "user")), "content": content or ""}
    calls = [_call(mapping_of(one) or {}) for one in list_of(told.get("tool_calls")) or []]
    if calls:
        message["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for id, name, arguments in calls
        ]
    if message["role"] == "tool":
        message["tool_call_id"] = str(told.get("tool_call_id", ""))
        message["name"] = str(told.get("function", ""))
    return message


def _call(told: Mapping[str, Any]) -> tuple[str, str, Any]:
    inner = mapping_of(told.get("function"))
    if inner is not None:
        return str(told.get("id", "")), str(inner.get("name", "")), inner.get("arguments")
    return str(told.get("id", "")), str(told.get("function", "")), told.get("arguments")


def _calls(messages: Any) -> list[dict[str, Any]]:
    """What tools were asked and answered, in order."""
    asked: dict[str, tuple[str, Any]] = {}
    found: list[dict[str, Any]] = []
    for one in list_of(messages) or []:
        row = mapping_of(one) or {}
        for call in list_of(row.get("tool_calls")) or []:
            id, name, arguments = _call(mapping_of(call) or {})
            asked[id] = name, arguments
        if row.get("role") != "tool":
            continue
        name, arguments = asked.get(str(row.get("tool_call_id", "")), (str(row.get("function", "")), None))
        if not name:
            continue
        call: dict[str, Any] = {"name": name}
        if arguments is not None:
            call["arguments"] = arguments
        error = (mapping_of(row.get("error")) or {}).get("message")
        call.update({"error": str(error)} if error else {"result": _message(row, Parts())["content"]})
        found.append(call)
    return found


def _expect(target: Any, scorers: tuple[str, ...], parts: Parts) -> None:
    wanted = [target] if isinstance(target, str) else list_of(target) or []
    wanted = [one for one in wanted if isinstance(one, str) and one]
    if not wanted:
        return
    text = " or ".join(wanted)
    kinds = set(scorers)
    if kinds & {"choice"}:
        letters = "".join(one for one in wanted if len(one) == 1)
        parts.checks.append({"text": {"$matches": rf"(?i)answer\s*:\s*[{letters}]\b" if letters else text}})
    elif not kinds or kinds & {"includes", "match"}:
        parts.checks.append({"contains": wanted[0]} if len(wanted) == 1 else {"contains_any": wanted})
        if "match" in kinds:
            parts.lost.append("match looks at the end of the answer; here it may stand anywhere in it")
    elif "exact" in kinds:
        parts.checks.append({"text": wanted[0] if len(wanted) == 1 else {"$any": wanted}})
    else:
        parts.criteria.append(f"The answer agrees with what is expected: {text}")
        if not any(name.startswith("model_graded") for name in kinds):
            parts.lost.append(f"the scorer {', '.join(sorted(kinds))} has no like here: the target became a criterion")


def _scored(row: Mapping[str, Any], parts: Parts, calls: list[dict[str, Any]]) -> Scored | None:
    scores = mapping_of(row.get("scores")) or {}
    error = mapping_of(row.get("error"))
    if not scores and error is None:
        return None
    said: list[dict[str, Any]] = []
    for name, one in scores.items():
        score = mapping_of(one) or {}
        number = _number(score.get("value"))
        outcome = "unscored" if number is None else "pass" if number >= 1 else "fail"
        why = str(score.get("explanation") or "")[:1_000]
        if number is None:
            why = f"{score.get('value')!r} is no share of 1"[:300]
            parts.lost.append(f"the score {name} is no share of 1: the attempt is unscored")
        said.append({"name": name, "outcome": outcome, "why": why if outcome != "pass" else "", "score": number})
    output = mapping_of(row.get("output")) or {}
    text: Any = output.get("completion")
    if not text:
        choice = mapping_of(next(iter(list_of(output.get("choices")) or []), None)) or {}
        text = _message(mapping_of(choice.get("message")) or {}, Parts())["content"]
    usage = [mapping_of(one) or {} for one in (mapping_of(row.get("model_usage")) or {}).values()]
    tokens = sum(int(one.get("total_tokens") or 0) for one in usage)
    epoch = row.get("epoch")
    total = row.get("total_time")
    return Scored(
        repeat=epoch if isinstance(epoch, int) and epoch > 0 else 1,
        text=str(text or ""),
        error=str((error or {}).get("message", ""))[:2_000] if error is not None else "",
        said=tuple(said),
        tools=tuple(f"{one['name']}({json.dumps(one.get('arguments'))[:300]})" for one in calls[:200]),
        tokens=tokens or None,
        duration_s=float(total) if isinstance(total, int | float) else 0.0,
    )


def _number(value: Any) -> float | None:
    """A score's value as a share of 1; None where it is none."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value]
        return {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}.get(value.casefold())
    if isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1:
        return float(value)
    return None


def write(cases: Iterable[Mapping[str, Any]], out: IO[str]) -> Iterator[tuple[str, str]]:
    """Write a dataset in lines, as ``json_dataset`` reads them; what it cannot say, by case."""
    for data in cases:
        row: dict[str, Any] = {"id": data["id"]}
        given = input_to(data["input"])
        row["input"] = given if isinstance(given, str) or list_of(given) else json.dumps(given, ensure_ascii=False)
        other: list[Any] = []
        for check in data.get("checks", ()):
            ideal = check.get("contains", check.get("contains_any")) if len(check) == 1 else None
            if ideal is None or "target" in row or (list_of(ideal) and "contains" in check):
                other.append(check)
            else:
                row["target"] = ideal
        rest = left_over(data, other, data.get("criteria", ()))
        yield from ((data["id"], one) for one in told_of(rest, "Inspect"))
        metadata = dict(mapping_of(data.get("metadata")) or {})
        provenance = metadata.pop("provenance", None)
        kept = {**rest, **({"metadata": {"provenance": provenance}} if provenance else {})}
        if not isinstance(given, str) and not list_of(given):
            yield data["id"], "Inspect takes texts and messages: its input is JSON in a text"
            kept["input"] = data["input"]
        if kept:
            metadata[OURS] = kept
        if metadata:
            row["metadata"] = metadata
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
