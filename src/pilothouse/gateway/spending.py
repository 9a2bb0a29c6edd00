"""Money for calls: held back at worst case before an upstream is asked, settled once the answer's usage is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pilothouse.budgets import Ask, Budgets, Purpose
from pilothouse.records import PilothouseError, Usage

from .call import Call
from .config import Target
from .request_body import parsed

LOG: Final = logging.getLogger("pilothouse.gateway")
_USAGE: Final = "gen_ai.usage."
_BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_SPARE_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money held back for one call."""

    reservation_id: str
    request: bytes
    """The body to send: the caller's, with a bound of its output where it set none and the budget needs one."""


def hold(budgets: Budgets, call: Call, target: Target, purpose: Purpose) -> Hold:
    """Hold back what a call may cost at worst. Blocks for the database: called in a thread.

    Raises:
        OverBudget: a budget has too little left.
        BadRequest: a budget is in dollars, and the model has no known price.
    """
    body = cast("dict[str, Any]", parsed(call.request))
    attributes = call.labels.attributes
    embeds = call.endpoint.operation == "embeddings"
    asked = 0 if embeds else _output_bound(body)
    found = budgets.reserve(
        call.project_id,
        Ask(
            model=target.send_as or call.model,
            provider=target.upstream.provider or target.upstream.wire,
            # No tokenizer makes more tokens than there are bytes.
            input_tokens=len(call.request),
            output_tokens=asked,
            run=call.run or call.labels.trace_id,
            user=attributes.get("user.id", "") or user_of(body),
            feature=attributes.get("pilothouse.feature", ""),
            tenant=call.tenant,
            purpose=purpose,
            lease_s=min(target.upstream.answer_s + _SPARE_S, 86_400.0),
        ),
    )
    request = call.request
    if asked is None and found.output_tokens is not None:
        request = _bounded(request, call, found.output_tokens)
    return Hold(reservation_id=found.reservation_id, request=request)


def settle(budgets: Budgets, call: Call, reservation_id: str, found: Mapping[str, Any] | None) -> None:
    """Book what a call cost, by the attributes of its trace; None: it is not known, and what was held back is booked.

    Never raises: the call is over.
    """
    try:
        budgets.settle(call.project_id, reservation_id, usage=None if found is None else _usage(call, found))
    except PilothouseError as error:
        LOG.warning("a call's money could not be settled: %s", error.message)
    except Exception:
        LOG.exception("a call's money could not be settled")


def release(budgets: Budgets, call: Call, reservation_id: str) -> None:
    """Give back what was held for a call that cost nothing. Never raises."""
    try:
        budgets.release(call.project_id, reservation_id)
    except PilothouseError as error:
        LOG.warning("a call's money could not be given back: %s", error.message)
    except Exception:
        LOG.exception("a call's money could not be given back")


def _usage(call: Call, found: Mapping[str, Any]) -> Usage | None:
    known = counted(found)
    if known is None:
        # A stream that tells no usage: each byte of the request and of the answer for a token, which is never too few.
        complete = call.status == 200 and not call.cut and call.error is None and not call.closed_early
        return Usage(input_uncached=len(call.request), output_text=call.kept_bytes) if complete else None
    return known


def counted(found: Mapping[str, Any]) -> Usage | None:
    """Usage in buckets, from the attributes of a call; None where it is not told."""

    def count(name: str) -> int:
        value = found.get(_USAGE + name, 0)
        return value if type(value) is int else 0

    if _USAGE + "input_tokens" not in found:
        return None
    read, wrote = count("cache_read.input_tokens"), count("cache_creation.input_tokens")
    short, long = count("cache_creation.ephemeral_5m_input_tokens"), count("cache_creation.ephemeral_1h_input_tokens")
    reasoning = count("reasoning.output_tokens")
    return Usage(
        input_uncached=max(count("input_tokens") - read - max(wrote, short + long), 0),
        cache_read=read,
        cache_write_5m=short,
        cache_write_1h=long,
        cache_write_other=max(wrote - short - long, 0),
        output_text=max(count("output_tokens") - reasoning, 0),
        reasoning=reasoning,
    )


def _output_bound(body: Mapping[str, Any]) -> int | None:
    """The most tokens that the answers may have, by the request; None where it says nothing."""
    bounds = [body[name] for name in _BOUNDS if type(body.get(name)) is int and body[name] >= 0]
    choices = body.get("n")
    return min(bounds) * (choices if type(choices) is int and choices > 1 else 1) if bounds else None


def _bounded(request: bytes, call: Call, tokens: int) -> bytes:
    """The body with a bound of its output put first. Where the same name came with null, that one is last and counts."""
    choices = cast("dict[str, Any]", parsed(request)).get("n")
    each = tokens // choices if type(choices) is int and choices > 1 else tokens
    name = "max_output_tokens" if call.endpoint.operation == "responses" else "max_completion_tokens"
    if call.endpoint.wire == "anthropic":
        name = "max_tokens"
    fields = cast("dict[str, Any]", parsed(request))
    if name in fields:
        # It is there, and null: only then is the body written anew.
        return json.dumps({**fields, name: max(each, 1)}).encode()
    start = request.index(b"{") + 1
    comma = b", " if fields else b""
    return request[:start] + json.dumps(name).encode() + b": " + str(max(each, 1)).encode() + comma + request[start:]


def user_of(body: Mapping[str, Any]) -> str:
    """The user that a body names; empty where it names none."""
    metadata = body.get("metadata")
    named = cast("dict[str, Any]", metadata).get("user_id") if isinstance(metadata, dict) else None
    user = body.get("user") or named
    return user[:300] if isinstance(user, str) else ""
