"""The same agent traffic on peers, in the same run: figures to be read as ratios.

``make bench-peers`` installs Arize Phoenix and MLflow into an environment of their own. Each is started as its own
documentation says, with its default embedded store, and is given the same bytes over OTLP/HTTP.
"""

from __future__ import annotations

import gzip
import http.client
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import ingest
from .agent_load import Request, Writer
from .table import Row

ENVIRONMENT = Path(".venv-peers")
PACKAGES = ("arize-phoenix>=20,<21", "mlflow>=3.17,<4")


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer and how it is run."""

    name: str
    command: Callable[[Path, int], list[str]]
    env: Callable[[Path, int], dict[str, str]]
    headers: dict[str, str]
    stored: str
    """SQL that counts spans in its SQLite file, so that 'stored' means the same for all."""
    database: str


PEERS = (
    Peer(
        "Phoenix",
        lambda _folder, _port: [str(ENVIRONMENT / "bin/phoenix"), "serve"],
        lambda folder, port: {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(port + 1),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        {},
        "SELECT count(*) FROM spans",
        "phoenix.db",
    ),
    Peer(
        "MLflow",
        lambda folder, port: [
            str(ENVIRONMENT / "bin/mlflow"), "server", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts",
        ],
        lambda _folder, _port: {"MLFLOW_DISABLE_TELEMETRY": "true"},
        {"x-mlflow-experiment-id": "0"},
        "SELECT count(*) FROM spans",
        "mlflow.db",
    ),
)  # fmt: skip


def compare(folder: Path, requests: int) -> list:
    """Send the same requests to us and to every peer that is installed."""
    install()
    body = Writer().requests(requests)
    spans = sum(request.spans for request in body)
    with ingest.server(folder / "ours") as ours:
        begun = time.monotonic()
        post_all(ours.host, body, {"authorization": f"Bearer {ours.key}"})
        acked = time.monotonic() - begun
        ingest.wait_until_stored(ours, spans)
        ours_s = time.monotonic() - begun
        ours_disk = ingest.disk_bytes(ours)
        journal = sum(path.stat().st_size for path in (ours.data / "journal").rglob("*") if path.is_file()) / spans
    rows = [
        Row(
            f"peers: {spans:,} spans, Pilothouse",
            "",
            f"acknowledged {acked:.1f} s, stored {ours_s:.1f} s, {ours_disk:,.0f} B a span "
            f"(and {journal:,.0f} of journal, which does not grow past its limit)",
        )
    ]
    for peer in PEERS:
        try:
            acked_s, stored_s, disk = run(peer, folder / peer.name.lower(), body, spans)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            rows.append(Row(f"peers: {peer.name}", "", f"did not run: {str(error)[:150]}"))
            continue
        rows.append(
            Row(
                f"peers: the same on {peer.name}",
                "",
                f"acknowledged {acked_s:.1f} s, stored {stored_s:.1f} s ({stored_s / ours_s:.1f}x), "
                f"{disk:,.0f} B a span ({disk / ours_disk:.1f}x)",
            )
        )
    return rows


def install() -> None:
    """Make the peers' environment, once."""
    if (ENVIRONMENT / "bin/phoenix").exists() and (ENVIRONMENT / "bin/mlflow").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    subprocess.run([str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "-q", *PACKAGES], check=True)


def run(peer: Peer, folder: Path, body: list[Request], spans: int) -> tuple[float, float, float]:
    """Seconds until all was acknowledged, seconds until all was stored, bytes a span."""
    folder.mkdir(parents=True)
    port = 46_000 + os.getpid() % 1000
    log = open(folder / "log", "wb")  # noqa: SIM115  # the process writes to it
    env = {**os.environ, **peer.env(folder, port)}
    process = subprocess.Popen(peer.command(folder, port), env=env, stdout=log, stderr=log)
    try:
        wait_for(port, process, folder)
        begun = time.monotonic()
        post_all(f"127.0.0.1:{port}", body, peer.headers)
        acked = time.monotonic() - begun
        while count(folder / peer.database, peer.stored) < spans:
            if time.monotonic() - begun > 900:
                raise RuntimeError(
                    f"only {count(folder / peer.database, peer.stored)} of {spans} spans after 15 minutes"
                )
            time.sleep(0.2)
        stored = time.monotonic() - begun
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "log")
    return acked, stored, used / spans


def post_all(host: str, body: list[Request], headers: dict[str, str]) -> None:
    """Send every request over one connection, uncompressed, since not every peer takes gzip: the same for all."""
    connection = http.client.HTTPConnection(host)
    for request in body:
        raw = gzip.decompress(request.body)
        connection.request(
            "POST", "/v1/traces", body=raw, headers={"content-type": "application/x-protobuf", **headers}
        )
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"answered {answer.status}: {text[:200]!r}")
    connection.close()


def wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until a peer answers."""
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError((folder / "log").read_text()[-300:])
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).read()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("it did not start within two minutes")


def count(database: Path, query: str) -> int:
    """Rows in a peer's SQLite file, read beside it."""
    import sqlite3

    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.Error:
        return 0
