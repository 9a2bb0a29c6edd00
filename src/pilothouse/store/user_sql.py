"""Users' SQL over the documented views: read-only, one project, bounded in rows, bytes, memory and time.

A statement passes three gates before it runs:

1. :mod:`sql_check` reads it with a parser of ours, allows only what is listed and writes the statement that is run.
2. The engine's own parser reads both what the user wrote and what we understood. If they differ, it is refused: a
   question that would be answered differently than it was asked is worse than none.
3. Every bound is a setting of the engine, which the statement itself cannot change.
"""

from __future__ import annotations

import difflib
import re
import threading
import time
import weakref
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pilothouse.records import BadRequest, Overloaded, PilothouseError, TooLarge

from . import engine as engines
from .engine import Engine, StoreError
from .sql_check import Checked, check
from .sql_functions import is_allowed
from .trace_store import TraceStore
from .views import BY_NAME, VIEWS


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlLimits:
    """The bounds of one statement. What passes rows or bytes is cut and said; the others end it with an error."""

    rows: int = 1_000
    bytes: int = 8_000_000
    """Size of the answer, as JSON."""
    seconds: int = 30
    memory_bytes: int = 500_000_000
    """Half of what the embedded store may use: a greedy question fails alone."""
    read_bytes: int = 20_000_000_000
    """What may be read from disk, uncompressed."""


ROWS_MAX = 10_000
"""The most rows an answer may have, whoever asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlResult:
    """The answer to a statement."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    """ClickHouse's names for the types."""
    rows: list[list[Any]]
    """Decimals as text; NaN and infinity as None."""
    row_count: int
    more: bool
    """True where the bound on rows or bytes was met: there is more than is shown."""
    elapsed_ms: float
    rows_read: int
    bytes_read: int
    notes: tuple[str, ...] = ()
    """What the reader should know: what was cut or changed."""


def run(store: TraceStore, project: str, sql: str, limits: SqlLimits | None = None) -> SqlResult:
    """Answer one statement for one project.

    Raises:
        BadRequest: the statement is not one question over the views, or the engine does not understand it.
        TooLarge: it passed the bound on time, memory or what may be read.
    """
    limits = limits or SqlLimits()
    if not 1 <= limits.rows <= ROWS_MAX:
        raise BadRequest("rows is out of range", got=limits.rows, allowed=f"1 to {ROWS_MAX}")
    sql = sql.strip().removesuffix(";").rstrip()
    started = time.monotonic()
    shared = _shared(store.engine)
    try:
        checked = check(sql, store.database, shared.refused_functions)
    except BadRequest as error:
        # Where the engine cannot read it either, its message is the better one: it names what it expected.
        if error.message.startswith("this SQL cannot be read"):
            _read_by_engine(store.engine, sql, sql)
        raise
    _compare_readings(store.engine, sql, checked)
    if not shared.turn.acquire(timeout=_TURN_WAIT_S):
        raise Overloaded(f"{_AT_ONCE} statements are running already", retry_after_s=5, fix="run it again in 5 s")
    # Straight to the engine: TraceStore.query would put the database's name into the user's own texts.
    try:
        table = engines.query(store.engine, checked.sql, {"project": project}, settings=_settings(limits))
    except (BadRequest, StoreError, TooLarge) as error:
        raise _explain(error, checked, store.database) from error
    except ValueError as error:
        raise StoreError("the engine's answer is no JSON: a value or a name in it cannot be written") from error
    finally:
        shared.turn.release()
    rows, notes = table.rows, list(checked.notes)
    more = len(rows) > limits.rows
    if more:
        rows = rows[: limits.rows]
        notes.append(f"first {limits.rows:,} rows: there are more (--rows raises the bound, up to {ROWS_MAX:,})")
    kept = _within(rows, limits.bytes)
    if kept < len(rows):
        notes.append(
            f"first {kept:,} rows: the answer passed {limits.bytes:,} bytes; choose fewer columns or cut texts with left(x, 200)"
        )
        rows, more = rows[:kept], True
    return SqlResult(
        columns=table.columns,
        types=table.types,
        rows=rows,
        row_count=len(rows),
        more=more,
        elapsed_ms=round((time.monotonic() - started) * 1000, 1),
        rows_read=int(table.statistics.get("rows_read", 0)),
        bytes_read=int(table.statistics.get("bytes_read", 0)),
        notes=tuple(notes),
    )


def _settings(limits: SqlLimits) -> dict[str, Any]:
    return {
        "readonly": 2,  # nothing but reading; 1 would refuse the settings that stand beside it
        "allow_ddl": 0,
        "allow_introspection_functions": 0,
        # Unlike max_result_rows with `break`, which ends at the next block, this is exact. One more tells that there is more.
        "limit": limits.rows + 1,
        "max_result_bytes": limits.bytes * 8,
        "result_overflow_mode": "throw",
        "max_execution_time": limits.seconds,
        "timeout_overflow_mode": "throw",
        "max_memory_usage": limits.memory_bytes,
        "max_bytes_to_read": limits.read_bytes,
        "read_overflow_mode": "throw",
        "max_threads": 2,
        # The engine looks at the clock between blocks: with an eighth of its usual rows, eight times as often.
        "max_block_size": 8192,
        "max_ast_elements": 20_000,
        "max_subquery_depth": 30,
        # One call of range() could otherwise work for minutes between two looks at the clock.
        "function_range_max_elements_in_block": 5_000_000,
        "max_temporary_columns": 500,
    }


