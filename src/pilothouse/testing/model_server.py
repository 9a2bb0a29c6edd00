"""A model server that follows a script: real wire formats, no key, no network, equal answers for equal seeds.

It speaks OpenAI chat completions, responses and embeddings, Anthropic messages and Gemini generateContent, whole and
streamed. Start it in a test, or by hand with `python -m pilothouse.testing.model_server --port 8090`:

    with ModelServer(seed=7) as server:
        client = openai.OpenAI(base_url=server.openai_url, api_key="none")
"""

import argparse
import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from pilothouse.testing.answering import Outcome, ScriptedModel
from pilothouse.testing.embeddings import gemini_embeddings, openai_embeddings
from pilothouse.testing.exchange import ModelRequest, Usage, tokens_of
from pilothouse.testing.jsons import JsonObject, as_object
from pilothouse.testing.local_server import BodyRefused, LocalHandler, LocalServer
from pilothouse.testing.script import DATED_MODELS, Fault, Script
from pilothouse.testing.seeded import identifier, seeded
from pilothouse.testing.wire import ANTHROPIC_MESSAGES, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES, Wire, WireError
from pilothouse.testing.wire.openai_responses import StoredResponses

REQUESTS_MAX = 10_000
GEMINI_CALL = re.compile(
    r"/models/([^/:]+):(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)$"
)
_USUAL_MESSAGES = {
    429: "Rate limit reached for {model}. Please try again later.",
    500: "The server had an error while processing your request.",
    503: "The model is overloaded. Please try again later.",
    529: "Overloaded",
}


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """One request the server got, and the status it answered with."""

    method: str
    path: str
    wire: str
    """Name of the wire format; empty where the call is no generation."""
    headers: Mapping[str, str]
    body: JsonObject
    status: int
    usage: Usage | None = None
    """Tokens of the answer; None where nothing was generated."""


