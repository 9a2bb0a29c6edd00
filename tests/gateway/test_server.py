"""The gateway of a running server: keys, traces with their cost, a policy that changes, kill -9, and an upstream that hangs."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pilothouse.app import _listen
from pilothouse.testing import ModelServer
from tests.live_server import LiveServer, start_server

from .chaos import Chaos

openai = pytest.importorskip("openai")

SECRET = "sk-upstream-secret-0123456789"
QUESTION = [{"role": "user", "content": "hello?"}]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(seed=3, api_key=SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with Chaos() as upstream:
        yield upstream


def policy(model: ModelServer, chaos: Chaos, *more: str) -> str:
    lines = [
        "gateway:",
        "  upstreams:",
        f"    main: {{wire: openai, url: '{model.openai_url}', key: env:MODEL_KEY}}",
        f"    chaos: {{wire: openai, url: '{chaos.url}'}}",
        "  routes:",
        *more,
        "    - {model: hang, upstream: chaos}",
        "    - {model: 'gpt-*', upstream: main}",
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: ModelServer, chaos: Chaos) -> Iterator[LiveServer]:
    data = tmp_path_factory.mktemp("gateway") / "data"
    data.mkdir()
    (data / "pilothouse.yaml").write_text(policy(model, chaos))
    running = start_server(data, env={"MODEL_KEY": SECRET})
    try:
        yield running
    finally:
        running.stop()


def client(server: LiveServer):
    return openai.OpenAI(base_url=f"{server.url}/gateway/openai/v1", api_key=server.key, max_retries=0)


def ask(server: LiveServer, model: str = "gpt-4.1-mini", **headers: str) -> str:
    answer = client(server).chat.completions.create(model=model, messages=QUESTION, extra_headers=headers)
    return answer.choices[0].message.content


def test_a_call_is_a_trace_with_its_cost_and_who_it_was_for(server: LiveServer) -> None:
    said = ask(server, **{"x-pilothouse-user": "ada", "x-pilothouse-feature": "chat", "x-pilothouse-session": "s1"})
    assert said
    query = "SELECT user_id, feature, session_id, model, toString(cost_usd > 0) FROM spans WHERE user_id = 'ada'"
    deadline = time.monotonic() + 30
    while not (rows := server.sql(query)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert rows == [["ada", "chat", "s1", "gpt-4.1-mini-2025-04-14", "1"]]


def test_a_call_that_the_recorder_saw_too_counts_once(server: LiveServer) -> None:
    program = (
        "import openai, pilothouse, sys\n"
        "pilothouse.init(instrument=False, endpoint=sys.argv[1], key=sys.argv[2])\n"
        "client = openai.OpenAI(base_url=sys.argv[1] + '/gateway/openai/v1', api_key=sys.argv[2], max_retries=0)\n"
        "@pilothouse.agent\n"
        "def twice(question):\n"
        "    with pilothouse.model_call(model='gpt-4.1-mini', messages=question) as call:\n"
        "        headers = pilothouse.inject({})\n"
        "        return call.response(client.chat.completions.create(\n"
        "            model='gpt-4.1-mini', messages=question, extra_headers=headers)).id\n"
        "twice([{'role': 'user', 'content': 'once?'}])\n"
        "pilothouse.shutdown()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, server.url, server.key], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    traces = "SELECT trace_id FROM spans WHERE agent = 'twice'"
    spans = f"SELECT count(), countIf(duplicate_of = '' AND usage_scope != 'aggregate') FROM spans WHERE kind = 'model' AND trace_id IN ({traces})"
    server.wait_for(spans, [[2, 1]], seconds=30)


def test_a_key_that_may_only_read_may_not_call_models(server: LiveServer) -> None:
    status, body = server.post(
        "/api/v1/keys", json.dumps({"name": "reader", "mode": "read"}).encode(), {"content-type": "application/json"}
    )
    assert status in (200, 201), body
    secret = json.loads(body)["data"]["secret"]
    with pytest.raises(openai.PermissionDeniedError, match="may read but not call models"):
        openai.OpenAI(base_url=f"{server.url}/gateway/openai/v1", api_key=secret, max_retries=0).models.list()


def test_a_changed_policy_holds_without_a_restart_and_a_bad_one_changes_nothing(
    server: LiveServer, model: ModelServer, chaos: Chaos
) -> None:
    with pytest.raises(openai.NotFoundError):
        ask(server, "my-model")
    file = server.data / "pilothouse.yaml"
    file.write_text(policy(model, chaos, "    - {model: my-model, upstream: main, send_as: gpt-4.1}"))
    deadline = time.monotonic() + 20
    while True:
        try:
            assert ask(server, "my-model")
            break
        except openai.NotFoundError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    file.write_text(policy(model, chaos, "    - {model: my-model, upstream: nowhere}"))
    time.sleep(1.2)  # the file is looked at once a second
    assert ask(server, "my-model")
    file.write_text(policy(model, chaos))


def test_an_upstream_that_hangs_hurts_neither_pages_nor_ingest(server: LiveServer, chaos: Chaos) -> None:
    with ThreadPoolExecutor(40) as threads:
        hanging = [threads.submit(ask, server, "hang") for _ in range(40)]
        deadline = time.monotonic() + 20
        while sum(b'"hang"' in seen.body for seen in chaos.seen) < 40:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert server.get("/healthz")[0] == 200
        assert server.get("/api/v1/traces")[0] == 200
        assert ask(server)
        assert not any(future.done() for future in hanging)
        chaos.drop.set()
        errors = [future.exception() for future in hanging]
    assert {type(error) for error in errors} == {openai.InternalServerError}


def test_the_sockets_of_the_server_do_not_wait_to_fill_their_packets() -> None:
    listening = _listen("127.0.0.1", 0)
    try:
        # What accepted sockets take over from it: asyncio switches Nagle's algorithm off only for those that say TCP.
        assert listening.proto == socket.IPPROTO_TCP
    finally:
        listening.close()


def test_the_gateways_figures_are_among_the_servers(server: LiveServer) -> None:
    ask(server)
    text = server.get("/metrics")[1].decode()
    assert "pilothouse_gateway_calls_under_way" in text
    assert "pilothouse_gateway_calls_lost_total 0" in text


@pytest.mark.slow
def test_a_call_that_was_answered_is_traced_though_the_server_is_killed(
    tmp_path: Path, model: ModelServer, chaos: Chaos
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pilothouse.yaml").write_text(policy(model, chaos))
    first = start_server(data, env={"MODEL_KEY": SECRET})
    try:
        for number in range(5):
            ask(first, **{"x-pilothouse-user": f"user-{number}"})
        # A trace is written beside the call: what is in the journal stays, and it is there within moments.
        time.sleep(0.5)
    finally:
        first.kill()
    again = start_server(data, key=first.key, env={"MODEL_KEY": SECRET})
    try:
        again.wait_for("SELECT uniq(user_id) FROM spans WHERE startsWith(user_id, 'user-')", [[5]], seconds=30)
    finally:
        again.stop()
    log = data.with_name(data.name + ".log").read_text()
    assert SECRET not in log and first.key not in log


def test_a_server_does_not_start_with_a_policy_that_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pilothouse.yaml").write_text("gateway: {upstreams: {one: {wire: openai, url: 'http://x', key: sk-oops}}}")
    with pytest.raises(AssertionError) as raised:
        start_server(data)
    assert "named, not written down" in str(raised.value)
    assert "oops" not in str(raised.value)
