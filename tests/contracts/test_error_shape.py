"""Every error has one shape, wherever it comes from:

    {"error": {"kind": …, "message": …, "got": …, "allowed": …, "fix": …}}

``kind`` and ``message`` always; the rest where it is known. HTTP answers it with a status of 400 or more, the command
line writes it to stderr on one line and ends with the exit code of the kind.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from pilothouse import app, records
from pilothouse.records import PilothouseError
from tests.live import LiveServer

KEYS = {"kind", "message", "got", "allowed", "fix"}
KINDS = {
    *("bad_request", "not_found", "not_allowed", "forbidden", "unreachable", "unverified", "refused", "too_large"),
    *(
        "overloaded",
        "disk_full",
        "bug",
        "gate_failed",
        "needs_approval",
        "not_approved",
        "store_error",
        "method_not_allowed",
        "error",
    ),
    *("unsupported_media_type", "too_slow", "disconnected", "backlog_full", "disk_low"),
    # Of calls of models: before one is made, while it is tried, and in the gateway's answers.
    *("over_budget", "gave_up", "guard_blocked", "caller_left"),
    *("upstream_failed", "upstream_unreachable", "upstream_slow", "upstream_broken"),
}
"""The closed list. A new kind is a new word that programs must learn: add it here and to the clients."""


def every_error(kind: type[PilothouseError] = PilothouseError) -> list[type[PilothouseError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in every_error(below))]


def test_every_error_has_a_kind_of_the_list_and_an_exit_code() -> None:
    assert app.__doc__  # imported for all its parts: each may have errors of its own
    for kind in every_error():
        assert kind.kind in KINDS, kind
        assert 1 <= kind.exit_code <= 9
        assert kind.__doc__
        assert kind.http_status >= 400 or kind is records.Unverified


def test_the_tree_at_the_head_of_the_file_names_every_error() -> None:
    drawn = str(records.errors.__doc__)
    for name in records.__all__:
        found = getattr(records, name)
        if isinstance(found, type) and issubclass(found, PilothouseError) and name not in ("Forbidden",):
            assert name in drawn, name


def shape(body: bytes) -> dict[str, Any]:
    answer = json.loads(body)
    assert list(answer) == ["error"]
    error: dict[str, Any] = answer["error"]
    assert set(error) <= KEYS
    assert error["kind"] in KINDS
    message = error["message"]
    assert message
    assert not message.endswith(".")
    assert "Traceback" not in message
    return error


def http(server: LiveServer, method: str, path: str, *, key: str | None = "", body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key or server.key}"
    request = urllib.request.Request(server.url + path, method=method, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/traces?filter=agnt:x", 400),
        ("GET", "/api/v1/traces?limit=0", 400),
        ("GET", "/api/v1/traces?limit=many", 400),
        ("GET", "/api/v1/traces?since=yesterday", 400),
        ("GET", "/api/v1/traces?sort=prettiest", 400),
        ("GET", "/api/v1/traces?cursor=broken", 400),
        ("GET", "/api/v1/traces/zzzz", 404),
        ("GET", "/api/v1/traces/last?as=picture", 400),
        ("GET", "/api/v1/traces/last/spans/999999", 404),
        ("GET", "/api/v1/sql?query=DROP%20TABLE%20span", 400),
        ("GET", "/api/v1/sql?query=SELECT%20nope%20FROM%20spans", 400),
        ("GET", "/api/v1/sql", 400),
        ("POST", "/api/v1/sql", 400),
        ("GET", "/api/v1/nothing-here", 404),
        ("DELETE", "/api/v1/traces", 405),
        ("DELETE", "/api/v1/keys/key_none", 404),
        ("POST", "/api/v1/keys", 400),
    ],
)
def test_http_answers_errors_in_the_one_shape(live_server: LiveServer, method: str, path: str, status: int) -> None:
    body = b'{"mode": "owner"}' if path.endswith("keys") else b"{}" if method == "POST" else None
    got, answer = http(live_server, method, path, body=body)
    assert (got, shape(answer)) == (status, shape(answer))


@pytest.mark.parametrize("key", [None, "wrong", "ph_" + "x" * 40, "ü", "a b"])
def test_who_has_no_key_is_told_so_in_the_one_shape(live_server: LiveServer, key: str | None) -> None:
    header = key.encode().decode("latin-1") if key else key
    got, answer = http(live_server, "GET", "/api/v1/traces", key=header)
    error = shape(answer)
    assert (got, error["kind"]) == (401, "not_allowed")
    assert error["fix"]


def test_a_body_that_is_no_json_is_told_so(live_server: LiveServer) -> None:
    got, answer = http(live_server, "POST", "/api/v1/sql", body=b"SELECT 1")
    assert (got, shape(answer)["kind"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["lss"], 2),
        (["ls", "--nope"], 2),
        (["ls", "agnt:x"], 2),
        (["show", "zzzz"], 3),
        (["sql", "SELECT nope FROM spans"], 2),
        (["keys", "revoke", "key_none"], 3),
    ],
)
def test_the_command_line_writes_errors_in_the_one_shape(live_server: LiveServer, words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words],
        env=live_server.environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.count(b"\n") == 1
    shape(done.stderr)
