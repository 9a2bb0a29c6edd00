"""The spans of a trace that report usage, whole rows: what an explanation of costs needs."""

from __future__ import annotations

from typing import Any

from .schema import SPAN
from .trace_store import TraceStore


def spans_with_usage(store: TraceStore, project: str, trace_id: str) -> list[dict[str, Any]]:
    """Every span of a trace that has usage or a stated cost, with all its columns."""
    return store.query(
        f"SELECT {', '.join(SPAN.column_names)} FROM {{db}}.span FINAL WHERE project_id = {{project:String}} "
        "AND trace_id = {trace:String} AND (usage_scope != '' OR cost_given_usd IS NOT NULL) LIMIT 20000",
        {"project": project, "trace": trace_id},
    ).dicts()
