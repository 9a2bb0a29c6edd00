"""An agent that asks the one behind a2a_server.py: `a2a_agent.py URL whole|streamed`."""

import asyncio
import sys

import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a_cards import FIRST, card, text_message

import pilothouse

pilothouse.init(service="captain-service")
STREAMING = sys.argv[2] == "streamed"


@pilothouse.agent(name="captain")
async def sail(question: str) -> str:
    async with httpx.AsyncClient(timeout=30) as http:
        client = ClientFactory(ClientConfig(httpx_client=http, streaming=STREAMING)).create(
            card(sys.argv[1], STREAMING)
        )
        said = []
        async for event in client.send_message(request(question)):
            said.append(str(event))
        try:
            async for _ in client.send_message(request("sink the ship")):
                pass
        except Exception as error:
            said.append(type(error).__name__)
    return " | ".join(said)


def request(text):
    message = text_message(text, role="user")
    if FIRST:
        return message
    from a2a.types import SendMessageRequest

    return SendMessageRequest(message=message)


print(asyncio.run(sail("where to?")))
