"""Real runs of tau-bench: imported and scored, captured, and replayed by an agent that answers as was recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.tools import Tool

from pilothouse.evals.case_text import read_case
from pilothouse.evals.conversation import turns
from pilothouse.evals.interop.tau_bench import Trial, import_trials, read, recording, repeats, trial_case
from pilothouse.evals.runner import Options, attempt
from pilothouse.evals.runs import Result
from pilothouse.evals.statistics.repeats import Repeats, pass_hat_k
from pilothouse.evals.suite import Suite
from pilothouse.evals.targets.resolve import resolve
from pilothouse.records import BadRequest

PASS_HAT = {1: 0.5, 2: 1 / 3, 3: 0.25, 4: 0.2}


@pytest.fixture(scope="module")
def trials(fixtures_folder: Path) -> list[Trial]:
    path = fixtures_folder / "tau_bench/gpt-4o-airline_10tasks.json"
    if not path.is_file():
        pytest.skip("no runs of tau-bench among the fixtures")
    return read(path)


def as_recorded(trial: Trial, *, renamed: str = "") -> Agent[None, str]:
    """An orchestrator whose model says what was said then, and whose tools are those of then, but for one."""
    answers = [turn for turn in turns(recording(trial).later) if turn.role == "assistant"]

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        number = sum(isinstance(one, ModelResponse) for one in messages)
        if number >= len(answers):
            return ModelResponse(parts=[TextPart(content="Good bye.")])
        parts: list[Any] = [TextPart(content=answers[number].text)] if answers[number].text else []
        parts += [
            ToolCallPart(tool_name=one.name, args=one.arguments, tool_call_id=one.id) for one in answers[number].calls
        ]
        return ModelResponse(parts=parts)

    def never(**arguments: Any) -> str:
        raise AssertionError("the airline is not there")

    names = sorted({one.name for one in recording(trial).calls})
    tools: Sequence[Tool[None]] = [
        Tool.from_schema(
            never,
            name=f"{name}_v2" if name == renamed else name,
            description=name,
            json_schema={"type": "object", "additionalProperties": True},
        )
        for name in names
    ]
    return Agent(FunctionModel(model), tools=tools)


def replayed(trial: Trial, **more: Any) -> Result:
    case = read_case(trial_case(trial, captured="2026-11-29T12:00:00Z"))
    return asyncio.run(attempt(case, 1, resolve(as_recorded(trial, **more)), Options()))


def test_pass_hat_k_of_the_shared_tasks_is_exact(trials: list[Trial], tmp_path: Path) -> None:
    assert [one.passed for one in repeats(trials)] == [0, 1, 1, 0, 4, 2, 2, 4, 3, 3]
    run = import_trials(trials, Suite(tmp_path))
    results = list(run.results())
    assert len(results) == 40
    by_case = {one: [two.outcome == "pass" for two in results if two.case == one] for one in Suite(tmp_path).places()}
    found = [Repeats(passed=sum(passes), attempts=len(passes)) for passes in by_case.values()]
    for k, expected in PASS_HAT.items():
        assert pass_hat_k(found, k) == pytest.approx(expected, abs=1e-12)
    assert import_trials(trials, Suite(tmp_path)).about.run != run.about.run
    assert Suite(tmp_path).broken() == []


def test_what_went_well_replays_green_and_what_went_wrong_red(trials: list[Trial]) -> None:
    outcomes = {(one.task, one.trial): replayed(one) for one in trials}
    wrong = {
        key: result.why
        for one in trials
        if (result := outcomes[key := (one.task, one.trial)]).outcome != ("pass" if one.passed else "fail")
    }
    assert wrong == {}
    assert all(not result.error for result in outcomes.values())
    # Red by what was expected, not because nothing answered a call.
    assert not [result.why for result in outcomes.values() if "the recording has no call" in result.why]


def test_a_tool_that_was_renamed_fails_the_replay(trials: list[Trial]) -> None:
    tried = 0
    for one in trials:
        calls = recording(one).calls
        if one.passed and calls:
            result = replayed(one, renamed=calls[0].name)
            assert (result.outcome, result.said[0].why) == ("fail", f"there is no tool {calls[0].name!r} any more")
            tried += 1
    assert tried >= 15


@pytest.mark.parametrize(
    "wrong", ["{}", "[]", "[1]", '[{"task_id": 1}]', '[{"task_id": 1, "reward": 1, "traj": [3]}]', "x"]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "runs.json").write_text(wrong)
    with pytest.raises(BadRequest):
        read(tmp_path / "runs.json")


def test_a_file_of_results_is_imported_by_a_command(evals: Any, tmp_path: Path) -> None:
    rows = [
        {
            "task_id": task, "trial": trial, "reward": float(task == trial),
            "info": {"task": {"user_id": "mia", "instruction": f"You want {task}", "outputs": ["9"],
                              "actions": [{"name": "cancel_reservation", "kwargs": {"id": task}}]}},
            "traj": [{"role": "system", "content": "rules"}, {"role": "user", "content": "hi"},
                     {"role": "assistant", "content": "9"}],
        }
        for task in (0, 1) for trial in (0, 1)
    ]  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(rows))
    told = evals("import", "results.json", "--format", "tau-bench", "--suite", "evals/air").data
    assert (told["read"], told["ids"], told["attempts"]) == (2, ["task-000", "task-001"], 4)
    (run,) = evals("runs", "--suite", "evals/air").data["runs"]
    assert (run["run"], run["cases"], run["flaky"]) == (told["run"], 2, 2)
    (tmp_path / "results.json").write_text('{"not": "a list"}')
    assert evals("import", "results.json", "--format", "tau-bench", "--suite", "evals/air").code == 2
