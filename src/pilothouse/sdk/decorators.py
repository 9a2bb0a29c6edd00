"""``agent`` and ``span``: what the program does, named."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from pilothouse.records import KINDS, BadRequest, Kind, canonical_json, text_message, wire_message

from . import recorder as recorders
from .arguments import Binder
from .code import code_of
from .contents import keep, kept, put_content
from .jsons import to_json, to_text
from .wrapping import trouble, within, wrap

if TYPE_CHECKING:
    from .calls import Call
    from .recording import Recorder

P = ParamSpec("P")
R = TypeVar("R")


class AgentPlan:
    """Records runs of an agent: what it was asked, what it answered."""

    follows_streams = False

    def __init__(self, function: Any, name: str, version: str) -> None:
        self._binder = Binder(function)
        self._name = name or name_of(function)
        self._attributes: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self._name,
            **({"gen_ai.agent.version": version} if version else {}),
            **code_of(function),
        }

    def open(self, recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Start the agent's span with what it was asked."""
        attributes = dict(self._attributes)
        bound = self._binder.bind(args, kwargs)
        put_input(attributes, bound, recorder)
        call = recorder.open("agent", f"invoke_agent {self._name}", attributes)
        call.inputs = lambda: to_json(bound)
        return call

    def returned(self, call: Call, value: Any) -> None:
        """Record the answer."""
        put_output(call, value)

    def yielded(self, call: Call, item: Any) -> None:
        """Keep a piece of the answer."""
        keep(call, item)

    def exhausted(self, call: Call, value: Any) -> None:
        """Record the pieces as one answer."""
        put_output(call, kept(call, value))

    def failed(self, call: Call, error: BaseException) -> None:
        """Record what was raised."""
        call.fail(error)


@overload
def agent(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def agent(*, name: str = "", version: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def agent(function: Any = None, /, *, name: str = "", version: str = "") -> Any:
    """Record each call of a function as a run of an agent, under the function's name or another.

    Everything it calls hangs below it. Works for functions, methods, coroutines and generators.
    """

    def decorate(target: Any) -> Any:
        return wrap(target, AgentPlan(target, name, version))

    return decorate if function is None else decorate(function)


class Span:
    """A span in the making, as :func:`span` gives it. Without a recorder it does nothing."""

    __slots__ = ("_call",)

    def __init__(self, call: Call | None) -> None:
        self._call = call

    def set(self, **attributes: Any) -> None:
        """Add attributes. Structures are kept as JSON."""
        self._do(lambda call: call.set({name: attribute(value) for name, value in attributes.items()}))

    def input(self, value: Any) -> None:
        """Record what was given."""
        self._content("input.value", value)

    def output(self, value: Any) -> None:
        """Record what came out."""
        self._content("output.value", value)

    def event(self, name: str, **attributes: Any) -> None:
        """Note a moment."""
        given = {key: attribute(value) for key, value in attributes.items()}
        self._do(lambda call: call.span.add_event(name, given))

    def error(self, error: BaseException) -> None:
        """Record an exception that is handled here: the span fails, the program goes on."""
        self._do(lambda call: call.fail(error))

    @property
    def trace_id(self) -> str:
        """32 hex digits; empty without a recorder."""
        return f"{self._call.trace_id:032x}" if self._call is not None else ""

    def _content(self, key: str, value: Any) -> None:
        def put(call: Call) -> None:
            attributes: dict[str, Any] = {}
            put_content(attributes, key, to_text(value), call.recorder.settings)
            call.set(attributes)

        self._do(put)

    def _do(self, action: Callable[[Call], Any]) -> None:
        if self._call is None:
            return
        try:
            action(self._call)
        except Exception as error:
            trouble("a span could not be added to", error)


@contextlib.contextmanager
def span(name: str, *, kind: Kind = "chain", **attributes: Any) -> Generator[Span]:
    """Record a stretch of code: ``with pilothouse.span("rank", kind="retrieval") as span: …``.

    Raises:
        BadRequest: there is no such kind.
    """
    if kind not in KINDS:
        raise BadRequest("there is no such kind of span", got=kind, allowed=list(KINDS))
    call = open_span(name, kind, {key: attribute(value) for key, value in attributes.items()})
    with within(call):
        yield Span(call)


def open_span(name: str, kind: str, attributes: Mapping[str, Any]) -> Call | None:
    """Start a span; None where nothing records."""
    recorder = recorders.current()
    if recorder is None:
        return None
    try:
        operation = _OPERATIONS.get(kind)
        named: dict[str, Any] = {"gen_ai.operation.name": operation} if operation else {}
        if kind in _NAMED:
            named[_NAMED[kind]] = name
        return recorder.open(kind, str(name), {**named, **attributes})
    except Exception as error:
        trouble("a span could not be started", error)
        return None


_OPERATIONS: Final = {
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "model": "chat",
    "embedding": "embeddings",
    "retrieval": "retrieval",
}
_NAMED: Final = {"agent": "gen_ai.agent.name", "tool": "gen_ai.tool.name"}


def attribute(value: Any) -> Any:
    """A value as an attribute: what OpenTelemetry holds stays, the rest becomes JSON."""
    return value if type(value) in (str, bool, int, float) else to_json(value)


def name_of(function: Any) -> str:
    """The name of a callable."""
    inner = getattr(function, "__func__", function)
    return getattr(inner, "__name__", "") or getattr(inner, "name", "") or type(inner).__name__


def put_input(attributes: dict[str, Any], bound: Mapping[str, Any], recorder: Recorder) -> None:
    """Add what an agent was given: its one text as a message of the user, anything else as JSON."""
    given = [value for value in bound.values() if value is not None]
    if len(given) == 1 and type(given[0]) is str and given[0]:
        message = text_message("user", to_text(given[0]))
        wire = canonical_json([wire_message(message.role, message.parts)])
        put_content(attributes, "gen_ai.input.messages", wire, recorder.settings)
    elif bound:
        put_content(attributes, "input.value", to_json(bound), recorder.settings)


def put_output(call: Call, value: Any) -> None:
    """Record what an agent gave: a text as a message of the assistant, anything else as JSON."""
    attributes: dict[str, Any] = {}
    if type(value) is str and value:
        message = text_message("assistant", to_text(value))
        wire = canonical_json([wire_message(message.role, message.parts)])
        put_content(attributes, "gen_ai.output.messages", wire, call.recorder.settings)
    elif value is not None:
        put_content(attributes, "output.value", to_json(value), call.recorder.settings)
    call.set(attributes)
