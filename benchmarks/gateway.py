"""What a call through the gateway costs beside the same call made directly: latency at 100 calls a second, memory over time.

The whole server, its storage and ingest processes too, runs on one core; the caller and the upstream share the other.
Calls are made at fixed moments, whether earlier ones were answered or not, and direct ones stand between those through
the gateway, so that both meet the same noise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pilothouse.gateway.failures import UpstreamFailed
from pilothouse.gateway.pool import Pool, address_of

from . import gateway_peer

_RATE = 100
_STREAM_RATE = 20
"""Streams a second: each is thirty pieces for caller and upstream too, which share a core."""
_CORES = sorted(os.sched_getaffinity(0))
_HEADERS = [(b"content-type", b"application/json")]


@dataclass(slots=True, kw_only=True)
class Side:
    """Latencies of one way, in milliseconds."""

    name: str
    url: str
    headers: list[tuple[bytes, bytes]]
    whole_ms: list[float] = field(default_factory=list[float])
    failed: int = 0

    def at(self, share: float) -> float:
        """The latency that this share of the calls stays below."""
        ordered = sorted(self.whole_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def report(folder: Path, *, quick: bool = False) -> Iterator[str]:
    """Measure, line by line."""
    seconds = 10 if quick else 60
    with running(folder) as (direct_url, gateway_url, key, pids):
        through = [*_HEADERS, (b"authorization", f"Bearer {key}".encode()), (b"x-pilothouse-user", b"bench")]
        cases = (
            ("whole answer, 2 kB asked", body_of(2_000, stream=False), False),
            ("whole answer, 50 kB asked", body_of(50_000, stream=False), False),
            ("stream of 30 pieces, until the first", body_of(2_000, stream=True), True),
        )
        asyncio.run(_paced(*_sides(direct_url, gateway_url, through), body_of(2_000, stream=False), 2, first=False))
        begun_mb = _rss_mb(pids[0])
        yield f"{_RATE} calls a second each way ({_STREAM_RATE} streams), {seconds} s a case; server on one core, caller and upstream on the other"
        yield f"{'':38} {'direct p50/p99':>16} {'gateway p50/p99':>17} {'added p50/p99':>16}  CPU of the server"
        for name, body, first in cases:
            direct, gateway = _sides(direct_url, gateway_url, through)
            cpu, all_cpu = _cpu_s(pids[0]), _cpu_s(pids[0], children=True)
            asyncio.run(_paced(direct, gateway, body, seconds, first=first))
            calls = len(gateway.whole_ms)
            used = (_cpu_s(pids[0]) - cpu) / max(calls, 1) * 1e6
            failed = f", FAILED {direct.failed} and {gateway.failed}" if direct.failed or gateway.failed else ""
            beside = (_cpu_s(pids[0], children=True) - all_cpu - used * calls / 1e6) / max(calls, 1) * 1e6
            yield (
                f"{name:38} {direct.at(0.5):7.2f} / {direct.at(0.99):5.2f} {gateway.at(0.5):8.2f} / {gateway.at(0.99):5.2f}"
                f" {gateway.at(0.5) - direct.at(0.5):7.2f} / {gateway.at(0.99) - direct.at(0.99):5.2f} ms"
                f"  {used:.0f} us a call, {beside:.0f} us of storing it{failed}"
            )
        yield from _peer(folder, direct_url, gateway_url, through, seconds)
        yield f"memory of the server process: {begun_mb:.0f} MB before"
        for round_number in range(1, 4):
            direct, gateway = _sides(direct_url, gateway_url, through)
            asyncio.run(_flood(gateway, body_of(2_000, stream=False), 500 if quick else 5_000))
            yield (
                f"  after {round_number * (500 if quick else 5_000):,} further calls, 32 at once:"
                f" {_rss_mb(pids[0]):.0f} MB, {len(gateway.whole_ms) / (sum(gateway.whole_ms) / 32 / 1000):,.0f} calls/s"
            )


def _peer(
    folder: Path, direct_url: str, gateway_url: str, through: list[tuple[bytes, bytes]], seconds: int
) -> Iterator[str]:
    """litellm's proxy in place of the direct way, so that both proxies meet the same noise in the same seconds."""
    if not gateway_peer.command():
        yield "litellm's proxy: PILOTHOUSE_LITELLM names no command; left out"
        return
    core = min(_CORES)
    with gateway_peer.running(folder / "litellm", direct_url, core) as (url, key, pid):
        headers = [*_HEADERS, (b"authorization", f"Bearer {key}".encode())]
        body = body_of(2_000, stream=False)
        for rate in (10, _RATE):
            peer = Side(name="litellm", url=url, headers=headers)
            gateway = Side(name="gateway", url=gateway_url, headers=through)
            asyncio.run(_paced(peer, gateway, body, 3, first=False, rate=10))
            peer.whole_ms.clear()
            gateway.whole_ms.clear()
            cpu = _cpu_s(pid, children=True)
            asyncio.run(_paced(peer, gateway, body, min(seconds, 15), first=False, rate=rate))
            used = (_cpu_s(pid, children=True) - cpu) / max(len(peer.whole_ms), 1) * 1e6
            failed = f", FAILED {peer.failed} and {gateway.failed}" if peer.failed or gateway.failed else ""
            yield (
                f"litellm's proxy at {rate}/s, on the same core in turn with ours: p50/p99 {peer.at(0.5):.2f} / {peer.at(0.99):.2f} ms,"
                f" gateway {gateway.at(0.5):.2f} / {gateway.at(0.99):.2f} ms; {used:.0f} us a call of its CPU, {_rss_mb(pid):.0f} MB{failed}"
            )


