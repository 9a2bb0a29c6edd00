"""The demo's traffic that goes on: every story is told by the recorder, and it ends with whoever started it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from pilothouse.testing import OtlpSink

_QUICK = "from pilothouse.testing.demo import live; live.PACE = 0.02; raise SystemExit(live.main({arguments!r}))"
AGENTS = {"order-desk", "refund-desk", "summariser", "ledger-export", "crawler", "indexer"}


def test_every_story_is_told_until_stdin_closes() -> None:
    with OtlpSink() as sink:
        arguments = ["--endpoint", sink.address, "--key", "key-1"]
        process = subprocess.Popen(
            [sys.executable, "-c", _QUICK.format(arguments=arguments)], stdin=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while not all(f'"{agent}"' in json.dumps(sink.as_json("traces")) for agent in AGENTS):
            assert time.monotonic() < deadline, AGENTS
            time.sleep(0.2)
        process.communicate("")
        assert process.returncode == 0
        told = json.dumps(sink.as_json("traces"))
        assert "pilothouse.wait.for" in told
        assert "the site refuses robots" in told
        assert "pilothouse.heartbeat" in json.dumps(sink.as_json("logs"))
        assert sink.requests[0].headers["authorization"] == "Bearer key-1"
