"""Stored calls asked of another model before it is switched to: a sample, a cap on money, and what came of it by class.

Each answer is kept as it comes: a replay that was stopped, by a person, its cap or a server that was killed, goes on where
it was, and no call is paid for twice but the one that was under way.
"""

from __future__ import annotations

import hashlib
import json
import logging
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any, Final, Literal, cast

from pilothouse.costs import PriceBook
from pilothouse.records import (
    BadRequest,
    Message,
    NotFound,
    Overloaded,
    PilothouseError,
    Usage,
    decode_message,
    iso,
    new_id,
)
from pilothouse.records.statistics import wilson
from pilothouse.store import TraceStore
from pilothouse.store.content_reads import contents
from pilothouse.store.routing_reads import RoutedCall, routed_calls
from pilothouse.store.routing_store import ReplayRow, RoutingStore
from pilothouse.store.schema import TOKEN_BUCKETS

from .asking import BOUNDS, Wire, output_bound, request_of
from .comparing import agreement
from .features import task_class
from .training import messages_of

LOG: Final = logging.getLogger("pilothouse.routing")
CALLS_MAX: Final = 500
_RUNNING_MAX: Final = 2
_READ_MAX: Final = 20_000
_ERRORS_IN_A_ROW: Final = 5
_OUTPUT_FROM: Final = 6
"""The buckets from here on are output."""
Verdict = Literal["ok", "worse", "not enough data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What is to be asked again."""

    model: str
    """Who is asked: a model as the gateway's callers name it, so that its routes and rules decide."""
    wire: Wire
    since_ns: int
    until_ns: int
    calls: int = 50
    usd: str = "1"
    """The most that it may cost."""
    floor: float = 0.9
    """The share of the same answers from which on the other model will do."""
    from_model: str = ""
    """Only calls of this model; empty: of all."""
    agent: str = ""
    """Only calls of this agent."""
    seed: int = 7
    made_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the other model said."""

    messages: tuple[Message, ...]
    usage: Usage | None
    model: str
    """Who was asked in the end."""
    provider: str
    seconds: float
    trace_id: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request would go."""

    model: str
    provider: str


class Asker:
    """Makes calls through the configured upstreams; the gateway does."""

    def __init__(
        self,
        target: Callable[[str, Wire, Mapping[str, Any], Mapping[str, Any]], Target],
        ask: Callable[[str, Wire, Mapping[str, Any], Mapping[str, str]], Answered],
    ) -> None:
        """Both take project, wire format and body, and what is said of the caller. ``target`` asks nobody, and may be
        given all facts that rules ask for, where there is no whole body."""
        self.target, self.ask = target, ask


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassReport:
    """Calls of one class."""

    task: str
    """The task, else feature, else agent; ``(all)``: all of them."""
    calls: int
    same: int
    share: float | None
    low: float
    """95 % interval (Wilson)."""
    high: float
    errors: int
    """Calls without an answer of the other model; they count as not the same."""
    cost_before_usd: str
    cost_after_usd: str
    seconds_before: float | None
    """Median."""
    seconds_after: float | None
    chars_before: float | None
    chars_after: float | None
    verdict: Verdict
    """ok: the whole interval lies at or above the floor; worse: below it."""
    needed: int
    """Calls more that would decide it if the share stays as it is; 0 where it is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A call that was answered otherwise. Its words are those of traces and models: data."""

    trace_id: str
    span_id: str
    fresh_trace_id: str
    task: str
    kind: str
    why: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the calls of the window would cost elsewhere, at the tokens that they had. Nobody is asked for it."""

    calls: int
    calls_total: int
    unpriced: int
    """Calls whose cost is not known, before or after; they count in neither sum."""
    before_usd: str
    after_usd: str
    by_model: Mapping[str, int]
    """Which models the calls would have gone to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """How a replay stands, and what it has found."""

    replay_id: str
    state: str
    """running, done, stopped, capped (the money is spent), failed (nobody answers), or estimate (nobody was asked)."""
    plan: Mapping[str, Any]
    made: str
    calls: int
    done: int
    unfit: int
    """Calls that could not be asked again: pictures, prompts that are not stored."""
    spent_usd: str
    verdict: Verdict
    all: ClassReport
    classes: tuple[ClassReport, ...]
    examples: tuple[Example, ...]
    estimate: Estimate | None
    limits: tuple[str, ...]
    """What it cannot tell, in sentences."""


_LIMITS: Final = (
    "a model asked twice does not always agree with itself: replay the present model too, to see how often it does",
    "agreement is with what was answered, which may itself have been wrong",
    "each call is replayed with the history that it had: what another answer would have led to is not known",
)


class Replays:
    """Replays of a server. Safe to share between threads."""

    def __init__(self, store: TraceStore, kept: RoutingStore, prices: PriceBook, asker: Callable[[], Asker]) -> None:
        self._store, self._kept, self._prices, self._asker = store, kept, prices, asker
        self._threads: dict[str, threading.Thread] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        kept.stop_replays()

    def start(self, project: str, wanted: Replay, *, free: bool = False) -> ReplayReport:
        """Begin; ``free``: only say what the window's calls would cost, and ask nobody.

        Raises:
            BadRequest: there is nothing to replay, or what it may cost cannot be held, since no price is known.
            NotFound: no route takes the model.
            Overloaded: as many replays run already as may.
        """
        self._check(wanted)
        calls, total = self._calls(project, wanted)
        if not calls:
            raise BadRequest(
                "no stored call of this window fits",
                got=wanted.from_model or wanted.agent or "the whole project",
                fix="a longer window (--since 30d), or another --from-model",
            )
        estimate = self._estimate(project, wanted, calls, total)
        sample = calls[: wanted.calls]
        plan = {**asdict(wanted), "estimate": asdict(estimate), "spans": [call.span_id for call in sample]}
        row = ReplayRow(
            replay_id=new_id("rpl"),
            project_id=project,
            state="estimate" if free else "running",
            plan=plan,
            made_ns=time.time_ns(),
        )
        if free:
            return self._report(row, {})
        self._priced(project, wanted, sample)
        with self._lock:
            self._room()
            self._kept.add_replay(row)
            self._run(row)
        return self.report(project, row.replay_id)

    def resume(self, project: str, replay_id: str) -> ReplayReport:
        """Go on where it was stopped.

        Raises:
            BadRequest: it runs, or is done.
        """
        row = self._row(project, replay_id)
        with self._lock:
            self._room()
            if not self._kept.move_replay(replay_id, ("stopped", "failed"), "running"):
                raise BadRequest("this replay is not one that stopped", got=row.state, allowed=["stopped", "failed"])
            self._run(row)
        return self.report(project, replay_id)

    def stop(self, project: str, replay_id: str) -> ReplayReport:
        """Let the call that is under way end, and make no more."""
        self._row(project, replay_id)
        self._kept.move_replay(replay_id, ("running",), "stopped")
        return self.report(project, replay_id)

    def report(self, project: str, replay_id: str) -> ReplayReport:
        """How it stands."""
        return self._report(self._row(project, replay_id), self._kept.calls(replay_id))

    def list(self, project: str) -> list[ReplayReport]:
        """All replays, the newest first."""
        return [self._report(row, self._kept.calls(row.replay_id)) for row in self._kept.replays(project)]

    def close(self) -> None:
        """End them all; they can be resumed."""
        self._stopping.set()
        for thread in list(self._threads.values()):
            thread.join(10)

    def _row(self, project: str, replay_id: str) -> ReplayRow:
        found = self._kept.replays(project, replay_id=replay_id)
        if not found:
            raise NotFound("no such replay", got=replay_id[:60], fix="pilothouse routing replays")
        return found[0]

    @staticmethod
    def _check(wanted: Replay) -> None:
        if not 1 <= wanted.calls <= CALLS_MAX:
            raise BadRequest("calls is how many are replayed", got=wanted.calls, allowed=f"1 to {CALLS_MAX}")
        if not 0 < wanted.floor < 1:
            raise BadRequest("floor is a share of the answers", got=wanted.floor, allowed="above 0, below 1")
        try:
            usd = Decimal(wanted.usd)
        except ArithmeticError as error:
            raise BadRequest("usd is an amount in US dollars", got=wanted.usd[:40]) from error
        if not usd.is_finite() or not 0 < usd <= 10_000:
            raise BadRequest("usd is an amount in US dollars", got=wanted.usd[:40], allowed="above 0, at most 10000")

    def _room(self) -> None:
        if sum(one.is_alive() for one in self._threads.values()) >= _RUNNING_MAX:
            raise Overloaded(
                "other replays are running", got=_RUNNING_MAX, fix="wait for one, or stop it", retry_after_s=30
            )

    def _calls(self, project: str, wanted: Replay) -> tuple[list[RoutedCall], int]:
        """Calls of the window that fit, in the order of the sample."""
        rows, total = routed_calls(
            self._store, project, wanted.since_ns, wanted.until_ns, limit=_READ_MAX, seed=wanted.seed
        )
        fit = [
            call
            for call in rows
            if call.status != "error"
            and call.output_refs
            and wanted.from_model in ("", call.model)
            and wanted.agent in ("", call.agent)
        ]
        # The order of time would take only one kind of call where kinds change with time.
        return sorted(fit, key=lambda one: _shuffled(one.span_id, wanted.seed)), total

    def _estimate(self, project: str, wanted: Replay, calls: Sequence[RoutedCall], total: int) -> Estimate:
        asker = self._asker()
        before = after = Decimal(0)
        unpriced = 0
        models: dict[str, int] = {}
        for call in calls:
            target = asker.target(project, wanted.wire, {"model": wanted.model}, facts_of_call(call, wanted.model))
            models[target.model] = models.get(target.model, 0) + 1
            usd = self._price(_usage(call), target, call.start_ns)
            if usd is None or not call.cost_usd:
                unpriced += 1
                continue
            before += Decimal(call.cost_usd)
            after += usd
        return Estimate(
            calls=len(calls),
            calls_total=total,
            unpriced=unpriced,
            before_usd=_dollars(before),
            after_usd=_dollars(after),
            by_model=models,
        )

    def _price(self, usage: Usage | None, target: Target, at_ns: int) -> Decimal | None:
        return self._prices.price(usage, model=target.model, provider=target.provider, at_ns=at_ns).usd

    def _priced(self, project: str, wanted: Replay, sample: Sequence[RoutedCall]) -> None:
        """See that the cap can be held."""
        target = self._asker().target(
            project, wanted.wire, {"model": wanted.model}, facts_of_call(sample[0], wanted.model)
        )
        if self._price(Usage(input_uncached=1_000, output_text=1_000), target, time.time_ns()) is None:
            raise BadRequest(
                "the other model has no known price, so what it may cost cannot be held",
                got=target.model,
                fix="give it a price in config.toml ([[prices]]): pilothouse docs costs",
            )

    def _run(self, row: ReplayRow) -> None:
        thread = threading.Thread(target=self._work, args=(row,), name="replay", daemon=True)
        self._threads = {name: one for name, one in self._threads.items() if one.is_alive()}
        self._threads[row.replay_id] = thread
        thread.start()

    def _work(self, row: ReplayRow) -> None:
        state = "failed"
        try:
            state = self._replay(row)
        except Exception:
            LOG.exception("a replay failed; it can be resumed")
        finally:
            try:
                self._kept.move_replay(row.replay_id, ("running",), state)
            except PilothouseError as error:
                LOG.warning("how a replay ended could not be kept: %s", error.message)

    def _replay(self, row: ReplayRow) -> str:
        wanted = _wanted(row.plan)
        done = self._kept.calls(row.replay_id)
        spent = sum((Decimal(body["cost_usd"]) for body in done.values()), Decimal(0))
        spans = cast("list[str]", row.plan["spans"])
        left = [number for number in range(len(spans)) if number not in done]
        stored = {call.span_id: call for call in self._calls(row.project_id, wanted)[0]}
        failed = 0
        for number in left:
            if (
                self._stopping.is_set()
                or self._kept.replays(row.project_id, replay_id=row.replay_id)[0].state != "running"
            ):
                return "stopped"
            call = stored.get(spans[number])
            body, spend = self._one(row.project_id, wanted, call, Decimal(wanted.usd) - spent)
            if body is None:
                return "capped"
            self._kept.keep_call(row.replay_id, number, {**body, "span_id": spans[number]})
            spent += spend
            failed = failed + 1 if body["error"] else 0
            if failed >= _ERRORS_IN_A_ROW:
                return "failed"
        return "done"

    def _one(
        self, project: str, wanted: Replay, call: RoutedCall | None, left: Decimal
    ) -> tuple[dict[str, Any] | None, Decimal]:
        """Ask one call again; None where what is left of the money may not do for it."""
        unfit: dict[str, Any] = {"unfit": True, "error": "", "cost_usd": "0", "task": ""}
        if call is None:
            return {**unfit, "why": "no longer stored"}, Decimal(0)
        task = task_class(call.task, call.feature, call.agent)
        unfit["task"] = task
        ((_, messages),) = messages_of(self._store, project, [call])
        before = self._contents(project, call, call.output_refs)
        parameters, tools = _mapping(call.parameters), self._tools(project, call)
        try:
            if not messages or not before:
                raise BadRequest("its prompt or its answer is not stored whole")
            body = request_of(messages, tools, parameters, model=wanted.model, wire=wanted.wire)
        except BadRequest as error:
            return {**unfit, "why": error.message}, Decimal(0)
        asker, said = self._asker(), _said(call)
        target = asker.target(project, wanted.wire, body, said)
        # No tokenizer makes more tokens than there are bytes.
        worst = Usage(input_uncached=len(json.dumps(body).encode()), output_text=output_bound(parameters))
        most = self._price(worst, target, time.time_ns())
        if most is None or most > left:
            return None, Decimal(0)
        answered = asker.ask(project, wanted.wire, body, said)
        spent = self._price(answered.usage, Target(model=answered.model, provider=answered.provider), time.time_ns())
        # A call that tells no usage may have cost all that it could; one that was refused cost nothing.
        cost = spent if spent is not None else Decimal(0) if answered.error else most
        found = agreement(before, answered.messages) if not answered.error else None
        old, new = (_words(side) for side in (before, answered.messages))
        return {
            "unfit": False,
            "why": found.why if found else answered.error[:200],
            "error": answered.error[:300],
            "kind": found.kind if found else "",
            "same": bool(found and found.same),
            "task": task,
            "trace_id": call.trace_id,
            "fresh_trace_id": answered.trace_id,
            "model": answered.model,
            "cost_before_usd": call.cost_usd,
            "cost_usd": str(cost),
            "seconds_before": call.duration_ns / 1e9,
            "seconds": answered.seconds,
            "chars_before": len(old),
            "chars": len(new),
            "before": old[:300],
            "after": new[:300],
        }, cost

    def _contents(self, project: str, call: RoutedCall, refs: Sequence[str]) -> list[Message]:
        stored = contents(self._store, project, [call.scope], list(refs))
        rows = [stored[hash] for hash in refs if hash in stored]
        return [decode_message(row.role, row.content, row.envelope) for row in rows if row.kind == "message"]

    def _tools(self, project: str, call: RoutedCall) -> list[Any]:
        if not call.tools_ref:
            return []
        stored = contents(self._store, project, [call.scope], [call.tools_ref])
        try:
            found: Any = json.loads(stored[call.tools_ref].content)
        except (KeyError, ValueError):
            return []
        return cast("list[Any]", found) if isinstance(found, list) else []

    def _report(self, row: ReplayRow, calls: Mapping[int, Mapping[str, Any]]) -> ReplayReport:
        wanted = _wanted(row.plan)
        bodies = [calls[number] for number in sorted(calls)]
        asked = [body for body in bodies if not body["unfit"]]
        classes = sorted({str(body["task"]) for body in asked})
        whole = _class("(all)", asked, wanted.floor)
        return ReplayReport(
            replay_id=row.replay_id if row.state != "estimate" else "",
            state=row.state,
            plan={name: value for name, value in row.plan.items() if name not in ("estimate", "spans")},
            made=iso(row.made_ns),
            calls=len(cast("list[str]", row.plan["spans"])),
            done=len(bodies),
            unfit=len(bodies) - len(asked),
            spent_usd=_dollars(sum((Decimal(body["cost_usd"]) for body in bodies), Decimal(0))),
            verdict=whole.verdict,
            all=whole,
            classes=tuple(
                _class(name, [one for one in asked if one["task"] == name], wanted.floor) for name in classes
            ),
            examples=tuple(
                Example(
                    **{
                        name: str(body[name])
                        for name in ("trace_id", "span_id", "fresh_trace_id", "task", "kind", "why")
                    },
                    before=str(body["before"]),
                    after=str(body["after"]),
                )
                for body in [one for one in asked if not one["same"]][:5]
            ),
            estimate=Estimate(**row.plan["estimate"]) if row.plan.get("estimate") else None,
            limits=_LIMITS,
        )


def _class(task: str, bodies: Sequence[Mapping[str, Any]], floor: float) -> ClassReport:
    same, count = sum(bool(one["same"]) for one in bodies), len(bodies)
    interval = wilson(same, count)
    verdict: Verdict = "ok" if interval.low >= floor else "worse" if interval.high < floor else "not enough data"
    answered = [one for one in bodies if not one["error"]]

    def middle(name: str) -> float | None:
        values = [float(one[name]) for one in answered]
        return round(statistics.median(values), 3) if values else None

    def money(name: str) -> str:
        return _dollars(sum((Decimal(one[name] or 0) for one in answered), Decimal(0)))

    return ClassReport(
        task=task,
        calls=count,
        same=same,
        share=round(same / count, 4) if count else None,
        low=round(interval.low, 4),
        high=round(interval.high, 4),
        errors=count - len(answered),
        cost_before_usd=money("cost_before_usd"),
        cost_after_usd=money("cost_usd"),
        seconds_before=middle("seconds_before"),
        seconds_after=middle("seconds"),
        chars_before=middle("chars_before"),
        chars_after=middle("chars"),
        verdict=verdict,
        needed=0 if verdict != "not enough data" else _needed(same, count, floor),
    )


def _needed(same: int, count: int, floor: float) -> int:
    """Calls more until the interval no longer holds the floor, at the share as it is; at most 10,000."""
    share = same / count if count else 1.0
    for more in (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000):
        interval = wilson(round(share * (count + more)), count + more)
        if interval.low >= floor or interval.high < floor:
            return more
    return 10_000


def _wanted(plan: Mapping[str, Any]) -> Replay:
    return Replay(**{one.name: plan[one.name] for one in fields(Replay)})


def facts_of_call(call: RoutedCall, model: str) -> dict[str, Any]:
    """What rules of a route may ask of a stored call, as far as it is stored: pictures and streams are not known."""
    return {
        "model": model,
        "tokens": sum(call.tokens[:_OUTPUT_FROM]),
        "turns": max(len(call.input_refs), 1),
        "tools": call.tools,
        "max_tokens": next((v for name in BOUNDS if type(v := _mapping(call.parameters).get(name)) is int), 0),
        **_said(call),
    }


def _said(call: RoutedCall) -> dict[str, str]:
    """What the caller of a stored call said of itself."""
    return {
        "task": call.task,
        "feature": call.feature,
        "agent": call.agent,
        "environment": call.environment,
        "user": call.user,
        "tenant": "",
    }


def _usage(call: RoutedCall) -> Usage:
    return Usage(**dict(zip(TOKEN_BUCKETS, call.tokens, strict=True)))  # type: ignore[arg-type]  # names of token buckets


def _words(messages: Sequence[Message]) -> str:
    calls = [
        f"{part.name}({json.dumps(part.arguments, default=str)})"
        for m in messages
        for part in m.parts
        if part.type == "tool_call"
    ]
    return "\n".join([*(item.text for item in messages if item.text), *calls])


def _mapping(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(text) if text else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _dollars(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.000001")).normalize(), "f")


def _shuffled(span_id: str, seed: int) -> str:
    return hashlib.blake2b(f"{seed}:{span_id}".encode(), digest_size=8).hexdigest()
