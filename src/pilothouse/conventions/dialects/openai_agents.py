"""The OpenAI Agents SDK as it arrives over OTel without OpenInference: agent, tool, handoff and guardrail spans."""

from __future__ import annotations

from typing import Final

from pilothouse.conventions import values
from pilothouse.conventions.draft import Draft
from pilothouse.records import Kind, RawSpan

from . import logfire_pydantic_ai, openllmetry

NAME: Final = "openai_agents"

_ENDINGS: Final[dict[str, Kind]] = {
    ".handoff": "chain",
    ".guardrail": "guard",
    ".agent": "agent",
    ".tool": "tool",
    ".response": "model",
    ".generation": "model",
}
_TYPES: Final[dict[str, Kind]] = {
    "agent": "agent",
    "turn": "chain",
    "task": "chain",
    "function": "tool",
    "mcp_tools": "tool",
    "generation": "model",
    "response": "model",
    "handoff": "chain",
    "guardrail": "guard",
    "custom": "chain",
}


def read(span: RawSpan, draft: Draft) -> None:
    """Decide what the SDK's span is, then read it with the dialect that its exporter speaks."""
    attributes = span.attributes
    kind: Kind | None = _TYPES.get(
        values.word(attributes.get("openai.agents.span.type", attributes.get("type"))).lower()
    )
    if kind is None and "gen_ai.operation.name" not in attributes:
        name = span.name.lower()
        kind = next((found for ending, found in _ENDINGS.items() if name.endswith(ending)), None)
    draft.kind = kind
    if kind == "agent":
        draft.agent = values.first_word(attributes, ("gen_ai.agent.name", "agent_name")) or _stem(span.name)
    elif kind == "tool":
        draft.tool_name = values.first_word(attributes, ("gen_ai.tool.name", "tool.name")) or _stem(span.name)
    if "logfire.msg" in attributes:
        logfire_pydantic_ai.read(span, draft)
    else:
        openllmetry.read(span, draft)
    if draft.kind is None and span.name == "Agent Workflow":
        draft.kind = "chain"


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0] if name.lower().endswith((".agent", ".tool")) else name
