"""A streamed chat has a cost though its caller did not ask for usage, and the caller sees nothing of the question."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from pilothouse.gateway.stream_usage import Stripper, asked, stripped
from pilothouse.testing import ModelServer

from .harness import KEY, Running, running_gateway

openai = pytest.importorskip("openai")

QUESTION = [{"role": "user", "content": "How are you?"}]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(seed=6) as server:
        yield server


@pytest.fixture(scope="module")
def running(model: ModelServer) -> Iterator[Running]:
    upstreams = {"main": {"wire": "openai", "url": model.openai_url, "stream_usage": True}}
    with running_gateway({"upstreams": upstreams}) as gateway:
        yield gateway


def test_usage_is_on_the_trace_and_not_in_the_stream(running: Running) -> None:
    running.forget()
    client = openai.OpenAI(base_url=running.openai_url, api_key=KEY, max_retries=0)
    pieces = list(client.chat.completions.create(model="gpt-4.1-mini", messages=QUESTION, stream=True))
    assert all(piece.choices for piece in pieces)
    assert not any(piece.usage for piece in pieces)
    (reading,) = running.readings()
    assert reading.usage is not None and reading.usage.output_total > 0
    assert reading.output[0].text == "".join(piece.choices[0].delta.content or "" for piece in pieces)


def test_who_asks_gets_it(running: Running) -> None:
    client = openai.OpenAI(base_url=running.openai_url, api_key=KEY, max_retries=0)
    options = {"include_usage": True}
    stream = client.chat.completions.create(
        model="gpt-4.1-mini", messages=QUESTION, stream=True, stream_options=options
    )
    assert list(stream)[-1].usage.total_tokens > 0


def test_the_bytes_are_those_of_a_stream_without_the_question(running: Running, model: ModelServer) -> None:
    body = {"model": "gpt-4.1-mini", "messages": QUESTION, "stream": True}
    headers = {"authorization": f"Bearer {KEY}", "accept-encoding": "gzip"}
    through = httpx.post(f"{running.openai_url}/chat/completions", json=body, headers=headers)
    direct = httpx.post(f"{model.openai_url}/chat/completions", json=body, headers={"authorization": "Bearer x"})

    def kept(text: str) -> set[str]:
        events = [line[6:] for line in text.split("\n") if line.startswith("data: {")]
        return {" ".join(json.loads(event)) for event in events}

    assert kept(through.text) == kept(direct.text)


def test_pieces_cut_anywhere_give_the_same() -> None:
    text = 'he said ,\\"usage\\":null'
    stream = (
        b'data: {"choices":[{"delta":{"content":"' + text.encode() + b'"}}],"usage":null}\n\n'
        b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n\n: note\n\ndata: [DONE]\n\n'
    )
    wanted = b'data: {"choices":[{"delta":{"content":"' + text.encode() + b'"}}]}\n\n: note\n\ndata: [DONE]\n\n'
    assert stripped(stream) == wanted
    for size in (1, 3, 7, 50):
        stripper = Stripper()
        pieces = [stripper.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
        assert b"".join(pieces) + stripper.finish() == wanted


def test_the_rest_of_the_body_is_as_it_was_sent() -> None:
    assert (
        asked(b' {"model" : "m",  "n": 1.0}') == b' {"stream_options":{"include_usage":true},"model" : "m",  "n": 1.0}'
    )
