"""The error that a server's bad answer stands for: the other way round of ``PilothouseError.as_dict``."""

from __future__ import annotations

import json
from typing import Any, cast

from .errors import (
    BadRequest,
    Broken,
    DiskFull,
    Forbidden,
    NeedsApproval,
    NotAllowed,
    NotApproved,
    NotFound,
    Overloaded,
    PilothouseError,
    TooLarge,
    Unreachable,
    Unverified,
)

_KINDS = {
    kind.kind: kind
    for kind in (
        *(BadRequest, Broken, DiskFull, Forbidden, NeedsApproval, NotAllowed, NotFound, Overloaded, TooLarge),
        *(NotApproved, Unreachable, Unverified),
    )
}
_BY_STATUS = {400: BadRequest, 401: NotAllowed, 403: Forbidden, 404: NotFound, 413: TooLarge, 422: BadRequest}


def answered_error(status: int, answer: bytes, retry_after: str | None) -> PilothouseError:
    """The error that an answer of the server stands for."""
    try:
        body: object = json.loads(answer)
    except ValueError:
        body = None
    detail: dict[str, Any] = {}
    if isinstance(body, dict):
        found: object = cast("dict[str, Any]", body).get("error")
        detail = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    kind = _KINDS.get(str(detail.get("kind", ""))) or _BY_STATUS.get(status)
    if kind is None:
        kind = Unreachable if status in (429, 502, 503, 504) else Broken
    message = str(detail.get("message") or f"the server answered {status}")
    error = kind(message, got=detail.get("got"), allowed=detail.get("allowed"), fix=detail.get("fix"))
    error.kind = str(detail.get("kind") or error.kind)
    error.retry_after_s = int(retry_after) if retry_after and retry_after.isdigit() else None
    return error
