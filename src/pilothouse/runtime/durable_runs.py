"""Agents' runs that survive ``kill -9``: started once under an id of the user's, gone on with by whichever worker lives.

    start ──▶ queued ──▶ running ──▶ done | failed | cancelled
                            │  ▲
                            ▼  │ answer
                          paused        waits for a person; holds no worker meanwhile

Framework-free: a program is an asynchronous function of a start and its steps. A run that pauses has ended as far as the
engine knows; the answer begins its next leg, which finds all steps of the legs before it in the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from pilothouse.jobs import Jobs, Queue, Run, RunFailed, Runtime, Work, Workflow
from pilothouse.records import BadRequest, NotFound, PilothouseError, Unreachable, new_id
from pilothouse.store.job_store import JobStore, job_url

from .budget import Budget, Purse, Spent
from .folders import runtime_folder
from .steps import Json, LedgerLike, Steps

AgentRunState = Literal["queued", "running", "held", "paused", "done", "failed", "cancelled"]
ENDED: tuple[AgentRunState, ...] = ("paused", "done", "failed", "cancelled")

CHILDREN_SUFFIX = ".children"
"""Runs that another run waits for have a queue of their own, without a bound: who waits holds a place meanwhile."""
_WATCH_S = 1.0
"""So often a running agent looks whether it was cancelled or its worker stops."""
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:@/-]{0,119}")


class DeadlinePassed(PilothouseError):
    """A run did not end in the time it had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person said to a paused run."""

    text: str
    task: str = ""
    """The blocked task it answers; empty where it is about the run as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a program is given."""

    agent: str
    run_id: str
    """As the user knows the run; the same at every attempt and leg."""
    prompt: Json
    history: Json = None
    """Messages before it, as the program records them."""
    answers: tuple[tuple[Answer, ...], ...] = ()
    """What people said, one group for each time the run was paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A program has come to its end."""

    output: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A program waits for a person; it is called again with one more group of answers, and replays what it did."""

    questions: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    """The ids of blocked tasks."""


