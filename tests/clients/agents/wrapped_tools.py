"""Tools of LangChain and pydantic-ai, recorded by our wrapper. Prints what was recorded."""

import asyncio
import json
import tempfile

from langchain_core.tools import BaseTool, tool
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, RunContext, Tool
from pydantic_ai.models.test import TestModel

import pilothouse

recorder = pilothouse.init(endpoint="http://127.0.0.1:9", instrument=False, spill_dir=tempfile.mkdtemp())
spans = InMemorySpanExporter()
recorder.provider.add_span_processor(SimpleSpanProcessor(spans))


@tool
def multiply(a: int, b: int) -> int:
    """Multiply."""
    return a * b


class Divide(BaseTool):
    name: str = "divide"
    description: str = "Divide."

    def _run(self, a: int, b: int) -> float:
        return a / b

    async def _arun(self, a: int, b: int) -> float:
        return a / b


def greet(ctx: RunContext[None], name: str) -> str:
    """Greet."""
    return f"hello {name}"


divide = pilothouse.wrap_tool(Divide())
assert pilothouse.wrap_tool(multiply) is multiply
assert multiply.invoke({"a": 2, "b": 3}) == 6
assert asyncio.run(multiply.ainvoke({"a": 2, "b": 4})) == 8
assert multiply.invoke({"name": "multiply", "args": {"a": 2, "b": 5}, "id": "c1", "type": "tool_call"}).content == "10"
assert divide.invoke({"a": 6, "b": 3}) == 2
assert asyncio.run(divide.ainvoke({"a": 6, "b": 2})) == 3
wrapped = pilothouse.wrap_tool(Tool(greet, takes_ctx=True))
decorated = Tool(pilothouse.tool(name="greet again")(greet), takes_ctx=True, name="greet_again")
assert wrapped.function_schema.json_schema == decorated.function_schema.json_schema
Agent(TestModel(), tools=[wrapped, decorated]).run_sync("hi")
print(
    json.dumps(
        [
            [
                span.name,
                json.loads(span.attributes["gen_ai.tool.call.arguments"]),
                span.attributes["gen_ai.tool.call.result"],
                bool(span.attributes.get("gen_ai.tool.call.id")),
            ]
            for span in spans.get_finished_spans()
        ]
    )
)
