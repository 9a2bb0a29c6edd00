"""Calls that answers suggest, and the tool calls that stand for a command line of ours."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pilothouse.records import clean, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call with all its arguments."""

    tool: str
    arguments: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For structured answers."""
        return {"tool": self.tool, "arguments": dict(self.arguments)}

    @property
    def plain(self) -> bool:
        """False where an argument holds control or hidden characters: nobody should be led to pass such on."""
        texts = [value for value in self.arguments.values() if isinstance(value, str)]
        return all(clean(text) == text for text in texts)

    def __str__(self) -> str:
        """On one line of an answer."""
        return visible(f"{self.tool} {json.dumps(dict(self.arguments), ensure_ascii=False, separators=(',', ':'))}")


def call(tool: str, /, **arguments: Any) -> Call:
    """A call without its empty arguments. ``as_`` and ``from_`` lose their underscore."""
    named = {name.rstrip("_"): value for name, value in arguments.items()}
    return Call(
        tool=tool, arguments={name: value for name, value in named.items() if value not in (None, "", 0, False)}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A command line, taken apart."""

    words: list[str]
    flags: dict[str, str]

    def word(self, place: int) -> str:
        return self.words[place] if place < len(self.words) else ""

    def number(self, name: str) -> int | None:
        text = self.flags.get(name, "")
        return int(text) if text.isdigit() else None


_SWITCHES = ("infra", "whole", "schema", "json", "human", "follow", "dry-run", "facets-all")


def _read(command: str) -> _Line | None:
    try:
        pieces = shlex.split(command)
    except ValueError:
        return None
    if not pieces or pieces[0] not in ("pilothouse", "ph"):
        return None
    words: list[str] = []
    flags: dict[str, str] = {}
    queue = pieces[1:]
    while queue:
        piece = queue.pop(0)
        if not piece.startswith("--"):
            words.append(piece)
            continue
        name, equals, value = piece[2:].partition("=")
        flags[name] = value if equals else "yes" if name in _SWITCHES or not queue else queue.pop(0)
    return _Line(words=words, flags=flags)


def call_of(command: str) -> Call | None:
    """The tool call that does what a command line of ours does; None where no tool does."""
    line = _read(command.strip())
    if line is None or not line.words:
        return None
    name = line.words[0]
    made = _TOOLS.get(name)
    return made(_Line(words=line.words[1:], flags=line.flags)) if made else None


def _window(line: _Line) -> dict[str, Any]:
    flags = line.flags
    return {name: flags.get(name, "") for name in ("since", "until", "cursor")} | {"limit": line.number("limit")}


def _ls(line: _Line) -> Call:
    query = " ".join(line.words)
    return call("find", query=query, sort=line.flags.get("sort"), facets=line.flags.get("facets"), **_window(line))


def _show(line: _Line) -> Call | None:
    flags = line.flags
    if not line.words:
        return None
    return call(
        "get",
        id=line.words[0],
        as_=flags.get("as"),
        step=flags.get("step"),
        field=flags.get("field"),
        offset=line.number("offset"),
        budget=_bounded(line.number("budget")),
    )


def _bounded(budget: int | None) -> int | None:
    return min(budget, 200_000) if budget else None


def _sessions(line: _Line) -> Call:
    words = line.words[1:] if line.word(0) == "show" else line.words
    if not words:
        return call("find", kind="sessions", query=line.flags.get("filter"), **_window(line))
    wanted = _bounded(line.number("budget"))
    return call(
        "get", id=f"session:{words[0]}", as_=line.flags.get("as"), cursor=line.flags.get("cursor"), budget=wanted
    )


def _logs(line: _Line) -> Call | None:
    first = line.word(0)
    if first == "follow":
        return None
    if first == "lost":
        return call("logs", kind="lost", **_window(line))
    if first == "search":
        flags = line.flags
        return call(
            "logs",
            query=" ".join(line.words[1:]),
            service=flags.get("service"),
            level=flags.get("level"),
            **_window(line),
        )
    id = line.word(1) if first == "show" else first
    return call("logs", id=id, infra=bool(line.flags.get("infra")), level=line.flags.get("level")) if id else None


def _of_trace(form: str) -> Callable[[_Line], Call | None]:
    def made(line: _Line) -> Call | None:
        if not line.words:
            return None
        step = line.flags.get("step") or line.word(1)
        return call("get", id=line.words[0], as_=form, step=step, field=line.flags.get("field"))

    return made


def _cost(line: _Line) -> Call:
    if line.word(0) == "why":
        return call("get", id=line.word(1), as_="cost")
    return call("get", id="cost", since=line.flags.get("since"), query=line.flags.get("filter"))


def _named(name: str) -> Callable[[_Line], Call | None]:
    return lambda line: call("get", id=name, since=line.flags.get("since"), query=line.flags.get("filter"))


def _agent(form: str) -> Callable[[_Line], Call | None]:
    return lambda line: call("get", id=f"agent:{line.words[0]}", as_=form) if line.words else None


def _sql(line: _Line) -> Call | None:
    if line.flags.get("schema"):
        return call("sql_schema", view=line.word(0))
    return call("sql", query=line.words[0]) if line.words else None


_TOOLS: dict[str, Callable[[_Line], Call | None]] = {
    "ls": _ls,
    "show": _show,
    "sessions": _sessions,
    "search": lambda line: call("find", kind="words", query=" ".join(line.words), **_window(line)),
    "logs": _logs,
    "why": _of_trace("why"),
    "decision": _of_trace("decision"),
    "context": _of_trace("context"),
    "diff": lambda line: call(
        "compare",
        a=line.word(0),
        b=line.word(1),
        step=line.flags.get("step"),
        after=line.number("after"),
        whole=bool(line.flags.get("whole")),
    ),
    "sql": _sql,
    "live": lambda line: call("find", kind="live", query=" ".join(line.words)),
    "fleet": lambda line: call("find", kind="fleet"),
    "cost": _cost,
    "overview": _named("overview"),
    "map": _named("map"),
    "stats": _named("stats"),
    "doctor": _named("doctor"),
    "audit": _agent("audit"),
    "level": _agent("level"),
    "pull": lambda line: call("pull", what=line.word(0), since=line.flags.get("since")) if line.words else None,
}

_COMMAND = re.compile(r"(?:pilothouse|ph) [a-z][^|)\n]*")
_FENCE_OPENS = re.compile(r"^«([0-9a-f]{8})$")


def with_calls(text: str) -> str:
    """Text of the server's, with its command lines outside of fences written as tool calls where a tool does the same."""
    lines: list[str] = []
    closing = ""
    for row in text.split("\n"):
        if closing:
            closing = "" if row == closing else closing
        elif opened := _FENCE_OPENS.match(row):
            closing = f"{opened[1]}»"
        elif '"' not in row.partition("pilothouse ")[0]:
            # Behind a quotation mark stands what was recorded, not what we say.
            row = _COMMAND.sub(_as_call, row)
        lines.append(row)
    return "\n".join(lines)


def _as_call(found: re.Match[str]) -> str:
    command = found[0]
    made = call_of(command)
    return f"{made}{' ' if command.endswith(' ') else ''}" if made is not None else command
