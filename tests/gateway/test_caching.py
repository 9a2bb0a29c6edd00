"""The response cache with the genuine SDKs: hits whole and streamed, one call for many who ask at once, what is never kept."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from pilothouse.gateway import Answers
from pilothouse.guards import Guards
from pilothouse.store.cache_store import CacheStore, cache_of
from pilothouse.testing import ModelServer

from .chaos import Chaos
from .harness import KEY, UPSTREAM_KEY, Running, running_gateway

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS}}
RULE: dict[str, Any] = {"ttl": "1h"}


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(seed=11, api_key=UPSTREAM_KEY) as server:
        yield server


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with Chaos() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheStore]:
    opened = cache_of("", tmp_path_factory.mktemp("cache"))
    yield opened
    opened.close()


def settings(model: ModelServer, chaos: Chaos, rule: dict[str, Any]) -> dict[str, Any]:
    return {
        "upstreams": {
            "openai": {"wire": "openai", "url": model.openai_url, "key": "env:UPSTREAM_KEY"},
            "chaos": {"wire": "openai", "url": chaos.url},
            "anthropic": {"wire": "anthropic", "url": f"{model.anthropic_url}/v1", "key": "env:UPSTREAM_KEY"},
        },
        "routes": [
            {"model": "gpt-*", "upstream": "openai", "cache": rule},
            {"model": "text-*", "upstream": "openai", "cache": rule},
            {"model": "claude-*", "upstream": "anthropic", "cache": rule},
            {"model": "*", "upstream": "chaos", "cache": rule},
        ],
    }


@pytest.fixture(scope="module")
def running(model: ModelServer, chaos: Chaos, store: CacheStore) -> Iterator[Running]:
    with running_gateway(settings(model, chaos, RULE), answers=Answers(store)) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Running, model: ModelServer, chaos: Chaos) -> Running:
    running.forget()
    running.set(settings(model, chaos, RULE))
    return running


@cache
def _openai_of(url: str):
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)


@cache
def _anthropic_of(url: str):
    return anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)


def client(gateway: Running):
    return _openai_of(gateway.openai_url)


def claude(gateway: Running):
    return _anthropic_of(gateway.anthropic_url)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1-mini", "temperature": 0, "messages": [{"role": "user", "content": text}], **more}


def raw(gateway: Running, body: dict[str, Any], **headers: str) -> tuple[str, bytes]:
    """What the cache did, and the answer's bytes."""
    found = client(gateway).with_raw_response.chat.completions.create(**body, extra_headers=headers)
    return found.headers.get("x-pilothouse-cache", ""), found.http_response.read()


def test_the_same_call_is_answered_byte_for_byte_without_the_model_and_says_what_it_saved(
    gateway: Running, model: ModelServer
) -> None:
    first = raw(gateway, asked("same?"))
    before = len(model.requests)
    second = raw(gateway, asked("same?"))
    assert (first[0], second[0]) == ("miss", "hit")
    assert first[1] == second[1]
    assert len(model.requests) == before
    spans = gateway.raw(2)
    missed, hit = sorted(
        (span.attributes for span in spans), key=lambda found: found["pilothouse.cache.outcome"] == "hit"
    )
    assert hit["gen_ai.usage.input_tokens"] == hit["gen_ai.usage.output_tokens"] == 0
    assert hit["pilothouse.cache.saved_input_tokens"] == missed["gen_ai.usage.input_tokens"] > 0
    assert hit["pilothouse.cache.saved_output_tokens"] == missed["gen_ai.usage.output_tokens"] > 0
    assert hit["pilothouse.cache.saved_usd"] > 0
    assert "pilothouse.cache.saved_usd" not in missed


def test_a_stream_is_replayed_byte_for_byte(gateway: Running) -> None:
    def read() -> tuple[str, bytes]:
        with client(gateway).chat.completions.with_streaming_response.create(**asked("stream?"), stream=True) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            return answer.headers["x-pilothouse-cache"], b"".join(answer.iter_bytes())

    (first, said), (second, again) = read(), read()
    assert (first, second, said) == ("miss", "hit", again)


def test_whole_and_streamed_share_one_answer(gateway: Running, model: ModelServer) -> None:
    whole = client(gateway).chat.completions.create(**asked("both forms?"))
    before = len(model.requests)
    options = {"include_usage": True}
    pieces = list(client(gateway).chat.completions.create(**asked("both forms?"), stream=True, stream_options=options))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == (
        whole.choices[0].message.content
    )
    assert pieces[-1].usage == whole.usage
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "stop"
    list(client(gateway).chat.completions.create(**asked("streamed first?"), stream=True))
    asked_twice = len(model.requests)
    assert asked_twice == before + 1
    text = client(gateway).chat.completions.create(**asked("streamed first?")).choices[0].message.content
    assert text and len(model.requests) == asked_twice


