"""The process that runs durable work: ``python -m pilothouse.server.job_worker``, started by the server.

Its configuration is the first line of standard input. It ends when that closes, so also when the server is killed; what
was open is gone on with by the next worker.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from pilothouse.jobs import Runtime
from pilothouse.records import PilothouseError
from pilothouse.store.job_store import JobStore, job_url

from .workflows import QUEUES, SCHEDULES, Resources, workflows


def main() -> None:
    """Run workflows until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", default="")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s jobs %(levelname)s %(message)s", stream=sys.stderr)
    # Ctrl-C reaches the whole group; the server ends us in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config: dict[str, Any] = json.loads(sys.stdin.readline() or "{}")
    resources = Resources(data=options.data, store_url=options.store)
    store = JobStore(job_url(config.get("control", ""), options.data))
    try:
        runtime = Runtime(
            store, workflows(resources), queues=QUEUES, schedules=SCHEDULES, declared_dead=lambda: os._exit(3)
        )
    except PilothouseError as error:
        logging.getLogger("pilothouse.jobs").error("the job worker does not start: %s", error.message)
        sys.exit(error.exit_code)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        pass
    runtime.close(grace_s=5)
    # Steps that would not end in time are left: they are recorded as open, and must not hold the server up.
    os._exit(0)


if __name__ == "__main__":
    main()
