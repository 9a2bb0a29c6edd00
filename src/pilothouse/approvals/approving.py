"""The verbs of approvals: ask, decide, run once. Each is one transaction over one record."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pilothouse.records import Actor, BadRequest, NotApproved, NotFound, command, new_id, new_secret
from pilothouse.records.harmless import clean
from pilothouse.store.approval_store import ApprovalRow, ApprovalStore, Change, EventRow, LinkUsed, NoticeRow

from . import machine
from .action import Action, canonical, digest, same
from .demand import SENTENCE_CHARS_MAX, Demand, demand_of, sentence
from .machine import LEASE_S_DEFAULT, Step
from .model import Approval, Ask, Event, Right, State
from .moment import Moment
from .rules import ASKED, ApprovalRules, Channel
from .stored import decode, decode_event, encode, encode_detail

_TEXT_CHARS_MAX: Final = 4_000
_NAME_CHARS_MAX: Final = 200
_SWEEP_ROWS: Final = 500
_TOLD: Final = ("asked", "escalated", "delegated", "question", "answer", "edited")
"""Of what people are told as long as it is pending."""

Rules = Callable[[], tuple[str, ApprovalRules]]
"""The version of the policy, and what its section says, as it is now."""
CheckArguments = Callable[[str, Action], None]
"""Given the project: raises where the guards refuse a tool's arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Some approvals of a list."""

    items: tuple[Approval, ...]
    next: str
    """The cursor of the next page; empty at the end."""


