"""Progressive tool disclosure as a capability: a hundred tools behind ``search_tools`` and ``load_tool``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic_ai import Tool
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, CombinedToolset, FunctionToolset, WrapperToolset
from pydantic_ai.toolsets.abstract import ToolsetTool

from pilothouse.records import names
from pilothouse.runtime.tool_catalogue import SEARCH_MAX, ToolCatalogue, ToolEntry
from pilothouse.runtime.tracing import note
from pilothouse.sdk.tool_playback import inner

_LOADED: Final = re.compile(r"^(\S+) is loaded: call it$", re.MULTILINE)
"""The last line of an answer that loaded something. The history is the state: a run that is gone on with has it too."""
_SEARCH, _LOAD = "search_tools", "load_tool"


@dataclass
class ToolDisclosure(AbstractCapability[Any]):
    """Offers the tools of a catalogue only once the model has found and loaded them.

    A call to one that is not loaded, or by a name that changed, is answered with the tool it means (loaded from then
    on) or with the nearest names; it costs none of the agent's retries.
    """

    tools: Sequence[Tool[Any] | Callable[..., Any]] = ()
    toolsets: Sequence[AbstractToolset[Any]] = ()
    """Further tools, e.g. of MCP servers."""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names of earlier versions, to those of today."""
    always: Collection[str] = ()
    """Tools of the catalogue that are offered from the beginning."""
    id: str | None = "pilothouse_tool_disclosure"
    _loaded: set[str] = field(default_factory=set[str], init=False, repr=False)
    _catalogue: ToolCatalogue | None = field(default=None, init=False, repr=False)
    _offered: tuple[str, ...] = field(default=(), init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> ToolDisclosure:
        """What earlier turns of the conversation loaded is loaded."""
        mine = replace(self)
        mine._loaded = {*self.always, *_loaded_in(ctx.messages)}
        return mine

    def get_instructions(self) -> str:
        """One paragraph, always the same: the provider's cache holds."""
        return (
            "Most of your tools are not listed. search_tools(query) finds them by what they do; load_tool(name) puts one "
            "before you, to be called from then on."
        )

    def get_toolset(self) -> AbstractToolset[Any]:
        """The two tools, and of the catalogue what is loaded."""
        own = FunctionToolset[Any](list(self.tools), id="pilothouse_catalogue_tools")
        catalogue = _LoadedToolset(wrapped=CombinedToolset[Any]([own, *self.toolsets]), disclosure=self)

        @inner
        def search_tools(query: str) -> str:
            """Find tools by what they do.

            Args:
                query: Words, e.g. refund order, or a tool's name.
            """
            return self._search(query)

        @inner
        def load_tool(name: str) -> str:
            """Load a tool that search_tools found, so that it can be called.

            Args:
                name: Its name.
            """
            return self._load(name)

        found = FunctionToolset[Any]([search_tools, load_tool], sequential=True, id="pilothouse_catalogue")
        return CombinedToolset[Any]([found, catalogue])

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Calls to what is not offered become a load: it answers, and the run goes on."""
        parameters = request_context.model_request_parameters
        offered = {tool.name for tool in (*parameters.function_tools, *parameters.output_tools)}
        self._offered = tuple(sorted(offered))
        parts = [
            replace(part, tool_name=_LOAD, args={"name": part.tool_name}, id=None)
            if isinstance(part, ToolCallPart) and part.tool_name not in offered
            else part
            for part in response.parts
        ]
        return replace(response, parts=parts) if parts != list(response.parts) else response

    def _search(self, query: str) -> str:
        catalogue = self._known()
        found = catalogue.search(query)
        if not found:
            return f"none of {len(catalogue)} tools has a word of this; search by what it does, e.g. {_hint(catalogue)}"
        lines = "\n".join(entry.line + (" [loaded]" if entry.name in self._loaded else "") for entry in found)
        more = f"\n(the best {SEARCH_MAX} of {len(catalogue)} tools)" if len(found) == SEARCH_MAX else ""
        return f"{lines}{more}\nload_tool(name) before you call one"

    def _load(self, name: str) -> str:
        catalogue = self._known()
        resolved = catalogue.resolve(name, self._offered)
        if not resolved.name:
            near = "\n".join(catalogue.entries[one].line for one in resolved.near if one in catalogue.entries)
            nearest = f"The nearest:\n{near}" if near else "Nothing is near it."
            return f"error: no tool is called {name[:100]!r}. {nearest}\nsearch_tools(query) finds others"
        entry = catalogue.entries.get(resolved.name)
        if entry is None or resolved.name in self._loaded:
            return f"{resolved.name} is offered already under this name: call it"
        self._loaded.add(resolved.name)
        note(
            names.CATALOGUE_EVENT,
            lambda: (
                {names.CATALOGUE_TOOL: resolved.name}
                | ({names.CATALOGUE_ASKED: name[:200]} if name != resolved.name else {})
            ),
        )
        meant = "" if name == resolved.name else f"{name[:100]!r} is called {resolved.name} here. "
        return f"{meant}{entry.line}\n{resolved.name} is loaded: call it"

    def _known(self) -> ToolCatalogue:
        assert self._catalogue is not None, "only within a run"
        return self._catalogue


@dataclass
class _LoadedToolset(WrapperToolset[Any]):
    """Of the tools of another toolset those that are loaded."""

    disclosure: ToolDisclosure

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        every = await super().get_tools(ctx)
        disclosure = self.disclosure
        known = disclosure._catalogue  # pyright: ignore[reportPrivateUsage]  # two classes, one part
        if known is None or set(known.entries) != set(every):
            entries = (
                ToolEntry(
                    name=name,
                    description=tool.tool_def.description or "",
                    parameters=tool.tool_def.parameters_json_schema,
                )
                for name, tool in every.items()
            )
            disclosure._catalogue = ToolCatalogue(entries, renamed=disclosure.renamed)  # pyright: ignore[reportPrivateUsage]
        loaded = disclosure._loaded  # pyright: ignore[reportPrivateUsage]
        loaded |= _loaded_in(ctx.messages)
        return {name: tool for name, tool in every.items() if name in loaded}


def _loaded_in(messages: Sequence[ModelMessage]) -> set[str]:
    found: set[str] = set()
    for message in messages:
        for part in message.parts if isinstance(message, ModelRequest) else ():
            if isinstance(part, ToolReturnPart) and part.tool_name == _LOAD and isinstance(part.content, str):
                found.update(_LOADED.findall(part.content)[-1:])
    return found


def _hint(catalogue: ToolCatalogue) -> str:
    return ", ".join(list(catalogue.entries)[:: max(1, len(catalogue) // 4)][:4])
