"""The tools: what a client is told of each, and what is done when it calls one. Every byte here is paid for by every agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pilothouse.records import BadRequest, Broken, PilothouseError

from .answers import BUDGET, Answer, Fitted, failed, fit, read_budget
from .caller import Desk
from .calls import Call
from .compare import compare
from .do import do
from .find import KINDS, find
from .get import get
from .logs import logs
from .pull import pull
from .sql import sql, sql_schema

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_YES = {"type": "boolean"}


def _text(says: str) -> dict[str, Any]:
    return {**_TEXT, "description": says}


_BUDGET = {"budget": _NUMBER}
_WINDOW = {"since": _text("15m, 24h, 7d or ISO"), "until": _TEXT}
_PAGE = {"limit": _NUMBER, "cursor": _TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """One tool."""

    name: str
    title: str
    help: str
    arguments: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...] = ()
    reads: bool = True
    """False: it changes something on the server."""
    writes_files: bool = False
    """It writes on the user's machine."""
    act: Callable[[Desk, Mapping[str, Any]], Answer]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of its arguments."""
        schema: dict[str, Any] = {"type": "object", "properties": dict(self.arguments), "additionalProperties": False}
        return {**schema, "required": list(self.required)} if self.required else schema


TOOLS: tuple[ToolSpec, ...] = (
    ToolSpec(
        name="find",
        title="Find",
        help="List or search, newest first; metadata only. kind words searches texts, signals lists traces with problems.",
        arguments={
            "kind": {"enum": list(KINDS), "default": "traces"},
            "query": _text(
                'filter: status:error agent:x tool:y cost>0.1 -tag:t "text" (docs:filters); for words, logs: words'
            ),
            **_WINDOW,
            "sort": _text("newest oldest slowest dearest tokens errors spans"),
            "facets": _text("instead: commonest values of fields a,b or all"),
            "content": {**_YES, "description": "also heads of what was said"},
            **_PAGE,
            **_BUDGET,
        },
        act=find,
    ),
    ToolSpec(
        name="get",
        title="Get",
        help=(
            "One thing. id: trace or span id (a unique beginning will do), last, last-error, session:ID, agent:NAME, "
            "overview, cost, map, doctor, stats, budgets, policy, skill:NAME, docs:NAME, help."
        ),
        arguments={
            "id": _TEXT,
            "as": _text(
                "trace: card tree transcript json why decision context notes states plan graph breakdown path cost link; "
                "agent: audit level; step: decision context json link"
            ),
            "step": _text("step number or span id"),
            "field": _text("of the step: input output tools error attributes attributes.KEY"),
            "offset": _NUMBER,
            "after": _NUMBER,
            "query": _TEXT,
            **_WINDOW,
            "cursor": _TEXT,
            **_BUDGET,
        },
        required=("id",),
        act=get,
    ),
    ToolSpec(
        name="sql",
        title="SQL",
        help="One SELECT (ClickHouse) over views: spans, traces, messages, logs, … For counts and rates.",
        arguments={"query": _TEXT, "rows": _NUMBER, **_BUDGET},
        required=("query",),
        act=sql,
    ),
    ToolSpec(
        name="sql_schema",
        title="SQL schema",
        help="Views and columns; with view, what each column means.",
        arguments={"view": _TEXT, **_BUDGET},
        act=sql_schema,
    ),
    ToolSpec(
        name="compare",
        title="Compare two traces or runs",
        help="Two traces step by step: totals, where they part, what differed before; or two runs of a suite (evr_…).",
        arguments={
            "a": _TEXT,
            "b": _TEXT,
            "step": _text("this step in full: 12 of a, b12 of b"),
            "after": _NUMBER,
            "limit": _NUMBER,
            "whole": _YES,
            **_BUDGET,
        },
        required=("a", "b"),
        act=compare,
    ),
    ToolSpec(
        name="logs",
        title="Logs",
        help="Log lines of a trace (id), each with why it belongs; or of a search. kind lost: errors no span tells of.",
        arguments={
            "id": _TEXT,
            "infra": _YES,
            "level": _text("at least: debug info warn error"),
            "reason": _TEXT,
            "query": _text("words"),
            "service": _TEXT,
            "host": _TEXT,
            "kind": {"enum": ["search", "lost"]},
            **_WINDOW,
            **_PAGE,
            **_BUDGET,
        },
        act=logs,
    ),
    ToolSpec(
        name="pull",
        title="Pull an export",
        help="Write traces to a folder (files, JSON lines, SQLite) for grep and jq; best for many. what: id or filter.",
        arguments={"what": _TEXT, "folder": _TEXT, **_WINDOW, "content": {"enum": ["full", "meta"]}, **_BUDGET},
        required=("what",),
        writes_files=True,
        act=pull,
    ),
    ToolSpec(
        name="do",
        title="Do",
        help="Write: notes, scores, labels, undo, … Without action: lists actions and arguments. Try dry_run first.",
        arguments={"action": _TEXT, "arguments": {"type": "object"}, "dry_run": _YES, **_BUDGET},
        reads=False,
        act=do,
    ),
)
BY_NAME: Mapping[str, ToolSpec] = {tool.name: tool for tool in TOOLS}
_KINDS_OF: dict[str, tuple[type, str]] = {
    "string": (str, "a text"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
    "object": (Mapping, "an object"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a call came to."""

    fitted: Fitted
    failed: bool


