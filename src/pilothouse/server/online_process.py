"""The process that scores production traces: ``python -m pilothouse.server.online_process``, started by the server.

A process of its own, behind the others where cores are short: nothing that it reads, asks or runs holds up what arrives. Its
configuration is the first line of standard input; it ends when that closes, so also when the server is killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from pilothouse.online import read_online
from pilothouse.online.rounds import Rounds
from pilothouse.online.scoring import Means
from pilothouse.policy import watch
from pilothouse.records import PilothouseError
from pilothouse.records.priority import give_way
from pilothouse.store import open_store
from pilothouse.store.control_store import open_control
from pilothouse.store.online_store import online_of

from .online import own_gateway, policy_folder
from .policies import check_policy

LOG = logging.getLogger("pilothouse.online")
PAUSE_S = 2.0
_GRACE_S = 5.0


def main() -> None:
    """Score until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--store", default="")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s online %(levelname)s %(message)s", stream=sys.stderr)
    # Ctrl-C reaches the whole group; the server ends us in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config: dict[str, Any] = json.loads(sys.stdin.readline() or "{}")
    stopping = threading.Event()
    work = threading.Thread(target=_work, args=(options.data, options.store, config, stopping), daemon=True)
    work.start()
    for _ in sys.stdin:
        pass
    stopping.set()
    work.join(_GRACE_S)
    # A question that is under way is left: its claim is given back at the next start.
    os._exit(0)


def _work(data: Path, store_url: str, config: dict[str, Any], stopping: threading.Event) -> None:
    try:
        _score(data, store_url, config, stopping)
    except Exception:
        LOG.exception("online evals ended")
    if not stopping.is_set():
        # The server starts us again.
        os._exit(1)


def _score(data: Path, store_url: str, config: dict[str, Any], stopping: threading.Event) -> None:
    control_url: str = config.get("control", "")
    control = open_control(control_url, data)
    policy = watch(data_folder=data, check=check_policy)
    means = Means(
        store=open_store(store_url, data, owner=False),
        kept=online_of(control_url, data),
        folder=policy_folder(policy, data),
        allowed_code=tuple(config.get("code", ())),
        gateway=own_gateway(config.get("url", ""), config.get("keys", {})),
    )
    rounds = Rounds(means=means, control=control, owner=_owner(data), stopping=stopping)
    give_way()
    begun = False
    try:
        while not stopping.is_set():
            try:
                if not begun:
                    rounds.begin()
                    begun = True
                rounds.round(read_online(policy.policy.section("online")), config.get("keys", {}))
            except PilothouseError as error:
                LOG.warning("a round of online evals failed, and is tried again: %s", error)
            stopping.wait(PAUSE_S)
    finally:
        rounds.close()


def _owner(data: Path) -> str:
    """The same for every process of this data folder, and for no other's."""
    return hashlib.sha256(f"{socket.gethostname()} {data.resolve()}".encode()).hexdigest()[:40]


if __name__ == "__main__":
    main()