class Approvals:
    """The approvals of one database. Safe to use from several threads; other processes may use the same database."""

    def __init__(
        self,
        store: ApprovalStore,
        rules: Rules,
        *,
        key: bytes,
        moment: Moment | None = None,
        check_arguments: CheckArguments | None = None,
    ) -> None:
        """``key``: what digests and links are signed with; servers that share a database share it."""
        if len(key) < 32:
            raise BadRequest("the key of approvals has at least 32 bytes", got=f"{len(key)} bytes")
        self._store, self._rules, self._key = store, rules, key
        self._moment = moment or Moment()
        self._check_arguments = check_arguments
        self.changed: Callable[[str, str], None] = lambda project_id, approval_id: None
        """Called after each change, with the project and the id: whoever waits looks again."""
        # From the latest that anybody has seen on: a process that begins with a clock that is behind counts from there,
        # or what passes until it first looks would be lost.
        self.now_ns()

    @property
    def store(self) -> ApprovalStore:
        """Where they are kept."""
        return self._store

    @property
    def rules(self) -> ApprovalRules:
        """What the policy says now."""
        return self._rules()[1]

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def now_ns(self) -> int:
        """The moment by which deadlines are judged."""
        return self._moment.now_ns(self._store.seen_ns())

    # -- asking ------------------------------------------------------------------------------------------------------

    def demand(self, action: Action) -> Demand:
        """What the policy wants of an action; nothing is kept."""
        return demand_of(self._rules()[1], action)

    def ask(self, project_id: str, ask: Ask, asker: Actor) -> Approval:
        """Have an action wait for a person. The same ``ask_key`` again is the same question.

        Raises:
            BadRequest: it is not described well enough, or the key was used for another action.
            TooLarge: its arguments pass the bound.
            NotApproved: the policy forbids it: nobody can allow it.
        """
        _check(ask)
        version, rules = self._rules()
        demand = demand_of(rules, ask.action)
        if demand.do == "forbid":
            raise NotApproved("the policy forbids this", got=demand.rule.name, fix="do something else")
        rule = demand.rule if demand.do == "ask" else ASKED
        now_ns = self.now_ns()
        said = ask.say if not rule.say and ask.say else sentence(rule, ask.action)
        approval = Approval(
            approval_id=new_id("apr"),
            project_id=project_id,
            state="pending",
            digest=self._sign(project_id, ask.action),
            action=ask.action,
            asked_action=ask.action,
            sentence=clean(said)[:SENTENCE_CHARS_MAX],
            reason=ask.reason,
            expected=ask.expected,
            counted=ask.counted,
            rollback=ask.rollback,
            risk=rule.risk,
            evidence=ask.evidence,
            run=ask.run,
            asker=asker,
            rule=rule.name,
            why=demand.why,
            policy_version=version,
            reviewers=rule.reviewers,
            needs=rule.needs,
            edit=rule.edit,
            made_ns=now_ns,
            deadline_ns=now_ns + rule.deadline_s * 1_000_000_000,
            deadline_s=rule.deadline_s,
            use_within_s=rule.use_within_s,
            escalate=rule.escalate,
            on_timeout=rule.on_timeout,
            fallback=rule.fallback,
            notify=rule.notify,
            changed_ns=now_ns,
        )
        event = Event(kind="asked", at_ns=now_ns, who=asker.name, who_kind=asker.kind, detail={"rule": rule.name})
        kept = self._store.add(
            _row(approval, ask.ask_key or None), [_event(event)], self._notices(approval, [event], asked=True)
        )
        found = decode(kept.body)
        if found.approval_id == approval.approval_id:
            self.changed(project_id, found.approval_id)
        elif not same(self._sign(project_id, found.asked_action), approval.digest):
            raise BadRequest(
                "this ask_key was used for another action", got=ask.ask_key, fix="make a new one for each action"
            )
        return self._judged(found)

    # -- looking -----------------------------------------------------------------------------------------------------

    def find(self, project_id: str, approval_id: str) -> Approval:
        """An approval as it stands at this moment, by its id or the unique beginning of it.

        Raises:
            NotFound: there is none.
            BadRequest: several begin so.
        """
        row = self._row_of(project_id, approval_id)
        kept = decode(row.body)
        found = self._judged(kept)
        if found.instead and not kept.instead:
            # What is done instead is an approval of its own: whoever reads of it must find it.
            return self._change(project_id, row.approval_id, lambda one, _, now_ns: Step(approval=one))
        return found

    def _row_of(self, project_id: str, approval_id: str) -> ApprovalRow:
        row = self._store.find(project_id, approval_id)
        if row is None:
            rows = self._store.beginning(project_id, approval_id) if len(approval_id) >= 6 else []
            if len(rows) > 1:
                raise BadRequest("several approvals begin so", got=approval_id, fix=command("approvals", "ls"))
            if not rows:
                raise _none(approval_id)
            row = rows[0]
        return row

    def by_key(self, project_id: str, ask_key: str) -> Approval | None:
        """What a question with this key made, as it stands at this moment; None where nobody has asked it."""
        row = self._store.by_key(project_id, ask_key)
        return None if row is None else self._judged(decode(row.body))

    def history(self, project_id: str, approval_id: str) -> tuple[Event, ...]:
        """What happened to it, in order."""
        return tuple(
            decode_event({name: getattr(row, name) for name in EventRow.__slots__})
            for row in self._store.events(project_id, approval_id)
        )

    def notices(self, project_id: str, approval_id: str) -> list[NoticeRow]:
        """Who was told of it, and how that went."""
        return self._store.notices(project_id, approval_id)

    def list(
        self,
        project_id: str,
        *,
        states: Sequence[State] = (),
        run: str = "",
        agent: str = "",
        cursor: str = "",
        limit: int = 50,
    ) -> Listing:
        """Approvals as they stand at this moment, the newest first.

        Raises:
            BadRequest: the cursor is none.
        """
        now_ns, before = self.now_ns(), _before(cursor)
        rows = self._store.list(project_id, states=states, run=run, agent=agent, before=before, limit=limit + 1)
        found = [self._judged(decode(row.body), now_ns) for row in rows[:limit]]
        further = f"{rows[limit - 1].made_ns}-{rows[limit - 1].approval_id}" if len(rows) > limit else ""
        # One whose time is over has another state than the row says, until the next sweep.
        return Listing(items=tuple(one for one in found if not states or one.state in states), next=further)

    def counts(self, project_id: str) -> dict[str, int]:
        """How many there are in each state."""
        return self._store.counts(project_id)

    # -- deciding ----------------------------------------------------------------------------------------------------

    def see(self, project_id: str, approval_id: str, who: Actor) -> Approval:
        """Note that a person looked at it; once a person."""
        found = self.find(project_id, approval_id)
        known = {event.who for event in self.history(project_id, found.approval_id) if event.kind == "seen"}
        if who.kind != "person" or who.name in known:
            return found
        return self._change(project_id, approval_id, lambda one, _, now_ns: machine.see(one, who, now_ns))

    def approve(
        self, project_id: str, approval_id: str, who: Actor, *, digest: str, note: str = "", link: str = ""
    ) -> Approval:
        """One person's yes to the action with this digest.

        Raises:
            Forbidden: this one may not decide it.
            NotApproved: it is decided, late or another action than was looked at.
        """
        return self._change(
            project_id,
            approval_id,
            lambda one, _, now_ns: machine.approve(one, who, digest, now_ns, note=_short(note)),
            link=link,
        )

    def edit(
        self,
        project_id: str,
        approval_id: str,
        who: Actor,
        *,
        digest: str,
        arguments: Mapping[str, Any],
        note: str = "",
    ) -> Approval:
        """Yes to the action with other arguments, which the policy and the guards are asked about anew.

        What was counted was counted for the old arguments: it is not known for these.

        Raises:
            NotApproved: the policy forbids the new arguments.
            Forbidden: this one may not decide it, or nobody may change it.
        """
        canonical(arguments)
        if self._check_arguments is not None:
            # Before the record is taken: a check may ask a model, and others wait for the record meanwhile.
            looked = self.find(project_id, approval_id).action
            self._check_arguments(project_id, replace(looked, arguments=dict(arguments)))

        def changed(one: Approval, _: int, now_ns: int) -> Step:
            action = replace(one.action, arguments=dict(arguments), rows=None, people=None, money_usd=None)
            demand = self.demand(action)
            if demand.do == "forbid":
                raise NotApproved("the policy forbids these arguments", got=demand.rule.name, fix="change them again")
            stricter = replace(one, needs=max(one.needs, demand.rule.needs if demand.do == "ask" else 1))
            stricter = replace(stricter, sentence=sentence(demand.rule, action), counted="")
            return machine.edit(
                stricter, who, digest, action, self._sign(project_id, action), now_ns, note=_short(note)
            )

        return self._change(project_id, approval_id, changed)

    def reject(self, project_id: str, approval_id: str, who: Actor, *, why: str, link: str = "") -> Approval:
        """One person's no; the agent is told why."""
        return self._change(
            project_id, approval_id, lambda one, _, now_ns: machine.reject(one, who, why, now_ns), link=link
        )

    def question(self, project_id: str, approval_id: str, who: Actor, *, text: str) -> Approval:
        """A reviewer wants to know something first; it stays pending."""
        return self._change(
            project_id, approval_id, lambda one, asked, now_ns: machine.ask_back(one, who, text, now_ns, asked)
        )

    def answer(self, project_id: str, approval_id: str, who: Actor, *, text: str) -> Approval:
        """What the asker says to the question."""
        return self._change(project_id, approval_id, lambda one, _, now_ns: machine.answer(one, who, text, now_ns))

    def delegate(self, project_id: str, approval_id: str, who: Actor, *, to: str) -> Approval:
        """A reviewer hands it to somebody else."""
        return self._change(project_id, approval_id, lambda one, _, now_ns: machine.delegate(one, who, to, now_ns))

    def cancel(self, project_id: str, approval_id: str, who: Actor, *, why: str = "") -> Approval:
        """It is no longer wanted."""
        return self._change(
            project_id, approval_id, lambda one, _, now_ns: machine.cancel(one, who, _short(why), now_ns)
        )

    # -- running -----------------------------------------------------------------------------------------------------

    def reserve(
        self,
        project_id: str,
        approval_id: str,
        who: Actor,
        *,
        digest: str,
        holder: str = "",
        lease_s: int = LEASE_S_DEFAULT,
    ) -> Right:
        """Leave to run exactly this, for one of all who ask. Say how it went by :meth:`done` before the lease is over.

        Raises:
            NeedsApproval: it is not decided yet.
            NotApproved: everything else that is not a yes to this digest, in time, for the first time.
            Unreachable: the database does not answer: no.
        """
        if not 1 <= lease_s <= 86_400:
            raise BadRequest("a lease is 1 second to a day", got=lease_s)
        if len(holder) > _NAME_CHARS_MAX:
            raise BadRequest(f"a holder has at most {_NAME_CHARS_MAX} characters", got=holder[:100])
        rights: list[Right] = []

        def reserved(one: Approval, _: int, now_ns: int) -> Step:
            step = machine.reserve(
                one,
                who,
                digest,
                holder,
                new_secret("run"),
                now_ns,
                judge=self.demand,
                sign=self._signer(project_id),
                lease_s=lease_s,
            )
            assert step.right is not None, "a reservation gives a right, or raises"
            rights[:] = [step.right]
            return step

        self._change(project_id, approval_id, reserved)
        # Only now that it is written is there a right at all.
        return rights[0]

    def done(
        self,
        project_id: str,
        approval_id: str,
        who: Actor,
        *,
        reservation_id: str,
        outcome: Literal["executed", "failed"],
        text: str = "",
    ) -> Approval:
        """How it went. It is used up either way."""
        if outcome not in ("executed", "failed"):
            raise BadRequest("an outcome is one of these", got=outcome, allowed=["executed", "failed"])
        return self._change(
            project_id,
            approval_id,
            lambda one, _, now_ns: machine.done(one, who, reservation_id, outcome, _short(text), now_ns),
        )

    def lost(self, project_id: str, approval_id: str, who: Actor, *, holder: str) -> Approval:
        """The holder of the reservation is back and does not know how it went."""
        return self._change(project_id, approval_id, lambda one, _, now_ns: machine.lost(one, who, holder, now_ns))

    def settle(
        self,
        project_id: str,
        approval_id: str,
        who: Actor,
        *,
        happened: bool | None,
        text: str = "",
        holder: str = "",
    ) -> Approval:
        """Whether an action of which nobody knows did happen; ``False`` lets it be reserved once more, in its time."""
        return self._change(
            project_id,
            approval_id,
            lambda one, _, now_ns: machine.settle(
                one, who, happened, _short(text), now_ns, may_decide=who.kind == "person", holder=holder
            ),
        )

    def sweep(self) -> int:
        """Write down what has come of approvals by itself: deadlines, ladders, leases; how many that were.

        Nothing rests on it: whoever uses an approval judges the same at that moment.
        """
        swept, now_ns = 0, self.now_ns()
        self._store.tick(now_ns)
        for project_id, approval_id in self._store.overdue(now_ns, _SWEEP_ROWS):
            with contextlib.suppress(NotFound):
                self._change(project_id, approval_id, lambda one, _, now_ns: Step(approval=one))
                swept += 1
        return swept

    # -- within ------------------------------------------------------------------------------------------------------

    def _change(
        self,
        project_id: str,
        approval_id: str,
        act: Callable[[Approval, int, int], Step],
        *,
        link: str = "",
    ) -> Approval:
        """What time has made of it, then what is asked of it, as one. Where that is refused, time's part is kept."""
        approval_id = self._row_of(project_id, approval_id).approval_id
        refused: list[Exception] = []

        def decide(body: str, questions: int, now_ns: int) -> Change:
            before = decode(body)
            passed = machine.due(before, now_ns, self.demand, self._signer(project_id))
            try:
                step = act(passed.approval, questions, now_ns)
            except Exception as error:
                refused.append(error)
                step = Step(approval=passed.approval)
            events = (*passed.events, *step.events)
            if not events:
                return Change()
            used = hashlib.sha256(link.encode()).hexdigest() if link and not refused else ""
            return Change(
                row=_row(step.approval, None),
                events=tuple(_event(event) for event in events),
                made=(_row(passed.made, None),) if passed.made is not None else (),
                notices=tuple(self._notices(step.approval, events)),
                link_sha256=used,
            )

        try:
            row = self._store.change(project_id, approval_id, self._moment.now_ns, decide)
        except LinkUsed:
            raise NotApproved(
                "this link was used before", got=approval_id, fix=command("approvals", "show", approval_id)
            ) from None
        if row is None:
            raise _none(approval_id)
        self.changed(project_id, approval_id)
        if refused:
            raise refused[0]
        return decode(row.body)

    def _judged(self, approval: Approval, now_ns: int = 0) -> Approval:
        return machine.due(approval, now_ns or self.now_ns(), self.demand, self._signer(approval.project_id)).approval

    def _sign(self, project_id: str, action: Action) -> str:
        return digest(self._key, project_id, action)

    def _signer(self, project_id: str) -> Callable[[Action], str]:
        return lambda action: digest(self._key, project_id, action)

    def _notices(self, approval: Approval, events: Sequence[Event], *, asked: bool = False) -> list[NoticeRow]:
        """Who is told of what has just happened: of what is pending those who may decide, of its end everybody."""
        told = [event for event in events if event.kind in _TOLD and (approval.state == "pending" or asked)]
        ends = [event for event in events if event.kind in ("expired", "fallback", "unknown")]
        rows: list[NoticeRow] = []
        for event in (*told, *ends):
            for channel in self.rules.channels:
                if _concerns(channel, approval):
                    detail = {"text": event.text, "to": event.detail.get("to", [])}
                    rows.append(NoticeRow(channel=channel.name, kind=event.kind, detail=detail))
        return rows