def run(desk: Desk, name: str, arguments: Mapping[str, Any]) -> Called:
    """Call a tool. Never raises: what went wrong is the answer, within the same budget."""
    budget = BUDGET
    try:
        tool = BY_NAME.get(name)
        if tool is None:
            raise BadRequest("there is no such tool", got=name, allowed=list(BY_NAME))
        given = checked(tool, arguments)
        budget = read_budget(given)
        answer = tool.act(desk, given)
        return Called(fitted=fit(answer, budget, Call(tool=name, arguments=given)), failed=False)
    except PilothouseError as error:
        return Called(fitted=failed(error, budget), failed=True)
    except Exception as error:  # a defect is told in the same shape: the connection goes on
        from logging import getLogger

        getLogger("pilothouse.mcp").error("the tool %s met a defect", name, exc_info=error)
        return Called(fitted=failed(Broken(f"a defect of ours: {type(error).__name__}"), budget), failed=True)


def checked(tool: ToolSpec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without empty ones, each of its type.

    Raises:
        BadRequest: one is not known, of another type, or missing.
    """
    given: dict[str, Any] = {}
    for name, value in arguments.items():
        schema = tool.arguments.get(name)
        if schema is None:
            raise BadRequest(f"{tool.name} takes no such argument", got=name, allowed=list(tool.arguments))
        if value is None or value == "":
            continue
        given[name] = _typed(tool, name, schema, value)
    missing = [name for name in tool.required if name not in given]
    if missing:
        raise BadRequest(f"{tool.name} needs {' and '.join(missing)}", got=sorted(given), allowed=list(tool.arguments))
    return given


def _typed(tool: ToolSpec, name: str, schema: Mapping[str, Any], value: Any) -> Any:
    if "enum" in schema:
        if value not in schema["enum"]:
            raise BadRequest(f"{tool.name} knows no such {name}", got=_shown(value), allowed=schema["enum"])
        return value
    kind, says = _KINDS_OF[str(schema["type"])]
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a step number, as models write it
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind is int and isinstance(value, str) and value.strip().isdigit() and len(value) < 12:
        return int(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadRequest(f"{tool.name}: {name} is {says}", got=_shown(value))
    if kind is int and not -1 < cast(int, value) < 10**12:
        raise BadRequest(f"{tool.name}: {name} is out of bounds", got=value, allowed="0 to 999999999999")
    return value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)[:100]
