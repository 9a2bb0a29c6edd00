"""``up``, ``down``, ``status`` and ``demo``: the server of this machine. The server's own code is imported on use."""

from __future__ import annotations

import gc
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pilothouse.records import BadRequest, NotFound, Unverified

from .help import command
from .root import Run

_SERVER_EXTRA = "pip install 'pilothouse[server]'"
_DEMO_EXTRA = "pip install 'pilothouse[all,demo]'"


@command(
    "up",
    examples=(
        "pilothouse up",
        "pilothouse up --detach --data /var/lib/pilothouse",
        "pilothouse up --store clickhouse://user:secret@db:8123 --port 8080",
    ),
    keys="one line once it is ready: event url grpc sign_in project new_key data replayed_bytes",
    exits=(0, 1, 2, 5),
)
@click.option("--data", default="", metavar="DIR", help="default $PILOTHOUSE_DATA or ~/.pilothouse")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="address to listen on")
@click.option("--port", default=4318, show_default=True, metavar="N", help="page, API, OTLP/HTTP; 0: a free one")
@click.option("--grpc-port", default="4317", show_default=True, metavar="N", help="OTLP/gRPC; 0: a free one; off")
@click.option("--store", default="", metavar="URL", help="clickhouse://…; default: embedded")
@click.option("--control", default="", metavar="URL", help="postgresql://…; default: SQLite in the data folder")
@click.option("--config", default="", metavar="FILE", help="pilothouse.toml")
@click.option("--detach", is_flag=True, help="run in the background; returns when it is ready")
@click.pass_obj
def up(
    run: Run, data: str, host: str, port: int, grpc_port: str, store: str, control: str, config: str, detach: bool
) -> None:
    """Start the server: page, API and OTLP/HTTP on one port, OTLP/gRPC on another."""
    folder = Path(data).expanduser() if data else run.settings.data
    grpc = _grpc_port(grpc_port)
    if detach:
        from pilothouse.server.runtime import start_detached

        words = ["--data", str(folder), "--host", host, "--port", str(port), "--grpc-port", grpc_port]
        for name, value in (("--store", store), ("--control", control), ("--config", config)):
            words += [name, value] if value else []
        printed = start_detached([*words, "--json" if run.settings.json else "--human"], folder)
        sys.stdout.write(printed)
        return
    file = Path(config) if config else None
    early: Early | None = None
    # Modules stay for good: to look through them for rubbish while they come is a sixth of a start.
    gc.disable()
    try:
        from pilothouse.server.early import Early

        early = Early(folder, store=store, config=file)
        from pilothouse.app import UpOptions
        from pilothouse.app import up as start
    except ImportError as error:
        if early is not None:
            early.release()
        if (error.name or "").partition(".")[0] == "pilothouse":
            raise  # a defect of ours, which no package mends
        raise BadRequest(
            f"the server's parts are not installed: {error.name or error}", got="up", fix=_SERVER_EXTRA
        ) from error
    finally:
        gc.enable()
    options = UpOptions(
        data=folder,
        host=host,
        port=port,
        grpc_port=grpc,
        store=store,
        control=control,
        config=file,
        json=run.settings.json,
    )
    start(options, early)


def _grpc_port(text: str) -> int | None:
    if text == "off":
        return None
    if not text.isdigit() or int(text) > 65_535:
        raise BadRequest("--grpc-port is a port or off", got=text, allowed="0 to 65535, off", fix="--grpc-port 4317")
    return int(text)


@command(
    "down",
    examples=("pilothouse down", "pilothouse down --data /var/lib/pilothouse", "pilothouse down --json"),
    keys="data: stopped url pid data",
    exits=(0, 3, 5),
)
@click.option("--data", default="", metavar="DIR", help="default $PILOTHOUSE_DATA or ~/.pilothouse")
@click.pass_obj
def down(run: Run, data: str) -> None:
    """Stop the server of this machine and wait until it has let go of its data."""
    from pilothouse.server.runtime import stop

    folder = Path(data).expanduser() if data else run.settings.data
    stopped = stop(folder)
    facts = {"stopped": True, "url": stopped.url, "pid": stopped.pid, "data": stopped.data}
    run.output.answer(facts, human=lambda found: [f"stopped: {found['url']} (process {found['pid']})"])


@command(
    "status",
    examples=("pilothouse status", "pilothouse status --data /var/lib/pilothouse", "pilothouse status --json"),
    keys="data: running ready parts url grpc pid data store started",
    exits=(0, 3, 6),
)
@click.option("--data", default="", metavar="DIR", help="default $PILOTHOUSE_DATA or ~/.pilothouse")
@click.pass_obj
def status(run: Run, data: str) -> None:
    """Say whether a server runs on this machine's data folder, where, and whether all of it works."""
    from pilothouse.server.runtime import read_runtime

    folder = Path(data).expanduser() if data else run.settings.data
    runtime = read_runtime(folder)
    if runtime is None:
        raise NotFound("no server runs on this data folder", got=str(folder), fix="pilothouse up --detach")
    ready = _ready(runtime.url)
    facts = {
        "running": True,
        "ready": bool(ready.get("ready")),
        "parts": ready.get("parts", {}),
        "url": runtime.url,
        "grpc": runtime.grpc,
        "pid": runtime.pid,
        "data": runtime.data,
        "store": runtime.store,
        "started": runtime.started,
    }
    run.output.answer(facts, human=_status)
    if not facts["ready"]:
        wrong = {name: state for name, state in ready.get("parts", {}).items() if state != "ok"}
        raise Unverified("the server runs, but not all of it works", got=wrong or "no answer", fix="pilothouse doctor")


def _status(facts: dict[str, Any]) -> list[str]:
    return [
        f"running since {facts['started']} (process {facts['pid']})",
        f"  page, API, OTLP/HTTP  {facts['url']}",
        f"  OTLP/gRPC             {facts['grpc'] or 'off'}",
        f"  data                  {facts['data']} ({facts['store']})",
        *(f"  {name:<21} {state}" for name, state in facts["parts"].items()),
    ]


def _ready(url: str) -> dict[str, Any]:
    """What /readyz says; empty where the server does not answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        found: object = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]  # JSON


@command(
    "demo",
    examples=("pilothouse demo", "pilothouse demo --rounds 10", "pilothouse ls --since 1h"),
    keys="data: summary runs[]",
    exits=(0, 4, 5, 6),
)
@click.option("--rounds", default=3, show_default=True, metavar="N", help="how often each agent works")
@click.option("--spread", default="", metavar="TIME", help="spread the traces over this long a past, e.g. 24h")
@click.pass_obj
def demo(run: Run, rounds: int, spread: str) -> None:
    """Record demo agents: real SDKs and instrumentors against a scripted model server. No key, no network."""
    words = [sys.executable, "-m", "pilothouse.testing.demo", "--endpoint", run.client.url]
    words += ["--rounds", str(rounds), *(["--spread", spread] if spread else [])]
    # By the environment: the arguments of a process are public.
    environment = {**os.environ, "PILOTHOUSE_API_KEY": run.client.token}
    output = subprocess.PIPE if run.settings.json else None
    done = subprocess.run(words, check=False, text=True, stdout=output, env=environment)
    if done.returncode != 0:
        raise Unverified(f"the demo agents ended with code {done.returncode}", fix=_DEMO_EXTRA)
    if run.settings.json:
        lines = done.stdout.splitlines()
        facts = {"summary": lines[-1] if lines else "", "runs": lines[:-1]}
        run.output.answer(facts, human=lambda found: found["runs"], next=["pilothouse ls --since 1h"])
