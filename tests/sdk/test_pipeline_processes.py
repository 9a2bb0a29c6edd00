"""Real processes that end in every way there is: their spans are with the server, or on disk, and nobody waited."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from pilothouse.records import names
from pilothouse.testing import OtlpSink

from .pipeline_making import ended, log_records, recording, until

pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

ROOT = Path(__file__).parents[2]
PRELUDE = """
import os, sys, time, signal, threading
from pathlib import Path
from tests.sdk.pipeline_making import Made
made = Made(sys.argv[1], Path(sys.argv[2]), flush_interval_s=0.5)
record = made.record
"""


def program(code: str, endpoint: str, spill: Path, *, prelude: str = PRELUDE) -> subprocess.Popen[str]:
    """Start a program that records."""
    script = spill.with_name(f"{spill.name}-program.py")
    script.write_text(prelude + textwrap.dedent(code))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PILOTHOUSE_", "OTEL_"))}
    return subprocess.Popen(
        [sys.executable, str(script), endpoint, str(spill)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT)},
    )


def run(code: str, endpoint: str, spill: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one to its end."""
    process = program(code, endpoint, spill, **options)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def says(process: subprocess.Popen[str]) -> str:
    """The next line that a program prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def instances(sink: OtlpSink) -> dict[str, set[str]]:
    """The spans of each process, by its instance."""
    found: dict[str, set[str]] = {}
    for block in sink.as_json("traces")["resourceSpans"]:
        told = {a["key"]: a["value"]["stringValue"] for a in block["resource"]["attributes"]}
        spans = [span["name"] for scope in block["scopeSpans"] for span in scope["spans"]]
        found.setdefault(told["service.instance.id"], set()).update(spans)
    return found


def test_a_program_that_simply_ends_has_delivered_and_said_goodbye(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        done = run("record(100)", sink.address, tmp_path / "spill")
        assert (done.returncode, done.stderr) == (0, "")
        assert len(ended(sink)) == 100
        assert len(log_records(sink, names.GOODBYE_EVENT)) == 1


def test_a_program_that_raises_has_delivered(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        done = run("record(10)\nraise SystemExit(3)", sink.address, tmp_path / "spill")
        assert done.returncode == 3
        assert len(ended(sink)) == 10


HELD = """
record(1000, text="x" * 500)
began = time.monotonic()
import atexit
atexit._run_exitfuncs()
print(time.monotonic() - began)
"""


@pytest.mark.parametrize("backend", ["hanging", "refusing", "slow"])
def test_the_end_of_a_program_is_not_held_by_a_server_in_trouble_and_nothing_is_lost(
    tmp_path: Path, backend: str
) -> None:
    spill = tmp_path / "spill"
    with OtlpSink() as sink:
        endpoint, port = sink.address, sink.port
        sink.hanging, sink.delay_s = backend == "hanging", 3.0 * (backend == "slow")
        if backend == "refusing":
            sink.close()
        done = run(HELD, endpoint, spill)
        assert done.returncode == 0
        # The setting is 1.5 s, and `python -m benchmarks --only recorder` measures it. Here only: no hang of its own.
        assert float(done.stdout) < 5.0
        if backend != "slow":
            sink.close()
            assert ended(sink) == []
    with OtlpSink(port=port) as back, recording(endpoint, spill):
        until(lambda: len(ended(back)) == 1000)


def test_sigterm_delivers_and_keeps_the_default_end(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        process = program("record(50)\nprint('ready', flush=True)\ntime.sleep(60)", sink.address, tmp_path / "spill")
        assert says(process) == "ready"
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == -signal.SIGTERM
        assert len(ended(sink)) == 50
        assert len(log_records(sink, names.GOODBYE_EVENT)) == 1


def test_sigterm_to_a_program_with_a_hanging_server_leaves_all_on_disk(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    with OtlpSink() as sink:
        sink.hanging = True
        process = program("record(50)\nprint('ready', flush=True)\ntime.sleep(60)", sink.address, spill)
        assert says(process) == "ready"
        begun = time.monotonic()
        process.terminate()
        process.communicate(timeout=20)
        assert time.monotonic() - begun < 15, "it waits for a server that does not answer"
        assert process.returncode == -signal.SIGTERM
        port = sink.port
    with OtlpSink(port=port) as back, recording(back.address, spill):
        until(lambda: len(ended(back)) == 50)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_programs_own_handler_of_sigterm_runs_and_decides(tmp_path: Path, when: str) -> None:
    handler = """
    def handler(number, frame):
        record(1, "in the handler")
        print("handled", flush=True)
        sys.exit(7)
    signal.signal(signal.SIGTERM, handler)
    """
    rest = "record(20)\nprint('ready', flush=True)\ntime.sleep(60)"
    early = "import signal, sys\n" + textwrap.dedent(handler) if when == "before" else ""
    late = textwrap.dedent(handler) if when == "after" else ""
    with OtlpSink() as sink:
        process = program(late + rest, sink.address, tmp_path / "spill", prelude=early + PRELUDE)
        assert says(process) == "ready"
        process.terminate()
        out, _ = process.communicate(timeout=20)
        assert (out, process.returncode) == ("handled\n", 7)
        assert len(ended(sink)) == 21


def test_a_handler_that_leaves_at_once_loses_nothing_that_ended_before(tmp_path: Path) -> None:
    early = "import signal, os\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(9))\n"
    with OtlpSink() as sink:
        code = "record(20)\nprint('ready', flush=True)\ntime.sleep(60)"
        process = program(code, sink.address, tmp_path / "spill", prelude=early + PRELUDE)
        assert says(process) == "ready"
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 9
        assert len(ended(sink)) == 20


def test_a_forked_child_is_an_instance_of_its_own_and_the_parent_goes_on(tmp_path: Path) -> None:
    code = """
    record(20, "parent before")
    with made.tracer.start_as_current_span("around"):
        pid = os.fork()
        record(20, "child" if pid == 0 else "parent after")
    if pid == 0:
        sys.exit(0)
    os.waitpid(pid, 0)
    """
    with OtlpSink() as sink:
        done = run(code, sink.address, tmp_path / "spill")
        assert (done.returncode, done.stderr) == (0, "")
        found = sorted(instances(sink).values(), key=len)
        assert [len(spans) for spans in found] == [20, 41]
        assert all(name.startswith("child") for name in found[0])
        # The span around the fork is the parent's: sent once, by it.
        assert [span["name"] for span in sink.spans()].count("around") == 1
        assert len(sink.spans()) == 61
        assert len(log_records(sink, names.GOODBYE_EVENT)) == 2


def test_forking_while_threads_record_never_deadlocks(tmp_path: Path) -> None:
    code = """
    stop = threading.Event()
    def busy(n):
        while not stop.is_set():
            record(5, f"thread {n}")
    threads = [threading.Thread(target=busy, args=(n,)) for n in range(4)]
    for thread in threads: thread.start()
    pids = []
    for child in range(15):
        pid = os.fork()
        if pid == 0:
            record(10, f"child {child}")
            made.pipeline.close()
            os._exit(0)
        pids.append(pid)
        time.sleep(0.02)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    stop.set()
    for thread in threads: thread.join()
    """
    with OtlpSink() as sink:
        done = run(code, sink.address, tmp_path / "spill")
        assert (done.returncode, done.stderr) == (0, "")
        children = {span["name"] for span in sink.spans() if span["name"].startswith("child")}
        assert len(children) == 150


def test_the_recorders_own_threads_import_nothing(tmp_path: Path) -> None:
    """A fork in the middle of an import leaves the child half a module; only the program's threads may fork."""
    code = """
    class Watch:
        def find_spec(self, name, path=None, target=None):
            if threading.current_thread() is not threading.main_thread():
                print(threading.current_thread().name, name)
    sys.meta_path.insert(0, Watch())
    record(5)
    time.sleep(1.2)
    record(5)
    made.pipeline.close()
    """
    with OtlpSink() as sink:
        done = run(code, sink.address, tmp_path / "spill")
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
        assert len(sink.spans()) == 10


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("pool", ["Process", "Pool", "Executor"])
def test_children_of_multiprocessing_lose_nothing_though_they_skip_the_interpreters_end(
    tmp_path: Path, method: str, pool: str
) -> None:
    code = f"""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    def work(number):
        record(10, f"work {{number}}")
        return number
    if __name__ == "__main__":
        context = multiprocessing.get_context("{method}")
        if "{pool}" == "Process":
            children = [context.Process(target=work, args=(n,)) for n in range(3)]
            for child in children: child.start()
            for child in children: child.join()
        elif "{pool}" == "Pool":
            with context.Pool(2) as pool:
                pool.map(work, range(3))
                pool.close()
                pool.join()
        else:
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                list(pool.map(work, range(3)))
        record(1, "parent")
    """
    with OtlpSink() as sink:
        done = run(code, sink.address, tmp_path / "spill")
        assert done.returncode == 0, done.stderr
        assert len(ended(sink)) == 31
        assert len(instances(sink)) >= 2


