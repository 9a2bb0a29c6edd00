"""Cases run against an agent of the genuine openai-agents or LangGraph: prints what came of each."""

import asyncio
import json
import sys
from dataclasses import asdict

from setting import MODEL_URL, OPENAI_MODEL

from pilothouse.evals.case_text import read_case
from pilothouse.evals.runner import Options, attempt
from pilothouse.evals.targets.resolve import resolve


def openai_agents():
    import openai
    from agents import Agent, OpenAIChatCompletionsModel, function_tool, set_trace_processors

    set_trace_processors([])
    client = openai.AsyncOpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)
    model = OpenAIChatCompletionsModel(model=OPENAI_MODEL, openai_client=client)

    @function_tool
    def get_order(id: int) -> str:
        """Look an order up."""
        return json.dumps({"live": id})

    @function_tool
    def refund(id: int) -> str:
        """Give the money back."""
        raise RuntimeError("never in an evaluation")

    payer = Agent(name="payer", instructions="You pay.", model=model, tools=[refund])
    return Agent(name="desk", instructions="You refund.", model=model, tools=[get_order, refund], handoffs=[payer])


def langgraph():
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def get_order(id: int) -> str:
        """Look an order up."""
        return json.dumps({"live": id})

    @tool
    def refund(id: int) -> str:
        """Give the money back."""
        raise RuntimeError("never in an evaluation")

    model = ChatOpenAI(model=OPENAI_MODEL, base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)
    return create_agent(model, [get_order, refund], system_prompt="You refund.")


async def main():
    target = resolve({"openai_agents": openai_agents, "langgraph": langgraph}[sys.argv[1]]())
    options = Options(writing=frozenset({"refund"}))
    cases = [read_case(one) for one in json.loads(sys.stdin.read())]
    found = await asyncio.gather(*(attempt(case, 1, target, options) for case in cases))
    print(json.dumps({one.case: asdict(one) for one in found}, default=str))


asyncio.run(main())
