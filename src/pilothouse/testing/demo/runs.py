"""The fleet's agents: a research team, a support desk, a stock keeper that loops and a billing export that fails."""

import json
from dataclasses import dataclass

import anthropic
import openai

from pilothouse.testing.demo.anthropic_agent import AnthropicAgent
from pilothouse.testing.demo.openai_agent import OpenAIAgent
from pilothouse.testing.demo.spans import Recorder
from pilothouse.testing.demo.tools import Tool

_HOUSE_RULES = (
    "Work only with what the tools return; when they return nothing, say so. Never invent a figure, a name or a date. "
    "Write short sentences and keep one thought to each. Give numbers with their unit and the day they are from. "
    "Ask back when a request can be read in two ways, and say which reading you prefer. Do not repeat what the reader "
    "has just said. Use the language of the reader. Keep names, order numbers and addresses exactly as they were given. "
    "Personal data of other people stays out of every answer. When a tool fails, report the failure in one sentence, "
    "try once more if that can help, and then hand the matter to a person. Money is moved only when the amount, the "
    "order and the customer are all known. Everything you do is recorded and can be read by the people you work for. "
    "Before you answer, check that the answer fits the question that was asked and not a neighbouring one. "
    "A list has at most five entries. A table has at most four columns. Links are given in full. "
)
LEAD = "You are the research lead. Split a question, let the researchers work side by side, write the brief. "
RESEARCHER = "You are a researcher. Search, read, and report what two sources agree on. "
CRITIC = "You are a critic. Answer with a verdict, accept or revise, and one reason. "
SUPPORT = "You are the support agent of a small shop. Look up orders, start refunds, find help pages. "
STOCK = "You are the stock keeper. Confirm the stock of an article before you answer. "
BILLING = "You are the billing agent. Export the ledger when you are asked to. "


@dataclass(frozen=True, kw_only=True)
class Clients:
    """The SDK clients, all of which talk to the scripted model server; retries are the agents' business."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic


def research(clients: Clients, recorder: Recorder, subject: str) -> str:
    """Let a lead delegate to parallel researchers, and a critic send the draft back once."""
    with recorder.agent("research-team", subject) as answer:
        lead = _lead(clients, recorder, subject)
        draft = lead.ask(f"Brief me on {subject}.")
        verdict = _critic(clients, recorder).ask(f"First draft on {subject}:\n{draft}")
        brief = lead.ask(f"The critic says: {verdict}")
        _critic(clients, recorder).ask(f"Second draft on {subject}:\n{brief}")
        answer(brief)
        return brief


def _lead(clients: Clients, recorder: Recorder, subject: str) -> AnthropicAgent:
    def delegate(question: str) -> str:
        return _researcher(clients, recorder).ask(f"{subject}: {question}")

    return AnthropicAgent(
        name="research-lead",
        model="claude-sonnet-4-6",
        instructions=LEAD + _HOUSE_RULES,
        client=clients.anthropic,
        recorder=recorder,
        tools=[
            Tool(
                name="delegate",
                description="Give one question to a researcher.",
                arguments=("question",),
                function=delegate,
            )
        ],
    )


def _researcher(clients: Clients, recorder: Recorder) -> AnthropicAgent:
    return AnthropicAgent(
        name="researcher",
        model="claude-haiku-4-5",
        instructions=RESEARCHER + _HOUSE_RULES,
        client=clients.anthropic,
        recorder=recorder,
        tools=[
            Tool(name="search_web", description="Search the web.", arguments=("query",), function=_search_web),
            Tool(name="read_page", description="Read a page.", arguments=("address",), function=_read_page),
        ],
    )


def _critic(clients: Clients, recorder: Recorder) -> OpenAIAgent:
    return OpenAIAgent(
        name="critic",
        model="gpt-5-mini",
        instructions=CRITIC + _HOUSE_RULES,
        client=clients.openai,
        recorder=recorder,
    )


def support_agent(clients: Clients, recorder: Recorder, *, model: str, streaming: bool) -> OpenAIAgent:
    """Build the support agent for one session."""
    return OpenAIAgent(
        name="support",
        model=model,
        instructions=SUPPORT + _HOUSE_RULES,
        client=clients.openai,
        recorder=recorder,
        streaming=streaming,
        tools=[
            Tool(name="lookup_order", description="Find an order.", arguments=("order_id",), function=_lookup_order),
            Tool(
                name="start_refund", description="Pay an order back.", arguments=("order_id",), function=_start_refund
            ),
            Tool(name="search_help", description="Search the help pages.", arguments=("query",), function=_search_help),
        ],
    )


def keep_stock(clients: Clients, recorder: Recorder, sku: str) -> str:
    """Ask a question that the stock keeper never finishes; raises StepLimitReached."""
    keeper = OpenAIAgent(
        name="stock-keeper",
        model="gpt-4o-mini",
        instructions=STOCK + _HOUSE_RULES,
        client=clients.openai,
        recorder=recorder,
        tools=[
            Tool(
                name="check_stock",
                description="Count an article in a warehouse.",
                arguments=("sku", "warehouse"),
                function=_check_stock,
            )
        ],
    )
    return keeper.ask(f"How many pieces of {sku} are left?")


def export_billing(clients: Clients, recorder: Recorder, request: str) -> str:
    """Export a ledger with a tool that fails and a model that refuses; raises the SDK's error after the last retry."""
    agent = AnthropicAgent(
        name="billing",
        model="claude-haiku-4-5",
        instructions=BILLING + _HOUSE_RULES,
        client=clients.anthropic,
        recorder=recorder,
        tools=[
            Tool(name="export_ledger", description="Export a month.", arguments=("month",), function=_export_ledger)
        ],
    )
    return agent.ask(request)


def _search_web(query: str) -> str:
    pages = [{"title": "Vendor report", "address": "https://example.com/report", "about": query}]
    return json.dumps({"pages": pages})


def _read_page(address: str) -> str:
    return json.dumps({"address": address, "text": "Prices fell by four per cent. Availability was 99.95 per cent."})


def _lookup_order(order_id: str) -> str:
    return json.dumps({"order_id": order_id, "status": "sent", "arrives": "Thursday", "amount_eur": 49.9})


def _start_refund(order_id: str) -> str:
    return json.dumps({"order_id": order_id, "refund": "started", "amount_eur": 49.9})


def _search_help(query: str) -> str:
    return json.dumps({"query": query, "pages": ["Account, Documents", "Delivery times"]})


def _check_stock(sku: str, warehouse: str) -> str:
    return json.dumps({"sku": sku, "warehouse": warehouse, "status": "counting"})


def _export_ledger(month: str) -> str:
    raise PermissionError(f"the ledger of {month} is locked until the month is closed")