def test_anthropic_messages_and_responses_in_both_forms(gateway: Running, model: ModelServer) -> None:
    call: dict[str, Any] = {
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        # Its newest library has no temperature: who calls says it.
        "extra_headers": {"x-pilothouse-cache": "use"},
        "messages": [{"role": "user", "content": "hello, cache"}],
    }
    whole = claude(gateway).messages.create(**call)
    before = len(model.requests)
    with claude(gateway).messages.stream(**call) as stream:
        again = stream.get_final_message()
    assert again.content[0].text == whole.content[0].text and again.usage.output_tokens == whole.usage.output_tokens
    assert again.stop_reason == whole.stop_reason and len(model.requests) == before
    asking: dict[str, Any] = {"model": "gpt-5-mini", "input": "hello, cache", "temperature": 0, "store": False}
    first = client(gateway).responses.create(**asking)
    before = len(model.requests)
    with client(gateway).responses.stream(**asking) as events:
        final = events.get_final_response()
    assert final.output_text == first.output_text and len(model.requests) == before


def test_embeddings_need_no_temperature(gateway: Running, model: ModelServer) -> None:
    one = client(gateway).embeddings.create(model="text-embedding-3-small", input="a vector")
    before = len(model.requests)
    two = client(gateway).embeddings.create(model="text-embedding-3-small", input="a vector")
    assert one.data[0].embedding == two.data[0].embedding and len(model.requests) == before


@pytest.mark.parametrize(
    "body",
    [asked("warm", temperature=0.7), {name: value for name, value in asked("unsaid").items() if name != "temperature"}],
)
def test_a_call_that_may_be_answered_otherwise_each_time_is_not_kept(gateway: Running, body: dict[str, Any]) -> None:
    assert [raw(gateway, body)[0] for _ in range(2)] == ["bypass", "bypass"]


def test_headers_pass_it_by_and_ask_anew_and_ask_for_it(gateway: Running) -> None:
    name = "x-pilothouse-cache"
    body = asked("headers?")
    seen = [
        raw(gateway, body)[0],
        raw(gateway, body, **{name: "bypass"})[0],
        raw(gateway, body, **{name: "refresh"})[0],
    ]
    warm = asked("headers?", temperature=1)
    seen += [raw(gateway, body)[0], raw(gateway, warm, **{name: "use"})[0], raw(gateway, warm, **{name: "use"})[0]]
    assert seen == ["miss", "bypass", "miss", "hit", "miss", "hit"]


def test_answers_that_call_tools_are_kept_only_where_the_route_says_so(
    gateway: Running, model: ModelServer, chaos: Chaos
) -> None:
    body = asked("What is the weather in Paris?", tools=[TOOL])
    assert [raw(gateway, body)[0] for _ in range(2)] == ["miss", "miss"]
    gateway.set(settings(model, chaos, {**RULE, "tool_calls": True}))
    assert [raw(gateway, body)[0] for _ in range(2)] == ["miss", "hit"]
    streamed = list(client(gateway).chat.completions.create(**body, stream=True))
    calls = [call for piece in streamed for choice in piece.choices for call in choice.delta.tool_calls or []]
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"city": "Paris"}


def test_users_and_tenants_share_as_the_route_says(gateway: Running, model: ModelServer, chaos: Chaos) -> None:
    def outcome(user: str, tenant: str) -> str:
        headers = {"x-pilothouse-user": user, "x-pilothouse-tenant": tenant}
        return raw(gateway, asked("whose?"), **{key: value for key, value in headers.items() if value})[0]

    assert [outcome("ann", "one"), outcome("bob", "one"), outcome("bob", "two")] == ["miss", "hit", "miss"]
    gateway.set(settings(model, chaos, {**RULE, "scope": "user"}))
    assert [outcome("ann", "one"), outcome("bob", "one"), outcome("ann", "one"), outcome("", "one")] == [
        "miss",
        "miss",
        "hit",
        "bypass",
    ]


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        *(("broken", False), ("wrong", False), ("malformed", False), ("half-whole", False), ("half", True)),
        *(("malformed-stream", True), ("error-event", True), ("cut-silently", True)),
        *(("filtered", False), ("declined", False)),
    ],
)
def test_errors_and_half_answers_and_refusals_are_not_kept(
    gateway: Running, chaos: Chaos, name: str, stream: bool
) -> None:
    for _ in range(2):
        before = len(chaos.seen)
        body = json.dumps({**asked("not kept"), "model": name, "stream": stream}).encode()
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.post(
                f"{gateway.openai_url}/chat/completions", content=body, headers={"authorization": f"Bearer {KEY}"}
            )
            assert answer.headers["x-pilothouse-cache"] == "miss"
        gateway.idle()
        assert len(chaos.seen) == before + 1


