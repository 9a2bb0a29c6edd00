"""Agents of pydantic-ai as targets: which calls count as calls of a tool that is gone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from pilothouse.evals.case_text import read_case
from pilothouse.evals.runner import Options, attempt
from pilothouse.evals.runs import Result
from pilothouse.evals.targets.resolve import resolve
from pilothouse.runtime.adapters.tool_names import ToolNaming
from pilothouse.testing import ModelServer

CASE: dict[str, Any] = {
    "id": "one",
    "input": "Refund it",
    "stubs": {"calls": [{"name": "refund_charge", "result": "done"}]},
    "checks": [{"tool": "refund_charge", "arguments": {"id": 7}, "times": 1}],
}


def _run(called: str, capabilities: list[Any]) -> Result:
    rules = [
        {"times": 1, "reply": {"calls": [{"name": called, "arguments": {"id": 7}}]}},
        {"reply": {"text": "It is {result}"}},
    ]
    with ModelServer({"rules": rules}, seed=7) as server:
        model = OpenAIChatModel("gpt-5-mini", provider=OpenAIProvider(base_url=server.openai_url, api_key="none"))
        agent = Agent(model, capabilities=capabilities)

        @agent.tool_plain
        def refund_charge(id: int) -> str:
            raise RuntimeError(json.dumps(["never in an evaluation", id]))

        return asyncio.run(attempt(read_case(CASE), 1, resolve(agent), Options()))


def test_a_misspelt_tool_that_is_put_right_is_called() -> None:
    found = _run("refundCharge", [ToolNaming()])
    assert (found.outcome, found.why, list(found.tools)) == ("pass", "", ['refund_charge({"id":7})'])


@pytest.mark.parametrize("name", ["look_up", "refundCharge"])
def test_a_tool_that_nothing_puts_right_is_gone(name: str) -> None:
    found = _run(name, [])
    assert found.outcome == "fail"
    assert f"there is no tool '{name}' any more" in found.why
