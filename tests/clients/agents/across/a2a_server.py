"""An agent behind A2A, on the generation of the SDK that is installed: `a2a_server.py PORT`."""

import sys

import uvicorn
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore
from a2a_cards import card, text_message

import pilothouse

pilothouse.init(service="pilot-service")


@pilothouse.agent(name="harbour-pilot")
async def advise(question: str) -> str:
    return f"steer north ({question})"


class Pilot(AgentExecutor):
    async def execute(self, context, event_queue):
        if "sink" in context.get_user_input():
            raise RuntimeError("the pilot went overboard")
        await event_queue.enqueue_event(text_message(await advise(context.get_user_input()), context))

    async def cancel(self, context, event_queue):
        raise NotImplementedError


port = int(sys.argv[1])
agent_card = card(f"http://127.0.0.1:{port}/", streaming=True)
try:
    from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
    from starlette.applications import Starlette

    handler = DefaultRequestHandler(agent_executor=Pilot(), task_store=InMemoryTaskStore(), agent_card=agent_card)
    app = Starlette(routes=[*create_agent_card_routes(agent_card), *create_jsonrpc_routes(handler, "/")])
except ImportError:
    from a2a.server.apps import A2AStarletteApplication

    handler = DefaultRequestHandler(agent_executor=Pilot(), task_store=InMemoryTaskStore())
    app = A2AStarletteApplication(agent_card=agent_card, http_handler=handler).build()
uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
