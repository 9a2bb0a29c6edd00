"""Taking back a run: what it added goes, what it changed or removed is again what it was.

After an undo, each annotation is what the writes of all other runs make it, as if the run had never been. Where another
run wrote last, that stays, and the undo says so. A few hundred annotations are one transaction; a process that is
killed in between leaves whole annotations behind, and the same undo goes on with the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pilothouse.records import Actor, Forbidden, NotFound, new_id
from pilothouse.store import TraceStore
from pilothouse.store.annotation_log import AnnotationLog, AnnotationWriting, Entry, Item
from pilothouse.store.control_store import ControlStore

from .check import check_run
from .model import Kept, Undone, Wrote
from .showing import show_items
from .states import annotation

ITEMS_A_TRANSACTION = 200
LISTED_MAX = 200


@dataclass(slots=True)
class _Tally:
    items: list[Wrote] = field(default_factory=list[Wrote])
    kept: list[Kept] = field(default_factory=list[Kept])
    removed: int = 0
    restored: int = 0
    kept_count: int = 0
    shown: bool = True


def undo(
    store: TraceStore,
    control: ControlStore,
    project: str,
    run: str,
    *,
    actor: Actor,
    anybodys: bool = False,
    dry_run: bool = False,
    now_ns: int,
) -> Undone:
    """Take back everything a run wrote and nobody wrote over since. Twice changes nothing more.

    ``anybodys`` allows to take back what another actor wrote.

    Raises:
        NotFound: no run of that name wrote anything.
        Forbidden: somebody else wrote in that run.
    """
    check_run(run or "-")
    log = AnnotationLog(control)
    known = log.runs(project, run=run)
    if not known:
        raise _unknown(log, project, run)
    undo_id = new_id("undo")
    ids = log.run_items(project, run)
    if not anybodys:
        _refuse_others(log.run_actors(project, run), actor, run)
    if ids and not dry_run:
        # Before the first of them: an undo that is killed half way has left its trace.
        control.add_audit(
            audit_id=new_id("aud"),
            project_id=project,
            who=actor.name,
            action="undo",
            detail=f"{undo_id}: {len(ids)} annotations of run {run}",
            run=run,
        )
    tally = _Tally()
    for first in range(0, len(ids), ITEMS_A_TRANSACTION):
        some = ids[first : first + ITEMS_A_TRANSACTION]
        with log.writing(project, keep=not dry_run) as writing:
            changed = _undo_some(writing, some, run, undo_id, tally, now_ns)
        if changed and not dry_run:
            tally.shown = show_items(store, control, project, changed) and tally.shown
    return Undone(
        run=run,
        dry_run=dry_run,
        undo_id=undo_id if ids and not dry_run else "",
        items=tuple(tally.items),
        removed=tally.removed,
        restored=tally.restored,
        kept=tuple(tally.kept),
        kept_count=tally.kept_count,
        already_undone=known[0].undone,
        shown=tally.shown,
    )


def _undo_some(
    log: AnnotationWriting, ids: Sequence[str], run: str, undo_id: str, tally: _Tally, now_ns: int
) -> list[Item]:
    items, entries = log.items(ids), log.entries(ids)
    changed: list[Item] = []
    taken_back: list[int] = []
    for annotation_id in ids:
        item = items.get(annotation_id)
        written = entries.get(annotation_id, [])
        mine = [entry for entry in written if entry.run == run]
        if item is None or not mine:
            continue
        taken_back += [entry.sequence for entry in mine]
        after = undone_state(written, run)
        if written[-1].run != run:
            _keep(tally, item, written[-1])
            continue
        if item.state == after:
            continue
        new = replace(item, state=after, version=max(now_ns, item.version + 1))
        log.put(new)
        changed.append(new)
        _count(tally, item, after)
    log.mark_undone(taken_back, undo_id)
    return changed


def undone_state(entries: Sequence[Entry], run: str) -> str | None:
    """What an annotation is once a run's writes are taken out: what the last of the others made it."""
    others = [entry for entry in entries if entry.run != run]
    return others[-1].after if others else None


def _refuse_others(actors: Mapping[str, str], actor: Actor, run: str) -> None:
    for actor_id, name in actors.items():
        if actor_id != actor.id:
            raise Forbidden(
                "somebody else wrote in this run: only they, or a key of mode write, can undo it",
                got=f"{run} by {name}",
                fix="a key of mode write",
            )


def _keep(tally: _Tally, item: Item, last: Entry) -> None:
    tally.kept_count += 1
    if len(tally.kept) < LISTED_MAX:
        now = annotation(item, item.state)
        tally.kept.append(Kept(annotation=now, annotation_id=item.annotation_id, run=last.run, actor=last.actor))


def _count(tally: _Tally, item: Item, after: str | None) -> None:
    tally.removed += after is None
    tally.restored += after is not None
    if len(tally.items) < LISTED_MAX:
        outcome = "removed" if after is None else "restored"
        made, was = annotation(item, after), annotation(item, item.state)
        tally.items.append(Wrote(outcome=outcome, annotation=made, before=was))


def _unknown(log: AnnotationLog, project: str, run: str) -> NotFound:
    names = [summary.run for summary in log.runs(project)]
    close = difflib.get_close_matches(run, names, n=3, cutoff=0.4) or names[:5]
    return NotFound(
        "no run of this name wrote anything",
        got=run,
        allowed=close or "no run wrote anything yet",
        fix=f"pilothouse undo --run {close[0]} --dry-run" if close else "pilothouse note ID 'what you found'",
    )
