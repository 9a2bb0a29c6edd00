"""What people type for an id: the beginning of one, ``last`` or ``last-error``."""

from __future__ import annotations

from pilothouse.records import BadRequest, NotFound
from pilothouse.store import TraceStore
from pilothouse.store.trace_reads import candidates, last_trace

from .filters import check_text
from .model import Resolved


def resolve(store: TraceStore, project: str, id: str) -> Resolved:
    """The trace, span or session that an id, its unique beginning, ``last`` or ``last-error`` stands for.

    Traces are looked for first, then spans, then sessions.

    Raises:
        NotFound: nothing has such an id.
        BadRequest: several ids begin so; ``allowed`` lists them.
    """
    check_text(id, "an id", 500)
    wanted = id.strip()
    if not wanted:
        raise BadRequest("an id is missing", allowed="an id, its beginning, last or last-error", fix="pilothouse ls")
    if wanted in ("last", "last-error"):
        trace_id = last_trace(store, project, failed=wanted == "last-error")
        if not trace_id:
            what = "failed trace" if wanted == "last-error" else "trace"
            raise NotFound(f"no {what} is recorded yet", got=wanted, fix="pilothouse doctor")
        return Resolved(kind="trace", id=trace_id, trace_id=trace_id)
    found = candidates(store, project, wanted.lower()) or (
        candidates(store, project, wanted) if wanted != wanted.lower() else []
    )
    if not found:
        raise NotFound("nothing has an id that begins so", got=wanted, fix="pilothouse ls")
    if len(found) > 1:
        listed = [item.id for item in found[:10]]
        raise BadRequest(
            f"several {found[0].kind} ids begin so",
            got=wanted,
            allowed=listed + (["…"] if len(found) > 10 else []),
            fix=f"pilothouse show {listed[0]}",
        )
    return Resolved(kind=found[0].kind, id=found[0].id, trace_id=found[0].trace_id)
