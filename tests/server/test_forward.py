"""A server that passes on what arrives, as its file says, through the death of its forwarder and of the backend."""

from __future__ import annotations

import json
from pathlib import Path

from pilothouse.testing import OtlpSink
from tests.intake.otlp_requests import PROTOBUF
from tests.intake.test_forward import SECRET, arrived, named, wait
from tests.live_server import running_server
from tests.simulation.test_kill import kill_part


def test_what_arrives_is_stored_here_and_passed_on(tmp_path: Path) -> None:
    config = tmp_path / "pilothouse.toml"
    with OtlpSink() as sink:
        config.write_text(
            f'[[forward]]\nname = "other"\nurl = "{sink.address}"\nheaders = {{ api-key = "env:OTHER_KEY" }}\n'
        )
        with running_server(tmp_path / "data", "--config", str(config), env={"OTHER_KEY": "k-1"}) as server:
            send = {"content-type": PROTOBUF}
            assert server.post("/v1/traces", named("one", f"with {SECRET}"), send)[0] == 200
            wait(lambda: len(arrived(sink)) == 2)
            assert sink.requests[0].headers["api-key"] == "k-1"
            assert SECRET not in json.dumps(sink.spans())

            sink.status = 503
            assert server.post("/v1/traces", named("one", "again", "two"), send)[0] == 200
            wait(
                lambda: (server.data / "forward.json").exists() and "503" in (server.data / "forward.json").read_text()
            )
            kill_part(server, "forwarder")
            sink.status = 200
            wait(lambda: "two" in arrived(sink))
            server.wait_for("SELECT count() FROM spans", [[3]])

            doctor = json.loads(server.get("/api/v1/doctor")[1])["data"]["findings"]
            said = next(finding for finding in doctor if finding["check"] == "forward other")
            assert "passed on to other" in said["summary"]
            assert b"pilothouse_forward_sent_total" in server.get("/metrics")[1]
