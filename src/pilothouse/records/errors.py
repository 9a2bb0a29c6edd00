"""Every error a user can meet, in one tree.

    PilothouseError            something the reader of the message can act on
    ├── BadRequest       2     the call is wrong: it names the value and the remedy
    ├── NotFound         3     nothing has that id or name
    ├── NotAllowed       4     the key or session is missing, wrong or lacks the right
    ├── NeedsApproval    8     a person must confirm it: the remedy says where
    ├── NotApproved      8     nobody allowed exactly this, in time: it must not run
    ├── Unreachable      5     the server or store does not answer
    ├── Unverified       6     it ran, but could not prove what was asked
    ├── GateFailed       7     a gate is closed: it lists what keeps it so
    ├── Refused                the server is protecting itself: try again later
    │   ├── TooLarge           a body, value or result passes its bound
    │   ├── Overloaded         the queue is full; Retry-After says when
    │   └── DiskFull           nothing can be made durable now
    └── Broken           1     a defect of ours

The number is the exit code of the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PilothouseError(Exception):
    """An error whose message says what happened, with which value, and what to do next."""

    kind = "error"
    exit_code = 1
    http_status = 500

    def __init__(
        self,
        message: str,
        *,
        got: Any = None,
        allowed: Any = None,
        fix: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.got = got
        self.allowed = allowed
        self.fix = fix or None
        self.retry_after_s = retry_after_s

    def as_dict(self) -> dict[str, Any]:
        """The one error shape of every surface: ``kind`` and ``message`` always, the rest where it is known."""
        fields: Mapping[str, Any] = {"got": self.got, "allowed": self.allowed, "fix": self.fix}
        return {"kind": self.kind, "message": self.message, **{k: v for k, v in fields.items() if v is not None}}


class BadRequest(PilothouseError):
    """The call is wrong: it names the value and the remedy."""

    kind = "bad_request"
    exit_code = 2
    http_status = 400


class NotFound(PilothouseError):
    """Nothing has that id or name."""

    kind = "not_found"
    exit_code = 3
    http_status = 404


class NotAllowed(PilothouseError):
    """The key or session is missing, wrong or lacks the right."""

    kind = "not_allowed"
    exit_code = 4
    http_status = 401


class Forbidden(NotAllowed):
    """The key is good, but its mode or project does not allow this."""

    kind = "forbidden"
    http_status = 403


class NeedsApproval(PilothouseError):
    """A person must confirm it: the remedy says where."""

    kind = "needs_approval"
    exit_code = 8
    http_status = 403


class NotApproved(PilothouseError):
    """Nobody allowed exactly this, in time: it must not run."""

    kind = "not_approved"
    exit_code = 8
    http_status = 409


class Unreachable(PilothouseError):
    """The server or the store does not answer."""

    kind = "unreachable"
    exit_code = 5
    http_status = 503


class Unverified(PilothouseError):
    """It ran, but could not prove what was asked."""

    kind = "unverified"
    exit_code = 6
    http_status = 200


class GateFailed(PilothouseError):
    """A gate is closed: it lists what keeps it so."""

    kind = "gate_failed"
    exit_code = 7
    http_status = 409


class Refused(PilothouseError):
    """The server is protecting itself: try again later."""

    kind = "refused"
    exit_code = 5
    http_status = 503


class TooLarge(Refused):
    """A body, value or result passes its bound."""

    kind = "too_large"
    exit_code = 2
    http_status = 413


class Overloaded(Refused):
    """The queue is full; Retry-After says when to come back."""

    kind = "overloaded"
    http_status = 429


class DiskFull(Refused):
    """Nothing can be made durable now."""

    kind = "disk_full"
    http_status = 503


class Broken(PilothouseError):
    """A defect of ours."""

    kind = "bug"
