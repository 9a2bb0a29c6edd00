"""Counts of caps: never one too many, in threads and processes, on both databases; and still there after a restart."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pilothouse.guards import About, Guard, read_guards
from pilothouse.store.count_store import CountStore, counts_of

_PROCESS = """
import sys
from pilothouse.store.count_store import CountStore
counts = CountStore(sys.argv[1])
print(sum(counts.take("k", 3, at_most=100, period_s=60, now_s=5.0) for _ in range(30)))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'guards.db'}"
    return str(request.getfixturevalue("postgresql_url")).replace("postgresql:", "postgresql+psycopg:")


def test_a_cap_holds_over_processes(address: str) -> None:
    CountStore(address).close()
    running = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, address], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    taken = [int(process.communicate(timeout=120)[0]) for process in running]
    assert sum(taken) == 33
    store = CountStore(address)
    assert not store.take("k", 3, at_most=100, period_s=60, now_s=59.0)
    assert store.take("k", 1, at_most=100, period_s=60, now_s=59.0)
    assert not store.take("k", 1, at_most=100, period_s=60, now_s=1.0)
    assert store.take("k", 3, at_most=100, period_s=60, now_s=61.0)
    assert not store.take("k", 1, at_most=3, period_s=60, now_s=2.0), "a clock that is put back gives nothing"
    assert store.take("other", 100, at_most=100, period_s=60, now_s=5.0)
    assert not store.take("third", 101, at_most=100, period_s=60, now_s=5.0)
    store.close()


def test_a_cap_holds_over_threads_and_a_restart(tmp_path: Path) -> None:
    settings = read_guards({"caps": [{"tool": "send", "max": 20, "period": "1d"}]})
    store = counts_of("", tmp_path)
    guard = Guard(settings, counts=store, clock=lambda: 1_000.0)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: guard.check("tool_arguments", "{}", About(tool="send")).allowed, range(60)))
    assert sum(done) == 20
    store.close()
    again = Guard(settings, counts=counts_of("", tmp_path), clock=lambda: 1_000.0)
    assert not again.check("tool_arguments", "{}", About(tool="send")).allowed