_AT_ONCE = 2
"""Statements of users that one engine works on at a time: the rest of its sessions are for intake and the pages."""
_TURN_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What all statements on one engine have in common."""

    refused_functions: frozenset[str]
    """What this engine has and users' SQL may not call, in lower case; its administrator's own included."""
    turn: threading.BoundedSemaphore


_shared_by_engine: weakref.WeakKeyDictionary[Engine, _Shared] = weakref.WeakKeyDictionary()


def _shared(engine: Engine) -> _Shared:
    found = _shared_by_engine.get(engine)
    if found is None:
        names = [str(row[0]) for row in engines.query(engine, "SELECT name FROM system.functions").rows]
        refused = frozenset(name.lower() for name in names if not is_allowed(name))
        made = _Shared(refused_functions=refused, turn=threading.BoundedSemaphore(_AT_ONCE))
        found = _shared_by_engine.setdefault(engine, made)
    return found


def _compare_readings(engine: Engine, sql: str, checked: Checked) -> None:
    theirs, ours = (_normal(text) for text in _read_by_engine(engine, sql, checked.asked))
    if theirs == ours:
        return
    at = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    raise BadRequest(
        "this form of SQL is not supported here: it would be read differently than it is meant",
        got=f"… {theirs[max(0, at - 40) : at + 60].strip()} …",
        fix="write this part in another way; pilothouse sql --schema shows the views",
    )


def _read_by_engine(engine: Engine, *statements: str) -> list[str]:
    """What the engine's parser makes of the statements; it runs nothing.

    Raises:
        BadRequest: it cannot read one.
    """
    names = [f"s{position}" for position in range(len(statements))]
    sql = "SELECT " + ", ".join(f"formatQuery({{{name}:String}})" for name in names)
    try:
        return engines.query(engine, sql, dict(zip(names, statements, strict=True))).rows[0]
    except (BadRequest, StoreError) as error:
        message = re.split(r" *: In scope | *: *while executing ", error.message)[0]
        raise BadRequest(
            message[:300], got=" ".join(statements[0].split())[:120], fix="pilothouse sql --schema"
        ) from error


_IN_ARRAY = re.compile(r"\bin \[([^\[\]]*)\]")
_CROSS_JOIN = re.compile(r"\s*\bcross join\s+")


def _normal(text: str) -> str:
    """The engine's text without the differences that mean nothing: case of names, `a, b` or CROSS JOIN, IN [1] or (1)."""
    return _IN_ARRAY.sub(r"in (\1)", _CROSS_JOIN.sub(", ", text.casefold()))


def _within(rows: list[list[Any]], bytes_max: int) -> int:
    """How many of the rows fit."""
    size = 2
    for position, row in enumerate(rows):
        size += 2 + sum(_size(value) for value in row)
        if size > bytes_max:
            return position
    return len(rows)


def _size(value: Any) -> int:
    """About as many bytes as the value takes in JSON."""
    if isinstance(value, str):
        return len(value) + 3
    if isinstance(value, list):
        return 2 + sum(_size(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, dict):
        return 2 + sum(len(key) + 4 + _size(item) for key, item in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return 8


_UNKNOWN_NAME = re.compile(r"identifier\s+[`'\"]?([A-Za-z_][\w.]*)", re.IGNORECASE)


def _explain(error: PilothouseError, checked: Checked, database: str) -> PilothouseError:
    """The engine's message without what is ours in it, with the column that was meant and the way to the schema."""
    if isinstance(error, TooLarge):
        if "result" in error.message:
            return TooLarge(
                "the answer is too large",
                got="more than the bound on bytes",
                fix="choose fewer columns, cut texts with left(x, 200), or add LIMIT",
            )
        return error
    message = re.split(r"\.? ?(?:: )?(?:In scope|While executing|while executing)", error.message)[0]
    message = re.sub(rf"\b{database}\.|\b(?<=[a-z])_of\b", "", message).replace("`", "'").strip()
    schema = f" {checked.views[0]}" if len(checked.views) == 1 else ""
    fix = f"pilothouse sql --schema{schema}"
    unknown = _UNKNOWN_NAME.search(message)
    if unknown and ("nknown" in message or "cannot be resolved" in message) and " USING" not in message:
        name = unknown[1].split(".")[-1]
        elsewhere = [f"{view.name}.{name}" for view in VIEWS if name in {column.name for column in view.columns}]
        close = [f"{view}.{column}" for view, column in _close_columns(name, checked.views)]
        close = [*elsewhere, *(one for one in close if one not in elsewhere)][:3]
        views = " and ".join(checked.views) or "this query"
        return BadRequest(f"there is no column '{name}' in {views}", got=name, allowed=close or None, fix=fix)
    return BadRequest(message[:300] or "the engine refused the statement", fix=fix)


def _close_columns(name: str, views: Collection[str]) -> Iterator[tuple[str, str]]:
    """Columns like ``name`` as (view, column), best first."""
    found = [
        (difflib.SequenceMatcher(None, name.lower(), column.name).ratio(), view, column.name)
        for view in (views or BY_NAME)
        for column in BY_NAME[view].columns
    ]
    for ratio, view, column in sorted(found, key=lambda item: (-item[0], item[1], item[2])):
        if ratio >= 0.6:
            yield view, column
