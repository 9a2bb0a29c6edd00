"""The trace store: opens an engine by URL, keeps the schema current, inserts rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pilothouse.records import BadRequest

from .chdb_engine import ChdbEngine
from .clickhouse_engine import ClickHouseEngine
from .engine import Engine, Params, Table, lines, query
from .locate import embedded_folder
from .schema import (
    ADDED_COLUMNS,
    ADDED_INDEXES,
    STORE_VERSION,
    TABLES,
    add_column,
    add_index,
    create_table,
)
from .views import VIEWS, create_view


class TraceStore:
    """All reads and writes of traces go through here. Safe to use from several threads."""

    def __init__(self, engine: Engine, *, database: str = "pilothouse") -> None:
        if not database.replace("_", "").isalnum():
            raise BadRequest("a database name has letters, digits and underscores", got=database)
        self.engine = engine
        self.database = database

    def query(self, sql: str, params: Params | None = None, *, settings: Mapping[str, Any] | None = None) -> Table:
        """Run a read. ``{db}`` in the SQL stands for the database."""
        return query(self.engine, sql.replace("{db}", self.database), params, settings=settings)

    def command(self, sql: str, params: Params | None = None) -> None:
        """Run a statement that gives no rows. ``{db}`` in the SQL stands for the database."""
        self.engine.execute(sql.replace("{db}", self.database), params)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows and return when they are on disk. The newest ``version`` of a row wins."""
        if rows:
            self.engine.insert(f"{self.database}.{table}", columns, lines(rows))

    def delete(self, table: str, where: str, params: Params) -> None:
        """Delete rows; they are gone from every read when it returns, and from the disk when parts are rewritten."""
        if isinstance(self.engine, ClickHouseEngine) and self.engine.cluster:
            self.engine.execute_everywhere(f"DELETE FROM {self.database}.{table}_local WHERE {where}", params)
        else:
            self.engine.execute(f"DELETE FROM {self.database}.{table} WHERE {where}", params)

    def migrate(self) -> None:
        """Bring the schema to the newest version. Safe to run again after a crash in the middle."""
        engine = self.engine
        define = engine.execute_everywhere if isinstance(engine, ClickHouseEngine) else engine.execute
        define(f"CREATE DATABASE IF NOT EXISTS {self.database}")
        define(
            f"CREATE TABLE IF NOT EXISTS {self.database}.schema_version (version UInt32, applied DateTime) "
            "ENGINE = MergeTree ORDER BY version"
        )
        found = self.query("SELECT max(version) FROM {db}.schema_version").rows[0][0]
        if found > STORE_VERSION:
            raise BadRequest(
                f"the trace store was written by a newer Pilothouse (schema {found}, this one knows {STORE_VERSION})",
                fix="pip install --upgrade pilothouse",
            )
        cluster = engine.cluster if isinstance(engine, ClickHouseEngine) else ""
        replicated = engine.replicated if isinstance(engine, ClickHouseEngine) else False
        for spec in TABLES:
            for statement in create_table(spec, self.database, cluster=cluster, replicated=replicated):
                define(statement)
        for version, table, column in ADDED_COLUMNS:
            for statement in add_column(table, column, self.database, cluster=cluster) if found < version else ():
                define(statement)
        for version, table, index in ADDED_INDEXES:
            for statement in add_index(table, index, self.database, cluster=cluster) if found < version else ():
                define(statement)
        for view in VIEWS:
            # Views hold no data: made anew at every start, so they always fit this version.
            define(create_view(view, self.database))
        if found < STORE_VERSION:
            define(f"INSERT INTO {self.database}.schema_version SELECT {STORE_VERSION}, now()")

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()


def open_store(
    url: str, data: Path, *, owner: bool = True, database: str = "pilothouse", memory_bytes: int = 1_000_000_000
) -> TraceStore:
    """Open the store that ``--store`` names: empty or ``chdb:`` for the embedded one, else a ClickHouse address.

    ``owner`` is true in the one process that starts and supervises the storage process.
    """
    folder = embedded_folder(url, data)
    if folder is not None:
        return TraceStore(ChdbEngine(folder, owner=owner, memory_bytes=memory_bytes), database=database)
    return TraceStore(ClickHouseEngine(url), database=database)
