"""What recording costs a program and what it loses, ours beside the OpenTelemetry SDK and vendors' SDKs.

``python -m benchmarks --only recorder`` (``--quick``: fewer rounds) makes an environment for each SDK below
``.venv-recorders`` once, then runs the same small program (:mod:`benchmarks.recorder_subject`) under each in turn, in
processes of its own, round by round; medians are shown. The receiver is one sink that counts the spans it was sent, by
their ids. Every SDK keeps its own defaults, compression among them: Langfuse and Logfire compress, OpenTelemetry does
not, ours does so only towards other machines, and is measured both ways.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pilothouse.testing import OtlpSink

from .table import Row

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / ".venv-recorders"
PACKAGES = {
    "pilothouse": ("-e", str(ROOT)),
    "otel": ("opentelemetry-sdk>=1.40,<2", "opentelemetry-exporter-otlp-proto-http>=1.40,<2"),
    "langfuse": ("langfuse>=5,<6",),
    "logfire": ("logfire>=5,<6",),
    # It imports httpx and does not ask for it.
    "traceloop": ("traceloop-sdk>=0.62,<1", "httpx>=0.28,<1"),
    "langsmith": ("langsmith>=0.14,<1",),
}
SUBJECTS = ("pilothouse", "pilothouse-tool", "pilothouse-gzip", "otel", "langfuse", "logfire", "traceloop", "langsmith")
COST_ONLY = ("pilothouse-tool", "pilothouse-gzip")
"""The same pipeline in other clothes: how it ends is measured once."""
FEW, SMALL, LARGE, EXIT = 20, 2_000, 400, 1_000
"""Spans of a run. What a few cost in all, connection and first use included, is not counted again for each of many."""
HOLD_S_MAX = 120.0
"""A process that is held longer at its end is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One process, measured from outside by the operating system's own accounting."""

    told: dict[str, float]
    cpu_s: float
    peak_mb: float
    held_s: float
    """From the program's last statement to the end of its process."""


class Sink(OtlpSink):
    """Takes what each SDK sends: OTLP, and LangSmith's own requests; answers the questions they ask at their start."""

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.runs: set[str] = set()
        inner, sink = self._handler, self

        class Handler(inner):  # type: ignore[misc, valid-type]
            def do_GET(self) -> None:
                if sink.hanging:
                    sink.hang()
                    return self.break_off()
                return self.send_json(200, {"project_name": "bench", "project_url": sink.address})

            def do_POST(self) -> None:
                if "/runs/" not in self.path:
                    return super().do_POST()
                body = (
                    self.rfile.read(int(self.headers.get("Content-Length") or 0))
                    if not self.chunked
                    else self._read_chunks()
                )
                if sink.hanging:
                    sink.hang()
                    return self.break_off()
                sink.runs |= runs_in(unpacked(body, self.headers.get("Content-Encoding", "")))
                time.sleep(sink.delay_s)
                return self.send_json(202, {})

            @property
            def chunked(self) -> bool:
                return self.headers.get("Transfer-Encoding", "").lower() == "chunked"

        self._handler = Handler

    def arrived(self) -> int:
        """Different spans of the program that arrived."""
        spans = [span for span in self.spans() if "lookup" in span["name"] and '"again' not in json.dumps(span)]
        return len(self.runs) + len({span["spanId"] for span in spans})


def unpacked(body: bytes, encoding: str) -> bytes:
    """A body without its compression."""
    if encoding == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body) if encoding == "deflate" else body


_PART = re.compile(rb'name="post\.([0-9a-f-]{36})"')


def runs_in(body: bytes) -> set[str]:
    """The ids of runs that a multipart request creates, the last program's single one not counted."""
    return {found.decode() for found in _PART.findall(body)} if b"again" not in body else set()


