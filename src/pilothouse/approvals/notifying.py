"""Telling people that something waits for them: off the way of whoever asks, tried again, and noted how it went.

What is to be told is written with what happened, in one transaction; so a server that is killed tells it after the next
start. It may be told twice, never not at all. Addresses are secrets: they are read where they are used, and stand in no
record, no log and no error.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pilothouse.records import PilothouseError, iso
from pilothouse.records.harmless import line
from pilothouse.store.approval_store import NoticeRow

from .approving import Approvals
from .links import Links
from .model import Approval
from .rules import Channel

LOG = logging.getLogger("pilothouse.approvals")

_TIMEOUT_S: Final = 10.0
_WAITS_S: Final = (10, 60, 300, 900, 1_800, 3_600, 7_200)
"""After each try that failed; after the last one nobody is told any more."""
_AT_ONCE: Final = 20
_TAKEN_S: Final = 120
"""Whoever took a notice and was killed lets go of it after so long."""
_SECRET_BYTES_MAX: Final = 4_096

_HEADS: Final[Mapping[str, str]] = {
    "asked": "Needs approval",
    "escalated": "Still needs approval",
    "delegated": "Handed over for approval",
    "edited": "Changed, and needs approval",
    "question": "A reviewer asks",
    "answer": "Answered, and needs approval",
    "expired": "Nobody decided",
    "fallback": "Nobody decided",
    "unknown": "Nobody knows whether it ran",
}


class NotTold(Exception):
    """It was not delivered; the text says why, without the address."""


class Notifier:
    """Tells what waits to be told. Its one method is called again and again; two servers may both do it."""

    def __init__(
        self,
        approvals: Approvals,
        links: Links,
        *,
        address: Callable[[], str],
        environment: Mapping[str, str] | None = None,
        send: Callable[[Channel, str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        """``address``: where people reach this server. ``send``: given a channel, its address, and what to say."""
        self._approvals, self._links, self._address = approvals, links, address
        self._environment = os.environ if environment is None else environment
        self._send = send or _send

    def tell(self) -> int:
        """Tell what is due; how many of it were delivered."""
        now_ns = self._approvals.now_ns()
        again_ns = now_ns + _TAKEN_S * 1_000_000_000
        taken = self._approvals.store.take_notices(now_ns, again_ns=again_ns, limit=_AT_ONCE)
        return sum(self._tell(notice) for notice in taken)

    def _tell(self, notice: NoticeRow) -> bool:
        channel = next((one for one in self._approvals.rules.channels if one.name == notice.channel), None)
        try:
            if channel is None:
                raise NotTold("the policy has no such channel any more")
            approval = self._approvals.find(notice.project_id, notice.approval_id)
            self._send(channel, self._secret(channel), self._message(channel, approval, notice))
        except (NotTold, PilothouseError) as error:
            return self._ended(notice, str(error))
        except Exception as error:
            # Its text may hold the address.
            return self._ended(notice, f"it could not be delivered: {type(error).__name__}")
        return self._ended(notice, "")

    def _ended(self, notice: NoticeRow, error: str) -> bool:
        now_ns = self._approvals.now_ns()
        left = notice.tries <= len(_WAITS_S)
        state = "delivered" if not error else "waiting" if left else "failed"
        next_ns = now_ns + (_WAITS_S[notice.tries - 1] * 1_000_000_000 if error and left else 0)
        detail = {**notice.detail, "error": error}
        self._approvals.store.end_notice(notice.number, state, next_ns=next_ns, detail=detail, now_ns=now_ns)
        if error:
            LOG.warning("channel %s was not told of %s: %s", notice.channel, notice.approval_id, error)
        return not error

    def _message(self, channel: Channel, approval: Approval, notice: NoticeRow) -> dict[str, Any]:
        address = self._address().rstrip("/")
        page = f"{address}/approvals/{approval.approval_id}"
        links: dict[str, str] = {}
        if approval.state == "pending":
            # A link decides as its reviewer: only a channel of their own gets one.
            mine = {name.casefold() for name in approval.reviewers}
            named = [one for one in channel.reviewers if not mine or one.casefold() in mine]
            links = {one: f"{address}/approve/{self._links.make(approval, one)}" for one in named}
        action = approval.action
        facts = [
            f"risk {approval.risk}",
            f"agent {line(action.agent, 60)}" if action.agent else "",
            f"in {line(action.environment, 60)}" if action.environment else "",
            f"{action.rows:,} rows" if action.rows is not None else "",
            f"{action.people:,} people" if action.people is not None else "",
            f"until {iso(approval.deadline_ns)}" if approval.state == "pending" else "",
        ]
        said = str(notice.detail.get("text", ""))
        texts = [
            f"{_HEADS.get(notice.kind, notice.kind)}: {line(approval.sentence, 300)}",
            ", ".join(fact for fact in facts if fact),
            f"Why: {line(approval.reason, 300)}" if approval.reason else "",
            line(said, 300) if said else "",
            *(f"Decide as {line(name, 60)}: {url}" for name, url in links.items()),
            f"See it: {page}",
        ]
        return {
            "event": notice.kind,
            "approval_id": approval.approval_id,
            "state": approval.state,
            "title": texts[0],
            "text": "\n".join(text for text in texts if text),
            "risk": approval.risk,
            "rule": approval.rule,
            "digest": approval.digest,
            "deadline": iso(approval.deadline_ns),
            "page": page,
            "links": links,
        }

    def _secret(self, channel: Channel) -> str:
        how, _, where = channel.source.partition(":")
        if how == "env":
            found = self._environment.get(where, "")
        else:
            try:
                with Path(where).open("rb") as file:
                    found = file.read(_SECRET_BYTES_MAX).decode("utf-8", "replace")
            except OSError as error:
                raise NotTold(f"{channel.source} cannot be read: {error.strerror}") from error
        if not found.strip():
            raise NotTold(f"{channel.source} is empty")
        return found.strip()


def _send(channel: Channel, address: str, message: Mapping[str, Any]) -> None:
    if channel.kind == "apprise":
        _apprise(address, message)
    elif channel.kind == "slack":
        # Its markup would make links and mentions of what an agent wrote.
        text = str(message["text"]).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        _post(address, {"text": text})
    else:
        _post(address, message)


def _post(address: str, body: Mapping[str, Any]) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotTold("the address of the channel is no URL of http")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # A redirection is not followed: the message holds links that decide.
        headers = {"Content-Type": "application/json", "User-Agent": "pilothouse"}
        connection.request("POST", target, body=json.dumps(body).encode(), headers=headers)
        answer = connection.getresponse()
        answer.read(1_000)
        if not 200 <= answer.status < 300:
            raise NotTold(f"the channel answered {answer.status}")
    except (OSError, http.client.HTTPException) as error:
        raise NotTold(f"the channel does not answer: {type(error).__name__}") from None
    finally:
        connection.close()


def _apprise(address: str, message: Mapping[str, Any]) -> None:
    try:
        import apprise  # an extra: only where a channel wants it
    except ImportError:
        raise NotTold("this channel needs an extra: pip install 'pilothouse[notify]'") from None
    # The package has no types of its own.
    sender: Any = apprise.Apprise()
    if not sender.add(address):
        raise NotTold("the address of the channel is none that apprise knows")
    if not sender.notify(title=str(message["title"])[:200], body=str(message["text"])):
        raise NotTold("the channel did not take it")
