"""A support agent: refunds, tells the customer, closes the ticket, remembers her, and goes on after kill -9.

python agent.py                                   offline, on the scripted model
PILOTHOUSE_MODEL=openai:gpt-5-mini python agent.py
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import pilothouse
from pilothouse.runtime import harness
from pilothouse.runtime.adapters.durable import Durable
from pilothouse.runtime.adapters.durable_agents import DurableAgents
from pilothouse.runtime.steps import step_key
from pilothouse.testing import ModelServer, Script

REQUEST = "Customer ann was charged twice for order 4411. Refund the second charge, email her, then close ticket 17."
INSTRUCTIONS = (
    "You work at a shop's support desk. Read before you write. Refunds above 100 need a person: block the task and ask. "
    "Tell the customer only what you have done. Remember what helps the next time she writes."
)
SHOP = Path(os.environ.get("SHOP", "shop.json"))
"""The shop's database: a file, so that it outlives the agent as a real one does."""
START: dict[str, Any] = {
    "orders": {"4411": {"customer": "ann", "total": 59.0, "charges": ["ch_1", "ch_2"]}},
    "refunds": {},
    "mails": {},
    "tickets": {"17": "open"},
}


def read_shop() -> dict[str, Any]:
    """The shop as it is now."""
    return json.loads(SHOP.read_text()) if SHOP.exists() else START


def change_shop(change: Callable[[dict[str, Any]], None]) -> None:
    """Change it in one move: a reader sees all of a change or nothing."""
    shop = read_shop()
    change(shop)
    beside = SHOP.with_suffix(".new")
    beside.write_text(json.dumps(shop, indent=1))
    beside.replace(SHOP)


def get_order(order_id: str) -> dict[str, Any]:
    """Read an order with its charges."""
    return read_shop()["orders"].get(order_id) or {"error": f"there is no order {order_id}"}


def refund_charge(order_id: str, charge_id: str) -> dict[str, Any]:
    """Give a charge back to the customer. It is money: once for each charge."""
    order = get_order(order_id)
    if charge_id not in order.get("charges", []):
        return {"error": f"order {order_id} has no charge {charge_id}", "charges": order.get("charges", [])}
    # The same key at every attempt of this call: after a crash in the middle the refund is found, not made again.
    key = step_key()
    refund = {"id": f"re_{charge_id}", "charge": charge_id, "amount": order["total"]}
    change_shop(lambda shop: shop["refunds"].setdefault(key, refund))
    return refund


def send_mail(customer: str, text: str) -> dict[str, Any]:
    """Send the customer a mail."""
    key = step_key()
    change_shop(lambda shop: shop["mails"].setdefault(key, {"to": customer, "text": text}))
    return {"sent_to": customer}


def close_ticket(ticket_id: str) -> dict[str, Any]:
    """Close a ticket."""
    change_shop(lambda shop: shop["tickets"].update({ticket_id: "closed"}))
    return {"ticket": ticket_id, "state": "closed"}


def refund_happened(key: str, args: dict[str, Any]) -> dict[str, Any] | None:
    """Whether a refund that a crash may have interrupted was made."""
    return read_shop()["refunds"].get(key)


@contextmanager
def chosen_model() -> Iterator[Model | str]:
    """The model that PILOTHOUSE_MODEL names, else the scripted one, which forgets the mail and finishes early."""
    if named := os.environ.get("PILOTHOUSE_MODEL"):
        yield named
        return
    with ModelServer(Script.from_file(Path(__file__).with_name("script.json"))) as server:
        yield OpenAIChatModel("gpt-5-mini", provider=OpenAIProvider(base_url=server.openai_url, api_key="none"))


def support_agent(model: Model | str) -> Agent[None, str]:
    """The agent: its tools, and the harness that keeps it to its task."""
    return Agent(
        model,
        name="support",
        instructions=INSTRUCTIONS,
        tools=[get_order, refund_charge, send_mail, close_ticket],
        capabilities=harness(
            user="ann",
            examples="support",
            plan_required=True,
            durable=Durable(happened={"refund_charge": refund_happened}),
            on_operator=lambda signal: print(f"operator: {signal.kind}: {signal.text}"),
        ),
    )


def main() -> None:
    """Work on one ticket; started again with the same ticket it goes on where it was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("request", nargs="?", default=REQUEST)
    parser.add_argument("--ticket", default="17", help="names the run: the same one is never worked on twice")
    asked = parser.parse_args()
    pilothouse.init(service="support-example")
    with chosen_model() as model, DurableAgents({"support": support_agent(model)}) as runs:
        run_id = runs.start("support", asked.request, run_id=f"ticket-{asked.ticket}")
        run = runs.wait(run_id)
        while run.state == "paused":
            runs.answer(run_id, input(f"{run.questions[0]}\n> "))
            run = runs.wait(run_id)
        print(run.output if run.state == "done" else f"{run.state}: {run.error}")
    pilothouse.flush()


if __name__ == "__main__":
    main()
