"""What a real client sends, byte for byte, through a running server: the tokens and calls that come out are the true ones.

The truth is what the scripted model server answered, so nothing here repeats a client's own idea of its usage.
"""

import urllib.request
from collections.abc import Callable, Iterator

import pytest

from pilothouse.testing import RecordedRequest, Usage
from tests.clients.client_runs import CLIENTS, Client, ClientRun
from tests.live import LiveServer, running_server

pytestmark = pytest.mark.clients

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("clients"), traffic=False) as running:
        yield running


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
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
