"""Passing on what the log says to the trace store, where it is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pilothouse.records import Annotation, PilothouseError
from pilothouse.store import TraceStore
from pilothouse.store.annotation_log import AnnotationLog, Item
from pilothouse.store.annotation_rows import Shown, put_annotations
from pilothouse.store.control_store import ControlStore

from .states import annotation

LOG = logging.getLogger("pilothouse.annotations")


def show_items(store: TraceStore, control: ControlStore, project: str, items: Sequence[Item]) -> bool:
    """Show annotations as they are now; False where the trace store does not answer: :func:`settle` goes on later."""
    try:
        put_annotations(store, project, [_shown(item) for item in items])
        AnnotationLog(control).stored(items)
    except PilothouseError as error:
        LOG.warning("%d annotations are logged and not shown yet: %s", len(items), error)
        return False
    return True


def settle(store: TraceStore, control: ControlStore, now_ns: int) -> int:
    """Show what a killed process logged and did not come to show; gives how many there were."""
    log = AnnotationLog(control)
    settled = 0
    while late := log.unstored():
        by_project: dict[str, list[str]] = {}
        for project, item in late:
            by_project.setdefault(project, []).append(item.annotation_id)
        for project, ids in by_project.items():
            log.renew(project, ids, now_ns)
            with log.writing(project, keep=False) as reading:
                items = list(reading.items(ids).values())
            if not show_items(store, control, project, items):
                return settled
            settled += len(items)
    return settled


def _shown(item: Item) -> Shown:
    now = annotation(item, item.state)
    gone = Annotation(annotation_id=item.annotation_id, kind=item.kind, target=item.target, name=item.name)
    return Shown(
        annotation=now or gone,
        removed=now is None,
        created_ns=item.created_ns,
        version=item.version,
    )
