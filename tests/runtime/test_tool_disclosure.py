"""A hundred and twenty tools behind a search: what is offered, what it costs, and what a wrong name is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_ai import Agent, ModelMessagesTypeAdapter
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from pilothouse.runtime.adapters.tool_disclosure import ToolDisclosure
from pilothouse.runtime.tool_catalogue import ToolCatalogue, ToolEntry
from pilothouse.testing import ModelServer

from .scripted import Scripted, agent_of, calls, says
from .shop_tools import shop_tools


@pytest.fixture(scope="module")
def catalogue() -> ToolCatalogue:
    tools = [tool.tool_def for tool in shop_tools()]
    entries = [
        ToolEntry(name=one.name, description=one.description or "", parameters=one.parameters_json_schema)
        for one in tools
    ]
    return ToolCatalogue(entries, renamed={"fetch_parcel": "get_shipment"})


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("money given back", "get_refund"),
        ("where is the shipment", "get_shipment"),
        ("delete a customer for good", "delete_customer"),
        ("how many tickets are open: count", "count_ticket"),
        ("export invoices as csv", "export_invoice"),
        ("searchProducts", "search_product"),
        ("update_contract", "update_contract"),
        ("when is the next payment of a subscription", "get_subscription"),
    ],
)
def test_tools_are_found_by_what_they_do(catalogue: ToolCatalogue, query: str, wanted: str) -> None:
    assert wanted in [entry.name for entry in catalogue.search(query)]


@pytest.mark.parametrize(
    ("called", "meant"),
    [
        ("getOrder", "get_order"),
        ("get-order", "get_order"),
        ("functions.get_order", "get_order"),
        ("GET_ORDER", "get_order"),
        ("order_get", "get_order"),
        ("get_oder", "get_order"),
        ("fetch_parcel", "get_shipment"),
        ("create_refunds", "create_refund"),
    ],
)
def test_another_spelling_is_the_same_tool(catalogue: ToolCatalogue, called: str, meant: str) -> None:
    assert catalogue.resolve(called).name == meant


@pytest.mark.parametrize("called", ["order", "modify_order", "xyzzy", "", "get", "remove_or_delete_order_or_refund"])
def test_a_name_that_may_mean_several_is_not_guessed(catalogue: ToolCatalogue, called: str) -> None:
    assert catalogue.resolve(called).name == ""


def test_what_it_never_heard_of_finds_nothing(catalogue: ToolCatalogue) -> None:
    assert catalogue.search("quaternion flux") == [] and catalogue.search("") == []
    assert ToolCatalogue([]).search("x") == [] and ToolCatalogue([]).resolve("x").near == ()


def test_only_what_is_loaded_is_offered() -> None:
    model = Scripted(
        calls("search_tools", query="refund an order"),
        calls("load_tool", name="create_refund"),
        calls("create_refund", refund_id="re_1"),
        says("done"),
    )
    result = agent_of(model, ToolDisclosure(tools=shop_tools(), always=["get_order"])).run_sync("Refund order 4411")
    assert result.output == "done"
    assert model.offered(0) == model.offered(1) == ["get_order", "load_tool", "search_tools"]
    assert model.offered(2) == ["create_refund", "get_order", "load_tool", "search_tools"]
    assert "create_refund(refund_id, fields?, reason?): Make a new refund." in model.shown(1)
    assert "'tool': 'create_refund'" in model.shown(3)


def test_the_next_turn_has_what_was_loaded_even_from_json() -> None:
    capability = ToolDisclosure(tools=shop_tools())
    first = Scripted(calls("load_tool", name="get_order"), says("loaded"))
    history = agent_of(first, capability).run_sync("a").all_messages_json()
    second = Scripted(says("there"))
    agent_of(second, capability).run_sync("b", message_history=ModelMessagesTypeAdapter.validate_json(history))
    assert "get_order" in second.offered(0)
    third = Scripted(says("there"))
    agent_of(third, capability).run_sync("c")
    assert "get_order" not in third.offered(0)


def test_a_call_to_an_unloaded_or_renamed_tool_loads_it_and_costs_no_retry() -> None:
    model = Scripted(
        calls("fetchOrder", id=1),
        calls("getOrder", order_id="1"),
        calls("get_order", order_id="1"),
        calls("GetOrder", order_id="1"),
        says("paid"),
    )
    agent = agent_of(model, ToolDisclosure(tools=shop_tools()), retries=0)
    assert agent.run_sync("Is order 1 paid?").output == "paid"
    assert "no tool is called 'fetchOrder'. The nearest:\n" in model.shown(1) and "get_order(order_id)" in model.shown(
        1
    )
    assert "'getOrder' is called get_order here" in model.shown(2) and "get_order" in model.offered(2)
    assert "get_order is offered already under this name: call it" in model.shown(4)


def test_an_agents_own_tools_are_offered_as_ever_and_their_misspellings_answered() -> None:
    model = Scripted(calls("addNumbers", a=1, b=2), calls("add_numbers", a=1, b=2), says("3"))
    agent = agent_of(model, ToolDisclosure(tools=shop_tools()), retries=0)

    @agent.tool_plain
    def add_numbers(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert agent.run_sync("1 + 2?").output == "3"
    assert "add_numbers is offered already under this name" in model.shown(1)


def test_parallel_calls_to_what_is_not_loaded_are_each_answered() -> None:
    both = ModelResponse(parts=[
        TextPart(content="I look."),
        ToolCallPart(tool_name="get_order", args={"order_id": "1"}),
        ToolCallPart(tool_name="get_customer", args={"customer_id": "2"}),
    ])  # fmt: skip
    model = Scripted(both, both, says("ok"))
    agent_of(model, ToolDisclosure(tools=shop_tools()), retries=0).run_sync("x")
    assert {"get_order", "get_customer"} <= set(model.offered(1))
    assert "'tool': 'get_customer'" in model.shown(2)


def test_the_context_is_a_twentieth_of_all_schemas() -> None:
    rules: list[dict[str, Any]] = [
        {"user": "Hello", "reply": {"text": "Hello"}},
        {"after_tool": "", "reply": {"calls": [{"name": "search_tools", "arguments": {"query": "refund an order"}}]}},
        {
            "after_tool": "search_tools",
            "reply": {"calls": [{"name": "load_tool", "arguments": {"name": "create_refund"}}]},
        },
        {"reply": {"text": "done"}},
    ]
    with ModelServer({"rules": rules}) as server:
        model = OpenAIChatModel("gpt-5-mini", provider=OpenAIProvider(base_url=server.openai_url, api_key="none"))
        Agent(model, tools=shop_tools()).run_sync("Hello")
        agent = Agent(model, capabilities=[ToolDisclosure(tools=shop_tools())])
        agent.run_sync("Refund order 4411")
        asked = [request for request in server.requests if "chat/completions" in request.path]
    sizes = [len(json.dumps(request.body.get("tools", []))) for request in asked]
    tokens = [request.usage.input_tokens for request in asked if request.usage]
    print(f"tool schemas: {sizes} characters; input tokens of each call: {tokens}")
    everything, first, last = sizes[0], sizes[-3], sizes[-1]
    assert len(asked[0].body["tools"]) == 120 and first * 20 < everything and last * 15 < everything
