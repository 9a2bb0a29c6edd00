"""What happens on the wire: which server is asked, with which key, and what its failures become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Cli
from .stub import Answer, Stub


def write_runtime(data: Path, url: str, token: str) -> None:
    data.mkdir(parents=True, exist_ok=True)
    (data / "server.json").write_text(json.dumps({"url": url, "token": token, "pid": 1}))


def test_the_key_and_the_parameters_are_sent(cli: Cli, stub: Stub) -> None:
    assert cli("ls", "status:error", "-tag:test", "cost>0.1", "--since", "24h").code == 0
    method, path, headers, _ = stub.requests[0]
    assert (method, headers["authorization"]) == ("GET", "Bearer ph_test")
    assert path == "/api/v1/traces?filter=status%3Aerror+cost%3E0.1+-tag%3Atest&since=24h&sort=newest&limit=20"


def test_an_address_may_have_a_path(cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_URL", stub.url + "/tools/pilothouse/")
    cli("stats")
    assert stub.requests[0][1] == "/tools/pilothouse/api/v1/stats"


def test_ids_are_one_segment_of_the_path(cli: Cli, stub: Stub) -> None:
    stub.answers["/api/v1/traces/..%2F..%2Fkeys%3Fa%23b%20c"] = Answer(body={"steps": []})
    assert cli("show", "../../keys?a#b c").code == 0
    assert stub.requests[0][1].startswith("/api/v1/traces/..%2F..%2Fkeys%3Fa%23b%20c?as=preview")


def test_a_server_of_this_machine_is_found_by_its_runtime_file(
    cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PILOTHOUSE_URL")
    monkeypatch.delenv("PILOTHOUSE_API_KEY")
    write_runtime(tmp_path / "data", stub.url, "phl_local")
    assert cli("ls").code == 0
    assert stub.requests[0][2]["authorization"] == "Bearer phl_local"


def test_the_local_token_never_goes_to_another_address(
    cli: Cli, stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PILOTHOUSE_API_KEY")
    write_runtime(tmp_path / "data", "http://127.0.0.1:9", "phl_local")
    result = cli("ls")
    assert (result.code, result.error["kind"]) == (4, "not_allowed")
    assert stub.requests == []


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "bad_request", 2),
        (401, "not_allowed", 4),
        (403, "forbidden", 4),
        (404, "not_found", 3),
        (413, "too_large", 2),
        (429, "overloaded", 5),
        (503, "disk_full", 5),
        (500, "bug", 1),
    ],
)
def test_an_error_of_the_server_is_given_on_with_its_exit_code(
    cli: Cli, stub: Stub, status: int, kind: str, code: int
) -> None:
    detail = {"kind": kind, "message": "it says why", "got": "x", "allowed": ["y"], "fix": "pilothouse ls"}
    stub.answers["/api/v1/traces"] = Answer(status=status, body={"error": detail})
    result = cli("ls")
    assert (result.code, result.error) == (code, detail)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(404, b"<html>nginx</html>", 3), (502, b"", 5), (500, b"oops", 1), (200, b"<html>", 5), (200, b'{"a":1}', 5)],
)
def test_what_is_no_pilothouse_is_said_to_be_none(cli: Cli, stub: Stub, status: int, body: bytes, code: int) -> None:
    stub.answers["/api/v1/traces"] = Answer(status=status, body=body)
    result = cli("ls")
    assert result.code == code
    assert result.error["message"]


def test_a_server_that_hangs_up_is_unreachable(cli: Cli, stub: Stub) -> None:
    stub.answers["/api/v1/traces"] = Answer(hang_up=True)
    result = cli("ls")
    assert (result.code, result.error["kind"]) == (5, "unreachable")


def test_nobody_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (cli("ls").code, cli("ls").error["fix"]) == (5, "pilothouse up --detach")
    monkeypatch.setenv("PILOTHOUSE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PILOTHOUSE_API_KEY", "x")
    result = cli("ls")
    assert (result.code, result.error["fix"]) == (5, "pilothouse status")
    monkeypatch.setenv("PILOTHOUSE_URL", "ftp://x")
    assert cli("ls").code == 2


def test_how_long_to_wait_is_said_to_people(cli: Cli, stub: Stub) -> None:
    body = {"error": {"kind": "overloaded", "message": "too much"}}
    stub.answers["/api/v1/traces"] = Answer(status=429, body=body, headers={"Retry-After": "7"})
    assert "try again in 7 s" in cli("ls", "--human").err


def test_the_arguments_are_checked_before_the_key(cli: Cli) -> None:
    assert cli("sql").code == 2
    assert cli("show", "last", "--field", "output").code == 2
    assert cli("show", "last", "--as", "picture").code == 2
