"""openai-agents kept to its task: a large result, an early finish that is refused, a person's answer, and the end."""

import asyncio
import json

import openai
from agents import Agent, OpenAIChatCompletionsModel, function_tool, set_trace_processors
from setting import MODEL_URL, OPENAI_MODEL

from pilothouse.runtime.adapters.openai_agents import KeptToTask, Paused

# The SDK's own processor would send every trace to the provider of the models.
set_trace_processors([])
client = openai.AsyncOpenAI(base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)


@function_tool
def list_orders() -> str:
    """List all orders."""
    return json.dumps([{"id": n, "state": "declined" if n == 7 else "paid", "note": "x" * 40} for n in range(2_000)])


async def main():
    kept = KeptToTask()
    model = OpenAIChatCompletionsModel(model=OPENAI_MODEL, openai_client=client)
    agent = Agent(name="refunds", instructions="You refund orders.", model=model, tools=[list_orders])
    questions = []
    try:
        await kept.run(agent, "Refund the declined order", conversation="c1")
    except Paused as paused:
        questions = list(paused.questions)
        kept.answer("c1", "2", "yes, refund it")
        history = [*paused.result.to_input_list(), {"role": "user", "content": "Go on."}]
        result = await kept.run(agent, history, conversation="c1")
    outputs = [str(one["output"]) for one in result.to_input_list() if one.get("type") == "function_call_output"]
    print(json.dumps({"output": result.final_output, "questions": questions, "tool_outputs": outputs}))


asyncio.run(main())
