"""Leases: of many who ask for an item one gets it, and it comes free when its holder is gone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

from pilothouse.analysis.lease import attempts, claim, current, end, held, renew


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.ns = 10**18

    def now_ns(self) -> int:
        return self.ns


def test_of_many_one_gets_it(tmp_path: Path) -> None:
    clock, got = Clock(), []
    gate = threading.Barrier(16)

    def ask() -> None:
        gate.wait()
        for key in ("a", "b", "c", "d"):
            lease = claim(tmp_path, key, clock=clock, seconds=60)
            if lease is not None:
                got.append(lease)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lease.key for lease in got) == ["a", "b", "c", "d"]
    assert all(held(tmp_path, lease) for lease in got)


def test_an_expired_lease_is_anothers_and_its_holder_learns_of_it(tmp_path: Path) -> None:
    clock = Clock()
    first = claim(tmp_path, "a", clock=clock, seconds=60)
    assert first is not None
    clock.ns += 59 * 10**9
    assert claim(tmp_path, "a", clock=clock, seconds=60) is None
    first = renew(tmp_path, first, clock=clock, seconds=60)
    assert first is not None
    clock.ns += 59 * 10**9
    assert claim(tmp_path, "a", clock=clock, seconds=60) is None, "it was renewed"
    clock.ns += 2 * 10**9
    second = claim(tmp_path, "a", clock=clock, seconds=60)
    assert second is not None and second.attempt == 2
    assert renew(tmp_path, first, clock=clock, seconds=60) is None
    assert held(tmp_path, second) and not held(tmp_path, first)


def test_what_a_killed_process_held_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pilothouse.analysis.lease import claim\n"
        "from pilothouse.records import SystemClock\n"
        "assert claim(Path(sys.argv[1]), 'a', clock=SystemClock(), seconds=10**6)\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    lease = claim(tmp_path, "a", clock=Clock(), seconds=60)
    assert lease is not None and lease.attempt == 2


def test_what_is_handed_out_is_held_by_no_process(tmp_path: Path) -> None:
    clock = Clock()
    lease = claim(tmp_path, "a", clock=clock, seconds=60, handed=True)
    assert lease is not None and lease.pid == 0 and not lease.over(clock.ns)
    clock.ns += 61 * 10**9
    assert lease.over(clock.ns)


def test_a_half_written_lease_counts_as_expired(tmp_path: Path) -> None:
    clock = Clock()
    claim(tmp_path, "a", clock=clock, seconds=60)
    (tmp_path / "leases/a/001.json").write_text('{"key": "a", "att')
    lease = claim(tmp_path, "a", clock=clock, seconds=60)
    assert lease is not None and lease.attempt == 2


def test_what_attempts_took_stays_written_down(tmp_path: Path) -> None:
    clock = Clock()
    for tokens in (100, 200):
        lease = claim(tmp_path, "a", clock=clock, seconds=60)
        assert lease is not None
        end(tmp_path, lease, "failed", why="no answer", tokens=tokens, usd=0.5)
    assert [(one.attempt, one.ended, one.tokens, one.usd) for one in attempts(tmp_path, "a")] == [
        (1, "failed", 100, 0.5),
        (2, "failed", 200, 0.5),
    ]
    assert json.loads((tmp_path / "leases/a/002.json").read_text())["why"] == "no answer"
    assert current(tmp_path, "b") is None
