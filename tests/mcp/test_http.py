"""What stands in front of ``/mcp``: the key, the origin, and the missing extra."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from pilothouse.mcp import http as endpoint
from tests.live import LiveServer

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def post(server: LiveServer, body: object = HELLO, **headers: str) -> tuple[int, dict[str, object]]:
    """POST to /mcp; headers by name with underscores."""
    given = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{server.url}/mcp", data=json.dumps(body).encode(), headers=given, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def test_a_good_key_is_let_in(mcp_server: LiveServer) -> None:
    for headers in ({"authorization": f"Bearer {mcp_server.key}"}, {"x_api_key": mcp_server.key}):
        status, answer = post(mcp_server, **headers)
        assert status == 200
        assert answer["result"]["serverInfo"]["name"] == "pilothouse"  # type: ignore[index]


@pytest.mark.parametrize("key", ["", "ph_wrong"])
def test_without_a_good_key_nothing_is_answered(mcp_server: LiveServer, key: str) -> None:
    status, answer = post(mcp_server, authorization=f"Bearer {key}")
    assert status == 401
    assert answer["error"]["kind"] == "not_allowed"  # type: ignore[index]


def test_the_page_s_cookie_is_no_key(mcp_server: LiveServer) -> None:
    link = mcp_server.url + mcp_server.post("/api/v1/sign-in-links", {})["data"]["path"]
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(link, timeout=30).read()
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    request = urllib.request.Request(f"{mcp_server.url}/mcp", data=json.dumps(HELLO).encode(), headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(request, timeout=30)
    assert refused.value.code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:6274"}, 200),
        ({"origin": "http://127.0.0.1:4318"}, 200),
        ({"host": "evil.example:4318"}, 403),
        ({"host": "evil.example:4318", "origin": "http://evil.example:4318"}, 403),
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]:1"}, 200),
    ],
)
def test_pages_of_other_sites_and_names_that_lead_here_are_refused(
    mcp_server: LiveServer, headers: dict[str, str], status: int
) -> None:
    got, answer = post(mcp_server, authorization=f"Bearer {mcp_server.key}", **headers)
    assert got == status
    if status == 403:
        assert "allowed_hosts" in answer["error"]["fix"]  # type: ignore[index]


def test_further_names_are_let_in_where_they_are_listed() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    made = endpoint.McpEndpoint(app, lambda token, cookie: None, loopback=True, hosts=["Pilot.example"])  # type: ignore[arg-type]
    assert made._ours("pilot.example")
    assert not made._ours("pilot.example.evil.example")


def test_a_body_beyond_its_bound_is_refused(mcp_server: LiveServer) -> None:
    request = urllib.request.Request(
        f"{mcp_server.url}/mcp",
        data=b'{"x":"' + b"a" * 1_100_000 + b'"}',
        headers={"authorization": f"Bearer {mcp_server.key}", "content-type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 413
