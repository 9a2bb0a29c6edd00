"""A trace goes on between two real processes, through the genuine SDKs of MCP and A2A, into a real server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.client_runs import AGENTS, ROOT, interpreter_of
from tests.conftest import free_port
from tests.live import LiveServer, running_server

pytestmark = [pytest.mark.clients, pytest.mark.slow]

PROGRAMS = AGENTS / "across"
GENERATIONS = pytest.mark.parametrize(
    "environment", ["clients", pytest.param("clients-pinned", marks=pytest.mark.slow)], ids=["current", "before"]
)


@dataclass(frozen=True, kw_only=True)
class Span:
    """One stored span."""

    kind: str
    name: str
    id: str
    parent: str
    service: str
    tool: str
    status: str
    tool_error: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("across"), traffic=False) as running:
        yield running


class Programs:
    """Runs the programs of one environment, recording into the server."""

    def __init__(self, environment: str, package: str, server: LiveServer, folder: Path, **variables: str) -> None:
        found = interpreter_of(environment, (package, "opentelemetry.sdk"))
        if found is None:
            pytest.skip(f"{package} is not installed; run python -m tests.clients.install_clients {environment}")
        self._python = found[0]
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT / "src"),
            "PILOTHOUSE_URL": server.url,
            "PILOTHOUSE_API_KEY": server.key,
            "PILOTHOUSE_ENVIRONMENT": folder.name,
            "NO_PROXY": "127.0.0.1",
            **variables,
        }

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._python, PROGRAMS / program, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    @contextlib.contextmanager
    def serving(self, program: str, *arguments: str) -> Iterator[int]:
        port = free_port()
        process = subprocess.Popen(
            [self._python, PROGRAMS / program, *arguments, str(port)],
            env=self._environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not listen"
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=30)


def the_trace(server: LiveServer, folder: Path, spans: int) -> list[Span]:
    """The spans of the one trace that a test's programs made."""
    here = f"environment = '{folder.name}' AND status != 'running'"
    server.wait_for(f"SELECT count() FROM spans WHERE {here}", spans)
    assert server.sql(f"SELECT uniqExact(trace_id) FROM spans WHERE {here}") == [[1]]
    rows = server.sql(
        "SELECT kind, name, span_id, parent_span_id, service, tool_name, status, tool_error FROM spans "
        f"WHERE {here} ORDER BY start_time"
    )
    names = ("kind", "name", "id", "parent", "service", "tool", "status", "tool_error")
    return [Span(**dict(zip(names, row, strict=True))) for row in rows]


@GENERATIONS
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_tool_span_of_an_mcp_server_hangs_below_that_of_its_client(
    environment: str, transport: str, server: LiveServer, tmp_path: Path
) -> None:
    programs = Programs(environment, "mcp", server, tmp_path)
    with contextlib.ExitStack() as stack:
        where = [transport]
        if transport == "http":
            where.append(f"http://127.0.0.1:{stack.enter_context(programs.serving('mcp_server.py', 'http'))}/mcp")
        assert "sunny, 21 degrees in Rome" in programs.run("mcp_agent.py", *where)
    spans = the_trace(server, tmp_path, 12)
    asked = hangs_together(spans)
    root, inner = spans[0], [span for span in spans if span.tool == "look_up"]
    assert {span.parent for span in asked} == {root.id}
    assert len(inner) == 2
    sampled = next(span for span in spans if span.kind == "model")
    assert (sampled.service, sampled.parent) == (
        "weather-agent",
        next(span.id for span in spans if span.tool == "ask_back" and span.service == "weather-server"),
    )


def hangs_together(spans: list[Span]) -> list[Span]:
    """Check both sides of each tool call, and give the client's."""
    asked = [span for span in spans if span.kind == "tool" and span.service == "weather-agent"]
    served = [span for span in spans if span.service == "weather-server" and span.tool != "look_up"]
    inner = [span for span in spans if span.tool == "look_up"]
    assert [span.tool for span in asked] == ["get_weather", "get_tide", "ask_back", "get_weather"]
    assert [(span.tool, span.parent) for span in served] == [(span.tool, span.id) for span in asked]
    assert [span.parent for span in inner] == [served[0].id, served[3].id]
    for side in (asked, served):
        assert [bool(span.tool_error) for span in side] == [False, True, False, False]
        assert "get_tide" in side[1].tool_error
    return asked


@GENERATIONS
def test_single_sessions_and_servers_can_be_instrumented(environment: str, server: LiveServer, tmp_path: Path) -> None:
    programs = Programs(environment, "mcp", server, tmp_path, EXPLICIT="1")
    programs.run("mcp_agent.py", "stdio")
    hangs_together(the_trace(server, tmp_path, 12))


@GENERATIONS
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_an_agent_behind_a2a_hangs_below_the_call_of_its_client(
    environment: str, way: str, server: LiveServer, tmp_path: Path
) -> None:
    programs = Programs(environment, "a2a", server, tmp_path)
    with programs.serving("a2a_server.py") as port:
        assert "steer north (where to?)" in programs.run("a2a_agent.py", f"http://127.0.0.1:{port}/", way)
    spans = the_trace(server, tmp_path, 4)
    root, answered, behind, refused = spans
    assert [span.name for span in spans] == [
        "invoke_agent captain",
        *["invoke_agent harbour-pilot"] * 3,
    ]
    assert (answered.parent, refused.parent) == (root.id, root.id)
    assert (behind.parent, behind.service) == (answered.id, "pilot-service")
    assert (answered.status, refused.status) == ("ok", "error")
    said = server.sql(f"SELECT output_text FROM spans WHERE span_id = '{answered.id}'")
    assert "steer north (where to?)" in said[0][0]
