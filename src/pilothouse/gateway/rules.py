"""Everything that decides about a call: the gateway's own section, and what survival and the limits say."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pilothouse.budgets import Budgets
from pilothouse.guards import Guards
from pilothouse.records import Message
from pilothouse.survival import (
    Breakers,
    Events,
    Hedges,
    Limits,
    Replies,
    Step,
    Survivor,
    SystemTimer,
    Timer,
    read_limits,
    read_survival,
)

from .call import Call
from .config import GatewayConfig, read_gateway
from .replies import StandIn, kept, key_of, template

_BYTES_A_TOKEN: Final = 4
_REPLY_BYTES_MAX: Final = 64 * 1024
_REPLIES_MAX: Final = 1_000


class Difficulty(Protocol):
    """Says how hard a request is. It MUST be quick, and ask no database."""

    def knows(self, project: str) -> bool:
        """Whether it can say that for a project."""
        ...

    def difficulty(self, project: str, messages: Sequence[Message], *, tools: int = 0, task: str = "") -> float | None:
        """How likely a cheap model is to do badly: 0 to 1; None where that is not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules as they stand at one call."""

    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    survivor: Survivor | None = None
    """Retries, breakers and fallbacks; None where the policy has no section ``survival``: then a call is made once, and
    what comes back is passed on."""
    limits: Limits | None = None
    budgets: Budgets | None = None
    """None where the policy has no budgets: then no call waits for a database."""
    guards: Guards | None = None
    """None where the policy has no section ``guards``: then answers pass as they come."""
    replies: Replies[StandIn] | None = None
    """Earlier answers, where a fallback chain asks for them."""
    routing: Difficulty | None = None
    """Rates calls where a rule of a route asks for it."""

    def stand_in(self, call: Call, step: Step) -> StandIn | None:
        """The reply of a step that is no model; None where there is none."""
        if step.kind == "template":
            return template(call, step.text)
        return self.replies.find(key_of(call)) if self.replies is not None else None

    def keeps_replies(self, call: Call) -> bool:
        """Whether an answer of this call may be asked for later."""
        return self.replies is not None and call.status == 200 and call.kept_bytes <= _REPLY_BYTES_MAX

    def keep(self, call: Call) -> None:
        """Keep the answer of a call."""
        if self.replies is not None:
            self.replies.keep(key_of(call), kept(call))


def take(call: Call, rules: Rules) -> None:
    """Take the call from the rate limits that apply to it; its tokens as estimated, put right when they are known.

    Raises:
        Overloaded: one of them has too little: it says which, and when to come back.
    """
    limits = rules.limits
    if limits is None:
        return
    user = call.labels.attributes.get("user.id", "")
    estimate = len(call.request) // _BYTES_A_TOKEN
    taken = limits.take(key=call.key_id, user=user, model=call.model, tokens=estimate)

    def settle(found: Mapping[str, Any]) -> None:
        given, made = found.get("gen_ai.usage.input_tokens"), found.get("gen_ai.usage.output_tokens")
        unknown = given is None and made is None and call.status == 200
        limits.settle(taken, taken.tokens if unknown else int(given or 0) + int(made or 0))

    call.after.append(settle)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Rules, and what they were made of."""

    sections: Mapping[str, Mapping[str, Any]]
    wanted: Mapping[str, Any]
    rules: Rules


class RulesReader:
    """Rules from the sections of a policy. What breakers and limits remember outlives a change of other sections."""

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        timer: Timer | None = None,
        budgets: Budgets | None = None,
        guards: Guards | None = None,
        routing: Difficulty | None = None,
    ) -> None:
        """``timer``: of waits and windows; a test may hold time in its hands. Budgets and guards read their own sections."""
        self._routing = routing
        self._budgets = budgets
        self._guards = guards
        self._environment = environment
        self._timer = timer or SystemTimer()
        self._sections: Mapping[str, Any] | None = None
        self._seen: Mapping[str, Mapping[str, Any]] | None = None
        self._rules = Rules()
        self._next: _Made | None = None
        # A policy may be prepared by one thread while another reads the one before.
        self._lock = threading.Lock()

    def read(self, sections: Mapping[str, Mapping[str, Any]]) -> Rules:
        """The rules of these sections; the same object as long as they stay the same.

        Raises:
            BadRequest: a section says something that is not understood.
        """
        if sections is self._seen:
            return self._rules
        with self._lock:
            ready, self._next = self._next, None
            made = ready if ready is not None and ready.sections is sections else self._made(sections)
            self._rules, self._sections, self._seen = made.rules, made.wanted, sections
            return made.rules

    def prepare(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Make the rules of sections that are about to come into force, so that no caller waits for it.

        Raises:
            BadRequest: a section says something that is not understood.
        """
        with self._lock:
            self._next = self._made(sections)

    def _made(self, sections: Mapping[str, Mapping[str, Any]]) -> _Made:
        wanted = {
            name: sections[name] for name in ("gateway", "survival", "limits", "budgets", "guards") if name in sections
        }
        before = self._sections
        if before is not None and before == wanted:
            return _Made(sections=sections, wanted=before, rules=self._rules)
        gateway = read_gateway(wanted.get("gateway", {}), self._environment)
        survivor, replies, limits = self._rules.survivor, self._rules.replies, self._rules.limits
        if before is None or before.get("survival") != wanted.get("survival"):
            survivor, replies = self._survivor(wanted.get("survival"))
        if before is None or before.get("limits") != wanted.get("limits"):
            rows = read_limits(wanted.get("limits"))
            limits = Limits(rows, timer=self._timer) if rows else None
        rules = Rules(
            gateway=gateway,
            survivor=survivor,
            limits=limits,
            replies=replies,
            budgets=self._budgets if wanted.get("budgets") else None,
            guards=self._guards if "guards" in wanted else None,
            routing=self._routing if gateway.asks_difficulty else None,
        )
        return _Made(sections=sections, wanted=deepcopy(wanted), rules=rules)

    def _survivor(self, section: Mapping[str, Any] | None) -> tuple[Survivor | None, Replies[StandIn] | None]:
        if section is None:
            return None, None
        config = read_survival(section)
        events = Events(config.alerts)
        breakers = Breakers(config.breakers, timer=self._timer, changed=events.changed)
        survivor = Survivor(
            retries=config.retries,
            chains=config.fallbacks,
            breakers=breakers,
            events=events,
            hedges=Hedges(config.hedge),
            timer=self._timer,
        )
        steps = [step for chain in config.fallbacks.by_task.values() for step in chain]
        cached = any(step.kind == "cached" for step in steps)
        return survivor, Replies(replies_max=_REPLIES_MAX, timer=self._timer) if cached else None
