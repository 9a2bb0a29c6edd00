"""A policy with versions, and a draft that was tried."""

from __future__ import annotations

from typing import Literal

from pilothouse.policies import (
    ApprovalOutcome,
    ApprovalTrial,
    BudgetOutcome,
    BudgetTrial,
    CheckChange,
    Draft,
    FlowTrial,
    GateOutcome,
    LimitOutcome,
    PolicyText,
    PolicyVersion,
    Proposal,
    Replayed,
    RouteOutcome,
    SurvivalOutcome,
    Switch,
    Trial,
    TrialExample,
    share,
)
from pilothouse.policy import Problem
from pilothouse.records import NotFound, iso
from pilothouse.traces.model import Window
from pilothouse.traces.model.guards import CheckCount, CheckTold, GateCount, GuardActivity, GuardEvent, GuardSeries
from pilothouse.web import CheckShown, GuardsShown, PolicyChecked, PolicyShown

from .sample import NOW_NS, SECOND

TEXT = "# why: keys leaked in March\nguards:\n  output: [secrets]\n"
STATES: tuple[Literal["pending", "accepted"], ...] = ("pending", "accepted")
HOSTILE = "</textarea><script>alert(1)</script>"


def sample_policy(draft_id: str, version: int | None, *, empty: bool = False) -> PolicyShown:
    """What the page is made from."""
    if version is not None and version > 2:
        raise NotFound("there is no such version of the policy", got=version)
    current = PolicyText(
        path="/data/pilothouse.yaml",
        text="" if empty else TEXT,
        revision="" if empty else "0a1b2c3d4e5f",
        version="none" if empty else "5f4e3d2c1b0a",
        editable=True,
        why_not="",
        problem="",
    )
    versions = tuple(
        PolicyVersion(
            number=number,
            version=f"{number:012x}",
            revision=f"{number:012x}",
            who="ann",
            note=f"reason {number} {HOSTILE}",
            of=None,
            made=iso(NOW_NS - 100 * SECOND),
            lines=3,
            in_force=number == 2,
        )
        for number in (2, 1)
    )
    return PolicyShown(
        current=current,
        versions=() if empty else versions,
        total=0 if empty else 2,
        draft=sample_draft(draft_id) if draft_id else None,
        changes=("--- in the file", "+++ proposed", "@@ -1 +1 @@", f"+{HOSTILE}") if draft_id else (),
        version_changes=("--- version 1", "+++ version 2", "-a", "+b") if version else (),
    )


def sample_checked(text: str) -> PolicyChecked:
    """What is wrong with a text."""
    wrong = Problem(
        path="guards.input[0]", line=2, message="names no check that is known", got=HOSTILE, allowed="secrets"
    )
    return PolicyChecked(problems=(wrong,) if "wrong" in text else (), changes=("+a",))


def sample_draft(draft_id: str) -> Draft:
    """A draft by what its id says of it."""
    if draft_id not in ("wrong", "running", "tried"):
        raise NotFound("this draft is no longer kept", got=draft_id)
    draft = {"draft_id": draft_id, "project": "default", "text": TEXT + f"# {HOSTILE}\n", "base": "0a1b2c3d4e5f"}
    if draft_id == "wrong":
        return Draft(**draft, problems=sample_checked("wrong").problems, error="the policy has an error")
    if draft_id == "running":
        return Draft(**draft, running=True, what="replaying texts", done=40, total=100)
    return Draft(**draft, trial=sample_trial())


def sample_trial() -> Trial:
    """What a policy would have done."""
    example = TrialExample(
        gate="input", check="scope", rule="legal", action="block", new=True, trace_id="ab" * 16, span_id="cd" * 8,
        agent="support", tool="", start=8, end=11, before="I shall ", match="sue", after=f" you {HOSTILE}", disguise="",
    )  # fmt: skip
    return Trial(
        in_force="5f4e3d2c1b0a",
        proposed="0123456789ab",
        replayed=Replayed(
            since=iso(NOW_NS - 86_400 * SECOND), until=iso(NOW_NS), seed=7, traces=10, traces_total=20, texts=120,
            bytes=12_000, too_long=1, whole=False, took_s=0.4,
        ),
        gates=(
            GateOutcome(gate="input", texts=40, now={"allow": 40}, then={"allow": 39, "block": 1}, stricter=1, milder=0),
            GateOutcome(gate="output", texts=0, now={}, then={}, stricter=0, milder=0),
        ),
        checks=(
            CheckChange(gate="input", check="scope", action="block", now=0, then=1, new=1, gone=0),
            CheckChange(gate="input", check="injection", action="flag", now=2, then=2, new=0, gone=0),
        ),
        examples=(example,),
        budgets=BudgetTrial(
            calls=30, calls_total=30, unpriced=2,
            budgets=(
                BudgetOutcome(
                    budget="each-user", calls=30, refused_now=0, refused_then=3, refused_worst=5, runs=1, runs_worst=2,
                    spent_usd="0.42", at_limit="refuse", examples=("ab" * 16,),
                ),
            ),
        ),
        flow=FlowTrial(
            calls=40, calls_total=40, gateway_calls=12,
            limits=(LimitOutcome(limit=HOSTILE, calls=40, refused_now=0, refused_then=3, new=3, unsure=4, examples=("ab" * 16,)),),
            routes=(
                RouteOutcome(
                    upstream=HOSTILE, model=HOSTILE, now=0, then=37, cost_now_usd="0", cost_then_usd="0.4", unpriced=1, unsure=2
                ),
            ),
            moved=37,
            survival=SurvivalOutcome(
                failed=2, unsure=1, retried_now=0, retried_then=1, fallbacks_now={}, fallbacks_then={HOSTILE: 1},
                hedged_now=0, hedged_then=3,
            ),
        ),
        approvals=ApprovalTrial(
            calls=12, asked_now=0, asked_then=2,
            rules=(
                ApprovalOutcome(
                    rule="large-writes", do="ask", now=0, then=2, new=2, gone=0, unsure=1, reviewers=(HOSTILE,), needs=2,
                    examples=("ab" * 16,),
                ),
            ),
        ),
        not_replayed=("caps: over a sample they would be reached too late",),
    )  # fmt: skip


