"""Writing: the same write twice changes nothing, and every write says how to take it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pilothouse.records import Actor, BadRequest, Forbidden, NotFound, new_id
from pilothouse.store import TraceStore
from pilothouse.store.annotation_log import AnnotationLog, AnnotationWriting, Item, Verb
from pilothouse.store.control_store import ControlStore

from .check import CHANGES_MAX, check_change, check_run
from .model import Change, Outcome, Written, Wrote
from .showing import show_items
from .states import actor_of, annotation, identity, says_the_same, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """What every change of one write has in common."""

    project: str
    actor: Actor
    run: str
    run_given: bool
    anybodys: bool
    now_ns: int


def write(
    store: TraceStore,
    control: ControlStore,
    project: str,
    changes: Sequence[Change],
    *,
    actor: Actor,
    run: str = "",
    anybodys: bool = False,
    dry_run: bool = False,
    now_ns: int,
) -> Written:
    """Write notes, scores and labels, or remove them: all of them, or none where one is refused.

    The same write of the same run changes nothing, nor does one without a run's name that says what the same actor
    said before. ``anybodys`` allows to remove what somebody else wrote.

    Raises:
        BadRequest: a change does not fit, or there are too many.
        Forbidden: what is to be removed is somebody else's.
        NotFound: what is to be removed by its id never was.
    """
    if not 0 < len(changes) <= CHANGES_MAX:
        raise BadRequest(f"a write has 1 to {CHANGES_MAX} changes", got=len(changes))
    for change in changes:
        check_change(change)
    by = _Writer(
        project=project, actor=actor, run=check_run(run), run_given=bool(run), anybodys=anybodys, now_ns=now_ns
    )
    touched: dict[str, Item] = {}
    wrote: list[Wrote] = []
    with AnnotationLog(control).writing(project, keep=not dry_run) as log:
        for change in changes:
            if change.remove:
                wrote += _remove(log, change, by, touched)
            else:
                wrote.append(_put(log, change, by, touched))
    shown = True
    if not dry_run and touched:
        shown = show_items(store, control, project, list(touched.values()))
        _note(control, by, wrote)
    return Written(run=by.run, dry_run=dry_run, items=tuple(wrote), shown=shown)


def _put(log: AnnotationWriting, change: Change, by: _Writer, touched: dict[str, Item]) -> Wrote:
    annotation_id = identity(by.project, change, by.run)
    state = state_of(change, by.actor, by.run, by.now_ns)
    item = log.items([annotation_id]).get(annotation_id)
    if item is None and not by.run_given and not change.identifier:
        # A run that was only made up for this write does not make the same words another note.
        for other in log.on(change.target, change.kind, change.name):
            if actor_of(other.state) == by.actor.id and says_the_same(other.state, state):
                return _wrote("unchanged", other, other.state, other.state)
    if item is None:
        item = Item(
            annotation_id=annotation_id,
            kind=change.kind,
            target=change.target,
            name=change.name,
            state=None,
            version=0,
            created_ns=by.now_ns,
        )
    before = item.state
    if before is not None and says_the_same(before, state):
        _confirm(log, item, by)
        return _wrote("unchanged", item, before, before)
    after = replace(item, state=state, version=max(by.now_ns, item.version + 1))
    verb: Verb = "add" if before is None else "change"
    outcome: Outcome = "added" if before is None else "changed"
    _save(log, after, verb, before, by, touched)
    return _wrote(outcome, after, before, state)


def _confirm(log: AnnotationWriting, item: Item, by: _Writer) -> None:
    """Where another run says the same, nothing changes, but undoing the first run must now leave it so."""
    entries = log.entries([item.annotation_id]).get(item.annotation_id, ())
    if entries and entries[-1].run != by.run:
        log.append(item, "confirm", item.state, actor=by.actor, run=by.run, now_ns=by.now_ns)


def _remove(log: AnnotationWriting, change: Change, by: _Writer, touched: dict[str, Item]) -> list[Wrote]:
    if change.annotation_id:
        found = log.items([change.annotation_id]).get(change.annotation_id)
        if found is None:
            raise NotFound("no annotation has this id", got=change.annotation_id, fix="pilothouse notes ID")
        items = [found]
    elif change.identifier:
        found = log.items([identity(by.project, change, by.run)]).values()
        items = list(found)
    else:
        items = log.on(change.target, change.kind, change.name)
        if not by.anybodys:
            own = [item for item in items if actor_of(item.state) == by.actor.id]
            _refuse_others(own, items)
            items = own
    wrote: list[Wrote] = []
    for item in items:
        if item.state is None:
            _confirm(log, item, by)
            continue
        if not by.anybodys and actor_of(item.state) != by.actor.id:
            _refuse_others([], [item])
        after = replace(item, state=None, version=max(by.now_ns, item.version + 1))
        _save(log, after, "remove", item.state, by, touched)
        wrote.append(_wrote("removed", after, item.state, None))
    return wrote or [Wrote(outcome="unchanged", annotation=None, before=None)]


def _refuse_others(own: Sequence[Item], found: Sequence[Item]) -> None:
    if found and not own:
        other = annotation(found[0], found[0].state)
        raise Forbidden(
            "only who wrote it, or a key of mode write, can remove it",
            got=f"{found[0].annotation_id} by {other.actor if other else 'somebody else'}",
            fix="a key of mode write",
        )


def _save(
    log: AnnotationWriting, item: Item, verb: Verb, before: str | None, by: _Writer, touched: dict[str, Item]
) -> None:
    log.put(item)
    log.append(item, verb, before, actor=by.actor, run=by.run, now_ns=by.now_ns)
    touched[item.annotation_id] = item


def _wrote(outcome: Outcome, item: Item, before: str | None, after: str | None) -> Wrote:
    return Wrote(outcome=outcome, annotation=annotation(item, after), before=annotation(item, before))


def _note(control: ControlStore, by: _Writer, wrote: Sequence[Wrote]) -> None:
    counts: dict[str, int] = {}
    for one in wrote:
        known = one.annotation or one.before
        if known is not None and one.outcome != "unchanged":
            what = f"{known.kind} {one.outcome}"
            counts[what] = counts.get(what, 0) + 1
    control.add_audit(
        audit_id=new_id("aud"),
        project_id=by.project,
        who=by.actor.name,
        action="annotate",
        detail=", ".join(f"{count} {what}" for what, count in counts.items()),
        run=by.run,
    )
