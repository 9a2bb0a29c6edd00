"""Notes, scores and labels of the sample project."""

from __future__ import annotations

from pilothouse.records import NotFound, iso
from pilothouse.store.deletion import Weighed
from pilothouse.store.deletion_log import DeletionRecord
from pilothouse.web import Written

from .sample import NOW_NS

HOUR_NS = 3_600_000_000_000


def sample_written(trace_id: str, session_id: str) -> tuple[Written, ...]:
    """The same few on everything: one of an agent, one of an evaluator, one of the visitor, one with the telemetry."""
    where = trace_id[:4] or session_id[:4]

    def one(kind: str, hours: int, **more: object) -> Written:
        fields: dict[str, object] = {
            "annotation_id": f"{kind}_{where}{hours}",
            "kind": kind,
            "name": "",
            "value": None,
            "label": "",
            "text": "",
            "actor": "page",
            "actor_kind": "person",
            "run": "run_1",
            "time": iso(NOW_NS - hours * HOUR_NS),
            "step": None,
            "trace_id": trace_id,
            "own": False,
        }
        return Written(**(fields | more))  # type: ignore[arg-type]  # the fields above

    telemetry = one("score", 9, annotation_id="", name="tone", value=1.0, actor="judge", actor_kind="", run="")
    return (
        telemetry if trace_id else one("label", 9, name="vip", own=True),
        one("score", 5, name="helpful", value=0.25, label="poor", text="answers one of three", actor="judge 2"),
        one("label", 4, name="wrong-tool", actor="triage", actor_kind="agent", step=1 if trace_id else None),
        one("note", 1, text="Asked twice.\n<script>alert(1)</script> stays text.", own=True),
    )


def sample_deletion(deletion_id: str) -> DeletionRecord:
    """One that waits for a person."""
    if deletion_id != "del_1":
        raise NotFound("no deletion has this id", got=deletion_id)
    return DeletionRecord(
        deletion_id="del_1",
        project_id="default",
        kind="trace",
        target_id="ab" * 16,
        state="pending",
        weighed=Weighed(traces=1, spans=34, messages=51, logs=3, scores=2, notes=1, bytes=48_000),
        trace_ids=("ab" * 16,),
        asked_by="claude-code",
        asked_kind="agent",
        asked_ns=NOW_NS - HOUR_NS,
        expires_ns=NOW_NS + 23 * HOUR_NS,
    )
