"""The seam between our SQL and whatever runs it: one protocol, two drivers (:mod:`chdb_engine`, :mod:`clickhouse_engine`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import orjson

from pilothouse.records import BadRequest, PilothouseError, TooLarge, Unreachable

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The answer to a query: column names, ClickHouse type names, and rows."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[list[Any]]
    statistics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """``elapsed`` (seconds), ``rows_read``, ``bytes_read``."""

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        names = self.columns
        return [dict(zip(names, row, strict=True)) for row in self.rows]


class Engine(Protocol):
    """Runs ClickHouse SQL.

    1. ``execute`` MUST send ``params`` as server-side parameters (``{name:Type}``), never by pasting.
    2. ``execute`` MUST bound every call by time and memory; ``settings`` may tighten the bounds.
    3. ``insert`` MUST return only when the rows are on disk.
    4. Both are safe to call from several threads.
    """

    name: str
    """``chdb`` or ``clickhouse``, for messages and statistics."""
    clustered: bool
    """True where tables are Replicated and Distributed."""

    def execute(
        self,
        sql: str,
        params: Params | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        format: str = "Null",
    ) -> bytes:
        """Run one statement and return its output in ``format``.

        Raises:
            StoreError: the engine refused or failed.
            Unreachable: the engine does not answer.
        """
        ...

    def insert(self, table: str, columns: Sequence[str], body: bytes) -> None:
        """Insert rows given as ``JSONCompactEachRow`` lines."""
        ...

    def close(self) -> None:
        """Let go of the engine; waits for running calls."""
        ...


class StoreError(PilothouseError):
    """The engine refused a statement. ``code`` is ClickHouse's number, where known."""

    kind = "store_error"
    http_status = 500

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


_QUERY_SETTINGS: Mapping[str, Any] = {
    "output_format_json_quote_decimals": 1,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
}


def query(
    engine: Engine, sql: str, params: Params | None = None, *, settings: Mapping[str, Any] | None = None
) -> Table:
    """Run a read and parse its answer. Decimals arrive as strings, NaN and infinity as None."""
    body = engine.execute(sql, params, settings={**_QUERY_SETTINGS, **(settings or {})}, format="JSONCompact")
    if not body:
        return Table(columns=(), types=(), rows=[])
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Only a value that is not UTF-8 gets here: nothing we store, but SQL functions such as unhex() can make one.
        answer = orjson.loads(body.decode("utf-8", "replace"))
    return Table(
        columns=tuple(column["name"] for column in answer["meta"]),
        types=tuple(column["type"] for column in answer["meta"]),
        rows=answer["data"],
        statistics=answer.get("statistics", {}),
    )


def lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as ``JSONCompactEachRow``. Integers past 64 bits must be given as strings."""
    return b"\n".join([_line(row) for row in rows])


def _line(row: Sequence[Any]) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:
        # A lone surrogate, which is no Unicode text: kept as a question mark rather than costing the batch.
        return orjson.dumps(_clean(row))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast("Sequence[Any]", value)]
    return value


def render_params(params: Params | None) -> dict[str, str]:
    """Parameters in ClickHouse's escaped text form, which both drivers take."""
    return {name: _render(value, top=True) for name, value in (params or {}).items()}


def _render(value: Any, *, top: bool) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return value.translate(_ESCAPES) if top else "'" + value.translate(_QUOTED) + "'"
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return "[" + ",".join(_render(item, top=False) for item in items) + "]"
    raise TypeError(f"no SQL parameter form for {type(value).__name__}")


_ESCAPES = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r", 0: "\\0", 8: "\\b", 12: "\\f"}
_QUOTED = {**_ESCAPES, ord("'"): "\\'"}

# ClickHouse error numbers that are the caller's doing: the time, memory, row and byte bounds, and bad SQL.
_TOO_MUCH = {158: "rows", 159: "time", 160: "time", 241: "memory", 307: "bytes", 396: "result size"}


def raise_for(text: str) -> None:
    """Raise the right error for a message of the engine such as ``Code: 62. DB::Exception: …``."""
    code = 0
    if text.startswith("Code: "):
        digits = text[6:12].split(".")[0]
        code = int(digits) if digits.isdigit() else 0
    message = text.split("DB::Exception: ", 1)[-1].split(" (version", 1)[0].strip()
    if code in _TOO_MUCH:
        raise TooLarge(
            f"the query passed its bound on {_TOO_MUCH[code]}: {message[:300]}",
            fix="narrow it: add a time range (start_time > now() - INTERVAL 1 DAY), a filter or a LIMIT",
        )
    if code in (47, 62, 43, 46, 53, 386, 36, 42, 6, 27, 38, 41, 70, 72, 215, 184):
        raise BadRequest(message[:600], fix="pilothouse sql --schema")
    if code in (210, 209, 198):
        raise Unreachable(message[:300])
    raise StoreError(message[:2000], code=code)
