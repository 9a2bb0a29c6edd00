"""What went wrong with a call, in the terms that decide what is done about it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, cast, get_args

from pilothouse.records import BadRequest, NotAllowed, NotFound, Overloaded, PilothouseError, Unreachable

FailureKind = Literal[
    "rate_limited",
    "overloaded",
    "server_error",
    "timeout",
    "unreachable",
    "malformed",
    "breaker_open",
    "not_found",
    "not_allowed",
    "quota",
    "context_limit",
    "content_filter",
    "budget",
    "unfit",
    "bad_request",
    "unknown",
]
FAILURE_KINDS: Final[tuple[FailureKind, ...]] = get_args(FailureKind)

Trigger = Literal["unavailable", "context_limit", "content_filter", "budget"]
TRIGGERS: Final[tuple[Trigger, ...]] = get_args(Trigger)

# What may be over in a moment.
_PASSING: Final = frozenset({"rate_limited", "overloaded", "server_error", "timeout", "unreachable", "malformed"})
# What tells of the provider rather than of the request.
COUNTED: Final = _PASSING
"""Kinds of failure a circuit breaker counts."""
_TRIGGER: Final[Mapping[str, Trigger]] = {
    **dict.fromkeys((*sorted(_PASSING), "breaker_open", "not_found", "not_allowed", "quota", "unfit"), "unavailable"),
    "context_limit": "context_limit",
    "content_filter": "content_filter",
    "budget": "budget",
}
_RETRY_AFTER_MAX_S: Final = 86_400.0
_MESSAGE_CHARS_MAX: Final = 300

_QUOTA: Final = ("insufficient_quota", "billing_hard_limit", "credit balance is too low")
_CONTEXT: Final = (
    "context_length_exceeded",
    "prompt is too long",
    "maximum context length",
    "context window",
    "exceeds the maximum number of tokens",
    "input is too long",
)
_FILTER: Final = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call gave no answer."""

    kind: FailureKind
    message: str = ""
    """In a few words, for logs; never a secret and never the prompt."""
    status: int | None = None
    """The HTTP status, where there was one."""
    retry_after_s: float | None = None
    """How long the provider wants to be left alone."""
    ours: bool = False
    """True where we refused the call before it left: no sign of the provider's health."""
    begun: bool = False
    """True where a part of the answer was already passed on: nothing can be tried again behind the reader's back."""

    @property
    def passing(self) -> bool:
        """True where the same call may succeed a moment later."""
        return self.kind in _PASSING and not self.begun

    @property
    def trigger(self) -> Trigger | None:
        """Which fallback it calls for; None: none, the request itself is wrong, or its answer has begun."""
        return None if self.begun else _TRIGGER.get(self.kind)

    def __str__(self) -> str:
        code = f" ({self.status})" if self.status else ""
        return f"{self.kind.replace('_', ' ')}{code}" + (f": {self.message}" if self.message else "")


def from_response(
    status: int, headers: Mapping[str, str] | None = None, body: Any = None, *, now_ns: int | None = None
) -> Failure:
    """What an answer with an error status means. ``body`` may be bytes, text or what was read from it."""
    text = _text(body).casefold()
    wait = retry_after_s(headers or {}, now_ns=now_ns)
    return Failure(kind=_kind(status, text), status=status, retry_after_s=wait, message=_said(body))


def from_exception(error: BaseException) -> Failure:
    """What an exception means: of an SDK, of an HTTP client, of the socket, or of ours.

    SDKs are known by what they carry (``status_code``, ``response``, ``body``), not by import.
    """
    if isinstance(error, Failed):
        return error.failure
    if isinstance(error, PilothouseError):
        return _own(error)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and not isinstance(status, bool):
        headers = getattr(getattr(error, "response", None), "headers", None)
        return from_response(
            status,
            cast("Mapping[str, str]", headers) if isinstance(headers, Mapping) else None,
            getattr(error, "body", None) or str(error),
        )
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
        return Failure(kind="timeout", message=type(error).__name__)
    if isinstance(error, OSError) or names & {"TransportError", "APIConnectionError", "ModelAPIError"}:
        return Failure(kind="unreachable", message=type(error).__name__)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) or names & {
        "UnexpectedModelBehavior",
        "APIResponseValidationError",
    }:
        return Failure(kind="malformed", message=type(error).__name__)
    return Failure(kind="unknown", message=type(error).__name__)


class Failed(Exception):
    """Raised by a call that knows itself what went wrong."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def retry_after_s(headers: Mapping[str, str], *, now_ns: int | None = None) -> float | None:
    """How long a provider wants to be left alone, by ``retry-after-ms`` or ``Retry-After`` (seconds or a date).

    None where neither is there or says anything; never below 0 and never above a day.
    """
    found = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    milliseconds = _number(found.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1_000)
    text = found.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None:
        return _bounded(seconds)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return _bounded(moment - (time.time() if now_ns is None else now_ns / 1e9))


def _kind(status: int, text: str) -> FailureKind:
    if status in (400, 413, 422) and any(word in text for word in _CONTEXT):
        return "context_limit"
    if status in (400, 403, 422) and any(word in text for word in _FILTER):
        return "content_filter"
    if status in (400, 402, 403, 429) and (status == 402 or any(word in text for word in _QUOTA)):
        return "quota"
    if status == 429:
        return "rate_limited"
    if status in (408, 504):
        return "timeout"
    if status in (503, 529) or "overloaded_error" in text:
        return "overloaded"
    if status >= 500:
        return "server_error"
    if status in (401, 403):
        return "not_allowed"
    if status == 404:
        return "not_found"
    return "bad_request" if status >= 400 else "malformed"


def _own(error: PilothouseError) -> Failure:
    kind: FailureKind = "unknown"
    if error.kind == "over_budget":
        kind = "budget"
    elif isinstance(error, Overloaded):
        kind = "rate_limited"
    elif isinstance(error, Unreachable):
        kind = "unreachable"
    elif isinstance(error, NotAllowed):
        kind = "not_allowed"
    elif isinstance(error, NotFound):
        kind = "not_found"
    elif isinstance(error, BadRequest):
        kind = "bad_request"
    wait = None if error.retry_after_s is None else float(error.retry_after_s)
    return Failure(kind=kind, message=error.message[:_MESSAGE_CHARS_MAX], retry_after_s=wait, ours=True)


def _text(body: Any) -> str:
    if isinstance(body, bytes):
        return body[:20_000].decode("utf-8", "replace")
    return body[:20_000] if isinstance(body, str) else json.dumps(body, default=str)[:20_000]


def _said(body: Any) -> str:
    """The provider's code for the error: its message may repeat the prompt or a key and is left out."""
    if isinstance(body, bytes | str):
        try:
            body = json.loads(body)
        except ValueError:
            return ""
    found: Any = cast("Mapping[str, Any]", body).get("error", body) if isinstance(body, Mapping) else None
    if not isinstance(found, Mapping):
        return ""
    named = cast("Mapping[str, Any]", found)
    said = named.get("code") or named.get("type") or named.get("status") or ""
    return said[:80] if isinstance(said, str) else ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _RETRY_AFTER_MAX_S)
