"""The command: nothing but protocol on stdout, what to paste where, and the missing extra."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.live import LiveServer

from .conftest import environment_of


def run(environment: dict[str, str], *words: str, stdin: str = "", folder: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pilothouse.cli", *words],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_nothing_but_protocol_is_on_stdout(mcp_server: LiveServer, tmp_path: Path) -> None:
    asked = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "pull", "arguments": {"what": "last"}}},
    ]
    command = [sys.executable, "-m", "pilothouse.cli", "mcp"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=mcp_server.environment, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    for one in asked:
        process.stdin.write("not json at all\n" if one["method"] == "none" else json.dumps(one) + "\n")
    process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [answer["id"] for answer in answers] == [1, 2]
    assert all(answer["jsonrpc"] == "2.0" for answer in answers)
    process.stdin.close()
    rest = process.stdout.read()
    assert rest == ""
    # The client hung up: that is the end, in good order.
    assert process.wait(timeout=30) == 0
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()


@pytest.mark.parametrize("client", ["claude", "codex", "cursor", "vscode"])
def test_what_to_paste_parses_and_starts_or_reaches_us(mcp_server: LiveServer, client: str) -> None:
    for flags in ((), ("--http",)):
        code, out, err = run(mcp_server.environment, "mcp", "--print-config", client, *flags)
        assert code == 0, err
        assert "goes into" in err
        assert mcp_server.key not in out
        found = tomllib.loads(out) if client == "codex" else json.loads(out)
        (entry,) = [made["pilothouse"] for made in found.values()]
        if flags:
            assert entry["url"] == f"{mcp_server.url}/mcp"
        else:
            assert (entry["command"], entry["args"]) == ("pilothouse", ["mcp"])


def test_a_server_elsewhere_is_named_without_its_key() -> None:
    environment = environment_of(PILOTHOUSE_URL="https://pilot.example", PILOTHOUSE_API_KEY="ph_secret_secret_secret")
    code, out, err = run(environment, "mcp", "--print-config", "claude")
    assert code == 0
    assert json.loads(out)["mcpServers"]["pilothouse"]["env"] == {"PILOTHOUSE_URL": "https://pilot.example"}
    assert "ph_secret" not in out + err


def test_an_unknown_client_is_answered_with_the_known_ones(mcp_server: LiveServer) -> None:
    code, _, err = run(mcp_server.environment, "mcp", "--print-config", "emacs")
    assert code == 2
    assert json.loads(err)["error"]["allowed"] == ["claude", "codex", "cursor", "vscode"]


def test_a_missing_extra_names_its_command(tmp_path: Path) -> None:
    (tmp_path / "mcp").mkdir()
    (tmp_path / "mcp/__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')\n")
    code, out, err = run(environment_of(PYTHONPATH=str(tmp_path)), "mcp")
    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["fix"] == "pip install 'pilothouse[mcp]'"


def test_a_folder_that_is_not_there_is_refused(mcp_server: LiveServer) -> None:
    code, _, err = run(mcp_server.environment, "mcp", "--folder", "/nowhere/at/all")
    assert code == 2
    assert json.loads(err)["error"]["got"] == "/nowhere/at/all"
