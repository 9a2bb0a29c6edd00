"""What judges are asked through the gateway is traced there like any call, and never scored in its turn."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from pilothouse.testing.model_server import ModelServer
from pilothouse.testing.script import Script
from tests.live import LiveServer

from .conftest import PASS, Bench
from .test_killed import process_of, wait

MODEL = "gpt-4.1-nano"
"""Of the agents that are scored and of their judge alike: no filter tells them apart."""
JUDGES_CALLS = "SELECT count() FROM traces WHERE agent = 'pilothouse-judge'"
SCORED = "SELECT agent, count() FROM traces WHERE trace_id IN (SELECT trace_id FROM scores WHERE name LIKE 'loop-%') GROUP BY agent"


def test_a_judge_says_who_it_is_wherever_it_is_asked(bench: Bench) -> None:
    bench.add(1)
    # The address may be that of our own gateway.
    bench.score(bench.scorer())
    (request,) = bench.model.requests
    assert request.headers["x-pilothouse-agent"] == "pilothouse-judge"


@pytest.mark.slow
def test_calls_of_judges_are_traced_and_not_scored(live_server: LiveServer) -> None:
    with ModelServer(script=Script.from_data({"rules": [{"reply": {"text": PASS}}]})) as model:
        (live_server.data / "pilothouse.yaml").write_text(
            json.dumps(
                {
                    "gateway": {
                        "upstreams": {"judges": {"wire": "openai", "url": model.openai_url}},
                        "routes": [{"model": MODEL, "upstream": "judges"}],
                    },
                    "online": {
                        "loop-trace": {**JUDGE, "finished": False, "quiet_s": 0},
                        "loop-call": {**JUDGE, "level": "task", "quiet_s": 0},
                        "loop-check": {"check": "finished", "filter": f"model:{MODEL}", "quiet_s": 0},
                    },
                }
            )
        )
        try:
            send(live_server, 1)
            live_server.wait_for(JUDGES_CALLS, 2)
            # What comes later is scored later: by then the calls of the judge were looked at.
            send(live_server, 2)
            live_server.wait_for(JUDGES_CALLS, 4)
            wait(lambda: dict(live_server.sql(SCORED)).get("looped", 0) == 2, "both are scored")
            assert dict(live_server.sql(SCORED)) == {"looped": 2} and len(model.requests) == 4
        finally:
            (live_server.data / "pilothouse.yaml").write_text("online: {}\n")
            wait(lambda: process_of(live_server) == 0, "without a scorer there is no process")
            (live_server.data / "pilothouse.yaml").unlink()


JUDGE: dict[str, Any] = {
    "judge": {"model": MODEL},
    "criterion": "It helps",
    "filter": f"model:{MODEL}",
    "per_minute": 600,
}


def send(server: LiveServer, number: int) -> None:
    """A trace of an agent that asks the same model as its judge, and has ended."""
    now = time.time_ns()
    trace = {"traceId": f"{0x100B00 + number:032x}", "startTimeUnixNano": str(now - 2_000_000_000)}
    trace["endTimeUnixNano"] = str(now - 1_000_000_000)
    spans = [
        {"openinference.span.kind": "AGENT", "agent.name": "looped", "input.value": "why?", "output.value": "so"},
        {"openinference.span.kind": "LLM", "llm.model_name": MODEL, "input.value": "why?", "output.value": "so"},
    ]
    rows = [
        {
            **trace,
            "spanId": f"{number * 10 + place + 1:016x}",
            "parentSpanId": f"{number * 10 + 1:016x}" if place else "",
            "name": f"span {place}",
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
        }
        for place, attributes in enumerate(spans)
    ]
    server.post("/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": rows}]}]})
