"""An export as an analysis sees it: rows of its index, folders of its traces, and the hash of what an item is made of.

Nothing here writes. Queries, the user's as well as ours, run read-only, with a deadline.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from pilothouse.files.export_index import INDEX_NAME
from pilothouse.files.folder import MANIFEST_NAME
from pilothouse.records import BadRequest, Broken

QUERY_S = 20.0
"""A query that takes longer is stopped."""
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_MULTIPLE = ("models", "tools", "signals")
"""Columns of traces that hold several values with commas between them."""

Row = Mapping[str, Any]


class Export:
    """One export on disk."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BadRequest: there is no finished export.
        """
        self.path = path
        try:
            manifest: Any = json.loads((path / MANIFEST_NAME).read_text())
            self.spec_hash = str(manifest["spec_hash"])
            self.watermark: dict[str, Any] = dict(manifest["watermark"])
            self.complete = manifest["status"] == "complete"
            self.content = str(manifest["content"])
        except FileNotFoundError as error:
            raise BadRequest(
                "there is no finished export here", got=str(path), fix="pilothouse pull 'status:error' DIR"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Broken("the export's manifest is unreadable", got=str(path / MANIFEST_NAME)) from error

    def traces(self, where: str = "") -> list[dict[str, Any]]:
        """Rows of traces in order of start, with ``sha``: the hash over their files. ``where`` is the user's own SQL.

        Raises:
            BadRequest: the condition is no SQL over this index, or wants to do more than read.
        """
        condition = f"WHERE ({where})" if where else ""
        # One statement at a time, read-only, on a file that is the user's: his condition can say what it likes.
        sql = (
            "SELECT traces.*, folders.sha256 AS sha FROM traces LEFT JOIN folders USING (trace_id) "
            f"{condition} ORDER BY traces.start, trace_id"
        )
        try:
            return self.query(sql)
        except BadRequest as error:
            if not where:
                raise
            names = ", ".join(name for row in self.query("SELECT * FROM traces LIMIT 1") for name in row)
            raise BadRequest(
                f"--where is no condition over the traces: {error.message}",
                got=where,
                allowed=names,
                fix="--where \"status = 'error'\"",
            ) from error

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a statement that reads.

        Raises:
            BadRequest: it does not, is wrong, or takes too long.
        """
        with self._connected() as database:
            try:
                cursor = database.execute(sql, tuple(values))
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor]
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise BadRequest(str(error), got=sql[:400]) from error

    @contextmanager
    def _connected(self) -> Generator[sqlite3.Connection]:
        path = self.path / INDEX_NAME
        try:
            database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        except sqlite3.Error as error:
            raise Broken(
                "the export's index cannot be opened", got=str(path), fix=f"pilothouse pull --again {self.path}"
            ) from error
        deadline = time.monotonic() + QUERY_S
        try:
            # The full-text index asks for the data's version by a pragma of its own.
            database.execute("PRAGMA query_only = ON")
            database.set_authorizer(_reads_only)
            database.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
            yield database
        finally:
            database.close()

    def folder(self, row: Row) -> Path:
        """Where the files of a trace lie."""
        return self.path / str(row["folder"])


def _reads_only(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action in _ALLOWED:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second not in ("load_extension", "writefile", "edit"):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "data_version":
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def sha_of(parts: Sequence[Row]) -> str:
    """The hash of what an item is made of: of its traces' files, in order."""
    if len(parts) == 1:
        return str(parts[0]["sha"])
    return hashlib.sha256("\n".join(str(row["sha"]) for row in parts).encode()).hexdigest()


def values_of(row: Row, column: str) -> tuple[str, ...]:
    """What a column of a trace says: several values for models, tools and signals."""
    text = str(row.get(column) or "")
    if column in _MULTIPLE:
        return tuple(sorted({part for part in text.split(",") if part}))
    return (text,) if text else ()


def lines_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines with their line numbers; what is no object is passed over."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                try:
                    found: object = json.loads(line)
                except ValueError:
                    continue
                if isinstance(found, dict):
                    yield number, cast("dict[str, Any]", found)
    except OSError:
        return


def text_of(value: Any, folder: Path, chars: int = 20_000) -> str:
    """A value of a line: itself, or the beginning of the file it refers to."""
    if not isinstance(value, dict):
        return str(value or "")
    reference = cast("dict[str, Any]", value)
    place = folder / str(reference.get("$ref", ""))
    inside = place.resolve()
    for path in (inside, inside.with_name(inside.name + ".part-000001")):
        if path.is_file() and path.is_relative_to(folder.resolve()):
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read(chars)
    return str(reference.get("head") or "")