def install() -> list[str]:
    """Make the environments that are missing; gives the subjects that can be run."""
    ready: list[str] = []
    for name, packages in PACKAGES.items():
        folder = ENVIRONMENTS / name
        marker = folder / ".installed"
        if not marker.exists():
            print(f"installing {name}", file=sys.stderr, flush=True)
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, "--upgrade", "pip"], check=False, capture_output=True)
            done = subprocess.run([*pip, *packages], check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"{name} is left out: {done.stderr[-300:]}", file=sys.stderr, flush=True)
                continue
            marker.touch()
        ready.append(name)
    return [subject for subject in SUBJECTS if environment_of(subject) in ready]


def environment_of(subject: str) -> str:
    """The environment a subject runs in."""
    return "pilothouse" if subject.startswith("pilothouse") else subject


def measure(rounds: int, hold_s: float) -> list[Row]:
    """Run everything and make the rows of the table; the first names the columns."""
    subjects = install()
    costs: dict[str, dict[str, list[float]]] = {subject: {} for subject in subjects}
    arrived: dict[str, set[int]] = {subject: set() for subject in subjects}
    for number in range(rounds):
        for subject in subjects:
            print(f"round {number + 1}: {subject}", file=sys.stderr, flush=True)
            for name, value in one_round(subject, arrived[subject]).items():
                costs[subject].setdefault(name, []).append(value)
    rows = [Row("recorder", "", columns(subjects))]
    for name, budget in (
        ("import and set-up, CPU ms", "< 100 ms import"),
        (f"a whole process with {FEW} spans, CPU ms", ""),
        ("small span, hot path, us", ""),
        ("small span, all CPU, us", "<= 30 us over OTel"),
        ("50 kB argument, hot path, us", ""),
        ("50 kB argument, all CPU, us", ""),
        ("peak memory, MB", ""),
    ):
        rows.append(Row(name, budget, columns([f"{median(costs[subject][name]):.0f}" for subject in subjects])))
    lost = [subject for subject in subjects if arrived[subject] != {SMALL, LARGE}]
    rows.append(
        Row("spans of these that arrived", "all", columns(["some lost" if s in lost else "all" for s in subjects]))
    )
    for title, budget, scenario in SCENARIOS:
        cells: list[str] = []
        for subject in subjects:
            if subject in COST_ONLY:
                cells.append("")
                continue
            print(f"{title}: {subject}", file=sys.stderr, flush=True)
            cells.append(scenario(subject, hold_s))
        rows.append(Row(title, budget, columns(cells)))
    return rows


def columns(cells: list[str] | tuple[str, ...]) -> str:
    """Cells under each other."""
    return " ".join(f"{cell:>15}" for cell in cells)


def one_round(subject: str, arrived: set[int]) -> dict[str, float]:
    """The costs of one subject, once; the number of spans that arrived is added to ``arrived``."""
    found: dict[str, float] = {}
    with trial() as (folder, sink):
        few = run(subject, sink.address, "small", FEW, folder)
    found["import and set-up, CPU ms"] = few.told["import_ms"]
    found[f"a whole process with {FEW} spans, CPU ms"] = few.cpu_s * 1000
    for mode, spans, title in (("small", SMALL, "small span"), ("large", LARGE, "50 kB argument")):
        with trial() as (folder, sink):
            ran = run(subject, sink.address, mode, spans, folder)
            arrived.add(sink.arrived())
        found[f"{title}, hot path, us"] = ran.told["hot_us"]
        found[f"{title}, all CPU, us"] = (ran.cpu_s - few.cpu_s) / (spans - FEW) * 1e6
        found["peak memory, MB"] = ran.peak_mb
    return found


def refusing(subject: str, hold_s: float) -> str:
    """Nobody listens while the program runs; the server is there when it is started the next time."""
    with trial() as (folder, sink):
        url, port = sink.address, sink.port
        sink.close()
        ran = run(subject, url, "small", EXIT, folder, hold_s)
        with Sink(port=port) as back:
            run(subject, url, "again", 1, folder, hold_s)
            return told(ran, back.arrived(), hold_s)


