"""An agent card and a message in the form of the installed generation of a2a-sdk."""

import uuid

from a2a.types import AgentCapabilities, AgentCard, AgentSkill, Message, Part, Role

try:
    from a2a.types import AgentInterface, TextPart  # the generation before

    FIRST = True
except ImportError:
    from a2a.types import AgentInterface

    FIRST = False


def card(url, streaming=False):
    skill = AgentSkill(id="pilot", name="Pilot", description="Knows the harbour.", tags=["harbour"])
    common = {
        "name": "harbour-pilot",
        "description": "Brings ships in.",
        "version": "1.0",
        "default_input_modes": ["text/plain"],
        "default_output_modes": ["text/plain"],
        "skills": [skill],
        "capabilities": AgentCapabilities(streaming=streaming),
    }
    if FIRST:
        return AgentCard(url=url, **common)
    return AgentCard(
        supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")], **common
    )


def text_message(text, context=None, role="agent"):
    ids = {"context_id": context.context_id, "task_id": context.task_id} if context is not None else {}
    if FIRST:
        part = Part(root=TextPart(text=text))
        return Message(message_id=uuid.uuid4().hex, role=Role(role), parts=[part], **ids)
    return Message(
        message_id=uuid.uuid4().hex,
        role=Role.ROLE_AGENT if role == "agent" else Role.ROLE_USER,
        parts=[Part(text=text)],
        **ids,
    )
