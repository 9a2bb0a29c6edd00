"""Every real client runs against the scripted model server and exports what its recording says.

A client that changes its names shows up here first: record it again, read the difference, and teach its dialect.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.client_runs import CLIENTS, Client, ClientRun

CAPTURES = Path(__file__).parents[1] / "conventions" / "captures"

# Where the code lies is left out of recordings, and early copies of open spans come from slow machines only.
OF_THE_MACHINE = {"code.file.path", "code.line.number", "code.function.name", "pilothouse.running"}

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
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
