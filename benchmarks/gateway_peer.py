"""litellm's proxy beside the gateway: the same calls at the same pace to the same upstream, on the same core.

It is asked for nothing but to pass calls on: no database, no callbacks, no log lines; one worker. Its traces are not stored,
which the gateway does within the figure it is compared by. ``PILOTHOUSE_LITELLM`` names the ``litellm`` command of an
environment of its own (``pip install 'litellm[proxy]'``).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_KEY = "sk-bench-0123456789"
_START_S = 120.0


def command() -> str:
    """The command; empty where none is named."""
    return os.environ.get("PILOTHOUSE_LITELLM", "")


@contextlib.contextmanager
def running(folder: Path, upstream_url: str, core: int) -> Iterator[tuple[str, str, int]]:
    """A proxy that passes calls on to this upstream: its address, its key, its process."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        "  - model_name: gpt-4.1-mini\n"
        f"    litellm_params: {{model: openai/gpt-4.1-mini, api_base: '{upstream_url}', api_key: sk-none}}\n"
        "general_settings:\n"
        f"  master_key: {_KEY}\n"
        "litellm_settings: {drop_params: false, set_verbose: false, telemetry: false}\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [command(), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    # Its map of prices comes with it: nothing is to be fetched from elsewhere.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(started, stdout=log, stderr=log, env=environment)
        try:
            os.sched_setaffinity(process.pid, {core})
            _wait(port, process, folder / "litellm.log")
            yield f"http://127.0.0.1:{port}/v1", _KEY, process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2),
        ):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"litellm's proxy did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.2)
