"""The response cache of a real server: what it saved over HTTP and on the command line, kill -9, and emptying it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pilothouse.testing import ModelServer
from tests.live_server import LiveServer, start_server


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(seed=2) as server:
        yield server


def policy(model: ModelServer) -> str:
    return (
        "gateway:\n"
        f"  upstreams: {{main: {{wire: openai, url: '{model.openai_url}', key: env:SOME_KEY}}}}\n"
        "  routes: [{model: 'gpt-*', upstream: main, cache: {ttl: 1h}}]\n"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("cache") / "data"
    folder.mkdir()
    (folder / "pilothouse.yaml").write_text(policy(model))
    running = start_server(folder, env={"SOME_KEY": "k"})
    try:
        yield running
    finally:
        running.stop()


def ask(server: LiveServer, text: str, user: str = "") -> tuple[str, bytes]:
    body = {"model": "gpt-4.1-mini", "temperature": 0, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {server.key}", "x-pilothouse-user": user}
    said = httpx.post(f"{server.url}/gateway/openai/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert said.status_code == 200, said.text
    return said.headers["x-pilothouse-cache"], said.content


def shown(server: LiveServer) -> dict[str, Any]:
    return json.loads(server.get("/api/v1/cache")[1])["data"]


def cli(server: LiveServer, *words: str) -> Any:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}
    clean |= {"PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": server.key, "PILOTHOUSE_MODE": "write"}
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words],
        capture_output=True,
        text=True,
        env=clean,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)["data"]


def kept_soon(server: LiveServer) -> dict[str, Any]:
    """The route's figures, once its answer is kept and its hits are counted."""
    deadline = time.monotonic() + 20
    while not (routes := [one for one in shown(server)["routes"] if one["hits"] and one["answers"]]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return routes[0]


def test_hits_cost_nothing_and_what_they_saved_is_told(server: LiveServer, model: ModelServer) -> None:
    outcome, said = ask(server, "are you there?")
    before = len(model.requests)
    assert outcome == "miss"
    assert ask(server, "are you there?", "ada") == ("hit", said)
    assert len(model.requests) == before
    server.wait_for(
        "SELECT toString(cost_usd), toString(output_tokens) FROM spans WHERE user_id = 'ada'", [["0", "0"]], seconds=30
    )
    route = kept_soon(server)
    assert (route["route"], route["answers"], route["hits"], route["calls"]) == ("gpt-*", 1, 1, 2)
    assert float(route["saved_usd"]) > 0 and route["saved_tokens"] > 0
    assert cli(server, "cache", "show")["routes"][0]["answers"] == 1
    gateway = cli(server, "gateway")
    assert [one["name"] for one in gateway["upstreams"]] == ["main"]
    assert gateway["upstreams"][0]["keys"] == [{"source": "env:SOME_KEY", "rests_s": 0.0}]
    assert gateway["routes"][0]["cache"] == "3600 s, tenant, temperature_0"
    assert cli(server, "cache", "clear", "--route", "other")["answers"] == 0
    assert cli(server, "cache", "clear")["answers"] == 1
    assert ask(server, "are you there?")[0] == "miss"


@pytest.mark.slow
def test_what_is_kept_outlives_a_server_that_is_killed(tmp_path: Path, model: ModelServer) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pilothouse.yaml").write_text(policy(model))
    first = start_server(data, env={"SOME_KEY": "k"})
    try:
        said = ask(first, "are you there?")[1]
        ask(first, "are you there?")
        kept_soon(first)
    finally:
        first.kill()
    again = start_server(data, key=first.key, env={"SOME_KEY": "k"})
    try:
        assert ask(again, "are you there?") == ("hit", said)
    finally:
        again.stop()
