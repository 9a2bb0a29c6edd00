"""The agents of the examples and of the demo as targets: a case's scenario says which of them it is for.

Each attempt has an agent, a scripted model and a folder of its own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilothouse.evals.observed import Observed
from pilothouse.evals.targets.attempt import Attempt
from pilothouse.evals.targets.callables import seen_in
from pilothouse.evals.targets.pydantic_ai import pydantic_ai_target

EXAMPLES = Path(__file__).parents[1]
# Plans, memories and large results stay out of the data of whoever runs this.
_KEPT = tempfile.TemporaryDirectory(prefix="pilothouse-examples-")
os.environ["PILOTHOUSE_RUNTIME"] = os.environ["PILOTHOUSE_DATA"] = _KEPT.name


async def subject(attempt: Attempt) -> Observed:
    """Run the agent that a case is for."""
    return await _SUBJECTS[attempt.case.metadata.scenario](attempt)


subject.__pilothouse_target__ = True  # type: ignore[attr-defined]


async def _support(attempt: Attempt) -> Observed:
    with tempfile.TemporaryDirectory() as folder:
        example = _loaded("support")
        example.SHOP = Path(folder) / "shop.json"
        with example.chosen_model() as model:
            return await pydantic_ai_target(example.support_agent(model))(attempt)


async def _research(attempt: Attempt) -> Observed:
    example = _loaded("research")
    with example.chosen_model() as model:
        return await pydantic_ai_target(example.research_lead(model))(attempt)


async def _data_analyst(attempt: Attempt) -> Observed:
    example = _loaded("data_analyst")
    with tempfile.TemporaryDirectory() as folder, example.chosen_model() as model:
        data = Path(folder) / "payments.json"
        await asyncio.to_thread(example.make_payments, data)
        return await pydantic_ai_target(example.analyst(model, data))(attempt)


async def _demo_support(attempt: Attempt) -> Observed:
    return await asyncio.to_thread(_demo, attempt, "support")


async def _demo_research(attempt: Attempt) -> Observed:
    return await asyncio.to_thread(_demo, attempt, "research")


def _demo(attempt: Attempt, which: str) -> Observed:
    import anthropic
    import openai
    from opentelemetry import trace

    from pilothouse.testing import ModelServer
    from pilothouse.testing.demo.runs import Clients, research, support_agent
    from pilothouse.testing.demo.spans import Recorder, Tally
    from pilothouse.testing.demo.storyline import SCRIPT

    said = list(attempt.case.input.turns) or [attempt.case.input.text]
    recorder = Recorder(tracer=trace.NoOpTracer(), dialect="openllmetry", tally=Tally())
    with ModelServer(SCRIPT) as server:
        clients = Clients(
            openai=openai.OpenAI(base_url=server.openai_url, api_key="none", max_retries=0),
            anthropic=anthropic.Anthropic(base_url=server.anthropic_url, api_key="none", max_retries=0),
        )
        if which == "research":
            return Observed(text=research(clients, recorder, said[-1]))
        agent = support_agent(clients, recorder, model="gpt-5-mini", streaming=False)
        for text in said:
            agent.ask(text)
        return seen_in([dict(one) for one in agent.messages], attempt)


def _loaded(name: str) -> Any:
    """The module of an example, anew: what it keeps in itself is this attempt's."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "agent.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_SUBJECTS: dict[str, Callable[[Attempt], Any]] = {
    "support": _support,
    "research": _research,
    "data-analyst": _data_analyst,
    "demo-support": _demo_support,
    "demo-research": _demo_research,
}
