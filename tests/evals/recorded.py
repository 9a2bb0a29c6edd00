"""Sessions as an agent's recorder would send them, for a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.live import LiveServer

Message = dict[str, Any]


def said(role: str, text: str) -> Message:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def wish(id: str, name: str, arguments: Mapping[str, Any]) -> Message:
    part = {"type": "tool_call", "id": id, "name": name, "arguments": dict(arguments)}
    return {"role": "assistant", "parts": [part]}


def answered(id: str, result: Any) -> Message:
    text = result if isinstance(result, str) else json.dumps(result)
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": id, "response": text}]}


def send(
    server: LiveServer,
    trace: str,
    conversation: Sequence[Message],
    *,
    session: str = "",
    tools: Sequence[str] = (),
    models_last: int = 10_000,
    user: str = "",
    version: str = "7",
    agent: str = "shop",
    ago_s: float = 60.0,
    failed: bool = False,
    wait: bool = True,
) -> str:
    """Record a conversation: a model call for each message of the assistant, a span for each call of a tool. Its id.

    ``models_last``: only so many model calls, the last ones. ``failed``: the agent's own span failed. ``wait``: until
    it is stored.
    """
    speaking = [place for place, one in enumerate(conversation) if one["role"] == "assistant"][-models_last:]
    begun = time.time_ns() - int(ago_s * 1e9)
    spans: list[dict[str, Any]] = []
    root = f"{1:016x}"

    def span(name: str, parent: str, **attributes: Any) -> None:
        at = begun + len(spans) * 1_000_000
        shown = {
            "traceId": trace,
            "spanId": f"{len(spans) + 1:016x}",
            "name": name,
            "startTimeUnixNano": str(at),
            "endTimeUnixNano": str(at + 900_000 + (10**9 if not parent else 0)),
            "attributes": [{"key": key.replace("__", "."), "value": _any(value)} for key, value in attributes.items()],
        }
        if failed and not parent:
            shown["status"] = {"code": 2, "message": "the shop is closed"}
        spans.append(shown | ({"parentSpanId": parent} if parent else {}))

    named = {"gen_ai__agent__name": agent, "gen_ai__agent__version": version}
    more = {"gen_ai__conversation__id": session} if session else {}
    more |= {"user__id": user} if user else {}
    span(f"invoke_agent {agent}", "", gen_ai__operation__name="invoke_agent", **named, **more)
    definitions = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in tools]
    calls: dict[str, Any] = {}
    for place, message in enumerate(conversation):
        if message["role"] == "assistant":
            calls |= {part["id"]: part for part in message["parts"] if part["type"] == "tool_call"}
        if place in speaking:
            span(
                "chat gpt-4o",
                root,
                gen_ai__operation__name="chat",
                gen_ai__provider__name="openai",
                gen_ai__request__model="gpt-4o",
                gen_ai__request__temperature=0.5,
                gen_ai__tool__definitions=json.dumps(definitions),
                gen_ai__input__messages=json.dumps(list(conversation[:place])),
                gen_ai__output__messages=json.dumps([message | {"finish_reason": "stop"}]),
                **more,
            )
        for part in message["parts"]:
            if part["type"] == "tool_call_response" and place >= _first(conversation):
                call = calls[part["id"]]
                span(
                    f"execute_tool {call['name']}",
                    root,
                    gen_ai__operation__name="execute_tool",
                    gen_ai__tool__name=call["name"],
                    gen_ai__tool__call__id=part["id"],
                    gen_ai__tool__call__arguments=json.dumps(call["arguments"]),
                    gen_ai__tool__call__result=part["response"],
                )
    resource = [{"key": "service.name", "value": {"stringValue": "shop"}}]
    body = {"resource": {"attributes": resource}, "scopeSpans": [{"scope": {"name": "shop"}, "spans": spans}]}
    server.post("/v1/traces", {"resourceSpans": [body]})
    if not wait:
        return trace
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{trace}'", len(spans))
    server.wait_for(f"SELECT count() FROM traces WHERE trace_id = '{trace}'", 1)
    return trace


def _first(conversation: Sequence[Message]) -> int:
    return next((place for place, one in enumerate(conversation) if one["role"] == "assistant"), 0)


def _any(value: Any) -> dict[str, Any]:
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}
