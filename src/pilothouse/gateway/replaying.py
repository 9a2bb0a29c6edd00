"""Stored calls made again through the gateway's upstreams, from a thread: traced and paid for like any."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pilothouse.records import Message, Unreachable, Usage
from pilothouse.sdk.responses import read_answer

from . import labels
from .answer import told
from .call import Call
from .config import Target
from .connection import Header
from .endpoints import ENDPOINTS, PREFIX, Wire
from .gateway import Gateway
from .spending import counted

_PATHS: Final[Mapping[Wire, str]] = {"openai": "chat/completions", "anthropic": "messages"}
_SPARE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a call that was made again brought."""

    messages: tuple[Message, ...]
    usage: Usage | None
    model: str
    provider: str
    seconds: float
    trace_id: str
    error: str


def call_of(project_id: str, wire: Wire, body: Mapping[str, Any], said: Mapping[str, Any]) -> Call:
    """A call of this body. ``said``: what its caller said of itself, by the names that rules of routes know."""
    headers = {
        f"x-pilothouse-{name}": str(said.get(name) or "") for name in ("feature", "agent", "environment", "user")
    }
    return Call(
        project_id=project_id,
        key_id="replay",
        endpoint=ENDPOINTS["POST", f"{PREFIX}/{wire}/v1/{_PATHS[wire]}"],
        labels=labels.read(headers),
        model=str(body["model"]),
        stream=False,
        request=json.dumps(body).encode(),
        started_ns=time.time_ns(),
        task=str(said.get("task") or ""),
    )


def aimed(
    gateway: Gateway, project_id: str, wire: Wire, body: Mapping[str, Any], said: Mapping[str, Any]
) -> tuple[Target, str]:
    """Where it would go, and as which model. With ``tokens`` among what is said, that is all that rules are told.

    Raises:
        NotFound: no route takes the model.
    """
    call = call_of(project_id, wire, body, said)
    target = gateway.aim(call, said if "tokens" in said else None)
    return target, target.send_as or call.model


def replay(gateway: Gateway, project_id: str, wire: Wire, body: Mapping[str, Any], said: Mapping[str, Any]) -> Replayed:
    """Make it, and wait. Its errors are in the answer.

    Raises:
        NotFound: no route takes the model.
        Unreachable: the gateway does not run.
    """
    loop = gateway.loop
    if loop is None or loop.is_closed():
        raise Unreachable("the gateway does not run")
    call = call_of(project_id, wire, body, said)
    target = gateway.aim(call)
    headers: list[Header] = [(b"content-type", b"application/json")]
    if wire == "anthropic":
        headers.append((b"anthropic-version", b"2023-06-01"))
    waiting = asyncio.run_coroutine_threadsafe(gateway.replay(call, headers), loop)
    try:
        waiting.result(target.upstream.answer_s + target.upstream.idle_s + _SPARE_S)
    except TimeoutError:
        waiting.cancel()
        raise Unreachable(f"{target.upstream.name} gave no answer in time") from None
    found = told(call)
    data: object = found.data
    answer = read_answer(cast("Any", data)) if isinstance(data, dict) else None
    wrong = call.error.message if call.error is not None else found.error_message or found.error_type
    return Replayed(
        messages=tuple(answer.messages) if answer is not None else (),
        usage=counted(answer.usage) if answer is not None else None,
        model=target.send_as or call.model,
        provider=target.upstream.provider or target.upstream.wire,
        seconds=round((call.ended_ns - call.started_ns) / 1e9, 3),
        trace_id=call.labels.trace_id,
        error=wrong or ("" if answer is not None and answer.messages else "the answer says nothing"),
    )