def body_of(size: int, *, stream: bool) -> bytes:
    """A request of so many bytes."""
    turns = [{"role": "user" if n % 2 == 0 else "assistant", "content": "word " * 80} for n in range(size // 450)]
    return json.dumps({"model": "gpt-4.1-mini", "stream": stream, "messages": turns or [{"role": "user"}]}).encode()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[str, str, str, list[int]]]:
    """An upstream and a server: the addresses of both ways, the key, and the server's process."""
    data = folder / "gateway"
    data.mkdir(parents=True)
    cores = sorted(os.sched_getaffinity(0))
    upstream = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway_upstream"], stdout=subprocess.PIPE, text=True
    )
    assert upstream.stdout is not None
    url = f"http://127.0.0.1:{upstream.stdout.readline().strip()}/v1"
    (data / "pilothouse.yaml").write_text(f"gateway: {{upstreams: {{fast: {{wire: openai, url: '{url}'}}}}}}\n")
    command = [sys.executable, "-m", "pilothouse.cli", "up", "--data", str(data), "--port", "0", "--grpc-port", "0"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}
    server = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True, env=clean)
    os.sched_setaffinity(server.pid, {cores[0]})
    others = set(cores[1:]) or set(cores)
    for pid in (upstream.pid, os.getpid()):
        os.sched_setaffinity(pid, others)
    try:
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline())
        yield url, f"{ready['url']}/gateway/openai/v1", ready["new_key"], [server.pid]
    finally:
        os.sched_setaffinity(0, set(cores))
        server.terminate()
        upstream.terminate()
        server.wait(30)


def _sides(direct_url: str, gateway_url: str, through: list[tuple[bytes, bytes]]) -> tuple[Side, Side]:
    return (
        Side(name="direct", url=direct_url, headers=_HEADERS),
        Side(name="gateway", url=gateway_url, headers=through),
    )


async def _paced(direct: Side, gateway: Side, body: bytes, seconds: float, *, first: bool, rate: int = 0) -> None:
    pool = Pool()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    rate = rate or (_STREAM_RATE if first else _RATE)
    gap = 1 / rate
    tasks: list[asyncio.Task[None]] = []
    for number in range(int(seconds * rate)):
        # Direct and through the gateway in turn, half a gap apart.
        for side, offset in ((direct, 0.0), (gateway, gap / 2)):
            await asyncio.sleep(max(0.0, begun + number * gap + offset - loop.time()))
            tasks.append(asyncio.create_task(_call(pool, side, body, first=first)))
    await asyncio.gather(*tasks)
    pool.close()


async def _flood(side: Side, body: bytes, calls: int) -> None:
    pool = Pool()
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await _call(pool, side, body, first=False)

    await asyncio.gather(*(work() for _ in range(32)))
    pool.close()


async def _call(pool: Pool, side: Side, body: bytes, *, first: bool) -> None:
    address = address_of(side.url)
    headers = [*side.headers, (b"content-length", str(len(body)).encode())]
    begun = time.perf_counter()
    try:
        connection = await pool.send("POST", address, "/chat/completions", headers, body, connect_s=10.0, answer_s=60.0)
    except UpstreamFailed:
        side.whole_ms.append((time.perf_counter() - begun) * 1000)
        side.failed += 1
        return
    ok = connection.status == 200
    took = 0.0
    while piece := await connection.piece():
        if first and not took:
            took = time.perf_counter() - begun
        ok = ok and bool(piece)
    took = took or time.perf_counter() - begun
    pool.give_back(connection, address)
    side.whole_ms.append(took * 1000)
    side.failed += not ok


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0


def _cpu_s(pid: int, *, children: bool = False) -> float:
    """CPU seconds of a process; with ``children``, of those it started too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    if not children:
        return own
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(_cpu_s(int(child), children=True) for child in below)