def _concerns(channel: Channel, approval: Approval) -> bool:
    if approval.notify and channel.name not in approval.notify:
        return False
    if not channel.reviewers or not approval.reviewers:
        return True
    return bool({one.casefold() for one in channel.reviewers} & {one.casefold() for one in approval.reviewers})


def _check(ask: Ask) -> None:
    action = ask.action
    if not 0 < len(action.tool) <= _NAME_CHARS_MAX or not action.tool.isprintable():
        raise BadRequest(f"a tool's name has 1 to {_NAME_CHARS_MAX} printable characters", got=action.tool[:200])
    for name, text in (
        ("agent", action.agent),
        ("agent_version", action.agent_version),
        ("environment", action.environment),
        ("user", action.user),
        ("run", ask.run),
        ("ask_key", ask.ask_key),
    ):
        if len(text) > _NAME_CHARS_MAX:
            raise BadRequest(f"{name} has at most {_NAME_CHARS_MAX} characters", got=text[:100])
    for name in ("reason", "expected", "rollback", "counted", "say"):
        if len(getattr(ask, name)) > _TEXT_CHARS_MAX:
            raise BadRequest(f"{name} has at most {_TEXT_CHARS_MAX:,} characters", got=getattr(ask, name)[:100])
    if len(ask.evidence.links) > 20 or any(len(link) > 2_000 for link in ask.evidence.links):
        raise BadRequest("evidence has at most 20 links of 2,000 characters", got=len(ask.evidence.links))
    for name, count in (("rows", action.rows), ("people", action.people)):
        if count is not None and count < 0:
            raise BadRequest(f"{name} is a number of 0 or more", got=count)


