"""Where an agent asks whether an action may be done: the server's approvals, or those of a database of its own.

Whatever is not a yes is a no: a desk that does not answer, or answers in no form that is known, raises.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

from pilothouse.approvals import Approval, Approvals, Ask, Right, approvals_key, read_approvals
from pilothouse.otlp.destination import Destination, find_destination
from pilothouse.policy import watch
from pilothouse.records import Actor, Unreachable, answered_error, iso

from .folders import runtime_folder

_TIMEOUT_S: Final = 15.0
_WAIT_S_MAX: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An action that was asked for, as its agent sees it."""

    approval_id: str
    state: str
    digest: str
    tool: str
    arguments: Mapping[str, Any]
    sentence: str = ""
    question: str = ""
    feedback: str = ""
    outcome: str = ""
    instead: str = ""
    reviewers: tuple[str, ...] = ()
    deadline: str = ""

    @property
    def open(self) -> bool:
        """Whether it still waits for a decision."""
        return self.state == "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Leave to run exactly this, once."""

    approval_id: str
    reservation_id: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


class ApprovalDesk(Protocol):
    """Where actions are asked for. Its methods block; adapters call them in a thread."""

    def ask(self, ask: Ask) -> Waiting | None:
        """Ask where the policy wants it; None: it may be done.

        Raises:
            NotApproved: nobody can allow it.
            Unreachable: nobody can say.
        """
        ...

    def find(self, approval_id: str, *, wait_s: float = 0) -> Waiting:
        """How it stands; at most so long is waited for a decision or a question."""
        ...

    def answer(self, approval_id: str, text: str) -> None:
        """Answer a reviewer's question."""
        ...

    def cancel(self, approval_id: str, why: str) -> None:
        """It is no longer wanted."""
        ...

    def reserve(self, approval_id: str, digest: str, *, holder: str, lease_s: int) -> Leave:
        """Leave to run it; raises where there is none."""
        ...

    def done(self, leave: Leave, outcome: Literal["executed", "failed"], text: str) -> None:
        """How it went."""
        ...

    def lost(self, approval_id: str, *, holder: str) -> None:
        """Its holder is back and does not know how it went."""
        ...

    def settle(self, approval_id: str, *, happened: bool, holder: str, text: str) -> None:
        """Whether it did happen, by the tool's own word."""
        ...


class OwnApprovalDesk:
    """Approvals in this process, over a database that other processes may share."""

    def __init__(self, approvals: Approvals, *, project_id: str = "local", name: str = "agent") -> None:
        self.approvals, self._project_id = approvals, project_id
        self._who = Actor(id=f"agent:{name}", name=name, kind="agent")

    def ask(self, ask: Ask) -> Waiting | None:
        """Ask where the policy wants it."""
        if self.approvals.demand(ask.action).do == "allow":
            return None
        return _waiting(self.approvals.ask(self._project_id, ask, self._who))

    def find(self, approval_id: str, *, wait_s: float = 0) -> Waiting:
        """How it stands; a database of one's own wakes nobody, so it is looked at again and again."""
        until, pause = time.monotonic() + wait_s, 0.02
        while True:
            found = _waiting(self.approvals.find(self._project_id, approval_id))
            left = until - time.monotonic()
            if not found.open or found.question or left <= 0:
                return found
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.5)

    def answer(self, approval_id: str, text: str) -> None:
        """Answer a reviewer's question."""
        self.approvals.answer(self._project_id, approval_id, self._who, text=text)

    def cancel(self, approval_id: str, why: str) -> None:
        """It is no longer wanted."""
        self.approvals.cancel(self._project_id, approval_id, self._who, why=why)

    def reserve(self, approval_id: str, digest: str, *, holder: str, lease_s: int) -> Leave:
        """Leave to run it."""
        return _leave(
            self.approvals.reserve(
                self._project_id, approval_id, self._who, digest=digest, holder=holder, lease_s=lease_s
            )
        )

    def done(self, leave: Leave, outcome: Literal["executed", "failed"], text: str) -> None:
        """How it went."""
        self.approvals.done(
            self._project_id,
            leave.approval_id,
            self._who,
            reservation_id=leave.reservation_id,
            outcome=outcome,
            text=text,
        )

    def lost(self, approval_id: str, *, holder: str) -> None:
        """Its holder is back and does not know how it went."""
        self.approvals.lost(self._project_id, approval_id, self._who, holder=holder)

    def settle(self, approval_id: str, *, happened: bool, holder: str, text: str) -> None:
        """Whether it did happen."""
        self.approvals.settle(self._project_id, approval_id, self._who, happened=happened, holder=holder, text=text)


def own_approval_desk(folder: Path | None = None, *, name: str = "agent") -> OwnApprovalDesk:
    """A desk without a server: the policy file that is found, ``approvals.db`` in the folder, else in the runtime's.

    Raises:
        BadRequest: the policy file is wrong, or others can read the key.
    """
    from pilothouse.store.approval_store import approvals_of

    place = folder or runtime_folder()
    policy = watch(data_folder=place, check=lambda found: (read_approvals(found.section("approvals")), None)[1])
    read = {"": read_approvals(None)}

    def rules() -> Any:
        now = policy.policy
        if now.version not in read:
            read[now.version] = read_approvals(now.section("approvals"))
        return now.version, read[now.version]

    return OwnApprovalDesk(Approvals(approvals_of("", place), rules, key=approvals_key(place)), name=name)


