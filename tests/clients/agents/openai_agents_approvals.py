"""openai-agents whose refunds wait for a person: approved by hand too early, kept as JSON, gone on with elsewhere."""

import asyncio
import json
import os
from pathlib import Path

import openai
from agents import Agent, OpenAIChatCompletionsModel, Runner, RunState, function_tool, set_trace_processors
from approval_making import desk_in, pat
from setting import MODEL_URL, OPENAI_MODEL

from pilothouse.runtime.adapters.openai_agents_approvals import Approvals

set_trace_processors([])
client = openai.AsyncOpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)
ran = []
desk = desk_in(Path(os.environ["PILOTHOUSE_RUNTIME"]))


@function_tool
def refund(order: int, usd: float) -> str:
    """Refund an order."""
    ran.append([order, usd])
    return f"refunded {usd} of order {order}"


def made():
    model = OpenAIChatCompletionsModel(model=OPENAI_MODEL, openai_client=client)
    guarded = Approvals(desk, agent="refunds", conversation="c1")
    return guarded, guarded.agent(Agent(name="refunds", model=model, tools=[refund]))


async def main():
    guarded, agent = made()
    result = await Runner.run(agent, "Refund orders 7 and 8")
    kept = result.to_state().to_string()
    # Somebody approves by hand what no person has: the tool itself says no.
    state = await RunState.from_string(agent, kept)
    waiting = await guarded.settle(state)
    for item in state.get_interruptions():
        state.approve(item)
    by_hand = await Runner.run(agent, state)
    early = [
        list(ran),
        [str(one["output"]) for one in by_hand.to_input_list() if one.get("type") == "function_call_output"],
    ]
    for one in waiting:
        if one.arguments["order"] == 7:
            pat.edit(one.approval_id, {"order": 7, "usd": 5.0})
        else:
            pat.reject(one.approval_id, "order 8 was delivered")
    # Another process: nothing is left but the text.
    guarded, agent = made()
    state = await RunState.from_string(agent, kept)
    left = await guarded.settle(state)
    result = await Runner.run(agent, state)
    outputs = [str(one["output"]) for one in result.to_input_list() if one.get("type") == "function_call_output"]
    states = {one.arguments["order"]: desk.find(one.approval_id).state for one in waiting}
    print(
        json.dumps(
            {
                "early": early,
                "left": len(left),
                "ran": ran,
                "outputs": outputs,
                "states": states,
                "output": result.final_output,
                "sentence": next(one.sentence for one in waiting if one.arguments["order"] == 7),
            }
        )
    )


asyncio.run(main())
