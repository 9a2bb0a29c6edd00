"""``model_call``: the exact prompt, the raw answer, and what was decided by it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, cast, overload

from pilothouse.records import canonical_json, judge, names, next_actions, prompt_sha256, prompt_text

from . import recorder as recorders
from .arguments import Binder
from .books import Wish
from .code import code_of
from .contents import put_content
from .jsons import plain, plain_text, readable, to_text
from .messages import sent, wire
from .responses import StreamedAnswer, read_answer
from .wrapping import finish, trouble, wrap

if TYPE_CHECKING:
    from .calls import Call
    from .recording import Recorder

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_MESSAGES: Final = ("messages", "input", "contents", "prompt")
_SYSTEM: Final = ("system", "instructions", "system_prompt")
_PARAMETERS: Final = frozenset(
    (
        *("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "seed", "stop"),
        *("stop_sequences", "frequency_penalty", "presence_penalty", "n", "stream", "response_format", "tool_choice"),
        *("parallel_tool_calls", "reasoning_effort", "reasoning", "thinking", "service_tier", "logprobs", "metadata"),
        *("top_logprobs", "logit_bias", "verbosity", "text", "store", "previous_response_id", "stream_options"),
    )
)
"""Arguments of a wrapped function that are parameters of its request."""
_CONVENTIONAL: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
"""Parameters that the GenAI convention names."""


class _Decided:
    """What is kept of a model call until its answer is there."""

    __slots__ = ("answered", "began_ns", "first_ns", "stream", "tools")

    def __init__(self, tools: list[Any]) -> None:
        self.tools = tools
        self.began_ns = time_ns()
        self.first_ns = 0
        self.stream: StreamedAnswer | None = None
        self.answered = False


def open_model_call(recorder: Recorder, request: Mapping[str, Any], parameters: Mapping[str, Any]) -> Call:
    """Start the span of a model call with its exact prompt."""
    model, provider = to_text(request.get("model") or "", 200), str(request.get("provider") or "")
    tools = _list(plain(request.get("tools")))
    given = {name: plain(value) for name, value in parameters.items() if value is not None}
    messages_json = canonical_json(wire(sent(plain(request.get("system")), plain(request.get("messages")))))
    tools_json, parameters_json = canonical_json(tools), canonical_json(given)
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        names.DECISION_PROMPT_SHA256: prompt_sha256(prompt_text(messages_json, tools_json, parameters_json)),
    }
    for key, value in (("gen_ai.request.model", model), ("gen_ai.provider.name", provider)):
        if value:
            attributes[key] = readable(value)
    put_content(attributes, "gen_ai.input.messages", readable(messages_json), recorder.settings)
    if tools:
        put_content(attributes, "gen_ai.tool.definitions", readable(tools_json), recorder.settings)
    if given:
        attributes[names.REQUEST_PARAMETERS] = readable(parameters_json)
        attributes.update(
            {_CONVENTIONAL[name]: value for name, value in given.items() if name in _CONVENTIONAL and _scalar(value)}
        )
    call = recorder.open("model", f"chat {model}".strip(), attributes)
    call.subject = _Decided(tools)
    return call


def put_answer(call: Call, raw: Any) -> None:
    """Record a model's answer: as it came, what it says, and the next action in it."""
    decided: _Decided = call.subject
    if decided.answered:
        return
    decided.answered = True
    data = plain(raw)
    answer = read_answer(data)
    settings = call.recorder.settings
    attributes: dict[str, Any] = dict(answer.usage)
    for key, value in (
        ("gen_ai.response.model", answer.model),
        ("gen_ai.response.id", answer.id),
        ("gen_ai.provider.name", answer.provider or _provider_of(raw)),
    ):
        if value:
            attributes[key] = readable(value)
    if answer.finish_reason:
        attributes["gen_ai.response.finish_reasons"] = [readable(answer.finish_reason)]
    if answer.messages:
        output = readable(canonical_json(wire(answer.messages)))
        put_content(attributes, "gen_ai.output.messages", output, settings)
    put_content(attributes, names.DECISION_RAW, plain_text(data), settings)
    actions = next_actions(answer.messages)
    verdict = judge(actions, decided.tools)
    attributes[names.DECISION_ACTION] = readable(canonical_json(_shown(actions, content=settings.capture_content)))
    attributes[names.DECISION_VALID] = verdict.valid
    if verdict.reason:
        attributes[names.DECISION_INVALID_REASON] = readable(verdict.reason[:1_000])
    if decided.first_ns:
        attributes["gen_ai.response.time_to_first_chunk"] = (decided.first_ns - decided.began_ns) / 1e9
    call.set(attributes)
    wishes = [
        Wish(id=str(action["id"]), tool=str(action["tool"]), arguments=canonical_json(action["arguments"] or {}))
        for action in actions
        if action["type"] == "tool_call" and action["id"]
    ]
    if wishes:
        call.recorder.books.wish(call.trace_id, wishes)


def put_piece(call: Call, item: Any) -> None:
    """Take one piece of a streamed answer."""
    decided: _Decided = call.subject
    if decided.stream is None:
        decided.stream = StreamedAnswer()
        decided.first_ns = time_ns()
    decided.stream.add(item)


