"""A langchain agent whose refund waits for a person: resumed too early, approved with other arguments, run once."""

import json
import os
from pathlib import Path

from approval_making import desk_in, pat
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from setting import MODEL_URL, OPENAI_MODEL

from pilothouse.runtime.adapters.langgraph_approvals import Approvals, resuming

ran = []
desk = desk_in(Path(os.environ["PILOTHOUSE_RUNTIME"]))


def refund(order: int, usd: float) -> str:
    """Refund an order."""
    ran.append([order, usd])
    return f"refunded {usd} of order {order}"


agent = create_agent(
    ChatOpenAI(model=OPENAI_MODEL, base_url=f"{MODEL_URL}/v1", api_key="none", max_retries=0),
    [refund],
    middleware=[Approvals(desk, agent="refunds")],
    checkpointer=InMemorySaver(),
)
config = {"configurable": {"thread_id": "c1"}}
first = agent.invoke({"messages": [{"role": "user", "content": "Refund orders 7 and 8"}]}, config)
asked = [one.value for one in first["__interrupt__"]]
# Whoever resumes it says yes to nothing.
said = {one.id: {"approved": True, "decisions": [{"type": "approve"}]} for one in first["__interrupt__"]}
second = agent.invoke(Command(resume=said), config)
early = [len(second["__interrupt__"]), list(ran)]
for one in asked:
    if one["action"]["arguments"]["order"] == 7:
        pat.edit(one["approval_id"], {"order": 7, "usd": 5.0})
    else:
        pat.reject(one["approval_id"], "order 8 was delivered")
result = agent.invoke(resuming(second), config)
outputs = [str(one.content) for one in result["messages"] if isinstance(one, ToolMessage)]
states = {one["action"]["arguments"]["order"]: desk.find(one["approval_id"]).state for one in asked}
# Calls made at once are asked about in whatever order they come.
sentence = next(one["sentence"] for one in asked if one["action"]["arguments"]["order"] == 7)
print(json.dumps({"early": early, "ran": ran, "outputs": outputs, "states": states, "sentence": sentence}))
