"""One module per wire format: each reads a request body, and writes an answer whole or as a stream."""

from pilothouse.testing.wire import anthropic_messages, gemini, openai_chat, openai_responses
from pilothouse.testing.wire.format import Wire, WireError

OPENAI_CHAT = openai_chat.WIRE
OPENAI_RESPONSES = openai_responses.WIRE
ANTHROPIC_MESSAGES = anthropic_messages.WIRE
GEMINI = gemini.WIRE

__all__ = ["ANTHROPIC_MESSAGES", "GEMINI", "OPENAI_CHAT", "OPENAI_RESPONSES", "Wire", "WireError"]
