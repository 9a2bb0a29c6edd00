"""``tool`` and ``wrap_tool``: the one wrapper through which every tool call goes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, cast, get_args, overload

from pilothouse.records import BadRequest, canonical_json, failure_in, names

from .arguments import Binder, is_context
from .code import code_of
from .contents import keep, kept, put_content
from .decorators import name_of
from .jsons import plain, plain_text, readable, to_text
from .tool_playback import permitted_session, played
from .tool_probe import probed
from .wrapping import is_wrapped, trouble, wrap

if TYPE_CHECKING:
    from .calls import Call
    from .recording import Recorder

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Effect = Literal["read", "write", "external"]
IdempotencyKey = str | Callable[..., Any]

_DESCRIPTION_CHARS: Final = 300
_RESULT_FIELDS: Final = ("isError", "is_error", "status_code")
"""What marks a failure on a result that is an object: MCP's results, the responses of HTTP clients."""


class ToolPlan:
    """Records calls of a tool: exact arguments, raw result, outcome, and what it does to the world."""

    follows_streams = False

    def __init__(
        self,
        function: Any,
        *,
        name: str = "",
        effect: str = "",
        idempotency_key: IdempotencyKey = "",
        reversible_by: str = "",
        skip: int = 0,
    ) -> None:
        self._binder = Binder(function, skip=skip)
        self._skip = skip
        self.name = name or name_of(function)
        """The tool's name."""
        self.effect = effect
        """What it does to the world; empty where nobody said."""
        self._key = idempotency_key
        self._key_names = frozenset[str]()
        if callable(idempotency_key):
            self._key_names = Binder(idempotency_key).names
        self._attributes: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": self.name,
            "gen_ai.tool.type": "function",
            **code_of(function),
        }
        described = (getattr(function, "__doc__", None) or "").strip().partition("\n")[0][:_DESCRIPTION_CHARS]
        for key, value in (
            ("gen_ai.tool.description", readable(described)),
            (names.TOOL_EFFECT, effect),
            (names.TOOL_REVERSIBLE_BY, reversible_by),
        ):
            if value:
                self._attributes[key] = value

    def open(self, recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Start the tool's span with its arguments, as they are before the tool can change them."""
        bound = self._binder.bind(args, kwargs)
        return open_tool(
            recorder,
            self.name,
            bound,
            {**self._attributes, **self._idempotency(bound)},
            call_id=_call_id(args[0]) if args and (self._skip or is_context(args[0])) else "",
        )

    def _idempotency(self, bound: Mapping[str, Any]) -> dict[str, str]:
        try:
            key = self._key
            if callable(key):
                wanted = {name: value for name, value in bound.items() if name in self._key_names}
                key = key(**wanted) if wanted else key(*bound.values())
            return {names.TOOL_IDEMPOTENCY_KEY: to_text(key, 1_000)} if key else {}
        except Exception as error:
            trouble("the idempotency key of a tool could not be made", error)
            return {}

    def returned(self, call: Call, value: Any) -> None:
        """Record the result and whether it is one."""
        put_result(call, value)

    def yielded(self, call: Call, item: Any) -> None:
        """Keep a piece of the result."""
        keep(call, item)

    def exhausted(self, call: Call, value: Any) -> None:
        """Record the pieces as one result."""
        put_result(call, kept(call, value))

    def failed(self, call: Call, error: BaseException) -> None:
        """Record what was raised."""
        call.set({names.TOOL_OUTCOME: "error"})
        call.fail(error)


def open_tool(
    recorder: Recorder, name: str, arguments: Any, attributes: Mapping[str, Any], *, call_id: str = ""
) -> Call:
    """Start the span of a tool call; its id is found among what the model asked for where it is not given."""
    data = plain(arguments)
    given = plain_text(data)
    told: dict[str, Any] = dict(attributes)
    put_content(told, "gen_ai.tool.call.arguments", given, recorder.settings)
    call = recorder.open("tool", f"execute_tool {name}", told)
    call.inputs = given
    call_id = call_id or recorder.books.granted(call.trace_id, name, lambda: canonical_json(data))
    if call_id:
        call.set({"gen_ai.tool.call.id": call_id})
    return call


def put_result(call: Call, value: Any) -> None:
    """Record what a tool gave, raw, and its outcome."""
    data = plain(value)
    attributes: dict[str, Any] = {}
    if value is not None:
        put_content(attributes, "gen_ai.tool.call.result", plain_text(data), call.recorder.settings)
    reason = failure_in(data) or _failed_object(value)
    attributes[names.TOOL_OUTCOME] = "soft_error" if reason else "ok"
    if reason:
        attributes[names.TOOL_ERROR] = readable(reason)
    call.set(attributes)


def _failed_object(value: Any) -> str:
    """The same rules for an object that is no plain data, such as an HTTP client's response."""
    if type(value) in (str, int, float, bool, dict, list, tuple, type(None)):
        return ""
    marks = {name: mark for name in _RESULT_FIELDS if type(mark := getattr(value, name, None)) in (bool, int)}
    return failure_in(marks)


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def tool(
    *,
    name: str = "",
    effect: Effect | Literal[""] = "",
    idempotency_key: IdempotencyKey = "",
    reversible_by: str = "",
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str = "",
    effect: Effect | Literal[""] = "",
    idempotency_key: IdempotencyKey = "",
    reversible_by: str = "",
) -> Any:
    """Record each call of a function as a tool call.

    Args:
        function: What is wrapped, where the decorator is used without parentheses.
        name: Another name than the function's.
        effect: ``read``, ``write`` (changes what belongs to the program) or ``external`` (a mail, a payment).
        idempotency_key: What makes a repetition harmless: a text, or a function of the tool's arguments by name.
        reversible_by: The tool or command that undoes it.

    Raises:
        BadRequest: there is no such effect.
    """
    check_effect(effect)

    def decorate(target: Any) -> Any:
        plan = ToolPlan(target, name=name, effect=effect, idempotency_key=idempotency_key, reversible_by=reversible_by)
        return _wrapped(target, plan)

    return decorate if function is None else decorate(function)


def wrap_tool(
    target: T,
    *,
    name: str = "",
    effect: Effect | Literal[""] = "",
    idempotency_key: IdempotencyKey = "",
    reversible_by: str = "",
) -> T:
    """Record the calls of a tool that somebody else made.

    Functions and other callables come back wrapped. Tools of LangChain and LangGraph, of pydantic-ai, and client
    sessions of MCP are changed in place and come back as the same object.

    Raises:
        BadRequest: the object is none of these, or there is no such effect.
    """
    check_effect(effect)
    options: dict[str, Any] = {
        "effect": effect,
        "idempotency_key": idempotency_key,
        "reversible_by": reversible_by,
    }
    thing: Any = target
    if inspect.iscoroutinefunction(getattr(thing, "call_tool", None)) and hasattr(thing, "list_tools"):
        _replace(thing, "call_tool", lambda method: wrap(permitted_session(method, effect), _McpPlan(method, options)))
        return target
    named = name or str(getattr(thing, "name", "") or "")
    if hasattr(thing, "function_schema") and callable(getattr(thing, "function", None)):
        _wrap_pydantic_ai(thing, named, options)
        return target
    slots = [slot for slot in ("func", "coroutine") if callable(getattr(thing, slot, None))]
    if not slots and hasattr(thing, "invoke"):
        slots = [slot for slot in ("_run", "_arun") if callable(getattr(thing, slot, None))]
    if slots and not inspect.isroutine(thing):
        for slot in slots:
            _replace(thing, slot, lambda function: _wrapped(function, ToolPlan(function, name=named, **options)))
        return target
    if callable(thing):
        return target if is_wrapped(thing) else _wrapped(thing, ToolPlan(thing, name=named, **options))
    raise BadRequest(
        "this is no tool that can be wrapped",
        got=type(thing).__name__,
        allowed="a callable, a LangChain tool, a pydantic-ai Tool or an MCP ClientSession",
        fix="@pilothouse.tool on the function that does the work",
    )


def _wrapped(function: Any, plan: ToolPlan) -> Any:
    return wrap(played(probed(function, plan.name), plan.name, plan.effect), plan)


def check_effect(effect: str) -> None:
    """Refuse an effect that nobody knows."""
    if effect and effect not in get_args(Effect):
        raise BadRequest("there is no such effect of a tool", got=effect, allowed=list(get_args(Effect)))


def _replace(thing: Any, slot: str, make: Callable[[Any], Any]) -> None:
    inner = getattr(thing, slot)
    if not is_wrapped(inner):
        # Around the checks of pydantic models, which know their fields and no others.
        object.__setattr__(thing, slot, make(inner))


def _wrap_pydantic_ai(thing: Any, name: str, options: dict[str, Any]) -> None:
    skip = int(bool(getattr(thing, "takes_ctx", False)))
    if is_wrapped(thing.function):
        return
    wrapped = _wrapped(thing.function, ToolPlan(thing.function, name=name, skip=skip, **options))
    thing.function = wrapped
    thing.function_schema.function = wrapped


def _call_id(context: Any) -> str:
    """The id of the model's call, as pydantic-ai's context knows it."""
    found = getattr(context, "tool_call_id", "")
    return found if isinstance(found, str) else ""


class _McpPlan(ToolPlan):
    """Records ``call_tool`` of an MCP client session: the tool is the first argument, its arguments the second."""

    def __init__(self, method: Any, options: dict[str, Any]) -> None:
        super().__init__(method, **options)
        self._attributes = {**self._attributes, "gen_ai.tool.type": "extension", "mcp.method.name": "tools/call"}
        self._attributes.pop("gen_ai.tool.description", None)

    def open(self, recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Start the span of the tool that is called."""
        bound = self._binder.bind(args, kwargs)
        name = to_text(bound.get("name", ""), 200)
        given = bound.get("arguments")
        arguments = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        keyed = self._idempotency(arguments)
        return open_tool(recorder, name, arguments, {**self._attributes, **keyed, "gen_ai.tool.name": name})
