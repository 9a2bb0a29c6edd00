"""Upstreams that fail in every way they do: what the caller is told, what the trace says, and that others are not hurt."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import httpx
import pytest

from .chaos import COMPLETION, Chaos
from .harness import KEY, UPSTREAM_KEY, Running, running_gateway

openai = pytest.importorskip("openai")

QUESTION = [{"role": "user", "content": "hello?"}]
HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with Chaos() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with running_gateway({}, {"SECOND_KEY": "sk-second"}) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Running, chaos: Chaos) -> Running:
    upstream = {"wire": "openai", "url": chaos.url, "key": "env:UPSTREAM_KEY", "answer_s": 1.0, "idle_s": 1.0}
    running.set({"upstreams": {"chaos": upstream}})
    running.forget()
    chaos.seen.clear()
    chaos.closed_by_gateway.clear()
    chaos.drop.clear()
    return running


HTTP = httpx.Client(limits=httpx.Limits(max_connections=100), timeout=60)
"""One for all: each new one reads the machine's certificates."""


@cache
def client_of(url: str):
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)


def client(gateway: Running):
    return client_of(gateway.openai_url)


def ask(gateway: Running, model: str, **options):
    return client(gateway).chat.completions.create(model=model, messages=QUESTION, **options)


def post(gateway: Running, body: dict | bytes, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HTTP.post(f"{gateway.openai_url}/chat/completions", content=content, headers={**HEADERS, **headers})


def test_the_body_is_sent_byte_for_byte_and_the_answer_comes_back_so(gateway: Running, chaos: Chaos) -> None:
    body = '{ "messages" :[{"role":"user","content":"caf\\u00e9 é"}],\n "x_new_field": 1.50e0, "model":"good"}'.encode()
    answer = post(gateway, body)
    assert chaos.seen[-1].body == body
    assert answer.content == json.dumps(COMPLETION).encode()


def test_a_route_changes_the_models_name_and_no_other_byte(gateway: Running, chaos: Chaos) -> None:
    gateway.settings["routes"] = [
        {"model": "fast-*", "upstream": "chaos", "send_as": "good"},
        {"model": "*", "upstream": "chaos"},
    ]
    body = b'{"metadata": {"model": "keep"}, "model" :  "fast-1", "tools": ["\\"model\\": \\"x\\""], "n": 1.0}'
    assert post(gateway, body).status_code == 200
    assert chaos.seen[-1].body == body.replace(b'"fast-1"', b'"good"')
    (raw,) = gateway.raw()
    assert raw.attributes["gen_ai.request.model"] == "good"
    assert raw.attributes["pilothouse.gateway.asked_model"] == "fast-1"


def test_a_model_without_a_route_is_refused_by_name(gateway: Running, chaos: Chaos) -> None:
    gateway.settings["routes"] = [{"model": "gpt-*", "upstream": "chaos"}]
    with pytest.raises(openai.NotFoundError, match="no route takes the model 'good'"):
        ask(gateway, "good")
    assert not chaos.seen


def test_connections_are_kept_and_one_that_was_closed_is_replaced_unseen(gateway: Running, chaos: Chaos) -> None:
    before = chaos.connections
    for _ in range(3):
        ask(gateway, "good")
    assert chaos.connections - before <= 1
    for _ in range(3):
        assert ask(gateway, "closing").choices[0].message.content == "hello"
    assert [reading.error_type for reading in gateway.readings(6)] == [""] * 6


@pytest.mark.parametrize(("model", "wait"), [("limited", "7"), ("limited-silent", None)])
def test_a_rate_limit_reaches_the_caller_with_its_waiting_time(gateway: Running, model: str, wait: str | None) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        ask(gateway, model)
    assert raised.value.response.headers.get("retry-after") == wait
    (reading,) = gateway.readings()
    assert (reading.error_type, reading.error_message) == ("requests", "Rate limit reached")


def test_an_error_of_the_provider_is_passed_on_and_traced(gateway: Running) -> None:
    with pytest.raises(openai.InternalServerError, match="The server had an error"):
        ask(gateway, "broken")
    (raw,), (reading,) = gateway.raw(), gateway.readings()
    assert (raw.status_code, raw.attributes["http.response.status_code"]) == (2, 500)
    assert reading.error_type == "server_error"


def test_an_upstream_that_hangs_is_given_up_and_its_connection_closed(gateway: Running, chaos: Chaos) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        ask(gateway, "hang")
    assert raised.value.status_code == 504
    assert chaos.closed_by_gateway.wait(10)
    (reading,) = gateway.readings()
    assert reading.error_type == "upstream_slow"


def test_a_stream_that_breaks_off_ends_in_an_error_and_what_came_is_traced(gateway: Running) -> None:
    texts = []
    with pytest.raises(openai.APIError, match="broke its answer off"):
        for piece in ask(gateway, "half", stream=True):
            texts.append(piece.choices[0].delta.content)
    assert texts == ["one ", "two "]
    (reading,) = gateway.readings()
    assert reading.output[0].text == "one two "
    assert reading.error_type == "upstream_broken"


def test_a_whole_answer_that_breaks_off_is_noticed(gateway: Running) -> None:
    with pytest.raises(openai.APIConnectionError):
        ask(gateway, "half-whole")
    (reading,) = gateway.readings()
    assert reading.error_type == "upstream_broken"


def test_an_answer_that_is_no_json_is_passed_on_and_named_in_the_trace(gateway: Running) -> None:
    answer = post(gateway, {"model": "malformed", "messages": QUESTION})
    assert (answer.status_code, answer.content) == (200, b'{"id": "chatcmpl-1", "choices": [')
    (reading,) = gateway.readings()
    assert reading.error_type == "malformed_answer"


def test_a_malformed_event_does_not_cost_the_rest_of_the_trace(gateway: Running) -> None:
    answer = post(gateway, {"model": "malformed-stream", "messages": QUESTION, "stream": True})
    assert b"{not json" in answer.content
    (reading,) = gateway.readings()
    assert (reading.error_type, reading.output[0].text) == ("malformed_answer", "one ")


def test_something_that_is_no_http_server(gateway: Running) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        ask(gateway, "not-http")
    assert raised.value.status_code == 502


def test_a_slow_first_token_is_passed_on_as_soon_as_it_comes(gateway: Running) -> None:
    began = time.monotonic()
    arrived = [time.monotonic() - began for _ in ask(gateway, "slow-first", stream=True)]
    assert arrived[0] >= 0.35
    (reading,) = gateway.readings()
    assert reading.ttft_ns is not None and reading.ttft_ns >= 350_000_000
    assert reading.output[0].text == "late but here"


def test_the_first_piece_is_not_kept_back_until_the_last(gateway: Running, chaos: Chaos) -> None:
    stream = ask(gateway, "pause", stream=True)
    assert next(iter(stream)).choices[0].delta.content == "one "
    # The upstream still holds its answer open: it has neither ended nor been given up.
    assert not chaos.closed_by_gateway.is_set()
    stream.close()
    assert chaos.closed_by_gateway.wait(10), "a caller that leaves ends the upstream's work too"
    (raw,) = gateway.raw()
    assert raw.attributes["pilothouse.stream.closed_early"] is True
    assert raw.status_code != 2


def test_a_stream_that_pauses_for_too_long_ends_in_an_error(gateway: Running) -> None:
    with pytest.raises(openai.APIError, match="paused within its answer"):
        list(ask(gateway, "pause", stream=True))
    (reading,) = gateway.readings()
    assert (reading.error_type, reading.output[0].text) == ("upstream_slow", "one ")


def test_an_error_within_a_stream_is_an_error_of_the_trace(gateway: Running) -> None:
    with pytest.raises(openai.APIError, match="overloaded just now"):
        list(ask(gateway, "error-event", stream=True))
    (reading,) = gateway.readings()
    assert (reading.error_type, reading.error_message) == ("overloaded", "overloaded just now")


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "http://127.0.0.1:9/v1"])
def test_an_address_that_leads_nowhere(gateway: Running, url: str) -> None:
    gateway.set({"upstreams": {"gone": {"wire": "openai", "url": url}}})
    with pytest.raises(openai.APIStatusError, match="no connection to") as raised:
        ask(gateway, "good")
    assert raised.value.status_code == 502
    (reading,) = gateway.readings()
    assert reading.error_type == "upstream_unreachable"


