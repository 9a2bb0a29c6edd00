"""Filters on traces, as data, and the SQL they become. The only place that knows which column a field is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .schema import SPAN, TOKEN_BUCKETS
from .views import BY_NAME

Operator = Literal["=", "<", "<=", ">", ">="]

TRACE_STATUS = next(column.sql for column in BY_NAME["traces"].columns if column.name == "status")
"""ok, error or running, as the ``traces`` view says it."""
TOTAL_TOKENS = " + ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)

_TEXT = {
    "status": f"({TRACE_STATUS})",
    "version": "agent_version",
    "user": "user_id",
    "session": "session_id",
    "env": "environment",
    "service": "service",
    "feature": "feature",
    "name": "root_name",
}
_LIST = {
    "agent": "agents",
    "model": "models",
    "tool": "tools",
    "tag": "tags",
    "dialect": "dialects",
    "signal": "signals",
}
_NUMBER = {
    "duration_ms": "duration_ns / 1e6",
    "cost": "toFloat64(cost_usd)",
    "tokens": TOTAL_TOKENS,
    "spans": "spans",
    "errors": "errors",
}

LATEST_NS = 4_102_444_800_000_000_000
"""The year 2100: no bound at all."""

ANNOTATED = ("note", "score", "label")
"""What ``has:`` asks for."""
SCORE_PREFIX = "score."

TEXT_FIELDS = (*_TEXT, *_LIST, "provider", "error", "id", "label", "has")
NUMBER_FIELDS = tuple(_NUMBER)
FACET_COLUMNS = {
    **{name: (sql, False) for name, sql in _TEXT.items()},
    **{name: (sql, True) for name, sql in _LIST.items()},
    # The agent asked is not always a span of its own, so it may be missing in the list of agents.
    "agent": ("arrayFilter(x -> x != '', arrayConcat([agent], agents))", True),
}
"""Fields whose values can be counted: the column or expression, and whether a trace has several."""


# What started in the range cannot have arrived before it; a day of grace for senders whose clock is ahead. The first
# day of 1970 is kept out: a Date cannot go below it, and would come round at its other end.
ARRIVED = "received_day >= toDate(fromUnixTimestamp64Nano(greatest({since:Int64}, 86400000000000), 'UTC')) - 1"
"""Keeps a read from partitions that lie before its range; needs the parameter ``since``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One term of a filter. A trace fits where it fits any of ``values`` (or none of them, where ``negated``)."""

    field: str
    """One of ``TEXT_FIELDS`` or ``NUMBER_FIELDS``, ``attr.KEY``, ``resource.KEY``, ``score.NAME``, or ``text`` for words in messages."""
    op: Operator = "="
    values: tuple[str, ...]
    """Texts may hold ``*`` (alone: anything at all; an empty text: nothing). Numbers are decimal."""
    negated: bool = False
    term: str = ""
    """As the user wrote it."""


@dataclass(slots=True)
class Where:
    """A growing condition: SQL joined with AND, and its parameters."""

    parts: list[str] = field(default_factory=list[str])
    params: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, sql: str, **params: Any) -> None:
        """Add a condition. Names of parameters must be new."""
        self.parts.append(sql)
        self.params.update(params)

    def name(self, value: Any) -> str:
        """Make a parameter of a value and return its name."""
        name = f"v{len(self.params)}"
        self.params[name] = value
        return name

    @property
    def sql(self) -> str:
        """All conditions in one expression."""
        return " AND ".join(self.parts) or "1"


def window(where: Where, project: str, since_ns: int, until_ns: int, *, time: str = "start_time") -> None:
    """Bound a read of a table to a project and a time range; prunes partitions as well."""
    where.add("project_id = {project:String}", project=project)
    where.add(
        f"{ARRIVED} AND {time} >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC')"
        f" AND {time} < fromUnixTimestamp64Nano({{until:Int64}}, 'UTC')",
        since=since_ns,
        until=until_ns,
    )


def is_dear(condition: Condition) -> bool:
    """True for a filter that looks into spans or messages: it costs more the longer the time range is."""
    return condition.field in ("text", "provider", "error") or condition.field.startswith(("attr.", "resource."))


def filtered(
    project: str, since_ns: int, until_ns: int, conditions: Iterable[Condition], *, spans_until_ns: int = LATEST_NS
) -> Where:
    """The condition on ``trace`` for a project, a time range and filters.

    ``spans_until_ns`` bounds the reads of spans and messages: nothing of these traces may have started later.
    """
    where = Where()
    window(where, project, since_ns, until_ns)
    where.params["spans_until"] = spans_until_ns
    for condition in conditions:
        sql = _condition(where, condition)
        where.add(f"NOT ({sql})" if condition.negated else f"({sql})")
    return where


def _condition(where: Where, condition: Condition) -> str:
    name = condition.field
    if name in _NUMBER:
        values = [f"{{{where.name(float(value))}:Float64}}" for value in condition.values]
        return " OR ".join(f"ifNull({_NUMBER[name]} {condition.op} {value}, 0)" for value in values)
    if name in _TEXT:
        return _any_of(where, _TEXT[name], condition.values)
    if name == "agent":
        # The agent asked is not always a span of its own, so it may be missing in the list of agents.
        return f"{_any_of(where, 'agent', condition.values)} OR {_has_any(where, 'agents', condition.values)}"
    if name in _LIST:
        return _has_any(where, _LIST[name], condition.values)
    if name == "id":
        return " OR ".join(f"startsWith(trace_id, {{{where.name(value)}:String}})" for value in condition.values)
    if name == "error":
        return _error(where, condition.values)
    if name == "provider":
        return _in_spans(_any_of(where, "provider", condition.values))
    if name == "text":
        return " AND ".join(_said(where, value) for value in condition.values)
    if name == "label":
        return _annotated(where, "annotation", f"kind = 'label' AND {_any_of(where, 'name', condition.values)}")
    if name == "has":
        return " OR ".join(_has(where, value) for value in condition.values)
    if name.startswith(SCORE_PREFIX):
        return _scored(where, condition)
    if name.startswith("attr."):
        return _attribute(where, "attributes", name.removeprefix("attr."), condition.values)
    if name.startswith("resource."):
        return _attribute(where, "resource", name.removeprefix("resource."), condition.values)
    raise AssertionError(f"no such field: {name}")


def _any_of(where: Where, column: str, values: Sequence[str]) -> str:
    if values == ("*",):
        return f"{column} != ''"
    exact = [value for value in values if "*" not in value]
    parts = [f"{column} IN {{{where.name(exact)}:Array(String)}}"] if exact else []
    parts += [f"{column} LIKE {{{where.name(_like(value))}:String}}" for value in values if "*" in value]
    return "(" + " OR ".join(parts) + ")"


def _has_any(where: Where, column: str, values: Sequence[str]) -> str:
    if values == ("*",):
        return f"notEmpty({column})"
    if any("*" in value for value in values):
        return f"arrayExists(x -> {_any_of(where, 'x', values)}, {column})"
    if values == ("",):
        return f"empty({column})"
    return f"hasAny({column}, {{{where.name(list(values))}:Array(String)}})"


def _error(where: Where, values: Sequence[str]) -> str:
    parts: list[str] = []
    for value in values:
        if not value.strip("*"):
            parts.append("errors > 0")
            continue
        pattern = f"{{{where.name(f'%{_like(value)}%')}:String}}"
        parts.append(f"first_error ILIKE {pattern}")
        parts.append(_in_spans(f"status = 'error' AND (error_type ILIKE {pattern} OR error_message ILIKE {pattern})"))
    return " OR ".join(parts)


def _attribute(where: Where, column: str, key: str, values: Sequence[str]) -> str:
    return _in_spans(_any_of(where, f"{column}[{{{where.name(key)}:String}}]", values))


def _has(where: Where, kind: str) -> str:
    if kind == "score":
        return _annotated(where, "score", "1")
    return _annotated(where, "annotation", f"kind = {{{where.name(kind)}:String}}")


def _scored(where: Where, condition: Condition) -> str:
    name = f"name = {{{where.name(condition.field.removeprefix(SCORE_PREFIX))}:String}}"
    if condition.values == ("*",):
        return _annotated(where, "score", name)
    parts: list[str] = []
    for value in condition.values:
        number = as_number(value)
        if number is not None:
            parts.append(f"ifNull(value {condition.op} {{{where.name(number)}:Float64}}, 0)")
        if condition.op == "=":
            parts.append(_any_of(where, "label", [value]))
    return _annotated(where, "score", f"{name} AND ({' OR '.join(parts)})")


def _annotated(where: Where, table: str, sql: str) -> str:
    """Traces with such an annotation on them, on a step of them, or on their session."""
    found = f"FROM {{db}}.{table} FINAL WHERE project_id = {{project:String}} AND removed = 0 AND {sql}"
    return (
        f"trace_id IN (SELECT trace_id {found} AND trace_id != '') OR "
        f"session_id IN (SELECT session_id {found} AND trace_id = '' AND session_id != '')"
    )


def as_number(text: str) -> float | None:
    """A text as a number; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) <= 1e18 else None


