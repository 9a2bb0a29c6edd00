"""Storage: the only package with SQL. Traces in a ClickHouse engine, small records in SQLite or PostgreSQL."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import Engine, StoreError, Table
    from .trace_store import TraceStore, open_store
    from .views import VIEWS, describe

__all__ = ["VIEWS", "Engine", "StoreError", "Table", "TraceStore", "describe", "open_store"]

_HOMES = {
    "VIEWS": "views",
    "Engine": "engine",
    "StoreError": "engine",
    "Table": "engine",
    "TraceStore": "trace_store",
    "describe": "views",
    "open_store": "trace_store",
}


def __getattr__(name: str) -> Any:
    # When they are asked for: small records, as an agent's process keeps them, need nothing of the trace store's.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
