"""Runs of tau-bench: conversations of an agent, its tools and a simulated user, each with a reward of 0 or 1.

A task becomes a case, its trials the repeats of one run; a single conversation becomes a golden case or a failing one.

Format: the JSON list that its ``run.py`` writes (``task_id``, ``trial``, ``reward``, ``info.task``, ``traj``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilothouse.evals.capture import capture
from pilothouse.evals.case import Call
from pilothouse.evals.plain import list_of, mapping_of
from pilothouse.evals.recording import Recording, calls_in
from pilothouse.evals.runs import About, Result, Run, begin
from pilothouse.evals.statistics.repeats import Repeats
from pilothouse.evals.suite import Suite
from pilothouse.records import BadRequest, NotFound, TooLarge

BYTES_MAX: Final = 512 << 20
_STOP: Final = "###STOP###"
WRITING: Final = frozenset({
    "book_reservation", "cancel_reservation", "send_certificate", "update_reservation_baggages",
    "update_reservation_flights", "update_reservation_passengers",
    "cancel_pending_order", "exchange_delivered_order_items", "modify_pending_order_address",
    "modify_pending_order_items", "modify_pending_order_payment", "modify_user_address", "return_delivered_order_items",
})  # fmt: skip
"""The tools of its airline and its shop that change something: the reward is over what they changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One conversation about one task."""

    task: int
    trial: int
    reward: float
    messages: Sequence[Mapping[str, Any]]
    instruction: str
    """What the simulated user was told to want."""
    user: str
    expected: tuple[Call, ...]
    """The calls that solve the task."""
    outputs: tuple[str, ...]
    """What the agent must have said."""

    @property
    def passed(self) -> bool:
        """Whether the task was solved."""
        return self.reward >= 1.0

    @property
    def id(self) -> str:
        """Of the case of its task."""
        return f"task-{self.task:03d}"


def read(path: Path) -> list[Trial]:
    """The trials of a file, by task and trial.

    Raises:
        NotFound: there is no such file.
        TooLarge: it passes the bound.
        BadRequest: it is not what tau-bench writes.
    """
    try:
        if path.stat().st_size > BYTES_MAX:
            raise TooLarge(f"at most {BYTES_MAX >> 20} MB are read", got=str(path))
        rows = list_of(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise NotFound("there is no such file", got=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise BadRequest("the file is no JSON", got=str(path)) from error
    if not rows:
        raise BadRequest("a file of tau-bench is a list of runs", got=str(path))
    found = [_trial(row, f"{path.name}[{number}]") for number, row in enumerate(rows)]
    return sorted(found, key=lambda one: (one.task, one.trial))


def repeats(trials: Sequence[Trial]) -> list[Repeats]:
    """How often each task was solved: for pass^k."""
    tasks = sorted({one.task for one in trials})
    rewards = {task: [one.passed for one in trials if one.task == task] for task in tasks}
    return [Repeats(passed=sum(rewards[task]), attempts=len(rewards[task])) for task in tasks]


def task_case(trial: Trial) -> dict[str, Any]:
    """The case of a task: what the user wants, and the calls and words that solve it."""
    checks = _expected(trial)
    return {
        "id": trial.id,
        "input": trial.instruction or f"task {trial.task}",
        "checks": checks or [{"no_tool": name} for name in sorted(WRITING)],
        "metadata": {
            "scenario": "tau-bench",
            "cluster": trial.id,
            "provenance": {"task": trial.task, "user": trial.user, "source": "tau-bench"},
        },
    }


def import_trials(trials: Sequence[Trial], suite: Suite, *, target: str = "tau-bench") -> Run:
    """Write a case for each task, and one run with a result for each trial."""
    firsts = {one.task: one for one in reversed(trials)}
    for task in sorted(firsts):
        suite.add(task_case(firsts[task]), overwrite=firsts[task].id in suite.places())
    attempts = max(sum(one.task == task for one in trials) for task in firsts)
    about = About(
        run="",
        suite=suite.name,
        suite_version=suite.version(),
        target=target,
        version="",
        repeats=attempts,
        note="imported: the rewards are those of tau-bench",
    )
    run = begin(suite.folder, about)
    with run.writing() as writer:
        for one in trials:
            writer.add(_result(one, suite))
    return run


def recording(trial: Trial) -> Recording:
    """The conversation as a recording, from the user's first words to the agent's last."""
    messages = list(trial.messages)
    while messages and messages[-1].get("role") == "user":
        messages.pop()
    first = next((number for number, one in enumerate(messages) if one.get("role") == "assistant"), 0)
    about = {"source": "tau-bench", "task": trial.task, "trial": trial.trial, "session": trial.id}
    return Recording(
        given=messages[:first],
        later=messages[first:],
        calls=calls_in(messages),
        about=about,
    )


def trial_case(trial: Trial, *, captured: str) -> dict[str, Any]:
    """A golden case of a conversation that solved its task; of one that did not, a case that is red until it does.

    What must have been said is looked for in the last answer. Where a right agent fails at a call first and puts it right,
    the failing case is stricter than tau-bench, which looks only at what is there in the end.
    """
    id = f"{trial.id}-trial-{trial.trial}"
    if trial.passed:
        return capture(recording(trial), id=id, captured=captured)
    why = f"task {trial.task} of tau-bench was not solved in trial {trial.trial}"
    return capture(recording(trial), id=id, captured=captured, verdict="bad", expect=_expected(trial), why=why)


# -- within ----------------------------------------------------------------------------------------------------------


def _expected(trial: Trial) -> list[dict[str, Any]]:
    """The calls that change something, no others of these tools, and the words."""
    wanted: dict[str, list[Any]] = {}
    checks: list[dict[str, Any]] = []
    for one in trial.expected:
        if one.name in WRITING:
            wanted.setdefault(one.name, []).append(one.arguments)
            checks.append({"tool": one.name, "arguments": one.arguments})
    called = {one.name for one in calls_in(trial.messages)} & WRITING
    for name in sorted(called | set(wanted)):
        if name in wanted:
            checks.append({"no_tool": name, "arguments": {"$not": {"$any": wanted[name]}}})
        else:
            checks.append({"no_tool": name})
    return checks + [{"number": said} for said in trial.outputs]


def _result(trial: Trial, suite: Suite) -> Result:
    calls = calls_in(trial.messages)
    return Result(
        case=trial.id,
        sha256=suite.places()[trial.id].sha256,
        repeat=trial.trial + 1,
        outcome="pass" if trial.passed else "fail",
        why="" if trial.passed else f"the reward is {trial.reward:g}",
        tools=[f"{one.name}({json.dumps(one.arguments, ensure_ascii=False)[:300]})" for one in calls[:200]],
        cluster=trial.id,
    )


def _trial(data: Any, place: str) -> Trial:
    row = mapping_of(data) or {}
    messages = list_of(row.get("traj"))
    task = mapping_of((mapping_of(row.get("info")) or {}).get("task")) or {}
    number, trial, reward = row.get("task_id"), row.get("trial", 0), row.get("reward")
    if not messages or not isinstance(number, int) or not isinstance(trial, int) or not isinstance(reward, int | float):
        raise BadRequest(
            f"{place} is no run of tau-bench", got=sorted(row)[:20], allowed="task_id, trial, reward, traj"
        )
    chat = [found for one in messages if (found := mapping_of(one)) is not None and isinstance(found.get("role"), str)]
    if len(chat) != len(messages):
        raise BadRequest(f"{place}.traj is a list of messages with roles", got=len(messages) - len(chat))
    expected = [mapping_of(one) or {} for one in list_of(task.get("actions")) or []]
    return Trial(
        task=number,
        trial=trial,
        reward=float(reward),
        messages=[one for one in chat if _STOP not in str(one.get("content"))],
        instruction=str(task.get("instruction", "")),
        user=str(task.get("user_id", "")),
        expected=tuple(Call(name=str(one.get("name")), arguments=one.get("kwargs")) for one in expected),
        outputs=tuple(str(one) for one in list_of(task.get("outputs")) or []),
    )
