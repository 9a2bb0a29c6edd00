"""Trying a policy: what it would have done with stored traffic, beside the policy in force."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

from pilothouse.budgets import Prices, read_budgets
from pilothouse.guards import GuardSettings, read_guards
from pilothouse.policy import Policy
from pilothouse.records import iso
from pilothouse.store import TraceStore
from pilothouse.store.traffic_reads import model_call_facts

from .approval_trial import try_approvals
from .budget_trial import try_budgets
from .flow_trial import try_flow
from .guard_trial import NOT_ASKED, GuardComparison, compare, gates_of
from .model import ApprovalTrial, Bounds, BudgetTrial, FlowTrial, Progress, Replayed, Trial, no_progress
from .traffic import Traffic, read_traffic

_OF_FLOW: Mapping[str, str] = {
    "survival": "survival: failures are those that happened; whether trying again or another model had helped is not known",
    "limits": "limits begin full with the window; calls that would have been put off would have come later, and others with them",
    "gateway": "gateway: pictures and streams of stored calls are not known, tenants are not stored, and nor are tokens of another "
    "model: costs are at the tokens that the calls had",
}


def try_policy(
    store: TraceStore,
    project: str,
    in_force: Policy,
    proposed: Policy,
    prices: Prices,
    *,
    since_ns: int,
    until_ns: int,
    seed: int | None = None,
    bounds: Bounds | None = None,
    progress: Progress = no_progress,
) -> Trial:
    """Replay what passed in a window through both policies, and say where they differ.

    ``seed`` decides which traces are taken where there are too many; None: a random one, which the answer names.
    """
    bounds = bounds or Bounds()
    begun = time.monotonic()
    until_s = begun + bounds.seconds_max
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    # Reading may take half of the time: what was read is then replayed in the other.
    traffic = read_traffic(
        store,
        project,
        since_ns,
        until_ns,
        seed=seed,
        bounds=bounds,
        until_s=begun + bounds.seconds_max / 2,
        progress=progress,
    )
    compared = compare(
        in_force.section("guards"),
        proposed.section("guards"),
        traffic.passed,
        caps=traffic.whole,
        until_s=until_s,
        progress=progress,
    )
    budgets = _budgets(store, project, in_force, proposed, prices, since_ns, until_ns, bounds, until_s)
    flow = try_flow(
        store, project, in_force, proposed, prices, since_ns, until_ns, limit=bounds.calls_max, until_s=until_s
    )
    approvals = try_approvals(in_force.section("approvals"), proposed.section("approvals"), traffic.passed)
    return Trial(
        in_force=in_force.version,
        proposed=proposed.version,
        replayed=Replayed(
            since=iso(since_ns),
            until=iso(until_ns),
            seed=seed,
            traces=traffic.traces,
            traces_total=traffic.traces_total,
            texts=compared.done,
            bytes=traffic.bytes,
            too_long=traffic.too_long,
            whole=traffic.whole and compared.done + compared.unread == len(traffic.passed),
            took_s=round(time.monotonic() - begun, 3),
        ),
        gates=compared.outcomes(),
        checks=compared.changes(),
        examples=tuple(compared.examples),
        budgets=budgets,
        approvals=approvals,
        flow=flow,
        not_replayed=tuple(_not_replayed(in_force, proposed, traffic, compared, budgets, approvals, flow)),
    )


def _budgets(
    store: TraceStore,
    project: str,
    in_force: Policy,
    proposed: Policy,
    prices: Prices,
    since_ns: int,
    until_ns: int,
    bounds: Bounds,
    until_s: float,
) -> BudgetTrial | None:
    now, then = read_budgets(in_force.section("budgets")), read_budgets(proposed.section("budgets"))
    if not now and not then:
        return None
    calls, total = model_call_facts(store, project, since_ns, until_ns, limit=bounds.calls_max)
    return try_budgets(now, then, calls, total, prices, until_s=until_s)


def _not_replayed(
    in_force: Policy,
    proposed: Policy,
    traffic: Traffic,
    compared: GuardComparison,
    budgets: BudgetTrial | None,
    approvals: ApprovalTrial | None,
    flow: FlowTrial | None,
) -> list[str]:
    settings = [read_guards(policy.section("guards")) for policy in (in_force, proposed)]
    told: list[str] = []
    asked = list(dict.fromkeys(place for one in settings for place in gates_of(one, NOT_ASKED)))
    if asked:
        told.append(
            f"{', '.join(asked)}: endpoints are not asked again, and what an answer rested on is not stored as such"
        )
    if any(one.caps for one in settings) and not traffic.whole:
        told.append("caps: over a sample they would be reached too late; name a shorter window")
    elif any(one.caps for one in settings):
        told.append("caps begin at zero with the window: what had been used before it is not counted")
    if traffic.too_long:
        told.append(f"{traffic.too_long:,} contents were too long to be read")
    if compared.unread:
        told.append(f"{compared.unread:,} data were nested too deeply, or of too many texts, to be read")
    left = len(traffic.passed) - compared.done - compared.unread
    if left > 0:
        told.append(f"{left:,} texts were left when the time was up")
    if _masks(settings[0]) or _masks(settings[1]):
        told.append("what was masked before it was stored cannot be found again, e.g. keys and passwords")
    told.append("what an agent would have done after a refusal is not known: the rest of its run is replayed as it was")
    if budgets is not None:
        told.append(
            "budgets begin empty with the window; tenants are not stored, so such a budget is one for all; "
            f"{budgets.unpriced:,} of {budgets.calls:,} calls have no known price"
        )
        if budgets.calls < budgets.calls_total:
            told.append(f"budgets: the first {budgets.calls:,} of {budgets.calls_total:,} calls were booked")
    if approvals is not None:
        told.append(
            "approvals: rows, people, money and environment of stored calls are not known, so conditions on them count as "
            "asked; what people would have decided is not known"
        )
    told += [sentence for name, sentence in _OF_FLOW.items() if in_force.section(name) or proposed.section(name)]
    if flow is not None and flow.calls < flow.calls_total:
        told.append(f"limits, routes and survival: {flow.calls:,} of {flow.calls_total:,} calls, the newest")
    return told


def _masks(settings: GuardSettings) -> bool:
    return any(one.kind in ("secrets", "personal") for planned in settings.gates.values() for one in planned)