def put_stream(call: Call, value: Any = None) -> None:
    """Record the answer that the pieces make, or what a generator returned at its end."""
    decided: _Decided = call.subject
    whole = decided.stream.value() if decided.stream is not None else None
    if whole is not None or value is not None:
        put_answer(call, value if whole is None else whole)


class ModelPlan:
    """Records the calls of a function that asks a model: the request is found among its arguments."""

    follows_streams = True

    def __init__(self, function: Any, request: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._binder = Binder(function)
        self._request = dict(request)
        self._parameters = dict(parameters)
        self._code = code_of(function)

    def open(self, recorder: Recorder, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Start the span with the request."""
        bound = self._binder.bind(args, kwargs)
        found = {
            "messages": next((bound[name] for name in _MESSAGES if bound.get(name) is not None), None),
            "system": next((bound[name] for name in _SYSTEM if bound.get(name) is not None), None),
            **{name: bound.get(name) for name in ("tools", "model", "provider")},
        }
        request = {**{k: v for k, v in found.items() if v is not None}, **self._request}
        if "messages" not in request:
            # A function such as ask(question): its one text is the prompt.
            texts = [value for value in bound.values() if type(value) is str]
            request["messages"] = texts[0] if len(texts) == 1 else None
        parameters = {name: value for name, value in bound.items() if name in _PARAMETERS}
        call = open_model_call(recorder, request, {**parameters, **self._parameters})
        call.set(self._code)
        return call

    def returned(self, call: Call, value: Any) -> None:
        """Record the answer."""
        put_answer(call, value)

    def yielded(self, call: Call, item: Any) -> None:
        """Take one piece."""
        put_piece(call, item)

    def exhausted(self, call: Call, value: Any) -> None:
        """Record the answer that the pieces make."""
        put_stream(call, value)

    def failed(self, call: Call, error: BaseException) -> None:
        """Record what was raised."""
        call.fail(error)


class ModelCall:
    """One call of a model as a ``with`` block, or a decorator for functions that make one.

    In the block, give the answer to :meth:`response`, or read a stream through :meth:`stream` or :meth:`astream`.
    """

    def __init__(self, request: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._request = {name: value for name, value in request.items() if value}
        self._parameters = dict(parameters)
        self._call: Call | None = None

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        return wrap(function, ModelPlan(function, self._request, self._parameters))

    def __enter__(self) -> Self:
        recorder = recorders.current()
        if recorder is not None:
            try:
                self._call = open_model_call(recorder, self._request, self._parameters)
                self._call.enter()
            except Exception as error:
                trouble("a model call could not be recorded", error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        call, self._call = self._call, None
        if call is None:
            return
        call.leave()
        if error is None:
            finish(call, lambda: put_stream(call))
        else:
            finish(call, lambda: put_stream(call), lambda: call.fail(error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, where)

    def response(self, raw: T) -> T:
        """Record the answer, and give it back."""
        self._do(put_answer, raw)
        return raw

    def stream(self, pieces: Iterable[T]) -> Iterator[T]:
        """The pieces of a streamed answer, recorded as they pass."""
        for piece in pieces:
            self._do(put_piece, piece)
            yield piece

    async def astream(self, pieces: AsyncIterable[T]) -> AsyncIterator[T]:
        """The same for an asynchronous stream."""
        async for piece in pieces:
            self._do(put_piece, piece)
            yield piece

    def _do(self, record: Callable[[Call, Any], None], value: Any) -> None:
        if self._call is None:
            return
        try:
            record(self._call, value)
        except Exception as error:
            trouble("an answer could not be recorded", error)


@overload
def model_call(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def model_call(
    *,
    model: str = "",
    provider: str = "",
    messages: Any = None,
    system: Any = None,
    tools: Any = None,
    **parameters: Any,
) -> ModelCall: ...
def model_call(
    function: Any = None,
    /,
    *,
    model: str = "",
    provider: str = "",
    messages: Any = None,
    system: Any = None,
    tools: Any = None,
    **parameters: Any,
) -> Any:
    """Record a call of a model: as a decorator of the function that makes it, or as a ``with`` block.

    A function's arguments named ``messages`` (or ``input``, ``contents``, ``prompt``), ``system``, ``tools``, ``model``
    and the usual parameters are the request; what it returns or streams is the answer. Instrumentors of model libraries
    are quiet inside: a call is recorded once.
    """
    request = {"model": model, "provider": provider, "messages": messages, "system": system, "tools": tools}
    made = ModelCall(request, parameters)
    return made if function is None else made(function)


def _shown(actions: list[dict[str, Any]], *, content: bool) -> Any:
    """The actions as they are put on the span: an answer's words stand there already."""
    told: list[dict[str, Any]] = []
    for action in actions:
        keys = ("type", "tool", "arguments", "id") if content else ("type", "tool", "id")
        told.append({key: action[key] for key in keys if key in action and action[key] != ""})
    return told[0] if len(told) == 1 else told


def _provider_of(raw: Any) -> str:
    module = type(raw).__module__.partition(".")[0]
    return module if module in ("openai", "anthropic") else ""


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _scalar(value: Any) -> bool:
    return type(value) in (int, float, bool, str)