def test_a_pool_that_is_terminated_has_delivered(tmp_path: Path) -> None:
    code = """
    import multiprocessing
    def work(number):
        record(10, f"work {number}")
    if __name__ == "__main__":
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(work, range(4))
    """
    with OtlpSink() as sink:
        done = run(code, sink.address, tmp_path / "spill")
        assert done.returncode == 0, done.stderr
        assert len(ended(sink)) == 40


def test_a_server_that_forks_its_workers_after_loading_the_program(tmp_path: Path) -> None:
    """As gunicorn does with ``preload_app``: workers end by SIGTERM, with a handler of their own that leaves the loop."""
    code = """
    record(5, "master")
    at_work, to_master = os.pipe()
    def worker(number):
        alive = [True]
        signal.signal(signal.SIGTERM, lambda *_: alive.clear())
        os.write(to_master, b".")
        while alive:
            record(1, f"worker {number} request {time.monotonic_ns()}")
            time.sleep(0.01)
        record(1, f"worker {number} last")
        sys.exit(0)
    pids = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            worker(number)
        pids.append(pid)
    for _ in pids: os.read(at_work, 1)
    time.sleep(0.7)
    for pid in pids: os.kill(pid, signal.SIGTERM)
    for pid in pids: os.waitpid(pid, 0)
    record(5, "master end")
    """
    with OtlpSink() as sink:
        done = run(code, sink.address, tmp_path / "spill")
        assert (done.returncode, done.stderr) == (0, "")
        arrived = ended(sink)
        assert sorted(name for name in arrived if "last" in name) == [f"worker {n} last 0" for n in range(3)]
        assert len([name for name in arrived if name.startswith("master")]) == 10
        assert len(instances(sink)) == 4


