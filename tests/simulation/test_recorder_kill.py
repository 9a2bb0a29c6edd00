"""The server killed under a recording agent, and the agent killed while it records: what is found in the store after."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live_server import LiveServer, start_server

ROOT = Path(__file__).parents[2]
FLUSH_S = 0.5
AWAY_S = 30.0
AGENT = """
import sys, time, threading
from pathlib import Path
from tests.sdk.pipeline_making import Made

endpoint, key, spill, log, seconds = sys.argv[1:]
made = Made(endpoint, Path(spill), key=key, flush_interval_s=0.5)
out = open(log, "a", buffering=1)
end = time.monotonic() + float(seconds)
lock = threading.Lock()

def work(number):
    while time.monotonic() < end:
        with made.tracer.start_as_current_span("run") as root:
            for step in range(5):
                with made.tracer.start_as_current_span("step") as span:
                    span.set_attribute("gen_ai.tool.call.result", f"{number} {step} " * 300)
                    name = f"{span.get_span_context().span_id:016x}"
                # Only what has ended is written down, with the moment.
                with lock:
                    out.write(f"{name} {time.monotonic_ns()}\\n")
        time.sleep(0.005)

def watch():
    # How late a thread gets its turn here: the recorder's own get theirs no sooner.
    while time.monotonic() < end:
        due = time.monotonic() + 0.05
        time.sleep(0.05)
        out.write(f"late {time.monotonic() - due}\\n")

threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
threads.append(threading.Thread(target=watch))
for thread in threads: thread.start()
for thread in threads: thread.join()
made.pipeline.close()
print(made.pipeline.stats())
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def agent(server: LiveServer, folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A program that records all the while."""
    script = folder / "agent.py"
    script.write_text(AGENT)
    command = [
        sys.executable,
        str(script),
        server.url,
        server.key,
        str(folder / "spill"),
        str(folder / "log"),
        str(seconds),
    ]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def ended(folder: Path) -> dict[str, int]:
    """The spans that ended and when, by the clock that does not jump, which all processes of a machine share."""
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}


def latest_turn_s(folder: Path) -> float:
    """The longest that a thread of the agent had to wait for its turn."""
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    return max((float(line[1]) for line in lines if len(line) == 2 and line[0] == "late"), default=0.0)


def stored(server: LiveServer) -> list[str]:
    """The ids of all spans in the store that have ended."""
    found: list[str] = []
    for digit in "0123456789abcdef":
        query = f"SELECT groupArray(span_id) FROM spans WHERE startsWith(span_id, '{digit}') AND name = 'step'"
        found += server.sql(query)[0][0]
    return found


def deliver(server: LiveServer, folder: Path) -> None:
    """What any process with the same server and key does when it starts: deliver what waits."""
    command = [sys.executable, "-m", "pilothouse.cli", "deliver", "--json"]
    env = {
        **os.environ,
        "PILOTHOUSE_URL": server.url,
        "PILOTHOUSE_API_KEY": server.key,
        "PILOTHOUSE_SPILL_DIR": str(folder / "spill"),
    }
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    server.wait_until_stored()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_server_that_is_killed_for_a_while_under_load_has_every_span_afterwards(tmp_path: Path) -> None:
    port = free_port()
    server = start_server(tmp_path / "data", "--port", str(port))
    process = agent(server, tmp_path, AWAY_S + 8)
    try:
        wait_for_log(tmp_path)
        time.sleep(1.5)
        server.kill()
        time.sleep(AWAY_S)
        server = start_server(tmp_path / "data", "--port", str(port), key=server.key)
        assert process.wait(timeout=60) == 0
        deliver(server, tmp_path)
        expected, found = ended(tmp_path), stored(server)
        print(f"ended {len(expected)}, found {len(found)}")
        assert len(expected) > 100, "there was hardly any load"
        missing = set(expected) - set(found)
        assert not missing, f"{len(missing)} of {len(expected)}, such as {sorted(missing)[:3]}"
        assert len(found) == len(set(found)), "stored twice"
        assert list((tmp_path / "spill").glob("*/*.otlp.gz")) == []
    finally:
        process.kill()
        server.stop()


@pytest.mark.parametrize("backend", ["answering", pytest.param("hanging", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.timeout(300)
def test_an_agent_that_is_killed_loses_only_its_last_moments(tmp_path: Path, backend: str, rounds: int) -> None:
    """Bound: every span is there that ended more than two flush intervals before, and the time of one write to disk."""
    seed = int(os.environ.get("PILOTHOUSE_SEED", random.randrange(10**6)))
    print("seed", seed)
    rng = random.Random(seed)
    port = free_port()
    server = start_server(tmp_path / "data", "--port", str(port))
    lost: list[int] = []
    try:
        for number in range(rounds):
            folder = tmp_path / f"run {number}"
            folder.mkdir()
            process = agent(server, folder, 60)
            wait_for_log(folder)
            time.sleep(rng.uniform(2.0, 3.5))
            if backend == "hanging":
                os.kill(server.process.pid, signal.SIGSTOP)
                time.sleep(rng.uniform(1.5, 2.5))
            killed = time.monotonic_ns()
            process.kill()
            process.wait()
            os.kill(server.process.pid, signal.SIGCONT)
            deliver(server, folder)
            expected, found = ended(folder), set(stored(server))
            # A shared machine writes to disk when it gets to it: half a second is left for that, and where threads
            # wait for their turn, the few turns that a write takes.
            late_s = latest_turn_s(folder)
            bound = killed - int((2 * FLUSH_S + 0.5 + 4 * late_s) * 1e9)
            print(f"a thread waited {late_s:.2f} s for its turn at most")
            due = {span_id for span_id, at in expected.items() if at < bound}
            assert due, "killed too early to tell"
            assert due - found == set(), f"{len(due - found)} of {len(due)}"
            lost.append(len(set(expected) - found))
        print("lost of the last moments:", lost)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
        server.stop()


def wait_for_log(folder: Path) -> None:
    """Wait until the agent records."""
    deadline = time.monotonic() + 30
    while not (folder / "log").exists() or not (folder / "log").read_text():
        assert time.monotonic() < deadline, "the agent does not record"
        time.sleep(0.02)
