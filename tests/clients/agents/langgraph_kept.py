"""A langchain agent on langgraph kept to its task: the graph pauses for a person and is resumed with the answer."""

import json

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from setting import MODEL_URL, OPENAI_MODEL

from pilothouse.runtime.adapters.langgraph import KeptToTask


def list_orders() -> str:
    """List all orders."""
    return json.dumps([{"id": n, "state": "declined" if n == 7 else "paid", "note": "x" * 40} for n in range(2_000)])


model = ChatOpenAI(model=OPENAI_MODEL, base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0)
agent = create_agent(
    model,
    [list_orders],
    system_prompt="You refund orders.",
    middleware=[KeptToTask(when_blocked="interrupt")],
    checkpointer=InMemorySaver(),
)
config = {"configurable": {"thread_id": "c1"}}
first = agent.invoke({"messages": [{"role": "user", "content": "Refund the declined order"}]}, config)
questions = next(one.value["questions"] for one in first["__interrupt__"])
result = agent.invoke(Command(resume={"2": "yes, refund it"}), config)
outputs = [str(one.content) for one in result["messages"] if isinstance(one, ToolMessage)]
print(json.dumps({"output": result["messages"][-1].content, "questions": questions, "tool_outputs": outputs}))