class Program(Protocol):
    """What runs an agent of some framework.

    It MUST do everything with an effect in steps, and MUST come to the same steps when it is called again.
    """

    async def __call__(self, start: Start, steps: Steps) -> Finished | Paused:
        """Run, or go on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRun:
    """What is known of one run."""

    run_id: str
    agent: str
    state: AgentRunState
    output: Json = None
    """Of a run that is done."""
    questions: tuple[str, ...] = ()
    """Of a run that is paused: what a person is asked."""
    tasks: tuple[str, ...] = ()
    """Of a run that is paused: the blocked tasks they are about."""
    error: str = ""
    """Of a run that failed or is held: why."""
    error_type: str = ""
    spent: Spent = field(default_factory=Spent)
    """Of a run that has ended."""
    legs: int = 1
    """One more for each time it was answered or tried again."""

    @property
    def ended(self) -> bool:
        """True where nothing happens by itself any more."""
        return self.state in ENDED

    def checked(self) -> Json:
        """The output.

        Raises:
            RunFailed: the run is not done.
        """
        if self.state == "done":
            return self.output
        fix = {"paused": "answer it", "failed": "retry it"}.get(self.state)
        raise RunFailed(
            self.error or "; ".join(self.questions) or f"the run is {self.state}",
            type=self.error_type or self.state,
            got=self.run_id,
            fix=fix,
        )


class DurableRuns:
    """Runs of some programs, and a worker for them in this process until it is closed."""

    def __init__(
        self,
        programs: Mapping[str, Program],
        *,
        store: str = "",
        folder: Path | None = None,
        worker: bool = True,
        at_once: int = 8,
    ) -> None:
        """``store``: ``postgresql://…``; empty: ``jobs.db`` in the folder, which is the runtime's where none is named.

        ``jobs`` and ``store`` are the runs as ``pilothouse.jobs`` knows them.

        ``worker=False`` starts, shows and answers runs, and leaves running them to other processes.

        Raises:
            BadRequest: a name is none, or this process has a worker already.
            Unreachable: the database does not open, or the extra is not installed.
        """
        for name in programs:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,59}", name):
                raise BadRequest("this is no name for an agent", got=name, allowed="letters, digits, _ and -")
        if not programs:
            raise BadRequest("there is no agent to run", fix='DurableAgents({"support": agent})')
        self.folder = folder or runtime_folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._programs = dict(programs)
        self.store = JobStore(job_url(store, self.folder))
        self._loop = asyncio.new_event_loop()
        workflows = [Workflow(name=f"agent.{name}", run=self._workflow(name), queue=_queue(name)) for name in programs]
        self._runtime: Runtime | None = None
        try:
            if worker:
                queues = [
                    queue
                    for name in programs
                    for queue in (
                        Queue(name=_queue(name), worker_concurrency=at_once),
                        Queue(name=_queue(name) + CHILDREN_SUFFIX, worker_concurrency=None),
                    )
                ]
                # Before the worker, which begins with what is open.
                self._thread = threading.Thread(target=self._loop.run_forever, name="agents", daemon=True)
                self._thread.start()
                self._runtime = Runtime(self.store, workflows, queues=queues)
                self.jobs = self._runtime.jobs
            else:
                self.jobs = Jobs(self.store, workflows)
        except BaseException:
            self._stop_loop()
            self.store.close()
            raise

    def __enter__(self) -> DurableRuns:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop working. What is open stays open, and is gone on with by another worker, or by the next one here."""
        if self._runtime is not None:
            self._runtime.close()
        else:
            self.jobs.close()
        self._stop_loop()
        self.store.close()

    # -- verbs ---------------------------------------------------------------------------------------------------

    def start(
        self,
        agent: str,
        prompt: Json,
        *,
        run_id: str = "",
        history: Json = None,
        budget: Budget | None = None,
        deadline_s: float | None = None,
    ) -> str:
        """Start a run and return its id. Once this returns, the run survives anything.

        With a ``run_id`` of the caller's, calling again with the same words starts nothing.

        Raises:
            NotFound: there is no such agent.
            BadRequest: the id is none, or is another run's.
        """
        if agent not in self._programs:
            raise NotFound("there is no such agent", got=agent, allowed=sorted(self._programs))
        if run_id and not _RUN_ID.fullmatch(run_id):
            raise BadRequest(
                "this is no id for a run", got=run_id, allowed="letters, digits and _ : @ / -, at most 120"
            )
        run_id = run_id or new_id("run")
        given: dict[str, Any] = {"agent": agent, "run_id": run_id, "prompt": prompt, "history": history, "leg": 1}
        given |= {"answers": [], "earlier": [], "without": []}
        given["budget"] = budget.as_dict() if budget is not None else None
        given["deadline_s"] = deadline_s
        self._enqueue(agent, given)
        return run_id

    def show(self, run_id: str) -> AgentRun:
        """A run as it is now.

        Raises:
            NotFound: there is none.
        """
        return self._shown(self._legs(run_id))

    def wait(self, run_id: str, *, timeout_s: float = 3600.0) -> AgentRun:
        """A run once it has ended or waits for a person.

        Raises:
            NotFound: there is no such run.
            Unreachable: it has not ended within the time; it goes on.
        """
        deadline, pause = time.monotonic() + timeout_s, 0.02
        while True:
            run = self.show(run_id)
            if run.ended:
                return run
            if time.monotonic() >= deadline:
                raise Unreachable(f"run {run_id} has not ended within {timeout_s:.0f} s; it goes on")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def answer(self, run_id: str, text: str = "", *, tasks: Mapping[str, str] | None = None) -> None:
        """What a person says to a paused run, which goes on: ``text`` to its one question, ``tasks`` by task id.

        Raises:
            NotFound: there is no such run.
            BadRequest: it does not wait for anybody, or nothing is said.
        """
        legs = self._legs(run_id)
        run = self._shown(legs)
        given = self._input(legs[-1])
        answers = [{"task": task, "text": said} for task, said in (tasks or {}).items()]
        if text:
            answers.append({"task": run.tasks[0] if len(run.tasks) == 1 and not tasks else "", "text": text})
        if run.state != "paused":
            before: list[dict[str, str]] = given["answers"][-1] if given["answers"] else []
            if answers and [said["text"] for said in before] == [said["text"] for said in answers]:
                # Said twice: it is on its way.
                return
            raise BadRequest(f"the run is {run.state} and waits for nobody", got=run_id)
        if not answers:
            raise BadRequest("an answer has words", fix='answer(run_id, "yes"), or tasks={"1": "yes"}')
        unknown = [task for task in tasks or {} if task not in run.tasks]
        if unknown:
            raise BadRequest("no task of this id waits for a person", got=unknown[0], allowed=list(run.tasks))
        left_s = legs[-1].result.get("left_s")
        self._next_leg(legs, given | {"answers": [*given["answers"], answers], "deadline_s": left_s})

    def retry(self, run_id: str, *, budget: Budget | None = None, deadline_s: float | None = None) -> None:
        """Try a failed run again from where it failed: what is recorded is kept, but for the failures of its last turn.

        Raises:
            NotFound: there is no such run.
            BadRequest: it has not failed.
        """
        legs = self._legs(run_id)
        run = self._shown(legs)
        if run.state != "failed":
            raise BadRequest(f"the run is {run.state}, and only one that failed is tried again", got=run_id)
        given = self._input(legs[-1])
        changed: dict[str, Any] = {"without": [*given["without"], *self._last_failures(legs)]}
        if budget is not None:
            changed["budget"] = budget.as_dict()
        self._next_leg(legs, given | changed | {"deadline_s": deadline_s})

    def cancel(self, run_id: str) -> AgentRun:
        """End a run and those it started: it does no further step, and what is in flight is cancelled.

        Raises:
            NotFound: there is no such run.
        """
        for leg in self._legs(run_id):
            self.jobs.cancel(leg.run_id)
        return self.show(run_id)

    # -- children ------------------------------------------------------------------------------------------------

    async def run_child(self, steps: Steps, call: str, agent: str, prompt: Json, wanted: Budget | None) -> AgentRun:
        """Start another agent's run on behalf of a step's and wait for it, both recorded. Its budget is at most what
        its parent's has left; what it spends is its parent's to pay.

        Raises:
            NotFound: there is no such agent.
            BudgetSpent: the parent has nothing left to give.
        """
        if agent not in self._programs:
            raise NotFound("there is no such agent", got=agent, allowed=sorted(self._programs))
        name = f"{agent} {call}"
        start_key, purse = steps.key_in_turn(f"start {name}"), steps.purse
        wait_key = start_key.replace(" start ", " wait for ", 1)
        # Of what a step's key may hold, an id of a run has the letters and digits.
        place = re.sub(r"[^A-Za-z0-9_-]+", "-", start_key)
        child = f"{steps.run_id}.{place}"[:200]

        async def start() -> Json:
            granted = purse.grant(start_key, wanted) if purse is not None else wanted or Budget()
            given: dict[str, Any] = {"agent": agent, "run_id": child, "prompt": prompt, "history": None, "leg": 1}
            given |= {"answers": [], "earlier": [], "without": [], "budget": granted.as_dict(), "deadline_s": None}
            await asyncio.to_thread(self._enqueue, agent, given, CHILDREN_SUFFIX)
            return {"run_id": child, "budget": granted.as_dict()}

        async def wait() -> Json:
            pause = 0.05
            while True:
                run = await asyncio.to_thread(self.show, child)
                if run.ended:
                    return {"end": _as_dict(run), "spent": run.spent.as_dict()}
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 0.5)

        started = await steps.once(start_key, start)
        if purse is not None:
            purse.hold(start_key, Budget.from_dict(started["budget"]))
        ended = await steps.once(wait_key, wait)
        run = _from_dict(ended["end"])
        if purse is not None:
            purse.settle(start_key, run.spent)
        return run

    # -- run -----------------------------------------------------------------------------------------------------

    def _workflow(self, name: str) -> Callable[[Work, Json], Json]:
        def run(work: Work, given: Json) -> Json:
            ledger = work.ledger(earlier=given["earlier"], without=given["without"], origin=given["run_id"])
            steps: list[Steps] = []
            future = asyncio.run_coroutine_threadsafe(self._drive(name, work, ledger, given, steps), self._loop)
            try:
                return future.result()
            except BaseException:
                # What the record said comes first: whatever the agent made of it is no outcome of the run.
                if steps and steps[0].stopped is not None:
                    raise steps[0].stopped from None
                work.go_on()
                raise

        return run

    async def _drive(
        self, name: str, work: Work, ledger: LedgerLike, given: Mapping[str, Any], out: list[Steps]
    ) -> Json:
        budget = Budget.from_dict(given["budget"]) if given["budget"] is not None else Budget()
        steps = Steps(ledger=ledger, run_id=given["run_id"], folder=self.folder / "steps", run_child=self.run_child)
        out.append(steps)

        async def first_begun() -> Json:
            return time.time()

        began = await steps.once(f"leg {given['leg']} begun", first_begun)
        steps.purse = purse = Purse(budget, elapsed_s=max(0.0, time.time() - began))
        left_s = None if given["deadline_s"] is None else began + given["deadline_s"] - time.time()
        task = asyncio.ensure_future(self._programs[name](_start(given), steps))
        watch = asyncio.ensure_future(_watch(work, task))
        try:
            done, _ = await asyncio.wait([task], timeout=None if left_s is None else max(0.0, left_s))
            if not done:
                task.cancel()
                with contextlib.suppress(BaseException):
                    await task
                raise DeadlinePassed(
                    "the run did not end in time", got=f"{given['deadline_s']} s", fix="retry(run_id, deadline_s=…)"
                )
            end = task.result()
        finally:
            task.cancel()
            watch.cancel()
        if steps.stopped is not None:
            raise RuntimeError("an agent went on after its record was closed") from steps.stopped
        found: dict[str, Any] = {"spent": purse.spent.as_dict()}
        if isinstance(end, Finished):
            return found | {"state": "done", "output": end.output}
        left_s = None if given["deadline_s"] is None else began + given["deadline_s"] - time.time()
        return found | {"state": "paused", "questions": end.questions, "tasks": end.tasks, "left_s": left_s}

    # -- in common -----------------------------------------------------------------------------------------------

    def _enqueue(self, agent: str, given: dict[str, Any], queue_suffix: str = "") -> None:
        leg_id = _leg_id(given["run_id"], given["leg"])
        self.jobs.enqueue(f"agent.{agent}", given, run_id=leg_id, queue=_queue(agent) + queue_suffix)
        # The engine keeps the first of an id; a second with other words must not pass for it.
        kept = self._input(self.jobs.show(leg_id))
        if any(kept[name] != given[name] for name in ("agent", "prompt", "history", "answers")):
            raise BadRequest(
                "this id is another run's", got=given["run_id"], allowed=f"{kept['agent']}: {str(kept['prompt'])[:80]}"
            )

    def _next_leg(self, legs: Sequence[Run], given: dict[str, Any]) -> None:
        changed = {"leg": len(legs) + 1, "earlier": [leg.run_id for leg in legs]}
        suffix = CHILDREN_SUFFIX if legs[0].queue.endswith(CHILDREN_SUFFIX) else ""
        self._enqueue(given["agent"], given | changed, suffix)

    def _legs(self, run_id: str) -> list[Run]:
        legs: list[Run] = []
        while True:
            wanted = _leg_id(run_id, len(legs) + 1)
            found: Run | None = None
            with contextlib.suppress(NotFound, BadRequest):
                found = self.jobs.show(wanted)
            # Asked for a whole id, and a beginning will do for it.
            if found is None or found.run_id != wanted:
                break
            legs.append(found)
        if not legs:
            raise NotFound("there is no such run", got=run_id[:200], fix="start(agent, prompt, run_id=…)")
        return legs

    def _input(self, run: Run) -> dict[str, Any]:
        return cast("dict[str, Any]", run.input)

    def _shown(self, legs: Sequence[Run]) -> AgentRun:
        last, given = legs[-1], self._input(legs[-1])
        known: dict[str, Any] = {"run_id": given["run_id"], "agent": given["agent"], "legs": len(legs)}
        if last.state == "succeeded":
            end = dict(last.result)
            spent = Spent.from_dict(end.pop("spent"))
            return _from_dict(known | end | {"spent": spent.as_dict()})
        if last.state not in ("failed", "cancelled"):
            return AgentRun(state=last.state, error=last.error, **known)
        kind = ""
        if last.state == "failed":
            try:
                self.jobs.wait(last.run_id, timeout_s=0)
            except RunFailed as error:
                kind = error.type
        return AgentRun(state=last.state, error=last.error, error_type=kind, spent=self._spent(legs), **known)

    def _spent(self, legs: Sequence[Run]) -> Spent:
        """Of a run that did not come to an end of its own: by its record."""
        found: dict[str, Spent] = {}
        for leg in legs:
            for _, name, kept in self.jobs.kept(leg.run_id):
                value = _fields(kept.value)
                if "spent" in value:
                    found[name] = Spent.from_dict(value["spent"])
        return sum(found.values(), Spent())

    def _last_failures(self, legs: Sequence[Run]) -> list[str]:
        """The failures of the last turn there is a record of."""
        kept = {name: one for leg in legs for _, name, one in self.jobs.kept(leg.run_id)}
        turns = {name: _turn(name) for name in kept}
        last = max(turns.values(), default=(0, 0))
        return [
            name for name, one in kept.items() if turns[name] == last and {"error", "failed"} & set(_fields(one.value))
        ]

    def _stop_loop(self) -> None:
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)
        if not self._loop.is_running():
            self._loop.close()


