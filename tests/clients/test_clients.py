"""Every real client runs against the scripted model server: what it exports, and what comes out of a running server.

A client that changes its names shows up here first: record it again, read the difference, and teach its dialect.
The true tokens and calls are what the scripted model server answered, never a client's own idea of its usage.
One file, so that each client runs once.
"""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilothouse.testing import RecordedRequest, Usage
from tests.clients.client_runs import CLIENTS, Client, ClientRun
from tests.live import LiveServer, running_server

pytestmark = pytest.mark.clients

# One of each way to report; the others, their older generations and their second writings, take minutes.
OFTEN = {"openai-otel", "pydantic-ai", "langgraph", "openai-agents"}
EACH_CLIENT = pytest.mark.parametrize(
    "client",
    [
        pytest.param(client, marks=[] if client.name in OFTEN else [pytest.mark.slow], id=client.name)
        for client in CLIENTS
    ],
)

CAPTURES = Path(__file__).parents[1] / "conventions" / "captures"

# Where the code lies is left out of recordings, and early copies of open spans come from slow machines only.
OF_THE_MACHINE = {"code.file.path", "code.line.number", "code.function.name", "pilothouse.running"}

# What a client keeps to itself cannot come out.
WITHOUT_CACHE_COUNTS = {"openai-otel-legacy", "google-adk-old"}
WITHOUT_SESSION = {"openai-otel-legacy", "mlflow"}
WITHOUT_TOOLS = {"openai-otel-legacy"}
WITHOUT_RESPONSES = {"openai-otel-legacy", "openai-openllmetry-old"}
WITHOUT_STREAMS = {"openai-openllmetry-old"}
# What a client reports beyond the model's answers.
ADDED = {
    # A generation that the program records by hand.
    "langfuse": Usage(input_tokens=670, cache_read_tokens=512, cache_write_5m_tokens=128, output_tokens=12),
}


@EACH_CLIENT
def test_a_client_sends_its_signals_and_the_attributes_of_its_recording(
    client: Client, run_client: Callable[..., ClientRun]
) -> None:
    run = run_client(client.name)
    assert sorted(signal for signal, body in run.bodies.items() if body) == sorted(client.signals)
    recorded = json.loads((CAPTURES / f"{client.name}.traces.json").read_text("utf-8"))
    assert scopes(run.bodies["traces"]) == scopes(recorded)
    assert span_names(run.bodies["traces"]) == span_names(recorded)
    assert attribute_names(run.bodies["traces"]) - OF_THE_MACHINE == attribute_names(recorded)


def test_every_client_has_a_recording_of_each_signal() -> None:
    wanted = {f"{client.name}.{signal}.json" for client in CLIENTS for signal in client.signals}
    assert wanted <= {path.name for path in CAPTURES.glob("*.json")}


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.json")), ids=lambda path: path.name)
def test_a_recording_says_nothing_about_the_machine_it_was_made_on(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"/(home|root|usr|tmp|work|Users)/", text)
    assert not re.search(r'"key": "(host\.name|process\.)', text)
    assert '"key"' in text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("clients"), traffic=False) as running:
        yield running


@EACH_CLIENT
def test_the_tokens_of_a_client_are_what_the_model_answered(
    client: Client, run_client: Callable[..., ClientRun], server: LiveServer
) -> None:
    run = run_client(client.name)
    forward(run, server)
    traces = ", ".join(f"'{trace}'" for trace in sorted({span["traceId"] for span in run.spans}))
    here = f"trace_id IN ({traces})"
    # On a slow machine a span is sent twice: early, while it is open, and when it has ended.
    server.wait_for(f"SELECT count() FROM spans WHERE {here}", len({span["spanId"] for span in run.spans}))
    counted = server.sql(
        "SELECT sum(input_uncached_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(output_tokens), "
        f"sum(reasoning_tokens) FROM spans WHERE {here} AND kind = 'model' AND usage_scope != 'aggregate'"
    )[0]
    uncached, read, written, output, reasoning = (int(count) for count in counted)
    truth = [call.usage for call in run.calls if call.usage and reports(client, call)]
    truth += [ADDED[client.name]] if client.name in ADDED else []
    assert uncached + read + written == sum(usage.input_tokens for usage in truth)
    assert output + reasoning == sum(usage.output_tokens for usage in truth)
    if client.name not in WITHOUT_CACHE_COUNTS:
        assert read == sum(usage.cache_read_tokens for usage in truth)
        assert written == sum(usage.cache_write_tokens for usage in truth)
    tools = server.sql(f"SELECT arraySort(groupArray(tool_name)) FROM spans WHERE {here} AND kind = 'tool'")[0][0]
    assert client.name in WITHOUT_TOOLS or set(tools) >= {"get_weather", "get_time"}
    sessions = server.sql(f"SELECT arraySort(groupUniqArray(session_id)) FROM spans WHERE {here}")[0][0]
    assert client.name in WITHOUT_SESSION or "session-7" in sessions
    errors = server.sql(f"SELECT count() FROM spans WHERE {here} AND status = 'error' AND kind = 'model'")[0][0]
    assert int(errors) >= (0 if "format" in client.name else 1)


def reports(client: Client, call: RecordedRequest) -> bool:
    """Tell whether a client gives the usage of a call at all."""
    if call.wire == "openai-responses" and client.name in WITHOUT_RESPONSES:
        return False
    return not (call.body.get("stream") and client.name in WITHOUT_STREAMS)


def forward(run: ClientRun, server: LiveServer) -> None:
    """Send the client's exports on, unchanged but for the key."""
    for request in run.requests:
        headers = {"Content-Type": request.headers["content-type"], "Authorization": f"Bearer {server.key}"}
        sent = urllib.request.Request(f"{server.url}/v1/{request.signal}", data=request.body, headers=headers)
        with urllib.request.urlopen(sent, timeout=30) as answer:
            assert answer.status == 200


def scopes(body: dict) -> set[str]:
    """Names of the instrumentation scopes."""
    return {scope["scope"]["name"] for resource in body["resourceSpans"] for scope in resource["scopeSpans"]}


def span_names(body: dict) -> set[str]:
    """Names of the spans."""
    return {span["name"] for span in spans(body)}


def attribute_names(body: dict) -> set[str]:
    """Keys of all span attributes."""
    return {item["key"] for span in spans(body) for item in span.get("attributes", [])}


def spans(body: dict) -> list[dict]:
    """All spans of a body."""
    found = [scope["spans"] for resource in body["resourceSpans"] for scope in resource["scopeSpans"]]
    return [span for group in found for span in group]
