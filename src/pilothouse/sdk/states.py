"""``state`` and ``waiting``: what an agent is doing, and what it waits for."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Literal, get_args

from pilothouse.records import BadRequest, names

from . import recorder as recorders
from .decorators import open_span
from .jsons import readable
from .wrapping import trouble, within

WaitFor = Literal["human", "rate_limit", "queue", "retry", "other"]


def state(name: str, *, reason: str = "") -> None:
    """Say that the agent goes over to another state: ``planning``, ``executing``, ``reflecting``, or a word of yours.

    It is noted on the innermost agent's span; outside of agents on the current span; outside of all nowhere.
    """
    recorder = recorders.current()
    if recorder is None:
        return
    try:
        call = recorder.call()
        agent = call.agent or call if call is not None else None
        if agent is None:
            return
        word = readable(str(name))[:100]
        attributes = {names.STATE_FROM: agent.state, names.STATE_TO: word, names.STATE_REASON: readable(str(reason))}
        agent.span.add_event(names.STATE_EVENT, {key: value for key, value in attributes.items() if value})
        agent.state = word
    except Exception as error:
        trouble("a state could not be recorded", error)


@contextlib.contextmanager
def waiting(what: WaitFor = "other", *, reason: str = "") -> Generator[None]:
    """Record that the agent waits, and what for: ``with pilothouse.waiting("human", reason="refund of $120"): …``.

    Raises:
        BadRequest: there is nothing of this name to wait for.
    """
    if what not in get_args(WaitFor):
        raise BadRequest("agents wait for something else", got=what, allowed=list(get_args(WaitFor)))
    attributes = {names.WAIT_FOR: what, names.WAIT_REASON: readable(str(reason))[:2_000]}
    call = open_span(
        f"waiting for {what.replace('_', ' ')}", "waiting", {key: value for key, value in attributes.items() if value}
    )
    with within(call):
        yield
