"""A shop's 120 tools, as a company's MCP servers give them: real schemas, plain names, two that are easily mixed up."""

from __future__ import annotations

from typing import Any

from pydantic_ai import Tool
from pydantic_ai.tools import RunContext

NOUNS = {
    "order": "an order, its lines and its state",
    "customer": "a customer and their addresses",
    "invoice": "an invoice and what is paid of it",
    "shipment": "a shipment and where it is",
    "refund": "money given back for an order",
    "product": "a product of the catalogue",
    "warehouse": "a warehouse and its stock",
    "supplier": "a supplier and their terms",
    "coupon": "a coupon and who may use it",
    "review": "what a customer wrote about a product",
    "ticket": "a support ticket",
    "subscription": "a subscription and its next payment",
    "employee": "an employee and their shifts",
    "campaign": "a marketing campaign",
    "contract": "a contract and its dates",
}
VERBS = {
    "get": "Read {what} by id.",
    "list": "List every {noun}, newest first, page by page.",
    "search": "Find a {noun} by words, dates and state.",
    "create": "Make a new {noun}. It is written at once.",
    "update": "Change fields of {what}.",
    "delete": "Remove {what} for good.",
    "export": "Write all of {noun} data as CSV and give a link.",
    "count": "Count {noun} records that match a filter.",
}


def shop_tools() -> list[Tool[Any]]:
    """All of them."""
    return [_tool(verb, noun) for noun in NOUNS for verb in VERBS]


def _tool(verb: str, noun: str) -> Tool[Any]:
    properties: dict[str, Any] = {
        f"{noun}_id": {"type": "string", "description": f"The {noun}'s id, e.g. {noun[:2]}_4411"}
    }
    if verb in ("list", "search", "export", "count"):
        properties = {
            "query": {"type": "string", "description": "Words to look for"},
            "state": {"type": "string", "enum": ["open", "closed", "pending"], "description": "Only of this state"},
            "since": {"type": "string", "format": "date", "description": "Not older than this day"},
            "limit": {"type": "integer", "description": "How many at most", "default": 20},
        }
    if verb in ("create", "update"):
        properties["fields"] = {"type": "object", "description": f"Fields of the {noun}", "additionalProperties": True}
        properties["reason"] = {"type": "string", "description": "Why, for the audit log"}

    async def run(ctx: RunContext[Any], **arguments: Any) -> dict[str, Any]:
        return {"tool": f"{verb}_{noun}", **arguments}

    return Tool.from_schema(
        run,
        name=f"{verb}_{noun}",
        description=VERBS[verb].format(noun=noun, what=NOUNS[noun]),
        json_schema={"type": "object", "properties": properties, "required": list(properties)[:1]},
        takes_ctx=True,
    )
