"""A call in the terms of survival: its chain, where each step leads, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pilothouse.records import NotFound, PilothouseError
from pilothouse.survival import Failed, Failure, FailureKind, Step, Survivor, from_exception, from_response

from .call import Call
from .config import GatewayConfig, Target
from .connection import Header
from .failures import AnswerSlow, UpstreamFailed


def chain_of(call: Call, target: Target, survivor: Survivor) -> tuple[Step, ...]:
    """The steps of a call. One that names no provider goes by its upstream's name, so that breakers tell them apart."""
    chain = survivor.chains.of(call.task or "default", model=call.model)
    first, *others = chain
    named = replace(first, provider=first.provider or target.upstream.name)
    return (named, *(replace(step, provider=step.provider or step.upstream) for step in others))


def aimed(call: Call, step: Step, target: Target, config: GatewayConfig) -> Target:
    """Where a step leads: the model that was asked for as its route says, another to its own upstream.

    Raises:
        Failed: no upstream of this wire format takes the step's model: formats are not translated.
    """
    if step.model == call.model and step.upstream in ("", target.upstream.name):
        return target
    wire = call.endpoint.wire
    if step.upstream:
        upstream = config.upstreams.get(step.upstream)
        if upstream is None or upstream.wire != wire:
            raise _unfit(f"{step.name}: there is no upstream {step.upstream!r} that speaks {wire}")
        return Target(upstream=upstream, send_as=step.model)
    try:
        found = config.target(wire, step.model)
    except NotFound as error:
        raise _unfit(f"{step.name}: {error.message}") from error
    return Target(upstream=found.upstream, send_as=found.send_as or step.model)


def failure_of(status: int, headers: Sequence[Header], body: bytes) -> Failure:
    """What an upstream's error means."""
    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(headers)}
    return from_response(status, told, body)


def failure_from(error: PilothouseError, *, begun: bool) -> Failure:
    """What an upstream that gave no whole answer means. ``begun``: the caller has a part of it already."""
    if isinstance(error, UpstreamFailed):
        kind: FailureKind = "timeout" if isinstance(error, AnswerSlow) else "unreachable"
        return Failure(kind=kind, message=error.kind, begun=begun)
    return replace(from_exception(error), message=error.kind, begun=begun)


def _unfit(message: str) -> Failed:
    return Failed(Failure(kind="unfit", message=message, ours=True))
