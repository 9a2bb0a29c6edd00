"""Signed links: they let one reviewer decide one action, as it was when they were sent, once, until its deadline.

A link is no session: it opens nothing else. Opening it shows; only the button on it decides, since mail scanners and
chats open every link they see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.records import Actor, NotApproved, NotFound

from .action import same
from .approving import Approvals
from .model import Approval

_TOKEN_CHARS_MAX: Final = 2_000
_FIX: Final = "pilothouse approvals ls --state pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link says."""

    project_id: str
    approval_id: str
    reviewer: str
    digest: str
    until_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A link that is good."""

    link: Link
    approval: Approval
    used: bool
    """It has decided already."""
    changed: bool
    """The action is another one than when it was sent."""


class Links:
    """The links of one server's approvals. Safe to share between threads."""

    def __init__(self, approvals: Approvals, *, key: bytes) -> None:
        # A key of its own, so that no digest can ever pass for a link.
        self._approvals, self._key = approvals, hmac.new(key, b"links of approvals", hashlib.sha256).digest()

    def make(self, approval: Approval, reviewer: str) -> str:
        """A link for one reviewer, good until the deadline of now."""
        link = {
            "p": approval.project_id,
            "a": approval.approval_id,
            "r": reviewer,
            "d": approval.digest,
            "e": approval.deadline_ns,
        }
        body = json.dumps(link, sort_keys=True, separators=(",", ":")).encode()
        return f"{_text(body)}.{_text(self._sign(body))}"

    def open(self, token: str) -> Opened:
        """What a link is about; nothing is decided.

        Raises:
            NotApproved: it was changed on its way, is none of ours, or its time is over.
        """
        link = self._read(token)
        try:
            approval = self._approvals.find(link.project_id, link.approval_id)
        except NotFound as error:
            raise NotApproved("what this link is about is not here any more", fix=_FIX) from error
        if self._approvals.now_ns() >= link.until_ns:
            raise NotApproved("this link has expired", got=link.approval_id, fix=_FIX)
        return Opened(
            link=link,
            approval=approval,
            used=self._approvals.store.link_used(_hash(token)),
            changed=not same(link.digest, approval.digest),
        )

    def decide(self, token: str, *, yes: bool, text: str = "") -> Approval:
        """Decide by a link, once.

        Raises:
            NotApproved: it is not good any more, was used, or the action has changed since.
            Forbidden: its reviewer may not decide this any more.
        """
        opened = self.open(token)
        if opened.used:
            raise NotApproved("this link was used before", got=opened.link.approval_id, fix=_FIX)
        if opened.changed:
            raise NotApproved("the action has changed since this link was sent", got=opened.link.approval_id, fix=_FIX)
        link = opened.link
        who = Actor(id=f"link:{link.reviewer}", name=link.reviewer, kind="person")
        if yes:
            return self._approvals.approve(
                link.project_id, link.approval_id, who, digest=link.digest, note=text, link=token
            )
        return self._approvals.reject(link.project_id, link.approval_id, who, why=text, link=token)

    def _read(self, token: str) -> Link:
        head, _, signature = token.partition(".")
        try:
            if len(token) > _TOKEN_CHARS_MAX:
                raise ValueError
            body, given = _bytes(head), _bytes(signature)
            # As text too: there are several ways to write the same bytes, and a link that is used once has one.
            if not hmac.compare_digest(given, self._sign(body)) or token != f"{_text(body)}.{_text(given)}":
                raise ValueError
            row: dict[str, Any] = json.loads(body)
        except (ValueError, binascii.Error, UnicodeError) as error:
            raise NotApproved("this link is not whole, or none of ours: it decides nothing", fix=_FIX) from error
        return Link(project_id=row["p"], approval_id=row["a"], reviewer=row["r"], digest=row["d"], until_ns=row["e"])

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
