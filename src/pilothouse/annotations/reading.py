"""Reading annotations: of a trace, a step, a session with its traces, or a run."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.records import Annotation
from pilothouse.store import TraceStore
from pilothouse.store.annotation_log import AnnotationLog, RunSummary
from pilothouse.store.annotation_rows import annotations_of
from pilothouse.store.control_store import ControlStore
from pilothouse.store.export_reads import session_traces

LIMIT_MAX = 10_000


def of_traces(store: TraceStore, project: str, trace_ids: Sequence[str], *, limit: int = 1_000) -> list[Annotation]:
    """What is on traces and their steps, oldest first."""
    return annotations_of(store, project, trace_ids=trace_ids, limit=limit) if trace_ids else []


def of_session(store: TraceStore, project: str, session_id: str, *, limit: int = 1_000) -> list[Annotation]:
    """What is on a session and on its traces, oldest first."""
    own = annotations_of(store, project, session_id=session_id, limit=limit)
    below = of_traces(store, project, session_traces(store, project, session_id), limit=limit)
    return sorted([*own, *below], key=lambda one: (one.time_ns, one.annotation_id))[:limit]


def of_run(store: TraceStore, project: str, run: str, *, limit: int = 1_000) -> list[Annotation]:
    """What a run wrote, as far as it is still there."""
    return annotations_of(store, project, run=run, limit=limit)


def runs(control: ControlStore, project: str, *, limit: int = 200) -> list[RunSummary]:
    """The runs that wrote, the newest first."""
    return AnnotationLog(control).runs(project, limit=limit)
