"""Runs a ClickHouse server node in this process, out of npm's library: `python server_node.py LIB DATA TCP HTTP [ARG…]`.

The library's C entry point takes clickhouse-local's arguments; asked to, that program listens like a server. It has no
authentication and no replication: loopback only, for tests. Now and then it dies under load and says nothing: it runs
in a child, is started again on the same ports and data, and its end is told.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from pathlib import Path

FOREVER = (
    "SELECT sleepEachRow(3) FROM numbers(100000) SETTINGS max_block_size = 1, "
    "function_sleep_max_microseconds_per_block = 0, max_execution_time = 0 FORMAT Null"
)


class Result(ctypes.Structure):
    """What the library gives back: ``local_result_v2`` of chdb.h."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("vec", ctypes.c_void_p),
        ("elapsed", ctypes.c_double),
        ("rows_read", ctypes.c_uint64),
        ("bytes_read", ctypes.c_uint64),
        ("error_message", ctypes.c_char_p),
    )


def supervise(arguments: list[str]) -> None:
    """Start it again when it dies; not where it dies at once again and again."""
    quick = 0
    while quick < 3:
        begun = time.monotonic()
        code = subprocess.call([sys.executable, __file__, "--serve", *arguments])
        print(f"the node has ended with {code} and is started again", file=sys.stderr, flush=True)
        quick = quick + 1 if time.monotonic() - begun < 3 else 0


def main() -> None:
    """Serve until killed."""
    if sys.argv[1] != "--serve":
        supervise(sys.argv[1:])
        return
    del sys.argv[1]
    library, data, tcp_port, http_port, *further = sys.argv[1:]
    Path(data).mkdir(parents=True, exist_ok=True)
    arguments = ["clickhouse", "--path", data, "--listen_host", "127.0.0.1"]
    arguments += ["--tcp_port", tcp_port, "--http_port", http_port, *further]
    arguments += ["--query", f"SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; {FOREVER}"]
    run = ctypes.CDLL(library).query_stable_v2
    run.restype = ctypes.POINTER(Result)
    encoded = [argument.encode() for argument in arguments]
    result = run(len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))
    # It should never end; where it does, the library keeps the reason to itself.
    why = result.contents.error_message if result else None
    print(f"the node has ended: {why.decode(errors='replace') if why else 'without an error'}", file=sys.stderr)


if __name__ == "__main__":
    main()
