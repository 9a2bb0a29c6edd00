"""Delivering what waits on disk without a recorder: what ``pilothouse deliver`` does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilothouse.records import BadRequest, NotAllowed, Unreachable

from .delivery import Delivery
from .queue import Queue
from .settings import Settings
from .spill import Spill, all_files
from .stats import Counters

OTHERS_S = 15.0
"""How long another process that is delivering is waited for: longer than it pauses between tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Records on disk for one address and key."""

    folder: str
    """Name of the folder: a hash of address and key."""
    endpoint: str
    records: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What a delivery came to."""

    endpoint: str
    delivered: int
    """Records that this call delivered."""
    waiting: int
    """Records that still wait for this address and key."""
    refused: int
    """Records the server will not have, kept aside with the reason."""
    elsewhere: tuple[Waiting, ...]
    """What waits for other addresses and keys."""


def waiting(root: Path) -> tuple[Waiting, ...]:
    """What waits in a spill folder, by address and key."""
    found: dict[Path, tuple[int, int]] = {}
    for file in all_files(root):
        records, size = found.get(file.path.parent, (0, 0))
        found[file.path.parent] = (records + file.count, size + file.size)
    return tuple(
        Waiting(folder=folder.name, endpoint=Spill.endpoint_of(folder), records=records, bytes=size)
        for folder, (records, size) in sorted(found.items())
    )


def deliver(
    settings: Settings,
    *,
    folder: str = "",
    stop: threading.Event | None = None,
    tell: Callable[[int], None] | None = None,
) -> Delivered:
    """Deliver what waits for the address and key of the settings; with ``stop`` go on until it is set.

    Args:
        folder: Send what waits there, recorded for another address or key, instead.
        stop: Ends a delivery that otherwise goes on for ever, through any failure.
        tell: Called with the number of records of each request that was taken.

    Raises:
        BadRequest: there is no such folder.
        NotAllowed: the server will not have the key.
        Unreachable: the server does not answer, or another process holds the folder and does not get on.
    """
    if folder and folder not in {place.folder for place in waiting(settings.spill_dir)}:
        known = [place.folder for place in waiting(settings.spill_dir)]
        raise BadRequest("nothing waits in that folder", got=folder, allowed=known, fix="pilothouse deliver")
    counters = Counters()
    delivery = Delivery(settings, Queue(counters, 1 << 62, lambda: None), counters, "deliver")
    if folder:
        delivery.spill.folder = settings.spill_dir / folder
    patience = time.monotonic() + OTHERS_S
    told = 0
    try:
        while stop is None or not stop.is_set():
            moved = delivery.drain()
            if tell is not None and counters.delivered_from_spill > told:
                tell(counters.delivered_from_spill - told)
                told = counters.delivered_from_spill
            if stop is not None:
                if not moved:
                    stop.wait(0.5)
            elif delivery.failing:
                wrong = NotAllowed if "HTTP 401" in delivery.trouble or "HTTP 403" in delivery.trouble else Unreachable
                raise wrong(delivery.trouble, fix=delivery.remedy.rpartition("; ")[2])
            elif not delivery.spill.any_waiting():
                break
            elif not moved:
                if time.monotonic() > patience:
                    raise Unreachable(
                        "another process is delivering this folder and has not finished",
                        got=str(delivery.spill.folder),
                        fix="pilothouse deliver --follow",
                    )
                time.sleep(0.1)
    finally:
        delivery.release()
    places = waiting(settings.spill_dir)
    own = delivery.spill.folder.name
    return Delivered(
        endpoint=settings.endpoint,
        delivered=counters.delivered_from_spill,
        waiting=sum(place.records for place in places if place.folder == own),
        refused=counters.dropped.get("refused", 0),
        elsewhere=tuple(place for place in places if place.folder != own),
    )
