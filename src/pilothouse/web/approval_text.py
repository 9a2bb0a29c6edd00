"""The arguments of an action for people: one row each, SQL laid out, and what a reviewer changed line by line."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .context import told

FIELDS_MAX = 40
"""Arguments that are shown, and can be changed one by one."""
_SQL_NAMES = ("sql", "statement", "query", "command")
_SQL = re.compile(r"(?is)^\s*(?:--[^\n]*\n\s*)*(?:with|select|insert|update|delete|merge|create|alter|drop|truncate)\b")
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\w+|\s+|.", re.DOTALL)
_NEW_LINE = (
    *("from", "where", "set", "values", "returning", "having", "limit", "union", "on"),
    *("join", "left", "right", "inner", "full", "cross", "group", "order"),
)
_INDENTED = ("and", "or")
_WITH_NEXT = {"left", "right", "inner", "full", "cross", "group", "order", "union"}
_SQL_CHARS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of an action."""

    name: str = field(metadata=told("its name"))
    text: str = field(metadata=told("the value: text as it is, anything else as JSON"))
    is_text: bool = field(metadata=told("true for text, false for JSON"))
    sql: str = field(metadata=told("SQL laid out for reading; empty where it is none"))
    was: str = field(metadata=told("the value that was asked for, where a reviewer changed it"))
    changes: tuple[str, ...] = field(metadata=told("what a reviewer changed, line by line"))


def arguments_of(arguments: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[Argument, ...]:
    """Arguments in their order, each beside what was asked for; what a reviewer took away comes last."""
    return tuple(
        _argument(name, arguments.get(name), asked.get(name), here=name in arguments, before=name in asked)
        for name in list(dict.fromkeys([*arguments, *asked]))[:FIELDS_MAX]
    )


def _argument(name: str, value: Any, asked: Any, *, here: bool, before: bool) -> Argument:
    text, was = _text(value) if here else "", _text(asked) if before else ""
    sql = sql_lines(value) if isinstance(value, str) and looks_like_sql(name, value) else ""
    changed = (here, value) != (before, asked)
    changes: tuple[str, ...] = ()
    if changed:
        old = sql_lines(asked) if sql and isinstance(asked, str) else was
        changes = tuple(
            line
            for line in difflib.unified_diff(old.splitlines(), (sql or text).splitlines(), lineterm="", n=50)
            if not line.startswith(("---", "+++", "@@"))
        )
    return Argument(
        name=name, text=text, is_text=isinstance(value, str), sql=sql, was=was if changed else "", changes=changes
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def looks_like_sql(name: str, text: str) -> bool:
    """Whether a text is a statement: it begins like one, and where its name does not say so, it has several words."""
    return bool(_SQL.match(text)) and (name.casefold() in _SQL_NAMES or len(text.split()) > 3)


def sql_lines(text: str) -> str:
    """SQL with each clause on a line of its own; words in quotes and comments stay as they are."""
    if len(text) > _SQL_CHARS_MAX:
        return text
    lines: list[str] = [""]
    depth = 0
    previous = ""
    for piece in _TOKEN.findall(text):
        word = piece.casefold()
        if piece.isspace():
            if lines[-1] and not lines[-1].endswith(" "):
                lines[-1] += " "
            continue
        depth += {"(": 1, ")": -1}.get(piece, 0)
        joined = word in ("join", "all", "by") and previous in _WITH_NEXT
        if lines[-1].strip() and depth <= 0 and not joined and (word in _NEW_LINE or word in _INDENTED):
            lines[-1] = lines[-1].rstrip()
            lines.append("  " if word in _INDENTED or word == "on" else "")
        if piece.startswith("--"):
            lines[-1] += piece
            lines.append("")
        else:
            lines[-1] += piece
        if piece == ";":
            lines.append("")
        previous = word
    return "\n".join(line.rstrip() for line in lines if line.strip())


def edited(arguments: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """The arguments with what a form changed: ``text.NAME`` as it is, ``json.NAME`` as JSON.

    A browser sends lines that end in two characters: a value that differs in nothing else stays as it was.

    Raises:
        ValueError: something is no JSON; the message names it.
    """
    made = dict(arguments)
    for key, given in form.items():
        kind, _, name = key.partition(".")
        if kind not in ("text", "json") or name not in arguments:
            continue
        plain = given.replace("\r\n", "\n")
        if plain == _text(arguments[name]).replace("\r\n", "\n"):
            continue
        if kind == "text":
            made[name] = plain
            continue
        try:
            made[name] = json.loads(plain)
        except ValueError as error:
            raise ValueError(f"{name} is no JSON: {error}") from error
    return made
