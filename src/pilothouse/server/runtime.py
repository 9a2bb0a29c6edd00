"""The runtime file: how a command on the same machine finds a running server, and how one folder has one server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pilothouse.records import BadRequest, NotFound, Unreachable

RUNTIME_NAME = "server.json"
LOCK_NAME = "server.lock"
LOG_NAME = "server.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What a running server says of itself. The file is readable by its owner alone."""

    url: str
    grpc: str
    """Address of OTLP/gRPC, empty where it is off."""
    pid: int
    data: str
    store: str
    token: str
    """A key for commands on this machine; dies with the server."""
    started: str


class FolderLock:
    """Holds a data folder for one server. The lock goes with the process, however it ends."""

    def __init__(self, data: Path) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = open(data / LOCK_NAME, "a+")  # noqa: SIM115  # held open as long as the server lives
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            runtime = read_runtime(data)
            where = f" at {runtime.url} (process {runtime.pid})" if runtime else ""
            raise BadRequest(
                f"a server already runs on this data folder{where}",
                got=str(data),
                fix=f"pilothouse down --data {data}, or choose another folder with --data",
            ) from error

    def release(self) -> None:
        """Let go of the folder."""
        self._file.close()


def new_token() -> str:
    """A local token of 256 random bits."""
    return "phl_" + secrets.token_hex(32)


def write_runtime(runtime: Runtime) -> None:
    """Write the runtime file, for the owner's eyes only."""
    path = Path(runtime.data) / RUNTIME_NAME
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        json.dump(asdict(runtime), file)
    temporary.replace(path)


def read_runtime(data: Path) -> Runtime | None:
    """The runtime file of a data folder; None where there is none or its server has gone."""
    try:
        runtime = Runtime(**json.loads((data / RUNTIME_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return runtime if is_running(data) else None


def is_running(data: Path) -> bool:
    """True where some server holds the data folder."""
    try:
        with open(data / LOCK_NAME, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def remove_runtime(data: Path) -> None:
    """Remove the runtime file."""
    (data / RUNTIME_NAME).unlink(missing_ok=True)


def stop(data: Path, timeout_s: float = 30.0) -> Runtime:
    """Stop the server of a data folder and wait until it has let go of it.

    Raises:
        NotFound: no server runs on it.
        Unreachable: it did not stop in time.
    """
    runtime = read_runtime(data)
    if runtime is None:
        raise NotFound("no server runs on this data folder", got=str(data), fix="pilothouse up --detach")
    with contextlib.suppress(ProcessLookupError):
        os.kill(runtime.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while is_running(data):
        if time.monotonic() > deadline:
            raise Unreachable(
                f"the server (process {runtime.pid}) did not stop within {timeout_s:.0f} s",
                fix=f"kill -9 {runtime.pid}",
            )
        time.sleep(0.05)
    return runtime


def start_detached(arguments: list[str], data: Path, timeout_s: float = 60.0) -> str:
    """Start ``pilothouse up`` in the background and return what it printed once it is ready.

    Raises:
        Unreachable: it ended, or was not ready in time; the log says why.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = data / LOG_NAME
    with open(log, "ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "pilothouse.cli", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout_s
    while True:
        printed = log.read_bytes()[begin:].decode("utf-8", "replace")
        if "\nready" in printed or '"event":"ready"' in printed:
            return printed
        if process.poll() is not None:
            raise Unreachable(f"the server did not start: {printed.strip()[-1500:]}", fix=f"see {log}")
        if time.monotonic() > deadline:
            process.terminate()
            raise Unreachable(f"the server was not ready within {timeout_s:.0f} s", fix=f"see {log}")
        time.sleep(0.05)
