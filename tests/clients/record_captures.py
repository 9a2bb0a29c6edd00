"""Record what the real clients send: `python -m tests.clients.record_captures [NAME ...]`."""

import sys
from pathlib import Path

from tests.clients.client_runs import CLIENTS, is_installed, run_client
from tests.clients.scrubbing import scrubbed, written

CAPTURES = Path(__file__).parents[1] / "conventions" / "captures"


def record(name: str) -> list[str]:
    """Run one client and write its exports; returns the names of the files."""
    run = run_client(name)
    files: list[str] = []
    for signal, body in scrubbed(run.bodies, model_port=run.model_port).items():
        if body:
            path = CAPTURES / f"{name}.{signal}.json"
            path.write_text(written(body) + "\n", "utf-8")
            files.append(path.name)
    return files


if __name__ == "__main__":
    CAPTURES.mkdir(parents=True, exist_ok=True)
    for wanted in sys.argv[1:] or [client.name for client in CLIENTS if is_installed(client)]:
        print(wanted, *record(wanted))
