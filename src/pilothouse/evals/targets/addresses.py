"""An address as a target: the case is posted as JSON, the answer is read as a function's return value would be.

Sent: ``{"case", "input", "messages", "data", "settings", "repeat", "decision_only"}``. Tools run where the address is: nothing is
played back, so a case with recorded calls is refused.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from pilothouse.evals.conversation import as_chat, turns
from pilothouse.evals.observed import Observed
from pilothouse.records import BadRequest, Unreachable

from .attempt import Attempt, Target
from .callables import seen_in

_BODY_BYTES_MAX: Final = 16 << 20


def address_target(url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 300.0) -> Target:
    """An address as a target.

    Raises:
        BadRequest: it is neither http nor https.
    """
    if not url.startswith(("http://", "https://")):
        raise BadRequest("an address begins with http:// or https://", got=url[:200])

    async def run(attempt: Attempt) -> Observed:
        case = attempt.case
        if case.stubs.calls:
            raise BadRequest(
                "recorded tool calls cannot be played back at an address",
                got=case.id,
                fix="name a callable as the target, or take stubs.calls away",
            )
        body = {
            "case": case.id,
            "input": case.input.text,
            "messages": as_chat(turns(case.input.messages))
            or [{"role": "user", "content": one} for one in case.input.turns],
            "data": case.input.data,
            "settings": dict(case.settings),
            "repeat": attempt.number,
            "decision_only": attempt.decision_only,
        }
        return seen_in(await asyncio.to_thread(_post, url, body, headers or {}, timeout_s), attempt)

    return run


def _post(url: str, body: Mapping[str, Any], headers: Mapping[str, str], timeout_s: float) -> Any:
    data = json.dumps(body, default=str).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json", **headers})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            said = answer.read(_BODY_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        raise Unreachable(
            f"the target answered {error.code}", got=error.read(500).decode("utf-8", "replace")
        ) from error
    except OSError as error:
        raise Unreachable("the target does not answer", got=f"{url}: {error}") from error
    if len(said) > _BODY_BYTES_MAX:
        raise BadRequest(f"the target's answer is larger than {_BODY_BYTES_MAX >> 20} MB", got=url)
    text = said.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
