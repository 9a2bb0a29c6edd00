"""A data analyst over JSON that is far too large for any context: the data stays outside, the model asks it.

python agent.py                                   offline, on the scripted model
PILOTHOUSE_MODEL=openai:gpt-5-mini python agent.py --data your.json "Your question"
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import pilothouse
from pilothouse.runtime import harness
from pilothouse.testing import ModelServer, Script

QUESTION = "Which country has the highest rate of declined payments, and which reason is the most common there?"
INSTRUCTIONS = (
    "You analyse data. Look at the schema before you count; compare rates, not counts; check one number a second way. "
    "The answer names the numbers and the programs they come from."
)
COUNTRIES = {"DE": 0.04, "FR": 0.05, "IT": 0.06, "ES": 0.05, "PL": 0.11, "SE": 0.03}
REASONS = ("insufficient_funds", "expired_card", "3ds_failed")


def make_payments(path: Path, rows: int = 20_000) -> None:
    """Write some 5 MB of payments; the same ones each time."""
    chance = random.Random(7)  # data, no secret
    payments: list[dict[str, Any]] = []
    for number in range(rows):
        country = chance.choice(list(COUNTRIES))
        declined = chance.random() < COUNTRIES[country]
        payments.append(
            {
                "id": f"pay_{number:06d}",
                "country": country,
                "amount_cents": chance.randrange(100, 50_000),
                "card": {"brand": chance.choice(["visa", "mastercard"]), "last4": f"{chance.randrange(10_000):04d}"},
                "state": "declined" if declined else "paid",
                "decline_reason": chance.choices(REASONS, weights=(2, 1, 4 if country == "PL" else 1))[0]
                if declined
                else None,
                "note": "x" * 80,
            }
        )
    path.write_text(json.dumps(payments))


@contextmanager
def chosen_model() -> Iterator[Model | str]:
    """The model that PILOTHOUSE_MODEL names, else the scripted one."""
    if named := os.environ.get("PILOTHOUSE_MODEL"):
        yield named
        return
    with ModelServer(Script.from_file(Path(__file__).with_name("script.json"))) as server:
        yield OpenAIChatModel("gpt-5-mini", provider=OpenAIProvider(base_url=server.openai_url, api_key="none"))


def analyst(model: Model | str, data: Path) -> Agent[None, str]:
    """The agent. It has one tool of its own: everything else the harness brings."""

    def load_data() -> Any:
        """All the data there is. It is kept outside of your context: ask it with jq, grep_json, slice and schema."""
        return json.loads(data.read_text())

    return Agent(
        model,
        name="data-analyst",
        instructions=INSTRUCTIONS,
        tools=[load_data],
        capabilities=harness(examples="data analysis", plan_required=True),
    )


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--data", type=Path, default=Path("payments.json"), help="made where it is not there")
    asked = parser.parse_args()
    if not asked.data.exists():
        make_payments(asked.data)
    pilothouse.init(service="data-analyst-example")
    with chosen_model() as model:
        result = analyst(model, asked.data).run_sync(asked.question)
    usage = result.usage
    print(result.output)
    print(
        f"({asked.data.stat().st_size:,} bytes of data, {usage.input_tokens:,} input tokens in {usage.requests} calls)"
    )
    pilothouse.flush()


if __name__ == "__main__":
    main()
