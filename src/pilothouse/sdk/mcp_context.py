"""The trace goes on across MCP: in ``params._meta`` of each request, as SEP-414 and OpenTelemetry's conventions say.

On the client each ``call_tool`` becomes a tool span; on the server each ``tools/call`` becomes a tool span below it. It
works on both generations of the ``mcp`` package. The second writes and reads the context itself, the first does not.
Nothing is imported that the program does not import, and a version that looks different is left as it is.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from pilothouse.records import BadRequest, failure_in, names

from . import recorder as recorders
from .jsons import plain, readable, to_text
from .on_import import when_imported
from .propagation import Continued, extract, inject, wrap_method
from .tool_probe import probed
from .tools import open_tool, put_result
from .wrapping import finish, trouble

if TYPE_CHECKING:
    from .calls import Call

_METHOD: Final = "tools/call"
_SDK_SCOPE: Final = "mcp-python-sdk"
"""The scope of the spans that the package itself writes, from its second generation on."""
TOOL_ERROR: Final = "tool_error"
"""The ``error.type`` that the conventions give to a result with ``isError``."""


def watch_mcp() -> None:
    """Instrument the package as soon as the program imports it."""
    when_imported("mcp.client.session", _client_module)
    when_imported("mcp.shared.session", _session_module)
    when_imported("mcp.shared.jsonrpc_dispatcher", _dispatcher_module)
    when_imported("mcp.server.lowlevel.server", _server_module)


def instrument_mcp(target: Any) -> Any:
    """Instrument one client session or one server, and return it: for programs that do not want every one of them.

    ``pilothouse.init`` does it for all; a second time changes nothing.

    Raises:
        BadRequest: the object is neither.
    """
    inner = getattr(target, "_mcp_server", None) or getattr(target, "_lowlevel_server", None) or target
    if inspect.iscoroutinefunction(getattr(inner, "call_tool", None)) and hasattr(inner, "list_tools"):
        wrap_method(inner, "call_tool", _client_call)
        wrap_method(inner, "send_request", _sending)
    elif isinstance(getattr(inner, "middleware", None), list):
        _add_middleware(inner)
    elif hasattr(inner, "_handle_request"):
        wrap_method(inner, "_handle_request", functools.partial(_serving, bound=True))
    else:
        raise BadRequest(
            "this is neither an MCP client session nor an MCP server",
            got=type(target).__name__,
            allowed="mcp.ClientSession, a low-level Server, FastMCP or MCPServer",
        )
    return target


def _client_module(module: ModuleType) -> None:
    session: Any = module.ClientSession
    wrap_method(session, "call_tool", _client_call)
    # What the server asks of the client (sampling, elicitation) belongs to the tool call that asks.
    wrap_method(session, "_received_request", _answering_old)
    wrap_method(session, "_on_request", _answering)


def _session_module(module: ModuleType) -> None:
    wrap_method(module.BaseSession, "send_request", _sending)


def _dispatcher_module(module: ModuleType) -> None:
    wrap_method(module, "inject_trace_context", _injecting)


def _server_module(module: ModuleType) -> None:
    server: Any = module.Server
    if not wrap_method(server, "_handle_request", _serving):
        wrap_method(server, "__init__", _making_server)


# ------------------------------------------------------------------------------------------------- the client


def _client_call(original: Callable[..., Any]) -> Callable[..., Any]:
    real = probed(original, _tool_of)

    async def call_tool(*args: Any, **kwargs: Any) -> Any:
        name, arguments = _called(args, kwargs)
        outer = _outer_tool(name)
        if outer is not None:
            result = await real(*args, **kwargs)
            _mark(outer, result)
            return result
        call = _open(name, arguments, {"gen_ai.tool.type": "extension"})
        return await _recorded(call, lambda: real(*args, **kwargs))

    return call_tool


def _called(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, Any]:
    # Wrapped on the class the session comes first, wrapped on the object it does not.
    given = [value for value in args if not hasattr(value, "call_tool")]
    name = kwargs.get("name", given[0] if given else "")
    arguments = kwargs.get("arguments", given[1] if len(given) > 1 else None)
    return to_text(name, 200), {} if arguments is None else arguments


def _tool_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return _called(args, kwargs)[0]


def _outer_tool(name: str) -> Any:
    """The current span where it records this very tool call already, as a wrapper's or a framework's tool span does."""
    current: Any = trace.get_current_span()
    attributes = getattr(current, "attributes", None) if current.is_recording() else None
    if not isinstance(attributes, Mapping):
        return None
    known = cast("Mapping[str, Any]", attributes)
    named = known.get("gen_ai.tool.name") or known.get("tool.name") or known.get("traceloop.entity.name")
    return current if named == name else None


def _mark(span: Any, result: Any) -> None:
    """Say on somebody else's tool span that this was MCP, and what the result says of failure."""
    try:
        span.set_attribute("mcp.method.name", _METHOD)
        if reason := failure_in(plain(result)):
            span.set_attributes({names.TOOL_OUTCOME: "soft_error", names.TOOL_ERROR: readable(reason)})
    except Exception as error:
        trouble("an MCP call could not be marked", error)


