"""``make run`` and ``make demo``: a server, a fleet of demo agents, and what was recorded of them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, cast

from pilothouse.records import PilothouseError, Unreachable

from .runtime import RUNTIME_NAME, read_runtime

SUMMARY = """
SELECT agent, count(), countIf(status = 'error'), round(quantile(0.5)(duration_ms)), round(quantile(0.95)(duration_ms)),
  sum(total_tokens), sum(cost_usd)
FROM traces GROUP BY agent ORDER BY count() DESC LIMIT 12
"""


def main() -> None:
    """Start a server, send demo traffic, print what was recorded; with ``--stay`` go on until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stay", action="store_true", help="keep the server running")
    parser.add_argument("--data", type=Path, default=Path(".pilothouse"))
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    ports = ["--port", os.environ.get("PORT", "4318"), "--grpc-port", os.environ.get("GRPC_PORT", "4317")]
    if not options.stay:
        ports = ["--port", "0", "--grpc-port", "0"]
    try:
        sys.exit(try_out(options.data, ports, rounds=options.rounds, stay=options.stay))
    except PilothouseError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.fix}\n" if error.fix else ""))
        sys.exit(error.exit_code)


def try_out(data: Path, ports: list[str], *, rounds: int, stay: bool) -> int:
    """Do it; returns the exit code.

    Raises:
        Unreachable: the server did not start, or what was sent did not arrive.
    """
    command = [sys.executable, "-m", "pilothouse.cli", "up", "--data", str(data), "--human", *ports]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    live: subprocess.Popen[bytes] | None = None
    try:
        runtime = _wait_for_runtime(data, server)
        url, token = runtime.url, runtime.token
        before = _traces(url, token)
        sys.stdout.write("\nsending demo traffic: real SDKs and instrumentors against a scripted model server\n")
        sys.stdout.flush()
        fleet = [sys.executable, "-m", "pilothouse.testing.demo", "--endpoint", url]
        environment = {**os.environ, "PILOTHOUSE_API_KEY": token}
        code = subprocess.run(
            [*fleet, "--rounds", str(rounds), "--spread", "24h"], env=environment, check=False
        ).returncode
        if code != 0:
            raise Unreachable(f"the demo agents ended with code {code}", fix="pip install 'pilothouse[all,demo]'")
        _wait_for_traces(url, token, more_than=before)
        _print_summary(url, token)
        if not stay:
            return 0
        # It ends when this process does: its stdin is a pipe to here.
        stream = [sys.executable, "-m", "pilothouse.testing.demo.live", "--endpoint", url]
        live = subprocess.Popen(stream, env=environment, stdin=subprocess.PIPE)
        sys.stdout.write(
            f"page {url} (sign in with the link above)\n"  # noqa: S608  # text to read
            f"live {url}/live: agents go on running, waiting, getting stuck\n\n"
            "four commands to try, in another terminal:\n"
            f"  export PILOTHOUSE_DATA={data.resolve()}\n"
            f"  {_command()} live\n"
            f"  {_command()} ls status:error\n"
            f"  {_command()} show last --as tree\n"
            f'  {_command()} sql "SELECT model, sum(cost_usd) FROM spans GROUP BY model"\n\n'
            "Ctrl-C stops the server; the data stays.\n"
        )
        sys.stdout.flush()
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        if live is not None:
            live.kill()
            live.wait()
        if server.poll() is None:
            server.terminate()
            server.wait(timeout=30)


def _command() -> str:
    return str(Path(sys.executable).with_name("pilothouse").relative_to(Path.cwd())) if _inside() else "pilothouse"


def _inside() -> bool:
    return Path(sys.executable).is_relative_to(Path.cwd())


def _wait_for_runtime(data: Path, server: subprocess.Popen[bytes]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Unreachable("the server did not start; the line above says why")
        runtime = read_runtime(data) if (data / RUNTIME_NAME).exists() else None
        if runtime is not None and runtime.pid == server.pid:
            return runtime
        time.sleep(0.05)
    raise Unreachable("the server was not ready within 60 s")


def _wait_for_traces(url: str, token: str, *, more_than: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if _traces(url, token) > more_than and _query(
            url, token, "SELECT count() FROM traces WHERE status = 'running'"
        ) == [[0]]:
            return
        time.sleep(0.2)
    if _traces(url, token) <= more_than:
        raise Unreachable("the demo traffic did not become visible within 30 s", fix="pilothouse doctor")


def _traces(url: str, token: str) -> int:
    return int(_query(url, token, "SELECT count() FROM traces")[0][0])


def _print_summary(url: str, token: str) -> None:
    total = _query(
        url,
        token,
        "SELECT count(), sum(spans), countIf(status = 'error'), uniqExactIf(session_id, session_id != ''), sum(cost_usd) FROM traces",
    )[0]
    dialects = [row[0] for row in _query(url, token, "SELECT DISTINCT dialect FROM spans ORDER BY dialect")]
    lines = [
        "",
        f"recorded: {total[0]} traces, {total[1]} spans, {total[2]} failed, {total[3]} sessions, ${float(total[4] or 0):.4f}",
        f"dialects: {', '.join(dialects)}",
        "",
        f"{'agent':<22}{'traces':>8}{'failed':>8}{'p50 ms':>9}{'p95 ms':>9}{'tokens':>10}{'cost $':>12}",
    ]
    for agent, traces, failed, p50, p95, tokens, cost in _query(url, token, SUMMARY):
        spent = f"{float(cost):.6f}" if cost is not None else "-"
        lines.append(f"{agent or '(none)':<22}{traces:>8}{failed:>8}{p50:>9.0f}{p95:>9.0f}{tokens:>10}{spent:>12}")
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


def _query(url: str, token: str, statement: str) -> list[list[Any]]:
    request = urllib.request.Request(  # noqa: S310  # our own server
        f"{url}/api/v1/sql",
        data=json.dumps({"query": statement}).encode(),
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return cast("list[list[Any]]", json.loads(answer.read())["data"]["rows"])
    except urllib.error.URLError as error:
        raise Unreachable(f"the server does not answer: {error}") from error


if __name__ == "__main__":
    main()