def sample_guards(*, empty: bool = False) -> GuardsShown:
    """Guards in force, and two proposals."""
    check = CheckShown(
        gate="input", name="injection", kind="injection", about="attempts to take over the model", on_failure="block",
        deadline_ms=500,
    )  # fmt: skip
    proposals = tuple(
        Proposal(
            proposal_id=f"prop_{state}", state=state, title=f"Stop “pay now” {HOSTILE}", why=f"made of {HOSTILE}",
            patch=f"guards:\n  # {HOSTILE}\n", rule={}, caught=share(2, 2), broken=share(1, 60),
            examples=sample_trial().examples, whole=False, seed=7, since=iso(NOW_NS), made_by="bot", made=iso(NOW_NS),
            decided_by="ann" if state == "accepted" else "", decided="", policy_number=3 if state == "accepted" else None,
        )
        for state in STATES
    )  # fmt: skip
    return GuardsShown(
        version="none" if empty else "5f4e3d2c1b0a",
        checks=(check,),
        caps=() if empty else ("refund: 5 in 3,600 s, by agent",),
        off=()
        if empty
        else (
            Switch(kind="tool", name=HOSTILE, reason=f"pays twice {HOSTILE}", who="ann", since=iso(NOW_NS - SECOND)),
            Switch(kind="everything", name="", reason="", who="", since=""),
        ),
        proposals=() if empty else proposals,
    )


def sample_activity(*, empty: bool = False) -> GuardActivity:
    """A day of guards: an attack, a mask, a check that was down, and a block that somebody marked as wrong."""
    counts = {"texts": 0, "allowed": 0, "flagged": 0, "rewritten": 0, "asked": 0, "blocked": 0}
    check = {"passed": 0, "flagged": 0, "rewritten": 0, "asked": 0, "blocked": 0, "failed": 0, "skipped": 0, "wrong": 0}
    gates = (
        GateCount(gate="input", **{**counts, "texts": 1_200, "allowed": 1_190, "blocked": 8, "asked": 2}),
        GateCount(gate="output", **{**counts, "texts": 900, "allowed": 880, "rewritten": 20}),
    )
    checks = (
        CheckCount(
            gate="input", check="injection", checked=1_200, **{**check, "passed": 1_192, "blocked": 8, "wrong": 2}
        ),
        CheckCount(gate="output", check="secrets", checked=900, **{**check, "passed": 880, "rewritten": 20}),
        CheckCount(gate="output", check=f"safety {HOSTILE}", checked=900, **{**check, "passed": 897, "failed": 3}),
    )
    times = tuple(range(NOW_NS // SECOND - 3_600, NOW_NS // SECOND, 600))
    zero = (0,) * len(times)
    events = tuple(
        GuardEvent(
            time=iso(NOW_NS - number * 60 * SECOND), trace_id="ab" * 16, span_id=f"{number:016x}", step=number,
            agent=HOSTILE, tool="refund" if gate == "tool_arguments" else "", gate=gate, action=action,
            checks=(CheckTold(check="injection", outcome=action, rules=f"override {HOSTILE}"),), times=number,
            policy_version="5f4e3d2c1b0a+3", wrong="ann" if number == 2 else "",
        )
        for number, (gate, action) in enumerate(
            (("input", "block"), ("input", "block"), ("tool_arguments", "ask"), ("output", "rewrite")), start=1
        )
    )  # fmt: skip
    return GuardActivity(
        window=Window(since=iso(NOW_NS - 3_600 * SECOND), until=iso(NOW_NS), assumed=False),
        gates=() if empty else gates,
        checks=() if empty else checks,
        series=GuardSeries(
            times=times, bucket_s=600, allowed=zero, flagged=zero, rewritten=zero, asked=zero,
            blocked=zero if empty else tuple(range(len(times))),
        ),
        events=() if empty else events,
        more=not empty,
    )  # fmt: skip