class ServerApprovalDesk:
    """The approvals of a Pilothouse server, over HTTP: those of ``PILOTHOUSE_URL``, else of this machine."""

    def __init__(self, url: str = "", key: str = "") -> None:
        self._given = (url, key)

    def ask(self, ask: Ask) -> Waiting | None:
        """Ask where the policy wants it."""
        action, evidence = ask.action, ask.evidence
        body: dict[str, Any] = {name: getattr(action, name) for name in type(action).__slots__}
        body |= {name: getattr(ask, name) for name in ("reason", "expected", "counted", "rollback", "run", "ask_key")}
        body |= {"say": ask.say, "trace_id": evidence.trace_id, "span_id": evidence.span_id, "step": evidence.step}
        asked = self._call("", {**body, "links": list(evidence.links), "if_needed": True})
        # Only this one word means that nobody need be asked.
        if asked.get("needed") is False:
            return None
        return _told(asked["approval"])

    def find(self, approval_id: str, *, wait_s: float = 0) -> Waiting:
        """How it stands."""
        wait = min(int(wait_s), _WAIT_S_MAX)
        return _told(self._call(f"/{approval_id}?wait={wait}", None, timeout_s=_TIMEOUT_S + wait)["approval"])

    def answer(self, approval_id: str, text: str) -> None:
        """Answer a reviewer's question."""
        self._call(f"/{approval_id}/answer", {"text": text})

    def cancel(self, approval_id: str, why: str) -> None:
        """It is no longer wanted."""
        self._call(f"/{approval_id}/cancel", {"text": why})

    def reserve(self, approval_id: str, digest: str, *, holder: str, lease_s: int) -> Leave:
        """Leave to run it."""
        right = self._call(f"/{approval_id}/reserve", {"digest": digest, "holder": holder, "lease_s": lease_s})
        return Leave(
            approval_id=right["approval_id"],
            reservation_id=right["reservation_id"],
            tool=right["tool"],
            arguments=right["arguments"],
        )

    def done(self, leave: Leave, outcome: Literal["executed", "failed"], text: str) -> None:
        """How it went."""
        said = {"outcome": outcome, "reservation_id": leave.reservation_id, "text": text}
        self._call(f"/{leave.approval_id}/done", said)

    def lost(self, approval_id: str, *, holder: str) -> None:
        """Its holder is back and does not know how it went."""
        self._call(f"/{approval_id}/done", {"outcome": "unknown", "holder": holder})

    def settle(self, approval_id: str, *, happened: bool, holder: str, text: str) -> None:
        """Whether it did happen."""
        said = {"outcome": "executed" if happened else "not_executed", "holder": holder, "text": text}
        self._call(f"/{approval_id}/done", said)

    def _call(self, path: str, body: dict[str, Any] | None, *, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
        # Found anew each time: a server that was started again has another key and port.
        place = find_destination(*self._given, os.environ)
        request = urllib.request.Request(  # noqa: S310  # a configured address, not one from content
            f"{place.endpoint}/api/v1/approvals{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=_headers(place),
            method="GET" if body is None else "POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                return cast("dict[str, Any]", json.loads(answer.read())["data"])
        except urllib.error.HTTPError as error:
            raise answered_error(error.code, error.read(), error.headers.get("Retry-After")) from error
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise Unreachable(
                f"the approvals of {place.endpoint} do not answer: nothing is allowed meanwhile",
                fix="pilothouse up, or PILOTHOUSE_URL",
            ) from error


def _headers(place: Destination) -> dict[str, str]:
    headers = {"content-type": "application/json", "x-pilothouse-actor": "agent", **dict(place.headers)}
    return headers | ({"authorization": f"Bearer {place.key}"} if place.key else {})


def _waiting(found: Approval) -> Waiting:
    return Waiting(
        approval_id=found.approval_id,
        state=found.state,
        digest=found.digest,
        tool=found.action.tool,
        arguments=found.action.arguments,
        sentence=found.sentence,
        question=found.question,
        feedback=found.feedback,
        outcome=found.outcome,
        instead=found.instead,
        reviewers=found.reviewers,
        deadline=iso(found.deadline_ns),
    )


def _told(row: Any) -> Waiting:
    try:
        return Waiting(
            approval_id=row["approval_id"],
            state=row["state"],
            digest=row["digest"],
            tool=row["tool"],
            arguments=row["arguments"],
            sentence=row["sentence"],
            question=row["question"],
            feedback=row["feedback"],
            outcome=row["outcome"],
            instead=row["instead"],
            reviewers=tuple(row["reviewers"]),
            deadline=row["deadline"],
        )
    except (KeyError, TypeError) as error:
        raise Unreachable("the server of approvals answered in a form that is not known: that is no yes") from error


def _leave(right: Right) -> Leave:
    return Leave(
        approval_id=right.approval_id,
        reservation_id=right.reservation_id,
        tool=right.tool,
        arguments=right.arguments,
    )