def _before(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    made, _, approval_id = cursor.partition("-")
    if not made.isdecimal() or len(made) > 19 or not approval_id:
        raise BadRequest("this is no cursor of approvals", got=cursor, fix=command("approvals", "ls"))
    return int(made), approval_id


def _short(text: str) -> str:
    if len(text) > _TEXT_CHARS_MAX:
        raise BadRequest(f"a note has at most {_TEXT_CHARS_MAX:,} characters", got=f"{len(text):,} characters")
    return text


def _none(approval_id: str) -> NotFound:
    return NotFound("there is no such approval", got=approval_id[:100], fix=command("approvals", "ls"))


def _row(approval: Approval, ask_key: str | None) -> ApprovalRow:
    return ApprovalRow(
        project_id=approval.project_id,
        approval_id=approval.approval_id,
        state=approval.state,
        digest=approval.digest,
        tool=approval.action.tool,
        agent=approval.action.agent,
        run=approval.run,
        ask_key=ask_key,
        due_ns=machine.due_ns(approval),
        made_ns=approval.made_ns,
        changed_ns=approval.changed_ns,
        body=encode(approval),
    )


def _event(event: Event) -> EventRow:
    return EventRow(
        kind=event.kind, at_ns=event.at_ns, who=event.who, who_kind=event.who_kind, detail=encode_detail(event)
    )
