"""What the forms of pages do, bound to one visitor."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from pilothouse import deletions
from pilothouse.access import Grant
from pilothouse.annotations import Change, write
from pilothouse.records import ANNOTATION_KINDS, Actor, BadRequest, Forbidden, NotFound, Target
from pilothouse.traces.locate import locate

from .state import ServerState


class PageWriter:
    """Serves :class:`pilothouse.web.Writer`."""

    def __init__(self, state: ServerState, grant: Grant, actor: Actor) -> None:
        self._state = state
        self._grant = grant
        self._actor = actor

    def annotate(self, form: Mapping[str, str]) -> None:
        """Write the note, score or label of a form."""
        self._need_annotate()
        kind = form.get("kind", "")
        if kind not in ANNOTATION_KINDS:
            raise BadRequest("there is no such kind", got=kind[:40], allowed=list(ANNOTATION_KINDS))
        target = locate(self._state.store, self._grant.project_id, form.get("id", ""), form.get("step", ""))
        said = form.get("value", "").strip() if kind == "score" else ""
        number = _number(said)
        self._write(
            Change(
                kind=kind,
                target=target,
                name=form.get("name", "").strip() if kind != "note" else "",
                value=number,
                label=said if number is None else "",
                # A browser sends lines that end in two characters.
                text=form.get("text", "").replace("\r\n", "\n").strip() if kind != "label" else "",
            )
        )

    def remove(self, annotation_id: str) -> None:
        """Remove a note, score or label."""
        self._need_annotate()
        kind = annotation_id.partition("_")[0]
        if kind not in ANNOTATION_KINDS:
            raise NotFound("no annotation has this id", got=annotation_id[:60])
        self._write(Change(kind=kind, target=Target(), annotation_id=annotation_id, remove=True))

    def decide(self, deletion_id: str, *, confirm: bool) -> None:
        """Confirm or refuse a deletion."""
        if not self._grant.allows("write"):
            raise Forbidden("you are signed in without the right to write", got=self._grant.mode)
        project, now_ns = self._grant.project_id, time.time_ns()
        if confirm:
            deletions.confirm(self._state.store, self._state.control, project, deletion_id, self._actor, now_ns)
        else:
            deletions.refuse(self._state.control, project, deletion_id, self._actor, now_ns)

    def _write(self, change: Change) -> None:
        write(
            self._state.store,
            self._state.control,
            self._grant.project_id,
            [change],
            actor=self._actor,
            anybodys=self._grant.allows("write"),
            now_ns=time.time_ns(),
        )

    def _need_annotate(self) -> None:
        if not self._grant.allows("annotate"):
            raise Forbidden("you are signed in to read only", got=self._grant.mode, fix="pilothouse sign-in")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