def test_many_who_ask_at_once_share_one_call(gateway: Running, chaos: Chaos) -> None:
    before = len(chaos.seen)
    body = {**asked("together"), "model": "slow"}
    with ThreadPoolExecutor(12) as threads:
        seen = [future.result() for future in [threads.submit(raw, gateway, body) for _ in range(12)]]
    assert sorted(outcome for outcome, _ in seen) == ["hit"] * 11 + ["miss"]
    assert len({said for _, said in seen}) == 1
    assert len(chaos.seen) == before + 1


def test_who_has_waited_long_enough_asks_itself(gateway: Running, model: ModelServer, chaos: Chaos) -> None:
    gateway.set(settings(model, chaos, {**RULE, "wait_s": 0.05}))
    before = len(chaos.seen)
    body = {**asked("impatient"), "model": "hang"}
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            raw(gateway, body)
        except openai.APIError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(chaos.seen) < before + 3:
        assert time.monotonic() < deadline, "the followers wait for a leader that hangs"
        time.sleep(0.01)
    chaos.drop.set()
    for thread in threads:
        thread.join(20)
    chaos.drop.clear()
    assert len(errors) == 3
    assert gateway.gateway.answers is not None and gateway.gateway.answers.waited_for == 0


def test_the_same_question_in_other_words_is_answered_where_the_route_says_so_and_asked_again(
    gateway: Running, model: ModelServer, chaos: Chaos, store: CacheStore
) -> None:
    first, second, other = "How do I reset my password?", "how can I reset my password", "How do I delete my password?"
    assert [raw(gateway, asked(text))[0] for text in (first, second)] == ["miss", "miss"]
    gateway.set(settings(model, chaos, {**RULE, "semantic": {"recheck": 1.0}}))
    changed = {"seed": 1}
    _, said = raw(gateway, asked(first, **changed))
    gateway.forget()
    before = len(model.requests)
    assert raw(gateway, asked(second, **changed)) == ("hit", said)
    deadline = time.monotonic() + 20
    while not (rows := store.comparisons("prj_tests", since_ns=0, limit=5)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(model.requests) == before + 1, "asked again, once"
    assert (rows[0].asked, rows[0].kept_for) == (second, first)
    assert rows[0].kept_answer in said.decode()
    hit, fresh = sorted(
        (span.attributes for span in gateway.raw(2)), key=lambda found: "pilothouse.gateway.aside" in found
    )
    assert hit["pilothouse.cache.outcome"] == "meaning" and 0.8 <= hit["pilothouse.cache.similarity"] < 1
    assert fresh["pilothouse.gateway.aside"] == "recheck" and fresh["gen_ai.usage.input_tokens"] > 0
    assert raw(gateway, asked(other, **changed))[0] == "miss"


def test_a_models_vectors_are_asked_of_the_upstream_that_is_named(
    gateway: Running, model: ModelServer, chaos: Chaos
) -> None:
    semantic = {"upstream": "openai", "model": "text-embedding-3-small", "threshold": 0.5, "recheck": 0}
    gateway.set(settings(model, chaos, {**RULE, "semantic": semantic}))
    before = len(model.requests)
    assert raw(gateway, asked("What may I bring?", seed=2))[0] == "miss"
    paths = [request.path for request in list(model.requests)[before:]]
    assert paths == ["/v1/embeddings", "/v1/chat/completions"]
    traced = {
        span.attributes["pilothouse.kind"]: span for span in gateway.raw(2) if "pilothouse.kind" in span.attributes
    }
    assert len({span.trace_id for span in traced.values()}) <= 1


def test_a_kept_answer_passes_the_gates_of_today(model: ModelServer, chaos: Chaos, tmp_path: Path) -> None:
    store = cache_of("", tmp_path)
    section: dict[str, Any] = {}
    guards = Guards(lambda: (str(len(section)), section))
    rules: dict[str, Any] = {}
    with running_gateway(settings(model, chaos, RULE), answers=Answers(store), guards=guards, rules=rules) as gateway:
        assert raw(gateway, asked("gates?"))[0] == "miss"
        said = client(gateway).chat.completions.create(**asked("gates?")).choices[0].message.content
        section["output"] = [{"check": "terms", "topics": {"banned": [said.split()[0]]}, "action": "block"}]
        rules["guards"] = section
        with pytest.raises(openai.PermissionDeniedError):
            raw(gateway, asked("gates?"))
    store.close()
