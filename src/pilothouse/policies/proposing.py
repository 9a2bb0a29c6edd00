"""Rules that emerge: from texts and actions that should not have passed, a rule that would have stopped them.

A proposal says what it would have caught and what it would have broken, over stored traffic. It is switched on by a
person and by nobody else; taking the policy back takes it off.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pilothouse.guards import GATES, About, Gate, data_text
from pilothouse.policy import Policy, read
from pilothouse.records import Actor, BadRequest, NotFound, iso, new_id
from pilothouse.records.statistics import wilson
from pilothouse.store import TraceStore
from pilothouse.store.control_store import ControlStore
from pilothouse.store.proposal_log import ProposalLog, ProposalRow

from .guard_trial import compare
from .keeping import Keeper, PolicyVersion
from .model import Bounds, TrialExample
from .patching import Rule, patched
from .phrases import distinctive
from .traffic import Passed, Traffic, read_named, read_traffic

Kind = Literal["auto", "terms", "cap"]
_BOUNDS = Bounds(traces_max=1_000, texts_max=20_000, bytes_max=32_000_000)
_SECONDS = 40.0
_REPEATED_MIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Offence:
    """Something that should not have passed."""

    text: str
    gate: Gate
    tool: str = ""
    trace_id: str = ""
    span_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A count of a number, with its 95 % interval by Wilson."""

    count: int
    of: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A rule that a person may switch on."""

    proposal_id: str
    state: Literal["pending", "accepted", "dismissed"]
    title: str
    """What it does, in a sentence."""
    why: str
    """What it was made from."""
    patch: str
    """The rule as YAML below ``guards:``."""
    rule: Mapping[str, Any]
    caught: Proportion
    """Of what should not have passed, how much it stops."""
    broken: Proportion
    """Of everything else at its gate, how much it stops too."""
    examples: tuple[TrialExample, ...]
    """What else it would have stopped. Words of traces."""
    whole: bool
    """Whether all traffic of the window was looked at."""
    seed: int
    since: str
    made_by: str
    made: str
    decided_by: str
    decided: str
    policy_number: int | None
    """The version of the policy that switched it on."""


def share(count: int, of: int) -> Proportion:
    """A share with its interval; where nothing was counted it may be anything."""
    interval = wilson(count, of)
    return Proportion(count=count, of=of, low=round(interval.low, 6), high=round(interval.high, 6))


class Proposals:
    """Proposals of one server. Safe to share between threads."""

    def __init__(self, control: ControlStore, store: TraceStore, keeper: Keeper) -> None:
        self._log, self._store, self._keeper = ProposalLog(control), store, keeper

    def offences(self, project: str, targets: Sequence[tuple[str, str]], gate: Gate | None) -> list[Offence]:
        """The texts of steps, or of whole traces, at one gate: the one that is named, else the first with any.

        Raises:
            NotFound: nothing passed a gate there.
        """
        passed = read_named(self._store, project, [trace for trace, _ in targets])
        chosen = [
            one for one in passed if any(one.trace_id == trace and span in ("", one.span_id) for trace, span in targets)
        ]
        order = (gate,) if gate is not None else ("input", "tool_results", "tool_arguments", "output")
        for wanted in order:
            here = [one for one in chosen if one.gate == wanted]
            if here:
                return [_offence(one) for one in here]
        raise NotFound(
            "nothing passed a gate there",
            got=", ".join(f"{trace[:12]}{':' + span[:8] if span else ''}" for trace, span in targets)[:200],
            allowed=list(GATES),
            fix="name a step in which somebody wrote, a model answered or a tool was called",
        )

    def propose(
        self,
        project: str,
        in_force: Policy,
        offences: Sequence[Offence],
        *,
        why: str,
        actor: Actor,
        since_ns: int,
        kind: Kind = "auto",
        action: str = "block",
        seed: int = 7,
    ) -> Proposal:
        """Make a rule of offences, replay it over stored traffic, and keep it for a person.

        Raises:
            BadRequest: nothing tells these texts from others, or nothing is repeated.
        """
        gate = offences[0].gate
        now = time.monotonic()
        traffic = read_traffic(
            self._store, project, since_ns, time.time_ns(), seed=seed, bounds=_BOUNDS, until_s=now + _SECONDS / 2
        )
        rule, title = _rule(offences, traffic, gate, kind, action)
        proposed = read(patched(_text_of(in_force, self._keeper), rule))
        wrong = {(one.trace_id, one.span_id) for one in offences}
        others = tuple(one for one in traffic.passed if one.gate == gate and (one.trace_id, one.span_id) not in wrong)
        # What offends may lie outside the window, or outside the sample: it is replayed all the same.
        named = tuple(_passed(one) for one in offences)
        name = rule.name if rule.cap is None else "cap"
        caught = compare({}, proposed.section("guards"), named, caps=rule.cap is not None, until_s=now + _SECONDS)
        broken = compare(
            in_force.section("guards"),
            proposed.section("guards"),
            others,
            caps=rule.cap is not None and traffic.whole,
            until_s=now + _SECONDS,
        )
        proposal = Proposal(
            proposal_id=new_id("prop"),
            state="pending",
            title=title,
            why=why,
            patch=rule.yaml,
            rule=asdict(rule),
            caught=share(sum(one.then for one in caught.changes() if one.check == name), len(named)),
            broken=share(sum(one.new for one in broken.changes() if one.check == name), broken.done),
            examples=tuple(one for one in broken.examples if one.check == name)[:5],
            whole=traffic.whole,
            seed=seed,
            since=iso(since_ns),
            made_by=actor.name,
            made=iso(time.time_ns()),
            decided_by="",
            decided="",
            policy_number=None,
        )
        detail = asdict(proposal)
        for left in ("proposal_id", "state", "title", "made_by", "made", "decided_by", "decided", "policy_number"):
            del detail[left]
        self._log.add(
            ProposalRow(
                proposal_id=proposal.proposal_id,
                project_id=project,
                state="pending",
                title=title,
                detail=detail,
                made_by=actor.name,
                made_ns=time.time_ns(),
            )
        )
        return proposal

    def list(self, project: str, *, state: str = "") -> tuple[Proposal, ...]:
        """Proposals, the newest first."""
        return tuple(_shown(row) for row in self._log.list(project, state=state))

    def find(self, project: str, proposal_id: str) -> Proposal:
        """One proposal.

        Raises:
            NotFound: there is none.
        """
        row = self._log.get(project, proposal_id)
        if row is None:
            raise NotFound("there is no such proposal", got=proposal_id[:60], fix="pilothouse guard proposals")
        return _shown(row)

    def accept(self, project: str, proposal_id: str, actor: Actor) -> tuple[Proposal, PolicyVersion]:
        """Write the rule into the policy, as a version of its own that can be taken back.

        Raises:
            NeedsApproval: it is no person who asks.
            BadRequest: it is decided, or cannot be written into the policy as it is laid out.
            Forbidden: the policy file is not written from here.
        """
        found = self._waiting(project, proposal_id)
        current = self._keeper.current()
        rule = Rule(**dict(found.rule))
        text = patched(current.text, rule)
        made = self._keeper.set(
            text, base=current.revision, note=f"proposal {found.proposal_id}: {found.title}"[:2_000], actor=actor
        )
        self._log.decide(project, proposal_id, "accepted", actor.name, time.time_ns(), made.number)
        return self.find(project, proposal_id), made

    def dismiss(self, project: str, proposal_id: str, actor: Actor) -> Proposal:
        """Say no to a proposal."""
        self._waiting(project, proposal_id)
        self._log.decide(project, proposal_id, "dismissed", actor.name, time.time_ns(), None)
        return self.find(project, proposal_id)

    def _waiting(self, project: str, proposal_id: str) -> Proposal:
        found = self.find(project, proposal_id)
        if found.state != "pending":
            raise BadRequest(
                f"this proposal is {found.state} by {found.decided_by}",
                got=proposal_id,
                fix="pilothouse guard proposals",
            )
        return found


def _rule(offences: Sequence[Offence], traffic: Traffic, gate: Gate, kind: Kind, action: str) -> tuple[Rule, str]:
    cap = _cap(offences, traffic) if kind in ("auto", "cap") and gate == "tool_arguments" else None
    if cap is not None:
        return Rule(gate=gate, cap=cap), f"At most {cap['max']} calls of {cap['tool']} in {cap['period']} by one agent"
    if kind == "cap":
        raise BadRequest(
            "no tool was called more often here than elsewhere", fix="propose a rule of words: --kind terms"
        )
    texts = list(dict.fromkeys(one.text for one in offences))
    wrong = {one.trace_id for one in offences if one.trace_id}
    tools = {one.tool for one in offences if one.tool}
    benign = [
        one
        for one in traffic.passed
        if one.gate == gate and one.trace_id not in wrong and (not tools or one.about.tool in tools)
    ]
    found = distinctive(texts, dict.fromkeys(_text(one) for one in benign))
    if not found:
        raise BadRequest(
            "nothing tells these texts from others that passed",
            got=f"{len(texts)} texts beside {len(benign)}",
            fix="name more steps of the same kind, or write a rule by hand",
        )
    name = f"emerged-{new_id('r').rpartition('_')[2][-6:]}"
    phrases = [one.expression for one in found]
    check = {
        "kind": "terms",
        "topics": {"emerged": phrases},
        "action": action,
        "message": "words that were refused before",
    }
    words = ", ".join(f"“{one.shown}”" for one in found)
    verb = {"block": "Stop", "ask": "Ask a person about", "flag": "Flag", "rewrite": "Take out"}.get(action, action)
    return Rule(name=name, gate=gate, check=check), f"{verb} {words} at the gate {gate.replace('_', ' ')}"


def _cap(offences: Sequence[Offence], traffic: Traffic) -> dict[str, Any] | None:
    """A cap for a tool that was called here more often than in any other run."""
    tool, here = Counter(one.tool for one in offences if one.tool).most_common(1)[0] if offences[0].tool else ("", 0)
    if here < _REPEATED_MIN:
        return None
    wrong = {one.trace_id for one in offences}
    usual: Counter[str] = Counter()
    for one in traffic.passed:
        if one.gate == "tool_arguments" and one.about.tool == tool and one.trace_id not in wrong:
            usual[one.trace_id] += 1
    most = max(usual.values(), default=0)
    return {"tool": tool, "max": max(most, 1), "period": "1h", "per": "agent"} if here > max(most, 1) else None


def _text_of(policy: Policy, keeper: Keeper) -> str:
    """The text in force; that of the file only where it is the one in force."""
    current = keeper.current()
    return current.text if not current.problem else ""


def _offence(one: Passed) -> Offence:
    return Offence(text=_text(one), gate=one.gate, tool=one.about.tool, trace_id=one.trace_id, span_id=one.span_id)


def _text(one: Passed) -> str:
    return one.value if isinstance(one.value, str) else data_text(one.value)


def _passed(one: Offence) -> Passed:
    return Passed(
        gate=one.gate,
        value=one.text,
        about=About(tool=one.tool),
        trace_id=one.trace_id,
        span_id=one.span_id,
        at_ns=0,
        size=len(one.text),
    )


def _shown(row: ProposalRow) -> Proposal:
    detail: dict[str, Any] = dict(row.detail)
    detail["caught"], detail["broken"] = Proportion(**detail["caught"]), Proportion(**detail["broken"])
    detail["examples"] = tuple(TrialExample(**one) for one in detail["examples"])
    return Proposal(
        proposal_id=row.proposal_id,
        state=row.state,
        title=row.title,
        made_by=row.made_by,
        made=iso(row.made_ns),
        decided_by=row.decided_by,
        decided=iso(row.decided_ns) if row.decided_ns is not None else "",
        policy_number=row.policy_number,
        **detail,
    )
