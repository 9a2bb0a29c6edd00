"""The trace goes on across A2A: in the HTTP headers (gRPC metadata) of each message, and in the message's metadata.

The client records each sent message as a call of a remote agent. On the server nothing is recorded: what the agent
records there hangs below the caller's span. It works on the genuine ``a2a-sdk``; a version that looks different is left
as it is. For anything else that speaks A2A: ``pilothouse.inject(headers)`` and ``pilothouse.extract(headers)``.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from pilothouse.records import canonical_json, text_message, wire_message

from .contents import put_content
from .context import attach, detach
from .jsons import readable, to_text
from .on_import import when_imported
from .propagation import Continued, extract, inject, wrap_method
from .wrapping import trouble, wrap

if TYPE_CHECKING:
    from .calls import Call
    from .recording import Recorder

_TEXTS_MAX: Final = 200
_HANDLERS: Final = {
    "a2a.server.request_handlers.default_request_handler": ("DefaultRequestHandler", "LegacyRequestHandler"),
    "a2a.server.request_handlers.default_request_handler_v2": ("DefaultRequestHandlerV2",),
}


def watch_a2a() -> None:
    """Instrument the package as soon as the program imports it."""
    when_imported("a2a.client.base_client", _client_module)
    for name in _HANDLERS:
        when_imported(name, _handler_module)


def _client_module(module: ModuleType) -> None:
    wrap_method(module.BaseClient, "send_message", _sending)


def _handler_module(module: ModuleType) -> None:
    for name in _HANDLERS[module.__name__]:
        handler = getattr(module, name, None)
        if handler is not None:
            wrap_method(handler, "on_message_send", _receiving)
            wrap_method(handler, "on_message_send_stream", _streaming)


# ------------------------------------------------------------------------------------------------- the client


class _SendPlan:
    """Records a message that is sent to another agent, and what comes back."""

    follows_streams = False

    def open(self, recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Start the span with the agent's name and the words of the message."""
        client = args[0]
        request: Any = args[1] if len(args) > 1 else kwargs.get("request")
        name = to_text(getattr(getattr(client, "_card", None), "name", "") or "remote agent", 200)
        message = getattr(request, "message", request)
        attributes: dict[str, Any] = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
        if context_id := getattr(message, "context_id", ""):
            attributes["gen_ai.conversation.id"] = to_text(context_id, 200)
        _put_words(attributes, "gen_ai.input.messages", "user", _texts(message), recorder)
        return recorder.open("agent", f"invoke_agent {name}", attributes)

    def returned(self, call: Call, value: Any) -> None:
        """Nothing is returned: a message is answered by a stream of events."""

    def yielded(self, call: Call, item: Any) -> None:
        """Keep the words of an event, each once."""
        call.subject = list(dict.fromkeys([*(call.subject or ()), *_words(item)]))[-_TEXTS_MAX:]

    def exhausted(self, call: Call, value: Any) -> None:
        """Record the answer."""
        attributes: dict[str, Any] = {}
        _put_words(attributes, "gen_ai.output.messages", "assistant", call.subject or (), call.recorder)
        call.set(attributes)

    def failed(self, call: Call, error: BaseException) -> None:
        """Record what was raised."""
        call.fail(error)


def _sending(original: Callable[..., AsyncGenerator[Any]]) -> Callable[..., AsyncGenerator[Any]]:
    async def send_message(self: Any, request: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        try:
            request, kwargs = _carrying(original, request, kwargs)
        except Exception as error:
            trouble("the context could not be put into an A2A message", error)
        async for event in original(self, request, *args, **kwargs):
            yield event

    return wrap(send_message, _SendPlan())


def _carrying(original: Any, request: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The request and the arguments with the current context in them; what the caller gave is not changed."""
    fields = dict(inject())
    if not fields:
        return request, kwargs
    # Made by the class of the SDK that is in use, as its own module knows it.
    given: Any = kwargs.get("context")
    context: Any = original.__globals__["ClientCallContext"]() if given is None else given.model_copy()
    if hasattr(context, "service_parameters"):
        context.service_parameters = {**(context.service_parameters or {}), **fields}
    else:
        http: dict[str, Any] = dict(context.state.get("http_kwargs") or {})
        http["headers"] = {**(http.get("headers") or {}), **fields}
        context.state = {**context.state, "http_kwargs": http}
    request = copy.deepcopy(request)
    message: Any = getattr(request, "message", request)
    known: Any = message.metadata
    if known is None:
        message.metadata = fields
    else:
        known.update(fields)
    return request, {**kwargs, "context": context}


def _words(event: Any) -> list[str]:
    """The words of an event: of a message, of a task's artifacts or else its status, of an update."""
    found: list[str] = []
    for piece in cast("tuple[Any, ...]", event) if isinstance(event, tuple) else (event,):
        task = _field(piece, "task") or (piece if hasattr(piece, "artifacts") else None)
        for artifact in getattr(task, "artifacts", None) or ():
            found += _texts(artifact)
        status = getattr(task, "status", None) or getattr(_field(piece, "status_update"), "status", None)
        if not found and status is not None:
            found += _texts(_field(status, "message"))
        found += _texts(getattr(_field(piece, "artifact_update"), "artifact", None))
        found += _texts(_field(piece, "message") or piece)
    return found


def _field(value: Any, name: str) -> Any:
    """A field that is set: protobuf messages answer with an empty one where it is not."""
    found = getattr(value, name, None)
    has = getattr(value, "HasField", None)
    if found is None or has is None:
        return found
    try:
        return found if has(name) else None
    except ValueError:
        return found


def _texts(message: Any) -> list[str]:
    """The text parts of a message or an artifact, whichever generation of the SDK it comes from."""
    found: list[str] = []
    for part in getattr(message, "parts", None) or ():
        text = getattr(getattr(part, "root", part), "text", "")
        if isinstance(text, str) and text:
            found.append(text)
    return found


def _put_words(attributes: dict[str, Any], key: str, role: str, words: Sequence[str], recorder: Recorder) -> None:
    if words:
        message = text_message(role, readable("\n".join(words)))
        put_content(attributes, key, canonical_json([wire_message(role, message.parts)]), recorder.settings)


# ------------------------------------------------------------------------------------------------- the server


def _receiving(original: Callable[..., Any]) -> Callable[..., Any]:
    async def on_message_send(self: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        with _sender(params, args, kwargs):
            return await original(self, params, *args, **kwargs)

    return on_message_send


def _streaming(original: Callable[..., AsyncGenerator[Any]]) -> Callable[..., AsyncGenerator[Any]]:
    async def on_message_send_stream(self: Any, params: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        context = _sender(params, args, kwargs).context
        steps = original(self, params, *args, **kwargs)
        try:
            while True:
                # Current while the handler works, and not while its reader does.
                token = attach(context) if context is not None else None
                try:
                    event = await anext(steps)
                except StopAsyncIteration:
                    return
                finally:
                    if token is not None:
                        detach(token)
                yield event
        finally:
            await steps.aclose()

    return on_message_send_stream


def _sender(params: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Continued:
    """The caller's context: in the message, which gateways pass on unchanged, else in the headers."""
    try:
        metadata: Any = getattr(getattr(params, "message", None), "metadata", None)
        found = extract(dict(metadata.items())) if metadata else extract(None)
        if found.context is not None:
            return found
        context: Any = kwargs.get("context", args[0] if args else None)
        return extract(context.state.get("headers")) if context is not None else found
    except Exception as error:
        trouble("the context of an A2A message could not be read", error)
        return extract(None)
