"""A run that is killed with -9 in the middle goes on: what was finished stays, everything is finished once.

The attempts in flight at a kill are repeated, and only those: their workers die with the driver, and their answers, had
they come, would not have been taken.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .exports import Told, make_export

WORKER = """
echo "begin $PILOTHOUSE_ANALYSIS_READER-$PILOTHOUSE_ANALYSIS_ITEM" >> "$1"
cat > /dev/null
sleep "$2"
echo "end $PILOTHOUSE_ANALYSIS_READER-$PILOTHOUSE_ANALYSIS_ITEM" >> "$1"
echo '{"verdict":"ok","first_bad_step":"","component":"","symptom":"","root_cause":"","evidence":[],"confidence":"high"}'
"""


def pilothouse(*words: str, cwd: Path) -> dict:
    command = [sys.executable, "-m", "pilothouse.cli", "analyze", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def ledger(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_until(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the driver ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finished(run: Path) -> dict[str, bytes]:
    paths = [*run.glob("items/*.json"), *run.glob("second/*.json")]
    return {f"{'first' if path.parent.name == 'items' else 'second'}-{path.stem}": path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("traces", "workers", "seconds"),
    [(24, 8, "0.05"), pytest.param(200, 25, "0.3", marks=pytest.mark.slow)],
)
def test_three_kills_in_the_middle_and_every_item_is_done_once(
    tmp_path: Path, traces: int, workers: int, seconds: str
) -> None:
    seed = int(os.environ.get("PILOTHOUSE_SEED") or random.randrange(10**6))
    print(f"seed {seed}")
    dice = random.Random(seed)
    make_export(tmp_path / "export", [Told(number=number) for number in range(traces)])
    script, book = tmp_path / "worker.sh", tmp_path / "ledger"
    script.write_text(WORKER)
    made = pilothouse("new", "triage", "export", "--worker", f"sh {script} {book} {seconds}", cwd=tmp_path)
    run = tmp_path / made["folder"]
    jobs = made["items"] + made["second_readings"]
    assert jobs == traces + round(0.2 * traces)
    # At three random counts of begun attempts, with room for something to be left each time.
    moments = sorted(dice.sample(range(2, jobs - 2), 3))
    checks: list[tuple[int, dict[str, bytes]]] = []
    for moment in moments:
        with subprocess.Popen(
            [sys.executable, "-m", "pilothouse.cli", "analyze", "run", "export", "--concurrency", str(workers)],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
        ) as driver:
            wait_until(lambda at=moment: sum(line.startswith("begin") for line in ledger(book)) >= at, driver)
            time.sleep(dice.random() * float(seconds))
            if driver.poll() is None:
                driver.send_signal(signal.SIGKILL)
        before = finished(run)
        begun = len(ledger(book))
        # What was finished is not begun again, nor changed, by whoever comes next.
        assert all(json.loads(text)["verdict"] == "ok" for text in before.values())
        checks.append((begun, before))
    last = pilothouse("run", "export", "--concurrency", str(workers), cwd=tmp_path)
    assert last["status"] == "done"
    assert last["counts"] == {"pending": 0, "in_progress": 0, "blocked": 0, "done": jobs}
    after = finished(run)
    assert len(after) == jobs
    lines = ledger(book)
    for begun, before in checks:
        assert {key: after[key] for key in before} == before
        # A worker whose kill is under way may still write a line: give it its own attempt's due, and no more.
        later = {line.split()[1] for line in lines[begun:] if line.startswith("begin")}
        assert not later & set(before)
    ends = [line.split()[1] for line in lines if line.startswith("end")]
    assert set(ends) == set(after)
    accepted = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    done = [line["job"] for line in accepted if line["event"] == "done"]
    assert len(done) == len(set(done)), "an item was finished twice"


def test_commands_die_with_their_driver(tmp_path: Path) -> None:
    """A driver that is killed with -9 leaves no reader running that costs money."""
    make_export(tmp_path / "export", [Told(number=number) for number in range(3)])
    script = tmp_path / "worker.sh"
    script.write_text('echo $$ >> "$1"\nsleep 1000 & sleep 1000\n')
    book = tmp_path / "ledger"
    pilothouse("new", "triage", "export", "--worker", f"sh {script} {book}", cwd=tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "pilothouse.cli", "analyze", "run", "export"], cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as driver:
        wait_until(lambda: len(ledger(book)) == 4, driver)
        driver.send_signal(signal.SIGKILL)
    groups = [int(line) for line in ledger(book)]
    deadline = time.monotonic() + 30
    while any(alive(group) for group in groups):
        assert time.monotonic() < deadline, "a command outlived its driver"
        time.sleep(0.02)


def alive(group: int) -> bool:
    """Whether a process of the group runs; one that is dead and not yet waited for does not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            return True
    return False


def test_two_drivers_share_a_run(tmp_path: Path) -> None:
    """Two processes on one run: together they finish it, and nobody reads what the other has."""
    make_export(tmp_path / "export", [Told(number=number) for number in range(12)])
    script, book = tmp_path / "worker.sh", tmp_path / "ledger"
    script.write_text(WORKER)
    pilothouse("new", "triage", "export", "--worker", f"sh {script} {book} 0.1", cwd=tmp_path)
    command = [sys.executable, "-m", "pilothouse.cli", "analyze", "run", "export", "--concurrency", "5"]
    drivers = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(driver.communicate(timeout=120)[0])["data"] for driver in drivers]
    assert [answer["status"] for answer in answers] == ["done", "done"]
    begun = [line.split()[1] for line in ledger(book) if line.startswith("begin")]
    assert len(begun) == len(set(begun)) == answers[0]["counts"]["done"]
