"""The capabilities in a real pydantic-ai agent, with a model that does what a bad one does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from pilothouse.runtime.adapters.pydantic_ai import FinishGate, LargeData, PersonNeeded, Planning, answer
from pilothouse.runtime.handles import HandleStore
from pilothouse.store.plan_store import PlanStore, plans_in

from .rows import MadeRows

Turn = Callable[[Sequence[ModelMessage]], ModelResponse]


@pytest.fixture
def plans(tmp_path: Path) -> PlanStore:
    return plans_in(tmp_path)


class Scripted:
    """A model that makes its turns in order and keeps what it was shown."""

    def __init__(self, *turns: ModelResponse | Turn) -> None:
        self.turns = list(turns)
        self.seen: list[list[ModelMessage]] = []

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.seen.append(messages)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        return turn if isinstance(turn, ModelResponse) else turn(messages)

    def shown(self, call: int) -> str:
        """Every text the model was shown at a call, in order."""
        texts: list[str] = []
        for message in self.seen[call]:
            if isinstance(message, ModelRequest):
                texts += [str(part.content) for part in message.parts]
        return "\n".join(texts)


def says(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(content=text)])


def calls(tool: str, **arguments: Any) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart(tool_name=tool, args=arguments)])


def agent_of(model: Scripted, *capabilities: Any, **options: Any) -> Agent[None, Any]:
    return Agent(FunctionModel(model), capabilities=list(capabilities), **options)


def test_the_plan_is_in_every_call_and_not_in_the_history(plans: PlanStore) -> None:
    model = Scripted(
        calls("todo_write", tasks=["look up", {"text": "refund", "state": "in_progress"}]),
        calls("todo_update", id="1", state="completed", note="order 4411"),
        says("done"),
    )
    result = agent_of(model, Planning(plans=plans)).run_sync("Refund order 4411", conversation_id="c1")
    assert result.output == "done"
    assert "No plan is written yet" in model.shown(0) and "> Refund order 4411" in model.shown(0)
    assert "[>] 2. refund" in model.shown(1) and "[x] 1. look up (order 4411)" in model.shown(2)
    # Once in the last call, as the tool's own answer and at the tail; the history has only the tools' answers.
    kept = [part for message in result.all_messages() for part in message.parts if isinstance(part, UserPromptPart)]
    assert [part.content for part in kept] == ["Refund order 4411"]
    assert [len(version["tasks"]) for version in plans.history("c1")] == [2, 2]


@pytest.mark.parametrize("placement", ["tail", "after_system"])
def test_the_plan_stands_where_it_was_asked_for(plans: PlanStore, placement: Any) -> None:
    model = Scripted(calls("todo_write", tasks=["a"]), calls("todo_update", id="1", state="done", note="x"), says("ok"))
    agent_of(model, Planning(plans=plans, placement=placement), system_prompt="Be kind.").run_sync("Do it")
    parts = [part for message in model.seen[1] if isinstance(message, ModelRequest) for part in message.parts]
    at = next(
        place
        for place, part in enumerate(parts)
        if "The plan (" in str(part.content) and not isinstance(part, ToolReturnPart)
    )
    assert at == (len(parts) - 1 if placement == "tail" else 1)
    assert str(parts[0].content) == "Be kind."


def test_finishing_with_open_tasks_sends_the_agent_back_without_costing_retries(plans: PlanStore) -> None:
    model = Scripted(
        calls("todo_write", tasks=["look up", "refund"]),
        says("All done!"),
        says("Really, all done."),
        calls("todo_update", id="1", state="completed", note="seen"),
        calls("todo_update", id="2", state="completed", note="refund 77"),
        says("Refunded: 77."),
    )
    result = agent_of(model, Planning(plans=plans), FinishGate(plans=plans), retries=0).run_sync("Refund 4411")
    assert result.output == "Refunded: 77."
    assert "Not finished: 2 of your tasks are open.\n- 1. look up (pending)" in model.shown(2)


def test_structured_answers_meet_the_gate_too(plans: PlanStore) -> None:
    class Refund(BaseModel):
        id: int

    model = Scripted(
        calls("todo_write", tasks=["refund"]),
        calls("final_result", id=1),
        calls("todo_update", id="1", state="completed", note="refund 77"),
        calls("final_result", id=77),
    )
    agent = agent_of(model, Planning(plans=plans), FinishGate(plans=plans), output_type=Refund)
    assert agent.run_sync("Refund 4411").output == Refund(id=77)


def test_an_agent_that_does_not_move_is_handed_to_a_person(plans: PlanStore) -> None:
    model = Scripted(calls("todo_write", tasks=["refund"]), says("I am finished."))
    with pytest.raises(PersonNeeded) as caught:
        agent_of(model, Planning(plans=plans), FinishGate(plans=plans, pushes_max=2)).run_sync(
            "x", conversation_id="c2"
        )
    assert len(model.seen) == 4 and caught.value.plan_key == "c2"
    assert [task.text for task in caught.value.open_tasks] == ["refund"]


def test_a_blocked_task_pauses_and_goes_on_with_what_the_person_said(plans: PlanStore) -> None:
    first = Scripted(
        calls("todo_write", tasks=["refund"]),
        calls("todo_update", id="1", state="blocked", note="may I refund $900?"),
        says("I need a decision."),
    )
    gate = FinishGate(plans=plans)
    with pytest.raises(PersonNeeded) as caught:
        agent_of(first, Planning(plans=plans), gate).run_sync("Refund 4411", conversation_id="c3")
    assert caught.value.questions == ("1. refund: may I refund $900?",)
    answer("c3", "1", "yes, $500 at most", plans=plans)
    second = Scripted(calls("todo_update", id="1", state="completed", note="$500"), says("Refunded $500."))
    again = agent_of(second, Planning(plans=plans), gate).run_sync("Go on.", conversation_id="c3")
    assert again.output == "Refunded $500."
    assert "answered: yes, $500 at most" in second.shown(0) and "> Refund 4411" in second.shown(0)


def test_a_large_result_stays_outside_and_is_looked_into(tmp_path: Path) -> None:
    rows = [
        {"id": number, "state": "declined" if number == 1_234 else "paid", "note": "n" * 80} for number in range(2_000)
    ]

    def look(messages: Sequence[ModelMessage]) -> ModelResponse:
        text = str(messages[-1].parts[-1].content)  # type: ignore[union-attr]
        found = text[text.index("data_") :].split()[0]
        return calls("jq", id=found, program='.[] | select(.state == "declined") | .id')

    model = Scripted(calls("list_orders"), look, lambda messages: says(str(messages[-1].parts[-1].content)))  # type: ignore[union-attr]
    agent = agent_of(model, LargeData(store=HandleStore(tmp_path / "values")))

    @agent.tool_plain
    def list_orders() -> list[dict[str, Any]]:
        """All orders."""
        return rows

    assert agent.run_sync("Which order was declined?").output == "1234"
    assert len(json.dumps(rows)) > 200_000 and len(model.shown(2)) < 12_000
    assert "more, all objects with the same 3 keys" in model.shown(1)


def test_what_was_recorded_is_a_value_too(tmp_path: Path) -> None:
    def row(number: int) -> dict[str, Any]:
        return {"trace_id": f"{number:032x}", "status": "error" if number == 77 else "ok"}

    program = '.[] | select(.status == "error") | .trace_id'
    model = Scripted(
        calls("jq", id="data://traces?since=7d", program=program),
        lambda messages: says(str(messages[-1].parts[-1].content)),  # type: ignore[union-attr]
    )
    agent = agent_of(model, LargeData(store=HandleStore(tmp_path / "values"), rows=MadeRows(300_000, row)))
    assert f"{77:032x}" in agent.run_sync("Which trace failed?").output
    model = Scripted(
        calls("jq", id="data://traces?since=7d", program=program),
        lambda messages: says(str(messages[-1].parts[-1].content)),  # type: ignore[union-attr]
    )
    agent = agent_of(model, LargeData(store=HandleStore(tmp_path / "values")))
    assert "no server is known here" in agent.run_sync("Which trace failed?").output


def test_a_small_result_is_left_as_it_is(tmp_path: Path) -> None:
    model = Scripted(calls("add", a=1, b=2), says("3"))
    agent = agent_of(model, LargeData(store=HandleStore(tmp_path / "values")))

    @agent.tool_plain
    def add(a: int, b: int) -> dict[str, int]:
        """Add."""
        return {"sum": a + b}

    agent.run_sync("1 + 2?")
    (back,) = [part for part in model.seen[1][-1].parts if isinstance(part, ToolReturnPart)]
    assert back.content == {"sum": 3}