def hanging(subject: str, hold_s: float) -> str:
    """The server accepts and never answers; it is well when the program is started the next time."""
    with trial() as (folder, sink):
        sink.hanging = True
        ran = run(subject, sink.address, "small", EXIT, folder, hold_s)
        sink.hanging = False
        run(subject, sink.address, "again", 1, folder, hold_s)
        return told(ran, sink.arrived(), hold_s)


def late(subject: str, hold_s: float) -> str:
    """The server hangs for the program's first twelve seconds and is well for the eight that follow."""
    with trial() as (folder, sink):
        sink.hanging = True
        with started(subject, sink.address, "until20", EXIT, folder) as process:
            time.sleep(12)
            sink.hanging = False
            ran = ended(process, hold_s + 20)
        run(subject, sink.address, "again", 1, folder, hold_s)
        return told(ran, sink.arrived(), hold_s)


def slow(subject: str, hold_s: float) -> str:
    """The server takes two seconds for each answer."""
    with trial() as (folder, sink):
        sink.delay_s = 2.0
        ran = run(subject, sink.address, "small", EXIT, folder, hold_s)
        sink.delay_s = 0.0
        run(subject, sink.address, "again", 1, folder, hold_s)
        return told(ran, sink.arrived(), hold_s)


SCENARIOS = (
    ("refused, back for the next run", "< 2 s, 1,000", refusing),
    ("hanging, back for the next run", "< 2 s, 1,000", hanging),
    ("hanging 12 s, back for 8 s", "< 2 s, 1,000", late),
    ("slow: 2 s an answer", "< 2 s, 1,000", slow),
)
"""Seconds that the end of the process is held, and how many of 1,000 spans arrive, the next run's chance included."""


def told(ran: Ran, arrived: int, hold_s: float) -> str:
    """A cell: how long the end was held, and what arrived."""
    held = f">{hold_s:.0f} s" if ran.held_s >= hold_s else f"{ran.held_s:.1f} s"
    return f"{held} {min(arrived, EXIT):>5,}"


@contextmanager
def trial() -> Iterator[tuple[Path, Sink]]:
    """A folder for whatever an SDK keeps on disk, and a sink."""
    folder = Path(tempfile.mkdtemp(prefix="pilothouse-recorder-"))
    try:
        with Sink() as sink:
            yield folder, sink
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(subject: str, url: str, mode: str, spans: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The program under a subject; killed where it still runs after the block."""
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PILOTHOUSE_", "OTEL_", "LANG", "LOGFIRE", "TRACELOOP"))
    }
    process = subprocess.Popen(
        [str(ENVIRONMENTS / environment_of(subject) / "bin/python"), str(ROOT / "benchmarks/recorder_subject.py"),
         subject, url, mode, str(spans)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
        # A home and a place for temporary files that the next run of the same subject finds again.
        env={**clean, "HOME": str(folder), "TMPDIR": str(folder)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def run(subject: str, url: str, mode: str, spans: int, folder: Path, hold_s: float = HOLD_S_MAX) -> Ran:
    """Run the program to its end."""
    with started(subject, url, mode, spans, folder) as process:
        return ended(process, hold_s, again=mode == "again")


def ended(process: subprocess.Popen[str], hold_s: float, *, again: bool = False) -> Ran:
    """Wait for the end of a program, and kill it when it is held for too long."""
    assert process.stdout is not None
    # Some SDKs greet.
    line = next((line for line in process.stdout if line.startswith("{")), "")
    if not line and not again:
        raise RuntimeError(f"a subject does not run: {process.args}")
    said: dict[str, Any] = json.loads(line) if line else {"ended": time.time()}
    peak_mb = 0.0
    while True:
        peak_mb = max(peak_mb, high_water_mb(process.pid))
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.time() - said["ended"] > hold_s:
            process.kill()
        time.sleep(0.005)
    held = time.time() - said["ended"]
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ran(told=said, cpu_s=used.ru_utime + used.ru_stime, peak_mb=peak_mb, held_s=held)


def high_water_mb(pid: int) -> float:
    """The most memory a process has held. Not ``ru_maxrss``, which begins with that of the process that started it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0
