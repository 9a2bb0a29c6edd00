"""``pilothouse deliver``: what waits on disk is sent by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pilothouse.testing import OtlpSink

from .pipeline_making import ended, until
from .test_spill import UNREACHABLE, free_port, spilled

pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


def command(endpoint: str, spill: Path, *words: str, key: str = "ph_key") -> subprocess.Popen[str]:
    """Start the command."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PILOTHOUSE_", "OTEL_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "pilothouse.cli", "deliver", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, "PILOTHOUSE_URL": endpoint, "PILOTHOUSE_API_KEY": key, "PILOTHOUSE_SPILL_DIR": str(spill)},
    )


def run(*given: Any, **options: Any) -> tuple[int, dict[str, Any]]:
    """Run it to its end: exit code and what it said, an error where there was one."""
    process = command(*given, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, json.loads(out)["data"] if out else json.loads(err)["error"]


def test_what_waits_is_sent_and_what_waits_elsewhere_is_named(tmp_path: Path) -> None:
    port = free_port()
    spilled(f"http://127.0.0.1:{port}", tmp_path, 30)
    spilled(UNREACHABLE, tmp_path, 7)
    with OtlpSink(port=port) as sink:
        code, data = run(sink.address, tmp_path)
        assert code == 0
        assert (data["delivered"], data["waiting"], data["refused"]) == (30, 0, 0)
        (other,) = data["elsewhere"]
        assert (other["endpoint"], other["records"]) == (UNREACHABLE, 7)
        assert len(ended(sink)) == 30
        # Recorded for an address that is no more: sent here instead, when somebody says so.
        code, data = run(sink.address, tmp_path, "--from", other["folder"])
        assert (code, data["delivered"], data["elsewhere"]) == (0, 7, [])
        assert len(ended(sink)) == 37


def test_nothing_waiting_is_no_error(tmp_path: Path) -> None:
    code, data = run(UNREACHABLE, tmp_path)
    assert (code, data["delivered"]) == (0, 0)


def test_a_server_that_does_not_answer_is_exit_code_5_and_a_wrong_key_4(tmp_path: Path) -> None:
    port = free_port()
    spilled(f"http://127.0.0.1:{port}", tmp_path, 3)
    code, error = run(f"http://127.0.0.1:{port}", tmp_path)
    assert code == 5
    assert "pilothouse up" in error["fix"]
    with OtlpSink(port=port) as sink:
        sink.status = 401
        code, error = run(sink.address, tmp_path)
        assert code == 4
        assert "PILOTHOUSE_API_KEY" in error["fix"]
        sink.status = 200
        assert run(sink.address, tmp_path)[1]["delivered"] == 3


def test_a_folder_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    code, error = run(UNREACHABLE, tmp_path, "--from", "nonsense")
    assert code == 2
    assert error["got"] == "nonsense"


def test_follow_goes_on_through_failures_until_it_is_stopped(tmp_path: Path) -> None:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    spilled(endpoint, tmp_path, 5, "first")
    process = command(endpoint, tmp_path, "--follow")
    try:
        with OtlpSink(port=port) as sink:
            until(lambda: len(ended(sink)) == 5)
            sink.status = 503
            # With a key of its own it would go elsewhere: the same one, and it waits here.
            spilled(endpoint, tmp_path, 5, "second")
            sink.status = 200
            until(lambda: len(ended(sink)) == 10)
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["delivered"] >= 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()
