"""The storage process: owns the embedded engine's folder and answers statements on a Unix socket.

It is a process of its own because the engine takes one process per folder, cannot survive a fork after import,
and must not take the web page with it when it runs out of memory. Started by :class:`ChdbEngine`; ends when its
standard input closes, so it never outlives its parent, not even after kill -9.
"""

from __future__ import annotations

import argparse
import importlib
import os
import queue
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pilothouse.records.priority import give_way

from .frames import read_frame, write_frame


class _Server:
    def __init__(self, folder: Path, socket_path: Path, memory_bytes: int, sessions: int) -> None:
        # Heavy: only here, never in the parent. The native module has no type stubs.
        native: Any = importlib.import_module("chdb._chdb")
        from chdb.session import Session

        # Without this a crash inside the engine hangs for 300 s in its own handler before the process dies.
        native.set_signal_handlers_enabled(False)
        options = f"max_server_memory_usage={memory_bytes}&background_pool_size=4&background_schedule_pool_size=4"
        folder.mkdir(parents=True, exist_ok=True)
        opened = self._open(lambda: Session(f"{folder}?{options}"))
        self._sessions: queue.LifoQueue[Any] = queue.LifoQueue()
        self._sessions.put(opened)
        for _ in range(sessions - 1):
            self._sessions.put(Session(f"{folder}?{options}"))
        self._scratch = Path(tempfile.mkdtemp(prefix="load-", dir=folder.parent))
        self._loads = 0
        self._socket = socket.socket(socket.AF_UNIX)
        socket_path.unlink(missing_ok=True)
        self._socket.bind(str(socket_path))
        socket_path.chmod(0o600)
        self._socket.listen(64)

    @staticmethod
    def _open(make: Any) -> Any:
        # After kill -9 of a parent the former storage process may need a moment to notice and let go of the folder.
        deadline = time.monotonic() + 20
        while True:
            try:
                return make()
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            while (frame := read_frame(connection)) is not None:
                header, body = frame
                try:
                    answer = self._run(header, body)
                except Exception as error:
                    write_frame(connection, {"ok": False, "error": str(error)})
                else:
                    write_frame(connection, {"ok": True}, answer)

    def _run(self, header: dict[str, Any], body: bytes) -> bytes:
        session = self._sessions.get()
        try:
            if header.get("load"):
                return self._load(session, header["sql"], body)
            result = session.query(header["sql"], header["format"], params=header.get("params") or None)
            return result.bytes() if result is not None else b""
        except Exception:
            # What a failed query had written so far stays in the session and would come before the next answer,
            # which may be another project's: a query of no interest takes it away.
            session.query("SELECT 1", "CSV")
            raise
        finally:
            self._sessions.put(session)

    def _load(self, session: Any, sql: str, body: bytes) -> bytes:
        # The rows go through a file: pasted behind the SQL they would pass the query parser's size bound.
        self._loads += 1
        path = self._scratch / f"{threading.get_ident()}-{self._loads}.jsonl"
        path.write_bytes(body)
        try:
            session.query(sql.replace("{file}", str(path)))
        finally:
            path.unlink(missing_ok=True)
        return b""


def _die_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Run the storage process until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=6)
    options = parser.parse_args()
    for stale in options.folder.parent.glob("load-*"):
        for file in stale.iterdir():
            file.unlink()
        stale.rmdir()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    server = _Server(options.folder, options.socket, options.memory_bytes, options.sessions)
    # Storing what came never delays what comes; a start is over sooner.
    give_way()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve()


if __name__ == "__main__":
    main()