def _sending(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send_request(*args: Any, **kwargs: Any) -> Any:
        request = kwargs.get("request") or next((value for value in args if not hasattr(value, "send_request")), None)
        try:
            _inject_into(request)
        except Exception as error:
            trouble("the context could not be put into an MCP request", error)
        return await original(*args, **kwargs)

    return send_request


def _inject_into(request: Any) -> None:
    params: Any = getattr(getattr(request, "root", request), "params", None)
    found = inject()
    if params is None or not found or not hasattr(params, "meta"):
        return
    known: Any = params.meta
    if known is None:
        model: Any = getattr(params, "Meta", dict)
        params.meta = model(**found)
    elif isinstance(known, dict):
        params.meta = {**cast("dict[str, Any]", known), **found}
    else:
        params.meta = known.model_copy(update=dict(found))


def _injecting(original: Callable[..., Any]) -> Callable[..., Any]:
    def inject_trace_context(meta: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        result = original(meta, *args, **kwargs)
        inject(meta)
        return result

    return inject_trace_context


def _answering_old(original: Callable[..., Any]) -> Callable[..., Any]:
    async def _received_request(self: Any, responder: Any, *args: Any, **kwargs: Any) -> Any:
        with _sender(getattr(responder, "request_meta", None)):
            return await original(self, responder, *args, **kwargs)

    return _received_request


def _answering(original: Callable[..., Any]) -> Callable[..., Any]:
    async def _on_request(self: Any, dctx: Any, method: str, params: Any, *args: Any, **kwargs: Any) -> Any:
        with _sender(cast("Any", params).get("_meta") if isinstance(params, Mapping) else None):
            return await original(self, dctx, method, params, *args, **kwargs)

    return _on_request


# ------------------------------------------------------------------------------------------------- the server


def _serving(original: Callable[..., Any], *, bound: bool = False) -> Callable[..., Any]:
    """The first generation: a request is handled here, and answered through its responder."""

    async def _handle_request(*args: Any, **kwargs: Any) -> Any:
        given = args if bound else args[1:]
        message = kwargs.get("message", given[0] if given else None)
        request = kwargs.get("req", given[1] if len(given) > 1 else None)
        params = getattr(request, "params", None)
        with _sender(getattr(message, "request_meta", None) or getattr(params, "meta", None)):
            if getattr(request, "method", "") != _METHOD:
                return await original(*args, **kwargs)
            call = _open(
                to_text(getattr(params, "name", ""), 200),
                getattr(params, "arguments", None) or {},
                _server_facts(getattr(message, "request_id", None)),
            )
            answers: list[Any] = []
            _overhear(message, answers)
            return await _recorded(call, lambda: original(*args, **kwargs), lambda _: answers[-1] if answers else None)

    return _handle_request


def _overhear(message: Any, answers: list[Any]) -> None:
    """Keep what is answered, since the handler returns nothing."""
    respond = getattr(message, "respond", None)
    if respond is None:
        return

    async def overheard(response: Any, *args: Any, **kwargs: Any) -> Any:
        answers.append(getattr(response, "root", response))
        return await respond(response, *args, **kwargs)

    message.respond = overheard


def _making_server(original: Callable[..., Any]) -> Callable[..., Any]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            _add_middleware(self)
        except Exception as error:
            trouble("an MCP server could not be instrumented", error)

    return __init__


def _add_middleware(server: Any) -> None:
    if _serve not in server.middleware:
        server.middleware.append(_serve)


async def _serve(ctx: Any, call_next: Callable[[Any], Any]) -> Any:
    """The second generation: a middleware, inside the package's own, that records tool calls."""
    with _sender(getattr(ctx, "meta", None)):
        if getattr(ctx, "method", "") != _METHOD or _sdk_records():
            return await call_next(ctx)
        given: Any = getattr(ctx, "params", None)
        params: Mapping[str, Any] = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {}
        call = _open(
            to_text(params.get("name", ""), 200),
            params.get("arguments") or {},
            _server_facts(getattr(ctx, "request_id", None)),
        )
        return await _recorded(call, lambda: call_next(ctx))


def _sdk_records() -> bool:
    """True where the package's own server span reaches our recorder: one span for one call is enough."""
    recorder = recorders.current()
    current: Any = trace.get_current_span()
    scope = getattr(current, "instrumentation_scope", None)
    return (
        recorder is not None
        and current.is_recording()
        and getattr(scope, "name", "") == _SDK_SCOPE
        and getattr(current, "resource", None) is recorder.provider.resource
    )


def _server_facts(request_id: Any) -> dict[str, Any]:
    return {
        "gen_ai.tool.type": "function",
        **({"jsonrpc.request.id": str(request_id)} if request_id is not None else {}),
    }


# ------------------------------------------------------------------------------------------------- both


def _sender(meta: Any) -> Continued:
    """The sender's context in a request's ``_meta``, which is a mapping or a model with extra fields."""
    if meta is None or isinstance(meta, Mapping):
        return extract(cast("Mapping[str, Any] | None", meta))
    extra = getattr(meta, "model_extra", None)
    return extract(cast("Mapping[str, Any]", extra) if isinstance(extra, Mapping) else None)


def _open(name: str, arguments: Any, attributes: Mapping[str, Any]) -> Call | None:
    recorder = recorders.current()
    if recorder is None:
        return None
    try:
        told = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "mcp.method.name": _METHOD,
            **attributes,
        }
        return open_tool(recorder, name, arguments, told)
    except Exception as error:
        trouble("an MCP call could not be recorded", error)
        return None


async def _recorded(
    call: Call | None, work: Callable[[], Any], result_of: Callable[[Any], Any] = lambda value: value
) -> Any:
    """Await the work with the call's span current; its result or exception is recorded and given on."""
    if call is None:
        return await work()
    call.enter()
    try:
        value = await work()
    except BaseException as error:
        call.leave()
        raised = error
        finish(call, lambda: call.set({names.TOOL_OUTCOME: "error"}), lambda: call.fail(raised))
        raise
    call.leave()
    finish(call, lambda: _put(call, result_of(value)))
    return value


def _put(call: Call, result: Any) -> None:
    code = getattr(result, "code", None)
    if isinstance(code, int) and hasattr(result, "message"):
        # A JSON-RPC error is the answer itself: the first generation does not raise it on the server.
        call.set({names.TOOL_OUTCOME: "error", "error.type": str(code), "rpc.response.status_code": str(code)})
        call.span.set_status(Status(StatusCode.ERROR, to_text(result.message, 2_000)))
        return
    put_result(call, result)
    if failure_in(plain(result)):
        call.set({"error.type": TOOL_ERROR})
