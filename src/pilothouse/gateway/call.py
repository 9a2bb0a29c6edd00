"""One call that went through the gateway, as it is kept until it is written into a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import PilothouseError

from .endpoints import Endpoint
from .labels import Labels

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""Bytes of an answer that are kept for its trace; the caller gets all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCache:
    """A call that the response cache answered, and what that saved."""

    age_s: float
    """How old the answer is."""
    input_tokens: int = 0
    output_tokens: int = 0
    nano: int = 0
    """Billionths of a dollar that the call cost when it was made."""
    similarity: float = 1.0
    """How near the question is to the one that the answer was given to; 1 where it is the very same request."""


@dataclass(slots=True, kw_only=True)
class GateTold:
    """A verdict of a gate, as the trace will tell of it."""

    event: str
    facts: Mapping[str, str | int | list[str]]
    time_ns: int
    times: int = 1
    """Texts of this call that got the same one."""


@dataclass(slots=True, kw_only=True)
class Call:
    """Filled in while the call runs, by one task, and handed over whole."""

    project_id: str
    key_id: str
    endpoint: Endpoint
    labels: Labels
    model: str
    """As the caller named it."""
    stream: bool
    request: bytes
    started_ns: int
    ended_ns: int = 0
    upstream: str = ""
    provider: str = ""
    sent_model: str = ""
    """As it was sent; empty where it is the same."""
    status: int = 0
    """The upstream's; 0 where it did not answer."""
    content_type: str = ""
    encoding: str = ""
    """``Content-Encoding`` of the answer."""
    request_id: str = ""
    """The provider's own name of the call."""
    pieces: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    """When a piece of the answer came, and the piece."""
    kept_bytes: int = 0
    cut: bool = False
    """True where the answer was longer than what is kept."""
    error: PilothouseError | None = None
    """What the gateway itself said, or why the answer is not whole."""
    closed_early: bool = False
    """True where the caller left before the end."""
    attempts: int = 0
    """How often an upstream was asked."""
    task: str = ""
    """Which fallback chain it goes by, where the caller says."""
    tried: list[str] = field(default_factory=list[str])
    """Who was asked before, and why that did not help."""
    stood_in: str = ""
    """``cached`` or ``template`` where no model answered."""
    strips: bool = False
    """True where its usage was asked for by the gateway, and has to be taken out of the stream."""
    chosen_by: str = ""
    """The rule of the route that chose its model."""
    difficulty: float | None = None
    """How hard it was rated; None where no rule asked, or the project has no model of difficulty."""
    fell_back: bool = False
    """True where another model than the one that was asked for answered."""
    failed: bool = False
    """True where it ended by an error of ours, or by its caller."""
    bounded: bool = False
    """True where the gateway gave the answer a bound that the request does not have."""
    aside: str = ""
    """Why the gateway made it by itself: ``question`` or ``recheck``; empty where a caller did."""
    cache: str = ""
    """``hit``, ``meaning``, ``miss`` or ``bypass``; empty where the route keeps no answers."""
    from_cache: FromCache | None = None
    verdicts: list[str] = field(default_factory=list[str])
    """What the gates of the guards said, where it was not simply yes."""
    gates: list[GateTold] = field(default_factory=list["GateTold"])
    """Everything that the gates said, equal verdicts together."""
    route: str = ""
    """The pattern of the route it went by; empty where none is written."""
    run: str = ""
    tenant: str = ""
    """Whose budgets it counts for, beside user and feature."""
    after: list[Callable[[Mapping[str, Any]], None]] = field(
        default_factory=list["Callable[[Mapping[str, Any]], None]"]
    )
    """Told the attributes of the call's trace once they are read, its usage among them."""

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.request) + self.kept_bytes

    def keep(self, time_ns: int, piece: bytes) -> None:
        """Keep a piece of the answer, up to the bound."""
        if self.kept_bytes >= ANSWER_BYTES_MAX:
            self.cut = True
            return
        self.pieces.append((time_ns, piece))
        self.kept_bytes += len(piece)