class ModelServer(LocalServer):
    """Serves one script until it is closed.

    `script` is a Script, or the data that `Script.from_data` reads; without one the model improvises. `seed` fixes
    identifiers, texts and delays. With an `api_key`, other keys are answered 401. Port 0 takes a free one.
    """

    def __init__(
        self,
        script: Script | Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        owner = self

        class Handler(_Handler):
            server_state = owner

        super().__init__(Handler, host=host, port=port)
        self.script = script if isinstance(script, Script) else Script.from_data(script or {})
        self.seed = seed
        self.api_key = api_key
        self.sleep = sleep
        self._model = ScriptedModel(self.script, seed=seed)
        self._lock = threading.Lock()
        self._stored = StoredResponses()
        self._requests: deque[RecordedRequest] = deque(maxlen=REQUESTS_MAX)

    def __repr__(self) -> str:
        return f"ModelServer(seed={self.seed}, host={self._host!r}, port={self._port})"

    @property
    def openai_url(self) -> str:
        """Base address for OpenAI clients."""
        return f"{self.address}/v1"

    @property
    def anthropic_url(self) -> str:
        """Base address for Anthropic clients, which add /v1 themselves."""
        return self.address

    @property
    def gemini_url(self) -> str:
        """Base address for Google clients, which add /v1beta themselves."""
        return self.address

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """What was asked so far, oldest first; the oldest of more than 10,000 are forgotten."""
        with self._lock:
            return tuple(self._requests)

    def record(self, request: RecordedRequest) -> None:
        """Remember a request; the handler calls this before it answers."""
        with self._lock:
            self._requests.append(request)

    def outcome(self, request: ModelRequest) -> Outcome:
        """Ask the scripted model."""
        return self._model.outcome(request)

    def expanded(self, body: JsonObject) -> JsonObject:
        """Put the conversation behind `previous_response_id` into the body."""
        with self._lock:
            return self._stored.expanded(body)

    def keep(self, body: JsonObject, response: JsonObject) -> None:
        """Remember a response that a later one may continue."""
        with self._lock:
            self._stored.keep(body, response)


class _Handler(LocalHandler):
    server_state: ClassVar[ModelServer]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        wire = self._wire_of_key()
        if path == "/healthz":
            self.send_json(200, {"status": "ok"})
        elif not self._authorised():
            self._fail(wire, 401, "Incorrect API key provided.", {})
        elif path.rstrip("/").endswith("/models"):
            self._reply(200, _model_list(wire), {})
        elif "/models/" in path:
            self._reply(200, _model_card(wire, path.rpartition("/models/")[2]), {})
        else:
            self._fail(wire, 404, f"no such address: {path}", {})

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path).rstrip("/")
        wire = self._wire_of_key()
        try:
            body = as_object(json.loads(self.read_body()))
        except BodyRefused as error:
            return self._fail(wire, error.status, str(error), {})
        except (ValueError, RecursionError):
            return self._fail(wire, 400, "We could not parse the JSON body of your request.", {})
        if not self._authorised():
            return self._fail(wire, 401, "Incorrect API key provided.", body)
        try:
            return self._route(path, body)
        except WireError as error:
            return self._fail(wire, 400, str(error), body)

    def _route(self, path: str, body: JsonObject) -> None:
        gemini = GEMINI_CALL.search(path)
        if gemini is not None:
            return self._route_gemini(gemini[1], gemini[2], body)
        if path.endswith("/chat/completions"):
            return self._generate(OPENAI_CHAT, body)
        if path.endswith("/responses"):
            return self._generate(OPENAI_RESPONSES, self.server_state.expanded(body))
        if path.endswith("/messages"):
            return self._generate(ANTHROPIC_MESSAGES, body)
        if path.endswith("/messages/count_tokens"):
            request = ANTHROPIC_MESSAGES.read({"max_tokens": 1, **body})
            return self._reply(200, {"input_tokens": tokens_of(len(request.content))}, body)
        if path.endswith("/embeddings"):
            return self._reply(200, openai_embeddings(body), body)
        return self._fail(self._wire_of_key(), 404, f"no such address: {path}", body)

    def _route_gemini(self, model: str, verb: str, body: JsonObject) -> None:
        body = {**body, "model": model, "stream": verb == "streamGenerateContent"}
        if verb == "countTokens":
            request = GEMINI.read(as_object(body.get("generateContentRequest")) | body)
            return self._reply(200, {"totalTokens": tokens_of(len(request.content))}, body)
        if verb in ("embedContent", "batchEmbedContents"):
            return self._reply(200, gemini_embeddings(body, batch=verb == "batchEmbedContents"), body)
        return self._generate(GEMINI, body)

    def _generate(self, wire: Wire, body: JsonObject) -> None:
        state = self.server_state
        request = wire.read(body)
        outcome = state.outcome(request)
        answer = outcome.answer
        if answer is None:
            state.sleep(outcome.delay_s)
            fault = outcome.fault or Fault()
            message = fault.message or _USUAL_MESSAGES.get(fault.status, "The request failed.")
            return self._fail(wire, fault.status, message.replace("{model}", request.model), body, fault.retry_after_s)
        rendered = wire.render(request, answer)
        if wire is OPENAI_RESPONSES:
            state.keep(body, rendered)
        self._record(wire.name, 200, body, answer.usage)
        events = list(wire.stream(request, answer))
        headers = _request_ids(answer.key)
        if not request.stream:
            # A whole answer arrives when its last piece is ready.
            state.sleep(outcome.delay_s + outcome.piece_s * len(events))
            return self.send_json(200, rendered, headers)
        state.sleep(outcome.delay_s)
        if wire is GEMINI and "alt=sse" not in self.path:
            rows = [json.loads(event.removeprefix("data: ")) for event in events]
            return self.send_json(200, rows, headers)
        try:
            self.send_stream(self._paced(wire, events, outcome), headers)
        except _BrokenOff:
            self.break_off()
        return None

    def _paced(self, wire: Wire, events: list[str], outcome: Outcome) -> Iterator[str]:
        limit = outcome.fault.after_pieces if outcome.fault else None
        for number, event in enumerate(events):
            if limit is not None and number >= limit:
                if wire is ANTHROPIC_MESSAGES:
                    yield f"event: error\ndata: {json.dumps(wire.error(529, 'Overloaded'))}\n\n"
                    return
                raise _BrokenOff
            if number and outcome.piece_s:
                self.server_state.sleep(outcome.piece_s)
            yield event

    def _fail(
        self, wire: Wire, status: int, message: str, body: JsonObject, retry_after_s: float | None = None
    ) -> None:
        self._record(wire.name, status, body)
        key = identifier(seeded(self.server_state.seed, self.path, status, message))
        headers = _request_ids(key)
        if retry_after_s is not None:
            headers["Retry-After"] = f"{retry_after_s:g}"
        self.send_json(status, wire.error(status, message), headers)

    def _reply(self, status: int, answer: JsonObject, body: JsonObject) -> None:
        self._record("", status, body)
        self.send_json(status, answer)

    def _record(self, wire: str, status: int, body: JsonObject, usage: Usage | None = None) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server_state.record(
            RecordedRequest(
                method=self.command,
                path=self.path,
                wire=wire,
                headers=headers,
                body=body,
                status=status,
                usage=usage,
            )
        )

    def _wire_of_key(self) -> Wire:
        if "/v1beta" in self.path or "x-goog-api-key" in self.headers:
            return GEMINI
        if "anthropic-version" in self.headers:
            return ANTHROPIC_MESSAGES
        return OPENAI_CHAT

    def _authorised(self) -> bool:
        wanted = self.server_state.api_key
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return wanted is None or wanted in (bearer, self.headers.get("x-api-key"), self.headers.get("x-goog-api-key"))


def _request_ids(key: str) -> dict[str, str]:
    return {"request-id": f"req_{key}", "x-request-id": f"req_{key}"}


class _BrokenOff(Exception):
    """The script breaks the stream here."""


def _model_list(wire: Wire) -> JsonObject:
    cards = [_model_card(wire, name) for name in DATED_MODELS]
    if wire is GEMINI:
        return {"models": cards}
    if wire is ANTHROPIC_MESSAGES:
        return {"data": cards, "has_more": False, "first_id": cards[0]["id"], "last_id": cards[-1]["id"]}
    return {"object": "list", "data": cards}


def _model_card(wire: Wire, name: str) -> JsonObject:
    if wire is GEMINI:
        return {"name": f"models/{name}", "version": "1", "displayName": name, "inputTokenLimit": 1_000_000}
    if wire is ANTHROPIC_MESSAGES:
        return {"type": "model", "id": name, "display_name": name, "created_at": "2025-09-29T00:00:00Z"}
    return {"id": name, "object": "model", "created": 1_715_367_049, "owned_by": "scripted"}


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m pilothouse.testing.model_server", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on; 0 takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="fixes identifiers, texts and delays")
    parser.add_argument("--script", type=Path, help="JSON file with the rules; without it the model improvises")
    options = parser.parse_args(arguments)
    script = Script.from_file(options.script) if options.script else None
    with ModelServer(script, seed=options.seed, host=options.host, port=options.port) as server:
        for name in ("openai_url", "anthropic_url", "gemini_url"):
            sys.stdout.write(f"{name} {getattr(server, name)}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
