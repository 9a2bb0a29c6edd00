"""A research agent with parallel workers: one fixes the questions, three read side by side, one compares.

python agent.py                                   offline, on the scripted model
PILOTHOUSE_MODEL=openai:gpt-5-mini python agent.py
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import pilothouse
from pilothouse.runtime import harness
from pilothouse.runtime.adapters.sub_agents import SubAgents
from pilothouse.runtime.budget import Budget
from pilothouse.testing import ModelServer, Script

QUESTION = (
    "Which of the durable-execution vendors in the library suits a team of five on PostgreSQL? Compare price, what it "
    "needs to run, and what happens after a crash; recommend one and name your sources."
)
LEAD = (
    "You lead a research. Fix the questions first; give each vendor to a worker of its own, all at once, with the same "
    "questions; then compare, look for what speaks against the first choice, and answer with sources."
)
WORKER = (
    "You research one vendor. Read its note in the library and answer each question with a quotation and the note's id. "
    "What the note does not say, you do not know."
)
LIBRARY: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("library.json").read_text())


def search_library(query: str) -> list[dict[str, str]]:
    """Find notes by words; the first lines of each."""
    words = query.casefold().split()
    found = [(sum(word in note["text"].casefold() for word in words), id) for id, note in LIBRARY.items()]
    return [
        {"id": id, "title": LIBRARY[id]["title"], "begins": LIBRARY[id]["text"][:120]}
        for hits, id in sorted(found, reverse=True)
        if hits
    ][:5]


def read_note(id: str) -> dict[str, str]:
    """Read a note of the library whole."""
    return LIBRARY.get(id) or {"error": f"there is no note {id}", "notes": ", ".join(LIBRARY)}


@contextmanager
def chosen_model() -> Iterator[Model | str]:
    """The model that PILOTHOUSE_MODEL names, else the scripted one."""
    if named := os.environ.get("PILOTHOUSE_MODEL"):
        yield named
        return
    with ModelServer(Script.from_file(Path(__file__).with_name("script.json"))) as server:
        yield OpenAIChatModel("gpt-5-mini", provider=OpenAIProvider(base_url=server.openai_url, api_key="none"))


def research_lead(model: Model | str) -> Agent[None, str]:
    """The lead, whose one tool is to delegate, and the workers, each in a run of its own with a budget."""
    worker = Agent(
        model,
        name="worker",
        description="reads one vendor's note and answers questions about it",
        instructions=WORKER,
        tools=[search_library, read_note],
        capabilities=harness(examples=None),
    )
    team = SubAgents(agents={"worker": worker}, budget=Budget(calls=20))
    return Agent(
        model,
        name="research-lead",
        instructions=LEAD,
        tools=[search_library],
        capabilities=[*harness(examples="research", plan_required=True), team],
    )


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("question", nargs="?", default=QUESTION)
    asked = parser.parse_args()
    pilothouse.init(service="research-example")
    with chosen_model() as model:
        print(research_lead(model).run_sync(asked.question).output)
    pilothouse.flush()


if __name__ == "__main__":
    main()