def test_daemon_threads_that_record_to_the_very_end_do_no_harm(tmp_path: Path) -> None:
    code = """
    def busy():
        while True:
            record(1, "busy")
    for _ in range(4):
        threading.Thread(target=busy, daemon=True).start()
    time.sleep(0.3)
    record(1, "main")
    """
    with OtlpSink() as sink:
        done = run(code, sink.address, tmp_path / "spill")
        assert (done.returncode, done.stderr) == (0, "")
        assert "main 0" in ended(sink)


def test_what_ends_in_an_exit_handler_registered_later_still_goes(tmp_path: Path) -> None:
    code = """
    import atexit
    atexit.register(lambda: record(5, "at exit"))
    """
    with OtlpSink() as sink:
        # Nothing was recorded before: the threads cannot be started any more in some versions, and it goes by disk.
        spill = tmp_path / "spill"
        done = run(code, sink.address, spill)
        assert done.returncode == 0, done.stderr
        with recording(sink.address, spill):
            until(lambda: len(ended(sink)) == 5)


def test_short_programs_deliver_what_earlier_ones_left(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    with OtlpSink() as sink:
        sink.status = 503
        for number in range(3):
            assert run(f"record(20, 'run {number}')", sink.address, spill).returncode == 0
        assert ended(sink) == []
        sink.status = 200
        done = run("record(1, 'last')", sink.address, spill)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(ended(sink)) == 61
        assert list(spill.glob("*/*.otlp.gz")) == []


def test_two_processes_share_a_spill_folder_and_each_span_arrives(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    code = """
    for number in range(20):
        record(10, f"process {os.getpid()} round {number}")
        time.sleep(0.05)
    print("ready", flush=True)
    time.sleep(1.5)
    """
    with OtlpSink() as sink:
        sink.status = 503
        both = [program(code, sink.address, spill.with_name("spill")) for _ in range(2)]
        assert [says(process) for process in both] == ["ready", "ready"]
        sink.status = 200
        for process in both:
            _, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
        with recording(sink.address, spill):
            until(lambda: len(set(ended(sink))) == 400)
        assert list(spill.glob("*/*.otlp.gz")) == []
