"""What trying a policy finds, as plain records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pilothouse.guards import Action, Gate

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how much of it is done."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much stored traffic is replayed at most."""

    traces_max: int = 2_000
    texts_max: int = 50_000
    bytes_max: int = 64_000_000
    text_bytes_max: int = 200_000
    """Longer contents are left out and counted."""
    calls_max: int = 50_000
    """Model calls that are booked against budgets."""
    seconds_max: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What was replayed, so that the figures can be judged, and asked for again."""

    since: str
    until: str
    seed: int
    """Decides which traces are taken where there are too many."""
    traces: int
    traces_total: int
    texts: int
    bytes: int
    too_long: int
    """Contents that were left out for their length."""
    whole: bool
    """Whether every trace of the window was replayed."""
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """What one gate did with the texts that came to it, under both policies."""

    gate: Gate
    texts: int
    now: Mapping[Action, int]
    """By verdict, under the policy in force."""
    then: Mapping[Action, int]
    """By verdict, under the proposed one."""
    stricter: int
    """Texts whose verdict would be stricter."""
    milder: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckChange:
    """What one check did to texts, under both policies."""

    gate: Gate
    check: str
    action: Action
    now: int
    """Texts on which it came to this, under the policy in force."""
    then: int
    """The same under the proposed one."""
    new: int
    """Texts on which it newly would."""
    gone: int
    """Texts on which it no longer would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialExample:
    """One text on which something would change. Its words are what users, models and tools wrote."""

    gate: Gate
    check: str
    rule: str
    action: Action
    new: bool
    """True: it newly would; False: it no longer would."""
    trace_id: str
    span_id: str
    agent: str
    tool: str
    start: int
    """In characters of the text; 0 to 0 where it is about the whole."""
    end: int
    before: str
    """What stands before the place."""
    match: str
    after: str
    disguise: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOutcome:
    """What one budget would have done with the model calls of the window."""

    budget: str
    calls: int
    """Calls that it would have applied to."""
    refused_now: int
    """Refused at their actual cost, under the policy in force."""
    refused_then: int
    """The same under the proposed one."""
    refused_worst: int
    """Refused under the proposed one where each call holds back its worst case while it runs."""
    runs: int
    """Runs with a call that would newly be refused at its actual cost."""
    runs_worst: int
    """The same at the worst case."""
    spent_usd: str
    """What would have been spent within it, under the proposed policy."""
    at_limit: str
    examples: tuple[str, ...]
    """Traces of such runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetTrial:
    """The budgets of both policies over the same calls."""

    calls: int
    calls_total: int
    unpriced: int
    """Calls without a known price: a budget in dollars refuses them."""
    budgets: tuple[BudgetOutcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalOutcome:
    """How often one rule would have had a person asked, or forbidden a call."""

    rule: str
    do: str
    """ask or forbid."""
    now: int
    """Tool calls that it stops under the policy in force."""
    then: int
    """The same under the proposed one."""
    new: int
    """Calls that it newly stops."""
    gone: int
    unsure: int
    """Of those under the proposed one: asked only because the condition could not be answered."""
    reviewers: tuple[str, ...]
    """Who would be asked; empty: whoever may decide."""
    needs: int
    examples: tuple[str, ...]
    """Traces of calls that are newly stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalTrial:
    """The approvals of both policies over the same tool calls."""

    calls: int
    asked_now: int
    asked_then: int
    rules: tuple[ApprovalOutcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOutcome:
    """What one rate limit would have done with the model calls of the window."""

    limit: str
    calls: int
    """Calls that it would have applied to."""
    refused_now: int
    refused_then: int
    new: int
    """Calls that it, or another one, would newly put off."""
    unsure: int
    """Calls of which it is not known whether it applies: their user or key is not stored."""
    examples: tuple[str, ...]
    """Traces of calls that are newly put off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOutcome:
    """Calls that would go to one model of one upstream."""

    upstream: str
    """``(none)``: no route takes them."""
    model: str
    now: int
    then: int
    cost_now_usd: str
    """At the tokens that the calls had."""
    cost_then_usd: str
    unpriced: int
    """Calls without a known price there; they count in neither sum."""
    unsure: int
    """Calls, under the proposed policy, that passed a rule which asks for what is not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalOutcome:
    """What would have been done about calls that failed, and about slow ones."""

    failed: int
    unsure: int
    """Failed calls whose kind of failure is not known: they count nowhere else."""
    retried_now: int
    """Calls that would be tried again at least once; whether that had helped is not known."""
    retried_then: int
    fallbacks_now: Mapping[str, int]
    """By who would stand in where trying again does not help."""
    fallbacks_then: Mapping[str, int]
    hedged_now: int
    """Calls slow enough for a second one beside them, within the share."""
    hedged_then: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTrial:
    """Limits, routes and survival of both policies over the same model calls."""

    calls: int
    calls_total: int
    gateway_calls: int
    """Of those, calls that came through the gateway; the others are looked at as if they had."""
    limits: tuple[LimitOutcome, ...]
    routes: tuple[RouteOutcome, ...]
    moved: int
    """Calls that would go to another upstream or model than under the policy in force."""
    survival: SurvivalOutcome | None
    """None where neither policy has the section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A proposed policy beside the one in force, over the same stored traffic."""

    in_force: str
    """The version in force."""
    proposed: str
    """The version the proposed text would have."""
    replayed: Replayed
    gates: tuple[GateOutcome, ...]
    checks: tuple[CheckChange, ...]
    """Those that change first, then those that do not."""
    examples: tuple[TrialExample, ...]
    budgets: BudgetTrial | None
    """None where neither policy has a budget."""
    approvals: ApprovalTrial | None
    """None where neither policy asks for anything."""
    flow: FlowTrial | None
    """None where neither policy has limits, survival or upstreams."""
    not_replayed: tuple[str, ...]
    """What stored traffic cannot tell, in sentences."""
