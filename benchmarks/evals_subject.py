"""One way to run the same agent over the same cases: ``python -m benchmarks.evals_subject SETUP URL CASES FOLDER`` prints a line.

Each case is an agent of pydantic-ai with OpenAI's client that asks a model, calls a tool and answers: two calls of the model
server. ``bare`` does just that; the others check the answer and write down what came of it, as each does by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

PARALLEL = 8


def agent(url: str) -> Any:
    """The agent; its client is its own."""
    import openai
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    made = Agent(OpenAIChatModel("gpt-4.1", provider=OpenAIProvider(openai_client=client)), instructions="Be short.")

    @made.tool_plain
    def get_order(id: int) -> dict[str, Any]:
        """Look an order up."""
        return {"id": id, "late": True, "total": 20}

    return made


async def bare(url: str, count: int, folder: Path) -> int:
    """The same runs and nothing else."""
    subject = agent(url)
    waiting, good = iter(range(count)), 0

    async def work() -> None:
        nonlocal good
        for number in waiting:
            done = await subject.run(f"Refund order {number}")
            good += "20 EUR" in done.output

    await asyncio.gather(*(work() for _ in range(PARALLEL)))
    return good


async def ours(url: str, count: int, folder: Path) -> int:
    """A suite in lines, a run on disk."""
    from pilothouse.evals.runner import Options, run_suite
    from pilothouse.evals.runs import About
    from pilothouse.evals.suite import Suite
    from pilothouse.evals.targets.resolve import resolve

    (folder / "cases").mkdir(parents=True)
    with (folder / "cases/all.jsonl").open("w") as out:
        for number in range(count):
            checks = [{"tool": "get_order", "arguments": {"id": number}}, {"contains": "20 EUR"}]
            out.write(json.dumps({"id": f"n{number}", "input": f"Refund order {number}", "checks": checks}) + "\n")
    suite = Suite(folder)
    about = About(run="", suite=suite.name, suite_version=suite.version(), target="agent", version="")
    _, progress = await run_suite(suite, resolve(agent(url)), about, options=Options(parallel=PARALLEL))
    return progress.passed


async def pydantic_evals(url: str, count: int, folder: Path) -> int:
    """A dataset of pydantic-evals."""
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import Contains

    subject = agent(url)

    async def task(text: str) -> str:
        return (await subject.run(text)).output

    cases = [Case(name=f"n{number}", inputs=f"Refund order {number}") for number in range(count)]
    dataset: Any = Dataset(name="bench", cases=cases, evaluators=[Contains("20 EUR")])
    report = await dataset.evaluate(task, max_concurrency=PARALLEL, progress=False)
    (folder / "report.txt").parent.mkdir(parents=True, exist_ok=True)
    return sum(all(one.value for one in case.assertions.values()) for case in report.cases)


def inspect(url: str, count: int, folder: Path) -> int:
    """A task of Inspect whose solver is the agent."""
    import inspect_ai
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import includes
    from inspect_ai.solver import solver

    subject = agent(url)

    @solver
    def run_agent() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            state.output.completion = (await subject.run(state.input_text)).output
            return state

        return solve

    samples = [Sample(id=f"n{number}", input=f"Refund order {number}", target="20 EUR") for number in range(count)]
    task = inspect_ai.Task(dataset=samples, solver=run_agent(), scorer=includes())
    [log] = inspect_ai.eval(
        task, model="none/none", log_dir=str(folder), display="none", max_samples=PARALLEL, log_level="error"
    )
    return sum(one.scores["includes"].value == "C" for one in log.samples or [])


def main() -> None:
    """Run one setup and print what it took."""
    setup, url, count, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    known: dict[str, Any] = {"bare": bare, "pilothouse": ours, "pydantic-evals": pydantic_evals, "inspect": inspect}
    # What is loaded once, and the first connection, are no case's.
    asyncio.run(bare(url, PARALLEL, folder))
    began, cpu = time.perf_counter(), time.process_time()
    called = known[setup](url, count, folder)
    good = called if isinstance(called, int) else asyncio.run(called)
    print(
        json.dumps(
            {"setup": setup, "wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu, "good": good}
        )
    )


if __name__ == "__main__":
    main()
