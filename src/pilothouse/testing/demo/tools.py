"""Tools that an agent of the fleet may use."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pilothouse.testing.demo.spans import Recorder


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that a model may call with text arguments."""

    name: str
    description: str
    arguments: tuple[str, ...]
    function: Callable[..., str]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments."""
        properties = {name: {"type": "string"} for name in self.arguments}
        return {"type": "object", "properties": properties, "required": list(self.arguments)}


@dataclass(frozen=True, kw_only=True)
class ToolOutcome:
    """What came of one tool call, as the model gets to read it."""

    text: str
    failed: bool


def use_tool(
    recorder: Recorder, tools: Iterable[Tool], name: str, call_id: str, arguments: dict[str, Any]
) -> ToolOutcome:
    """Run a tool inside a span of its own; a tool that raises is an outcome too."""
    tool = next(tool for tool in tools if tool.name == name)
    try:
        with recorder.tool(name, call_id, arguments) as result:
            text = tool.function(**arguments)
            result(text)
    except (OSError, LookupError, ValueError) as error:
        return ToolOutcome(text=json.dumps({"error": type(error).__name__, "message": str(error)}), failed=True)
    return ToolOutcome(text=text, failed=False)