async def _watch(work: Work, task: asyncio.Future[Any]) -> None:
    while not task.done():
        await asyncio.sleep(_WATCH_S)
        with contextlib.suppress(PilothouseError):
            if await asyncio.to_thread(lambda: work.should_stop):
                task.cancel()
                return


def _start(given: Mapping[str, Any]) -> Start:
    answers = tuple(tuple(Answer(**said) for said in group) for group in given["answers"])
    return Start(
        agent=given["agent"], run_id=given["run_id"], prompt=given["prompt"], history=given["history"], answers=answers
    )


def _leg_id(run_id: str, leg: int) -> str:
    return run_id if leg == 1 else f"{run_id}~{leg}"


def _queue(agent: str) -> str:
    return f"agent.{agent}"


def _turn(key: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+) ", key)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _fields(value: Json) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _as_dict(run: AgentRun) -> dict[str, Any]:
    found = {name: getattr(run, name) for name in AgentRun.__slots__}
    return found | {"spent": run.spent.as_dict(), "questions": list(run.questions), "tasks": list(run.tasks)}


def _from_dict(found: Mapping[str, Any]) -> AgentRun:
    known = {name: found[name] for name in AgentRun.__slots__ if name in found}
    known |= {"spent": Spent.from_dict(found["spent"])}
    known |= {"questions": tuple(found.get("questions", ())), "tasks": tuple(found.get("tasks", ()))}
    return AgentRun(**known)
