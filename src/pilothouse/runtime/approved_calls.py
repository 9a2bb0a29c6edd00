"""Calls of tools that may need a person, for agents of any framework: begun before the tool runs, ended after it.

What is no clear yes to exactly this call is a no: a desk that does not answer, an answer that is late, an error of
ours. A tool runs with the arguments that were approved, which a reviewer may have changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pilothouse.approvals import Action, Ask, canonical
from pilothouse.records import NeedsApproval, PilothouseError

from .approval_desk import ApprovalDesk, Leave, ServerApprovalDesk, Waiting

LOG = logging.getLogger("pilothouse")
_TEXT_CHARS_MAX: Final = 2_000
_AGAIN_MAX: Final = 1_000
_USED: Final = ("executed", "failed")
_CLOSED: Final[Mapping[str, str]] = {
    "rejected": "A person refused this call",
    "expired": "Nobody decided about this call in time",
    "cancelled": "This call was called off",
    "unknown": "A call like this was begun and nobody knows how it went: a person must look first",
    "reserved": "This very call is being run",
    "executed": "This call was approved once and has been run",
    "failed": "This call was approved once, and failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Whether a call may go on."""

    may: Literal["free", "leave", "wait", "no"]
    """``free``: nobody need be asked; ``leave``: approved, and to be ended by :meth:`ApprovedCalls.end`."""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What to call the tool with, where it may run."""
    told: str = ""
    """What the model is told, where it may not."""
    waiting: Waiting | None = None
    """Where a person was asked: how it stands."""
    leave: Leave | None = None


@dataclass(frozen=True, kw_only=True)
class ApprovedCalls:
    """Asks before calls. Blocks: in a loop it is called in a thread. Safe to share."""

    desk: ApprovalDesk = field(default_factory=ServerApprovalDesk)
    """The server's approvals, or :func:`~pilothouse.runtime.approval_desk.own_approval_desk`."""
    agent: str = ""
    agent_version: str = ""
    environment: str = ""
    user: str = ""
    wait_s: float = 0.0
    """How long a call is held up for a decision, in seconds, before it counts as waiting."""
    lease_s: int = 600
    """How long an approved call may run, in seconds; after that nobody knows how it went."""

    def begin(
        self,
        key: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        run: str = "",
        reason: str = "",
        repeats: bool = False,
    ) -> Begun:
        """Whether a call may go on. Never raises: what goes wrong is a no.

        ``key`` names the call: the same key again is the same question. ``repeats``: it names the call by what it does,
        so that after a yes that is used up the same call is another question.
        """
        try:
            return self._begin(key, tool, arguments, run=run, reason=reason, repeats=repeats)
        except NeedsApproval as error:
            return Begun(may="wait", told=error.message)
        except PilothouseError as error:
            return Begun(may="no", told=f"This call was not allowed: {error.message}. It did not run.")
        except Exception:
            LOG.exception("a call could not be asked about: it is not made")
            return Begun(may="no", told="This call could not be asked about, so it was not made.")

    def look(self, key: str, tool: str, arguments: Mapping[str, Any]) -> Waiting | None:
        """How a call stands, asked for where nobody has; nothing is reserved. None: nobody need be asked, or nobody can.

        A question that cannot be asked is answered when the call begins: with a no.
        """
        try:
            found = self.desk.ask(Ask(action=self._action(tool, arguments), ask_key=short_key(key)))
            if found is not None and found.open and not found.question and self.wait_s > 0:
                found = self.desk.find(found.approval_id, wait_s=self.wait_s)
        except PilothouseError as error:
            LOG.warning("a call could not be asked about: %s", error.message)
            return None
        return found

    def end(self, begun: Begun, outcome: Literal["executed", "failed"], text: str = "") -> None:
        """How it went. Never raises: the call is over, and its approval is used up either way."""
        if begun.leave is None:
            return
        try:
            self.desk.done(begun.leave, outcome, text[:_TEXT_CHARS_MAX])
        except PilothouseError as error:
            LOG.warning("how an approved call went could not be noted: %s", error.message)
        except Exception:
            LOG.exception("how an approved call went could not be noted")

    def _begin(
        self, key: str, tool: str, arguments: Mapping[str, Any], *, run: str, reason: str, repeats: bool
    ) -> Begun:
        action, holder = self._action(tool, arguments), short_key(key)
        for number in range(_AGAIN_MAX):
            ask_key = holder if not number else f"{holder}-{number}"
            found = self.desk.ask(Ask(action=action, reason=reason, run=run, ask_key=ask_key))
            if found is None:
                return Begun(may="free", arguments=arguments)
            if not repeats or found.state not in _USED:
                break
        else:
            return Begun(may="no", told="This call was made too often.")
        if found.state == "reserved":
            # Whoever held it ran under this very key: if that was us, we are back and do not know how it went.
            self.desk.lost(found.approval_id, holder=holder)
            found = self.desk.find(found.approval_id)
        if found.open and not found.question and self.wait_s > 0:
            found = self.desk.find(found.approval_id, wait_s=self.wait_s)
        if found.open:
            return Begun(may="wait", told=_waits(found), waiting=found)
        if found.state != "approved":
            return Begun(may="no", told=_refused(found), waiting=found)
        leave = self.desk.reserve(found.approval_id, found.digest, holder=holder, lease_s=self.lease_s)
        if leave.tool != tool:
            return Begun(may="no", told="Another tool was approved than this one.", waiting=found)
        return Begun(may="leave", arguments=leave.arguments, waiting=found, leave=leave)

    def _action(self, tool: str, arguments: Mapping[str, Any]) -> Action:
        return Action(
            tool=tool,
            arguments=arguments,
            agent=self.agent,
            agent_version=self.agent_version,
            environment=self.environment,
            user=self.user,
        )


def key_by_content(session: str, tool: str, arguments: Mapping[str, Any]) -> str:
    """A key for frameworks that give a call another id each time it is tried."""
    return f"{session}\x1f{tool}\x1f{canonical(arguments)}"


def short_key(key: str) -> str:
    """A key of any length as one of 40 characters."""
    return f"call-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:35]}"


def _waits(found: Waiting) -> str:
    asked = f" A reviewer asks: {json.dumps(found.question, ensure_ascii=False)}." if found.question else ""
    return (
        f"This call waits for a person ({found.approval_id}) and did not run.{asked} "
        "Go on with something else, or say that it waits; do not look for another way to do the same."
    )


def _refused(found: Waiting) -> str:
    if found.state == "fallback":
        return "Nobody decided about this call in time: what the policy has for this case is done instead."
    said = _CLOSED.get(found.state, f"This call is {found.state}")
    why = f": {found.feedback}" if found.feedback else ""
    return f"{said}{why}. It did not run now. Plan anew with this in mind."
