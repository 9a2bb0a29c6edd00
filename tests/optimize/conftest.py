"""An agent whose behaviour depends on its prompt's text, its suite, and a model that proposes prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.evals.judges.asked import Decides, JudgeServer

AGENT = """
import os, pathlib

def agent(text):
    prompt = pathlib.Path(os.environ.get("PILOTHOUSE_PROMPT_FILE", "prompt.md")).read_text()
    said = ["Hello."] if "Greet" in prompt else []
    if "days" in text:
        said.append("30 days." if "Name the term" in prompt else "Soon.")
    if "price" in text:
        said.append("9 EUR." if "SHOUT" not in prompt else "NINE")
    return " ".join(said)
"""
PROMPT = "You answer customers of {shop}. Greet them.\n"
BETTER = "You answer customers of {shop}. Greet them. Name the term. Be brief and never rude.\n"


@pytest.fixture
def serving() -> Iterator[Callable[[Decides], JudgeServer]]:
    """Starts proposing models; stops them at the end."""
    running: list[JudgeServer] = []

    def start(decides: Decides) -> JudgeServer:
        server = JudgeServer(decides)
        running.append(server)
        server.start()
        return server

    yield start
    for one in running:
        one.close()


def project(folder: Path, url: str, *, cases: int = 60, agent: str = AGENT) -> Path:
    """A folder with the agent, its prompt and its suite: most cases ask for what the prompt does not say."""
    (folder / "shop_agent.py").write_text(agent)
    (folder / "prompt.md").write_text(PROMPT)
    suite = folder / "evals/shop"
    (suite / "cases").mkdir(parents=True)
    row = {"target": "shop_agent:agent", "optimizer": {"model": "gpt-4.1", "url": url}}
    (suite / "suite.yaml").write_text(json.dumps(row))
    lines: list[str] = []
    for n in range(cases):
        input, said = (f"In how many days, order {n}?", "30 days") if n % 4 else (f"What price has item {n}?", "9 EUR")
        checks = [{"contains": said}, {"contains": "Hello"}]
        lines.append(json.dumps({"id": f"c{n}", "input": input, "checks": checks}))
    (suite / "cases/all.jsonl").write_text("\n".join(lines) + "\n")
    return suite


def proposal(prompt: str, reason: str = "the term is missing") -> str:
    """An answer in good form."""
    return json.dumps({"reason": reason, "prompt": prompt})
