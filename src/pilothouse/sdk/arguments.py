"""The arguments of a call by the names of its parameters, defaults included."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_CONTEXTS = frozenset(
    (
        *("RunContext", "RunContextWrapper", "ToolContext", "ToolRuntime", "CallbackContext", "InvocationContext"),
        *("CallbackManagerForToolRun", "AsyncCallbackManagerForToolRun", "Context", "RequestContext"),
    )
)
_FRAMEWORKS = frozenset(
    ("pydantic_ai", "agents", "google", "langchain", "langchain_core", "langgraph", "mcp", "fastmcp", "llama_index")
)


class Binder:
    """Binds arguments to one function's parameters: lenient, and several times faster than ``Signature.bind``.

    A framework's context among them is left out.
    What fits no parameter is kept under ``args`` or its own name: the call itself will raise, and both are worth seeing.
    """

    __slots__ = ("_defaults", "_extra", "_names", "_owner", "names")

    def __init__(self, function: Callable[..., Any], *, skip: int = 0) -> None:
        """``skip`` leaves out so many leading parameters, such as a framework's context."""
        if isinstance(function, classmethod | staticmethod):
            function = cast("Callable[..., Any]", cast("Any", function).__func__)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):
            parameters = []
        positional = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
        self._owner = skip or int(bool(positional) and _is_owner(positional[0], function))
        self._names: Sequence[str] = positional
        hidden = set(positional[: self._owner])
        self._defaults: Mapping[str, Any] = {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.default is not inspect.Parameter.empty and parameter.name not in hidden
        }
        extra = [p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL]
        self._extra = extra[0] if extra else "args"
        self.names: frozenset[str] = frozenset(parameter.name for parameter in parameters) - hidden
        """Every parameter that is bound."""

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name: those given in their order, then the defaults."""
        names = self._names
        bound: dict[str, Any] = dict(zip(names, args, strict=False))
        for name in names[: self._owner]:
            bound.pop(name, None)
        if len(args) > len(names):
            bound[self._extra] = list(args[len(names) :])
        if kwargs:
            bound.update(kwargs)
        for name, value in self._defaults.items():
            bound.setdefault(name, value)
        for name in [name for name, value in bound.items() if is_context(value)]:
            del bound[name]
        return bound


def is_context(value: object) -> bool:
    """True for what a framework hands to its tools beside the arguments: no argument, and as large as the whole run."""
    kind = type(value)
    return kind.__name__ in _CONTEXTS and kind.__module__.partition(".")[0] in _FRAMEWORKS


def _is_owner(name: str, function: Callable[..., Any]) -> bool:
    """True for the ``self`` or ``cls`` of a function that was defined in a class."""
    return name in ("self", "cls") and "." in getattr(function, "__qualname__", "").replace("<locals>.", "")
