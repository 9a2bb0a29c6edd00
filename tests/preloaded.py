"""Processes of ``pilothouse`` that start with the server's modules loaded, which takes longer than the start itself.

One process loads them, then forks whenever one is asked for: what runs in the child is the command line with the
words, the environment, the folder and the outputs it was given. Tests of the start itself begin a process anew.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pilothouse import cli


class Preloaded:
    """A process that forks; it ends with the one that started it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PILOTHOUSE_")}
        # -P: the tests' folder has packages that are called like those of others.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__)), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
        theirs.close()
        self._socket = ours

    def start(self, words: list[str], *, env: Mapping[str, str], stdout: int, stderr: int) -> Forked:
        """Start ``pilothouse`` with these words."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._socket, [b"start"], [theirs.fileno(), stdout, stderr])
        request = json.dumps({"words": words, "env": dict(env), "cwd": str(Path.cwd())}).encode()
        ours.send(request)
        return Forked(ours)

    def end(self) -> None:
        """Let it end."""
        self._socket.close()
        self._process.wait()


class Forked:
    """A process that was forked, as far as tests use :class:`subprocess.Popen`."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        said = ours.recv(100)
        assert said, "the process that starts servers has gone"
        self.pid = int(said)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self.returncode is None and select.select([self._socket], [], [], 0)[0]:
            self._reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        if self.returncode is None:
            if not select.select([self._socket], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("pilothouse", timeout or 0.0)
            self._reap()
        assert self.returncode is not None
        return self.returncode

    def _reap(self) -> None:
        said = self._socket.recv(100)
        assert said, "the process that starts servers has gone"
        self.returncode = int(said)
        self._socket.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


_preloaded: list[Preloaded] = []


def start(words: list[str], *, env: Mapping[str, str], stderr: IO[bytes]) -> tuple[Forked, IO[str]]:
    """Start ``pilothouse`` with these words, and give what it prints."""
    if not _preloaded:
        _preloaded.append(Preloaded())
        atexit.register(_preloaded[0].end)
    reading, writing = os.pipe()
    try:
        process = _preloaded[0].start(words, env=env, stdout=writing, stderr=stderr.fileno())
    finally:
        os.close(writing)
    return process, open(reading, encoding="utf-8")


def _forking(control: socket.socket) -> dict[str, Any]:
    """Fork on demand; comes back in each child, with what it was asked for."""
    running: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready == control.fileno():
                said, descriptors, _, _ = socket.recv_fds(control, 100, 3)
                if not said:
                    os._exit(0)  # whoever asked has ended
                asker, outputs = socket.socket(fileno=descriptors[0]), descriptors[1:]
                request = json.loads(asker.recv(1_000_000))
                pid = os.fork()
                if not pid:
                    for other in (control, asker, *(socket_ for _, socket_ in running.values())):
                        other.close()
                    for descriptor in running:
                        os.close(descriptor)
                    for number, output in enumerate(outputs, 1):
                        os.dup2(output, number)
                        os.close(output)
                    return request
                for output in outputs:
                    os.close(output)
                descriptor = os.pidfd_open(pid)
                running[descriptor] = (pid, asker)
                poll.register(descriptor, select.POLLIN)
                _tell(asker, pid)
            else:
                pid, asker = running.pop(ready)
                poll.unregister(ready)
                os.close(ready)
                _tell(asker, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                asker.close()


def _tell(asker: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # who no longer listens need not know
        asker.send(str(number).encode())


def _main(descriptor: int) -> None:
    for module in ("cli.root", "cli.server", "server.early", "app"):
        importlib.import_module(f"pilothouse.{module}")
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when whoever asks does
    request = _forking(socket.socket(fileno=descriptor))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    # Those it has know of the files they were opened for.
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.argv = ["pilothouse", *request["words"]]
    cli.main()


if __name__ == "__main__":
    _main(int(sys.argv[1]))