def _in_spans(sql: str) -> str:
    return (
        "trace_id IN (SELECT trace_id FROM {db}.span WHERE project_id = {project:String}"
        f" AND {ARRIVED} AND {_started('start_time')} AND {sql})"
    )


def _started(column: str) -> str:
    return (
        f"{column} >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC')"
        f" AND {column} < fromUnixTimestamp64Nano({{spans_until:Int64}}, 'UTC')"
    )


def _said(where: Where, words: str) -> str:
    """Traces in which something was said, or given to or returned by a tool. System prompts are left out: they are
    stored once for the whole project and would point at one trace."""
    name, phrase = where.name(words), has_phrase(words)
    # Two subqueries, not one with UNION ALL: that the engine cannot spread over a cluster.
    said = (
        "trace_id IN (SELECT trace_id FROM {db}.message WHERE project_id = {project:String} AND scope != ''"
        f" AND {ARRIVED} AND {_started('time')} AND {words_in_message(name, phrase=phrase)})"
    )
    return f"{said} OR {_in_spans(words_in_span(name, phrase=phrase))}"


def has_phrase(words: str) -> bool:
    """True where words are more than one token: then the text itself must be compared as well."""
    return not words.isalnum()


def words_in_message(name: str, *, phrase: bool) -> str:
    """The words of the parameter ``name`` occur in a message, as they stand. Uses the text index."""
    return _words("content", f"{{{name}:String}}", phrase=phrase)


_SPAN_TEXT = "concat(if(empty(input_refs), input_text, ''), ' ', if(empty(output_refs), output_text, ''))"
"""What only the span holds: short values given to and returned by tools. The index is over this very expression."""
_SPAN_INDEXED = any(index.startswith("INDEX by_word") for index in SPAN.indexes)


def words_in_span(name: str, *, phrase: bool) -> str:
    """The words of the parameter ``name`` occur in a tool's short input or output."""
    if _SPAN_INDEXED:
        return _words(_SPAN_TEXT, f"{{{name}:String}}", phrase=phrase)
    return _words(f"lower({_SPAN_TEXT})", f"lower({{{name}:String}})", phrase=phrase)


def _words(column: str, words: str, *, phrase: bool) -> str:
    # The index splits at everything but ASCII letters, digits and non-ASCII characters, and folds ASCII case.
    tokens = f"hasAllTokens({column}, {words})"
    return f"({tokens} AND positionCaseInsensitiveUTF8({column}, {words}) > 0)" if phrase else tokens


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