def test_of_several_addresses_a_dead_one_is_passed_over(gateway: Running, chaos: Chaos) -> None:
    gateway.set({"upstreams": {"two": {"wire": "openai", "urls": ["http://127.0.0.1:9/v1", chaos.url]}}})
    for _ in range(4):
        assert ask(gateway, "good").choices[0].message.content == "hello"
    raws = gateway.raw(4)
    assert sum(raw.attributes.get("pilothouse.gateway.attempts", 1) for raw in raws) <= 6, "the dead one rests"


def test_of_several_keys_one_that_is_limited_is_passed_over(gateway: Running, chaos: Chaos) -> None:
    upstream = {"wire": "openai", "url": chaos.url, "keys": ["env:UPSTREAM_KEY", "env:SECOND_KEY"]}
    gateway.set({"upstreams": {"keyed": upstream}})
    for _ in range(4):
        assert ask(gateway, "one-key").choices[0].message.content == "hello"
    assert len(chaos.seen) <= 5, "the one that is limited rests for as long as it said"


def test_our_key_comes_back_in_no_error_log_or_trace(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    answers = [post(gateway, {"model": model, "messages": QUESTION}) for model in ("leak", "refused", "hang")]
    assert [answer.status_code for answer in answers] == [400, 502, 504]
    assert b"[upstream key]" in answers[0].content
    assert b"refused the gateway's own key" in answers[1].content
    gateway.raw(3)
    told = b"".join(answer.content + repr(answer.headers).encode() for answer in answers)
    told += b"".join(body for _, body in gateway.bodies) + caplog.text.encode()
    assert UPSTREAM_KEY.encode() not in told and KEY.encode() not in told
    assert UPSTREAM_KEY not in repr(gateway.gateway.rules)


def test_a_compressed_answer_passes_as_it_is_and_is_read_into_the_trace(gateway: Running) -> None:
    assert ask(gateway, "gzip").choices[0].message.content == "hello"
    (reading,) = gateway.readings()
    assert reading.output[0].text == "hello"


def test_an_answer_that_ends_with_its_connection(gateway: Running) -> None:
    assert ask(gateway, "until-close").choices[0].message.content == "hello"
    (reading,) = gateway.readings()
    assert not reading.error_type


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"[1]", "no JSON object"),
        (b"{}", "names no model"),
        (b'{"model": 5}', "names no model"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_body_that_is_no_request_is_refused_and_goes_nowhere(
    gateway: Running, chaos: Chaos, body: bytes, says: str
) -> None:
    answer = post(gateway, body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert not chaos.seen


def test_a_body_that_is_too_large_is_refused_before_it_is_read(gateway: Running) -> None:
    answer = post(gateway, b'{"model": "good", "x": "' + b"x" * (33 << 20))
    assert answer.status_code == 413


def test_a_hundred_calls_that_hang_do_not_delay_others_or_take_more_than_their_share(
    gateway: Running, chaos: Chaos
) -> None:
    hanging = {"wire": "openai", "url": chaos.url, "calls_max": 50}
    good = {"wire": "openai", "url": chaos.url}
    routes = [{"model": "hang", "upstream": "hanging"}, {"model": "*", "upstream": "good"}]
    gateway.set({"upstreams": {"hanging": hanging, "good": good}, "routes": routes})
    with ThreadPoolExecutor(60) as threads:
        asked = [threads.submit(post, gateway, {"model": "hang", "messages": QUESTION}) for _ in range(60)]
        deadline = time.monotonic() + 30
        while gateway.gateway.under_way.get("hanging", 0) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        answered = [ask(gateway, "good").choices[0].message.content for _ in range(10)]
        still = gateway.gateway.under_way["hanging"]
        chaos.drop.set()
        statuses = sorted(future.result().status_code for future in asked)
    assert answered == ["hello"] * 10
    assert still == 50, "the good calls were answered while the others hung"
    assert statuses == [429] * 10 + [502] * 50


def test_a_reader_that_does_not_read_stops_the_upstream_instead_of_filling_the_memory(
    gateway: Running, chaos: Chaos
) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "endless", "messages": QUESTION, "stream": True}).encode()
    with socket.create_connection((host, int(port))) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        head = f"POST /gateway/openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        reader.sendall(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        assert reader.recv(100).startswith(b"HTTP/1.1 200")
        sizes = [0]
        while len(sizes) < 20 or sizes[-1] != sizes[-20]:
            assert sizes[-1] < 50_000_000, "everything is taken, though nobody reads"
            time.sleep(0.02)
            sizes.append(chaos.endless_bytes)
    assert chaos.closed_by_gateway.wait(10)
