"""What the forms of pages do, bound to one visitor."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from pilothouse import deletions
from pilothouse.access import Grant, Mode
from pilothouse.annotations import Change, write
from pilothouse.policies import switch
from pilothouse.records import (
    ANNOTATION_KINDS,
    Actor,
    BadRequest,
    Forbidden,
    NotFound,
    PilothouseError,
    Target,
    new_id,
)
from pilothouse.traces import parse_moment
from pilothouse.traces.locate import locate
from pilothouse.web.approval_text import edited

from .approval_reader import ApprovalReader
from .queue_reader import QueueReader
from .state import ServerState


class PageWriter:
    """Serves :class:`pilothouse.web.Writer`."""

    def __init__(self, state: ServerState, grant: Grant, actor: Actor, decider: Actor) -> None:
        """``decider``: who it is where something waits for a person."""
        self._state = state
        self._grant = grant
        self._actor = actor
        self._decider = decider

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
            store, control = self._state.store, self._state.control
            self._state.online.forget(deletions.confirm(store, control, project, deletion_id, self._decider, now_ns))
        else:
            deletions.refuse(self._state.control, project, deletion_id, self._actor, now_ns)

    def approval(self, approval_id: str, verb: str, form: Mapping[str, str]) -> str:
        """Decide, ask, hand on: gives the address to go on at."""
        self._need("write")
        approvals, project, who = self._state.approvals, self._grant.project_id, self._decider
        text = form.get("text", "").replace("\r\n", "\n").strip()
        shown = form.get("digest", "")
        following = ApprovalReader(approvals, self._grant, who).following(approval_id)
        if verb == "approve":
            found = approvals.approve(project, approval_id, who, digest=shown, note=text)
        elif verb == "edit":
            now = approvals.find(project, approval_id)
            found = approvals.edit(
                project, approval_id, who, digest=shown, arguments=edited(now.action.arguments, form), note=text
            )
        elif verb == "reject":
            found = approvals.reject(project, approval_id, who, why=text)
        elif verb == "ask":
            found = approvals.question(project, approval_id, who, text=text)
        elif verb == "answer":
            found = approvals.answer(project, approval_id, who, text=text)
        elif verb == "delegate":
            found = approvals.delegate(project, approval_id, who, to=form.get("to", ""))
        elif verb == "cancel":
            found = approvals.cancel(project, approval_id, who, why=text)
        elif verb == "settle":
            found = approvals.settle(project, approval_id, who, happened=form.get("happened") == "yes", text=text)
        else:
            raise NotFound("there is no such decision", got=verb[:40])
        self._audit(f"approval {verb}", f"{found.approval_id} {found.state} {found.digest[:12]}")
        if verb in ("answer", "settle", "cancel"):
            return f"/approvals/{found.approval_id}"
        # On to the next: whoever decides has a queue before them.
        onward = f"/approvals/{following}" if following else "/approvals"
        return f"{onward}?decided={found.approval_id}"

    def queue(self, name: str, verb: str, form: Mapping[str, str]) -> str:
        """Label, skip, undo; make, fill and close a queue, change its choices."""
        reader = QueueReader(self._state.store, self._state.control, self._grant, self._decider)
        onward = reader.act(name, verb, form)
        if verb not in ("label", "skip", "undo"):
            self._audit(f"queue {verb}", onward.removeprefix("/queues/"))
        return onward

    def policy(self, form: Mapping[str, str]) -> str:
        """Check, try or put in force the policy of a form; gives the address to go on at."""
        self._need("write")
        project, text, base = self._grant.project_id, form.get("text", "").replace("\r\n", "\n"), form.get("base", "")
        note, since = form.get("note", "").strip(), form.get("since", "24h")
        drafts = self._state.drafts
        if form.get("do") == "set":
            try:
                self._need("admin")
                made = self._state.policies.keeper.set(text, base=base, note=note, actor=self._decider)
            except PilothouseError as error:
                return f"/policy?draft={drafts.keep(project, text=text, base=base, note=note, error=error.message).draft_id}"
            self._audit("policy set", f"version {made.number} ({made.version}): {made.note}")
            return f"/policy?written={made.number}"
        draft = drafts.keep(project, text=text, base=base, note=note, since=since)
        if form.get("do") == "try" and not draft.problems:
            drafts.start_trial(draft, parse_moment(since))
            return f"/policy?draft={draft.draft_id}#trial"
        return f"/policy?draft={draft.draft_id}"

    def proposal(self, proposal_id: str, *, accept: bool) -> str:
        """Switch a proposed rule on, or say no to it; gives the address to go on at."""
        self._need("admin")
        proposals, project = self._state.policies.proposals, self._grant.project_id
        if not accept:
            proposals.dismiss(project, proposal_id, self._decider)
            self._audit("guard dismiss", proposal_id)
            return "/guards"
        _, made = proposals.accept(project, proposal_id, self._decider)
        self._audit("guard accept", f"{proposal_id}: policy version {made.number}")
        return f"/policy?written={made.number}"

    def switch(self, form: Mapping[str, str]) -> str:
        """Stop an agent or a tool, or let it go on; gives the address to go on at."""
        self._need("admin")
        kind, off = form.get("kind", ""), form.get("do") == "off"
        if kind not in ("agent", "tool"):
            raise BadRequest("a switch is of an agent or a tool", got=kind[:40], allowed=["agent", "tool"])
        if off and form.get("sure") != "yes":
            raise BadRequest("confirm that it is to stop everywhere", fix="tick the box beside the button")
        keeper = self._state.policies.keeper
        made = switch(keeper, kind, form.get("name", ""), off=off, reason=form.get("reason", ""), actor=self._decider)
        self._audit(f"guard {'off' if off else 'on'}", f"{made.note}: policy version {made.number}")
        return "/guards#switches"

    def policy_undo(self, number: str) -> str:
        """Take up an earlier version of the policy; gives the address to go on at."""
        self._need("admin")
        if not (number.isascii() and number.isdecimal()):
            raise BadRequest("a version of the policy is a number", got=number[:40])
        made = self._state.policies.keeper.undo(actor=self._decider, to=int(number))
        self._audit("policy undo", f"version {made.number} ({made.version}): {made.note}")
        return f"/policy?written={made.number}"

    def _need(self, mode: Mode) -> None:
        if not self._grant.allows(mode):
            raise Forbidden(
                f"you are signed in without the right to {'change this' if mode == 'admin' else 'write'}",
                got=self._grant.mode,
                fix=f"PILOTHOUSE_MODE={mode} pilothouse sign-in",
            )

    def _audit(self, action: str, detail: str) -> None:
        self._state.control.add_audit(
            audit_id=new_id("aud"),
            project_id=self._grant.project_id,
            who=self._actor.name,
            action=action,
            detail=detail[:500],
            run="",
        )

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
