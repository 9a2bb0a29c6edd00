"""The example for Node as it stands, through a running server; and one trace from Python into Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from pilothouse.sdk.propagation import inject
from pilothouse.testing import ModelServer
from tests.clients.client_runs import ROOT
from tests.live import LiveServer, running_server

EXAMPLE = ROOT / "examples/node"
AGENT = ["node", "--import", "./tracing.mjs", "agent.mjs"]

pytestmark = [
    pytest.mark.clients,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("node") is None or not (EXAMPLE / "node_modules").is_dir(),
        reason="examples/node is not installed: npm ci --prefix examples/node",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("node"), traffic=False) as running:
        yield running


def environment(server: LiveServer, models: ModelServer) -> dict[str, str]:
    return {
        **os.environ,
        "OPENAI_BASE_URL": models.openai_url,
        "OPENAI_API_KEY": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {server.key}",
        "OTEL_SERVICE_NAME": "concierge-node",
        "NO_PROXY": "127.0.0.1",
    }


def test_the_example_records_agent_model_and_tool_calls(server: LiveServer) -> None:
    with ModelServer(seed=7) as models:
        done = subprocess.run(
            AGENT, cwd=EXAMPLE, env=environment(server, models), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        truth = [call.usage for call in models.requests if call.usage]
    here = "agent = 'concierge' AND session_id = 'session-7'"
    server.wait_for(f"SELECT count() FROM traces WHERE {here}", 1)
    trace = server.sql(f"SELECT trace_id FROM traces WHERE {here}")[0][0]
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{trace}'", 5)
    spans = server.sql(f"SELECT kind, span_id, parent_span_id, tool_name FROM spans WHERE trace_id = '{trace}'")
    root = next(span_id for kind, span_id, _, _ in spans if kind == "agent")
    assert sorted(kind for kind, *_ in spans) == ["agent", "model", "model", "tool", "tool"]
    assert {parent for kind, _, parent, _ in spans if kind != "agent"} == {root}
    assert sorted(tool for kind, *_, tool in spans if kind == "tool") == ["get_time", "get_weather"]
    tokens = server.sql(
        "SELECT sum(input_uncached_tokens + cache_read_tokens), sum(output_tokens + reasoning_tokens) FROM spans "
        f"WHERE trace_id = '{trace}' AND kind = 'model'"
    )[0]
    assert [int(count) for count in tokens] == [
        sum(usage.input_tokens for usage in truth),
        sum(usage.output_tokens for usage in truth),
    ]
    assert done.stdout.strip() in server_answer(server, trace)


def server_answer(server: LiveServer, trace: str) -> str:
    url = f"{server.url}/api/v1/traces/{trace}/transcript"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def test_a_trace_goes_on_from_python_into_node(server: LiveServer) -> None:
    tracer = TracerProvider().get_tracer("test")
    with ModelServer(seed=7) as models:
        process = subprocess.Popen(
            [*AGENT, "--serve"], cwd=EXAMPLE, env=environment(server, models), stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with tracer.start_as_current_span("call the concierge") as span:
                headers = inject({"content-type": "application/json"})
                body = json.dumps({"question": "What is the weather in Oslo?"}).encode()
                with urllib.request.urlopen(urllib.request.Request(url, body, dict(headers)), timeout=30) as answer:
                    assert "Oslo" in json.loads(answer.read())["answer"]
        finally:
            process.terminate()
            process.wait(timeout=30)
    trace = f"{span.get_span_context().trace_id:032x}"
    server.wait_for(f"SELECT count() FROM spans WHERE trace_id = '{trace}' AND kind = 'agent'", 1)
    parents = server.sql(f"SELECT parent_span_id FROM spans WHERE trace_id = '{trace}' AND kind = 'agent'")
    assert parents == [[f"{span.get_span_context().span_id:016x}"]]
