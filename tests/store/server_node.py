"""Runs a ClickHouse server node in this process, out of npm's library: `python server_node.py LIB DATA TCP HTTP [ARG…]`.

The library's C entry point takes clickhouse-local's arguments; asked to, that program listens like a server. It has no
authentication and no replication: loopback only, for tests.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

FOREVER = (
    "SELECT sleepEachRow(3) FROM numbers(100000) SETTINGS max_block_size = 1, "
    "function_sleep_max_microseconds_per_block = 0, max_execution_time = 0 FORMAT Null"
)


def main() -> None:
    """Serve until killed."""
    library, data, tcp_port, http_port, *further = sys.argv[1:]
    Path(data).mkdir(parents=True, exist_ok=True)
    arguments = ["clickhouse", "--path", data, "--listen_host", "127.0.0.1"]
    arguments += ["--tcp_port", tcp_port, "--http_port", http_port, *further]
    arguments += ["--query", f"SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; {FOREVER}"]
    run = ctypes.CDLL(library).query_stable_v2
    run.restype = ctypes.c_void_p
    encoded = [argument.encode() for argument in arguments]
    run(len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))


if __name__ == "__main__":
    main()
