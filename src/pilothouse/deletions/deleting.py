"""Asking for a deletion, confirming it, and going on with one that a killed process began."""

from __future__ import annotations

from dataclasses import replace

from pilothouse.records import Actor, BadRequest, Forbidden, NotFound, Target, new_id
from pilothouse.store import TraceStore
from pilothouse.store.control_store import ControlStore
from pilothouse.store.deletion import erase, weigh
from pilothouse.store.deletion_log import DeletionLog, DeletionRecord
from pilothouse.store.export_reads import session_traces

HOURS = 24
"""How long a deletion waits for a person."""
_HOUR_NS = 3_600_000_000_000

KEPT = (
    "messages that another trace of the same session refers to",
    "system prompts and tool definitions: stored once for the project, they may be in use",
    "the audit log: that it was deleted, by whom and when",
    "the receiver's journal: consumed segments go by limits.journal_keep_mb",
)
"""What a deletion leaves, and why. What still arrives of a deleted trace is recorded anew."""


def plan(store: TraceStore, project: str, target: Target, actor: Actor, now_ns: int) -> DeletionRecord:
    """What deleting a trace or a session would take; nothing is stored.

    Raises:
        BadRequest: a step was named, or a session of more than 10,000 traces.
    """
    if target.span_id:
        raise BadRequest(
            "a step is deleted with its trace", got=target.span_id, fix=f"pilothouse delete {target.trace_id}"
        )
    ids = [target.trace_id] if target.trace_id else session_traces(store, project, target.session_id, limit=10_001)
    if len(ids) > 10_000:
        raise BadRequest("a session of more than 10,000 traces is deleted trace by trace", got=target.session_id)
    return DeletionRecord(
        deletion_id=new_id("del"),
        project_id=project,
        kind="trace" if target.trace_id else "session",
        target_id=target.trace_id or target.session_id,
        state="pending",
        weighed=weigh(store, project, ids, target.session_id),
        trace_ids=tuple(ids),
        asked_by=actor.name,
        asked_kind=actor.kind,
        asked_ns=now_ns,
        expires_ns=now_ns + HOURS * _HOUR_NS,
    )


def ask(control: ControlStore, planned: DeletionRecord) -> DeletionRecord:
    """Have a deletion wait for a person; one that waits for the same already is given back."""
    log = DeletionLog(control)
    waiting = log.pending(planned.project_id, planned.kind, planned.target_id, planned.asked_ns)
    if waiting is not None:
        return waiting
    log.add(planned)
    _note(control, planned, planned.asked_by, "ask to delete")
    return planned


def find(control: ControlStore, project: str, deletion_id: str) -> DeletionRecord:
    """A deletion by its id.

    Raises:
        NotFound: there is none.
    """
    found = DeletionLog(control).get(project, deletion_id)
    if found is None:
        raise NotFound("no deletion has this id", got=deletion_id[:60], fix="pilothouse delete ID")
    return found


def confirm(
    store: TraceStore, control: ControlStore, project: str, deletion_id: str, actor: Actor, now_ns: int
) -> DeletionRecord:
    """Delete what a deletion names, now. Once it is done, the same again changes nothing.

    Raises:
        Forbidden: who confirms is no person.
        NotFound: there is no such deletion.
        BadRequest: it was refused, or has expired.
    """
    _need_person(actor)
    record = find(control, project, deletion_id)
    if record.state == "pending":
        _decide(control, record, "approved", actor, now_ns)
        record = replace(record, state="approved", decided_by=actor.name, decided_ns=now_ns)
        _note(control, record, actor.name, "delete")
    if record.state == "refused":
        raise BadRequest("this deletion was refused", got=deletion_id, fix=f"pilothouse delete {record.target_id}")
    if record.state == "approved":
        _carry_out(store, control, record, now_ns)
    return replace(record, state="done")


def refuse(control: ControlStore, project: str, deletion_id: str, actor: Actor, now_ns: int) -> DeletionRecord:
    """Have nothing deleted.

    Raises:
        Forbidden: who refuses is no person.
        NotFound: there is no such deletion.
        BadRequest: it is decided, or has expired.
    """
    _need_person(actor)
    record = find(control, project, deletion_id)
    _decide(control, record, "refused", actor, now_ns)
    _note(control, record, actor.name, "refuse to delete")
    return replace(record, state="refused", decided_by=actor.name, decided_ns=now_ns)


def settle(store: TraceStore, control: ControlStore, now_ns: int) -> int:
    """Go on with deletions that a killed process had begun; gives how many there were."""
    begun = DeletionLog(control).approved()
    for record in begun:
        _carry_out(store, control, record, now_ns)
    return len(begun)


def _carry_out(store: TraceStore, control: ControlStore, record: DeletionRecord, now_ns: int) -> None:
    session_id = record.target_id if record.kind == "session" else ""
    erase(store, record.project_id, record.trace_ids, session_id, now_ns)
    DeletionLog(control).done(record, session_id)


def _decide(control: ControlStore, record: DeletionRecord, state: str, actor: Actor, now_ns: int) -> None:
    to = "approved" if state == "approved" else "refused"
    if not DeletionLog(control).decide(record.project_id, record.deletion_id, to, actor.name, now_ns):
        was = "has expired" if record.state == "pending" else f"is {record.state}"
        raise BadRequest(f"this deletion {was}", got=record.deletion_id, fix=f"pilothouse delete {record.target_id}")


def _need_person(actor: Actor) -> None:
    if actor.kind != "person":
        raise Forbidden("only a person confirms a deletion", got=actor.kind, fix="pilothouse open  signs a person in")


def _note(control: ControlStore, record: DeletionRecord, who: str, action: str) -> None:
    weighed = record.weighed
    control.add_audit(
        audit_id=new_id("aud"),
        project_id=record.project_id,
        who=who,
        action=action,
        detail=f"{record.deletion_id}: {record.kind} {record.target_id}: {weighed.traces} traces, {weighed.spans} spans",
    )
