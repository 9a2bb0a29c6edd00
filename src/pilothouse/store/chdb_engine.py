"""The default driver: the embedded engine in a storage process of our own, over a Unix socket."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pilothouse.records import Unreachable

from .engine import Params, raise_for, render_params
from .frames import read_frame, write_frame

DEFAULT_SETTINGS: Mapping[str, Any] = {
    "max_execution_time": 60,
    "max_memory_usage": 1_200_000_000,
    # Two threads a query: more makes one query faster and all others slower on a small machine.
    "max_threads": 2,
}


class ChdbEngine:
    """Speaks to a storage process; starts it where ``owner`` is true.

    The owner supervises: a storage process that died is started again by the next call. Calls that were under way
    fail with Unreachable and can be repeated: every write of ours is idempotent.
    """

    name = "chdb"
    clustered = False

    def __init__(self, folder: Path, *, owner: bool, memory_bytes: int = 1_500_000_000) -> None:
        self.folder = folder.resolve()
        self._owner = owner
        self._memory_bytes = memory_bytes
        self._socket_path = socket_path(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._coming_up = False
        self._idle: queue.LifoQueue[socket.socket] = queue.LifoQueue()
        self._closed = False
        if owner:
            # It comes up while its owner goes on; the first call waits for it.
            self._spawn()

    def execute(
        self,
        sql: str,
        params: Params | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        format: str = "Null",
    ) -> bytes:
        merged = {**DEFAULT_SETTINGS, **(settings or {})}
        # Data definition statements take no SETTINGS clause in general; they need none of these bounds either.
        if sql.lstrip().upper().startswith(("SELECT", "WITH", "INSERT")):
            sql = f"{sql}\nSETTINGS {', '.join(f'{k} = {_literal(v)}' for k, v in merged.items())}"
        return self._call({"sql": sql, "format": format, "params": render_params(params)})

    def insert(self, table: str, columns: Sequence[str], body: bytes) -> None:
        sql = (
            f"INSERT INTO {table} ({', '.join(columns)}) FROM INFILE '{{file}}' "  # names are ours
            "SETTINGS max_threads = 2, max_insert_block_size = 1048576, input_format_parallel_parsing = 0, "
            "input_format_null_as_default = 0, max_partitions_per_insert_block = 0 FORMAT JSONCompactEachRow"
        )
        self._call({"sql": sql, "load": True}, body)

    def close(self) -> None:
        self._closed = True
        while not self._idle.empty():
            self._idle.get().close()
        if self._process is not None:
            self._stop(self._process)

    def memory_bytes(self) -> int:
        """Resident memory of the storage process, 0 where unknown."""
        if self._process is None:
            return 0
        return _resident_bytes(self._process.pid)

    @property
    def process_id(self) -> int:
        """The storage process's id, 0 where another process owns it."""
        return self._process.pid if self._process else 0

    def _call(self, header: dict[str, Any], body: bytes = b"") -> bytes:
        connection = self._connect()
        try:
            write_frame(connection, header, body)
            frame = read_frame(connection)
        except OSError as error:
            connection.close()
            raise Unreachable(
                "the storage process stopped in the middle of a statement; it is started again"
            ) from error
        if frame is None:
            connection.close()
            raise Unreachable("the storage process stopped in the middle of a statement; it is started again")
        self._idle.put(connection)
        answer, data = frame
        if not answer["ok"]:
            raise_for(answer["error"])
        return data

    def _connect(self) -> socket.socket:
        if self._coming_up:
            with self._starting:
                self._await_ready()
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                break
            # A connection left from before a restart reads as closed; a healthy idle one has nothing to read.
            connection.setblocking(False)
            try:
                gone = connection.recv(1, socket.MSG_PEEK) == b""
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if not gone:
                connection.setblocking(True)
                return connection
            connection.close()
        try:
            return self._open()
        except OSError:
            if not self._owner or self._closed:
                raise Unreachable("the storage process does not answer", fix="pilothouse status") from None
            self._start()
            return self._open()

    def _open(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._socket_path))
        except OSError:
            connection.close()
            raise
        return connection

    def _start(self) -> None:
        with self._starting:
            self._await_ready()
            if self._process is not None:
                # Refused although the process seems alive: it is dying, or another caller has just started it.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=0.5)
                if self._process.poll() is None and self._answers():
                    return
                self._stop(self._process)
            self._spawn()
            self._await_ready()

    def _spawn(self) -> None:
        self._socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket_path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pilothouse.store.chdb_process", "--folder", str(self.folder)]
        command += ["--socket", str(self._socket_path), "--memory-bytes", str(self._memory_bytes)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._coming_up = True

    def _await_ready(self) -> None:
        """Wait for one that was started; under the lock."""
        if not self._coming_up:
            return
        assert self._process is not None and self._process.stdout is not None
        ready = self._process.stdout.readline() == b"ready\n"
        self._coming_up = False
        if not ready:
            code = self._process.wait()
            raise Unreachable(
                f"the storage process for {self.folder} did not start (exit code {code})",
                fix="another server may use this folder: pilothouse status",
            )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            self._open().close()
            return True
        return False

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def socket_path(folder: Path) -> Path:
    """Where the storage process of a folder listens: in a private temporary folder, since socket paths are short."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"pilothouse-{os.getuid()}" / f"{digest}.sock"


def _resident_bytes(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _literal(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | int) else "'" + str(value).replace("'", "") + "'"
