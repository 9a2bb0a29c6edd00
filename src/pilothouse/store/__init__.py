"""Storage: the only package with SQL. Traces in a ClickHouse engine, small records in SQLite or PostgreSQL."""

from .engine import Engine, StoreError, Table
from .trace_store import TraceStore, open_store
from .views import VIEWS, describe

__all__ = ["VIEWS", "Engine", "StoreError", "Table", "TraceStore", "describe", "open_store"]
