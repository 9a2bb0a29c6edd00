"""Any command as a worker: the prompt on its stdin or in a file, its answer on its stdout or in a file.

No shell: the words of the command line go to the command as they are, with ``{prompt_file}``, ``{answer_file}`` and
``{item_folder}`` replaced. It runs in the export's folder, in a process group of its own that is ended with it: after its
answer, at its deadline, and when this process is killed (see ``command_guard.py``). It gets our environment without the
API key: what it reads was written by others.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

from .answers import Said, parsed
from .fence import one_line
from .task import Task
from .worker import WorkerFailed

OUTPUT_BYTES_MAX = 1_000_000
MARKER = "PILOTHOUSE_ANALYSIS_DRIVE"
"""In the environment of every command: which process they belong to."""
_CHARS_A_TOKEN = 4
_TICK_S = 0.5


class CommandWorker:
    """Runs a command for every item."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._stopped = threading.Event()
        self._guard = _Guard()

    def __repr__(self) -> str:
        return f"CommandWorker({list(self._words)!r})"

    def read(self, task: Task) -> Said:
        """Run the command once."""
        task.work.mkdir(parents=True, exist_ok=True)
        prompt_file = task.work / ("prompt-repair.md" if task.repair else "prompt.md")
        prompt_file.write_bytes(task.prompt.encode("utf-8", "replace"))
        task.answer_file.unlink(missing_ok=True)
        places = {
            "{prompt_file}": str(prompt_file),
            "{answer_file}": str(task.answer_file),
            "{item_folder}": str(task.export / task.folders[0]),
        }
        words = [_filled(word, places) for word in self._words]
        by_file = any("{prompt_file}" in word for word in self._words)
        out, code, errors = self._run(words, b"" if by_file else task.prompt.encode("utf-8", "replace"), task)
        tokens = (len(task.prompt) + len(out)) // _CHARS_A_TOKEN
        if code != 0:
            said = one_line(errors or out, 300)
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise WorkerFailed(f"{self._words[0]} ended with {how}: {said}", tokens=tokens)
        said = parsed(_written(task.answer_file) or out)
        if said.tokens:
            return said
        return Said(answer=said.answer, tokens=tokens, usd=said.usd, estimated=True)

    def stop(self) -> None:
        """End every command that runs."""
        self._stopped.set()
        self._guard.end_all()

    def _run(self, words: Sequence[str], given: bytes, task: Task) -> tuple[str, int, str]:
        environment = {name: value for name, value in os.environ.items() if name != "PILOTHOUSE_API_KEY"}
        environment |= {
            "PILOTHOUSE_ANALYSIS_ITEM": task.job.item.id,
            "PILOTHOUSE_ANALYSIS_READER": task.job.reader,
            "PILOTHOUSE_ANALYSIS_ANSWER": str(task.answer_file),
            MARKER: self._guard.marker,
        }
        self._guard.start()
        try:
            process = subprocess.Popen(
                words,
                cwd=task.export,
                env=environment,
                stdin=subprocess.PIPE if given else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise WorkerFailed(f"{words[0]} cannot be started: {reason}") from error
        with self._guard.watching(process.pid):
            try:
                return self._talk(process, given, task.playbook.timeout_s)
            finally:
                # The group, not the process: what it started must not outlive its answer.
                end_group(process.pid)
                process.wait()
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe is not None:
                        with contextlib.suppress(OSError):
                            pipe.close()

    def _talk(self, process: subprocess.Popen[bytes], given: bytes, timeout_s: float) -> tuple[str, int, str]:
        deadline = time.monotonic() + timeout_s
        assert process.stdout is not None and process.stderr is not None
        streams: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
        with selectors.DefaultSelector() as selector:
            for stream in streams:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            left = memoryview(given)
            if process.stdin is not None:
                os.set_blocking(process.stdin.fileno(), False)
                selector.register(process.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                if self._stopped.is_set():
                    raise WorkerFailed("stopped")
                now = time.monotonic()
                if now >= deadline:
                    raise WorkerFailed(f"{self._words[0]} had no answer after {timeout_s:g} s")
                # A command that has ended may have left its pipes to a child: its own end is enough.
                if process.poll() is not None and not selector.select(0.05):
                    break
                for key, _ in selector.select(min(_TICK_S, deadline - now)):
                    if process.stdin is not None and key.fileobj is process.stdin:
                        left = _write(process.stdin, left)
                        if not left:
                            selector.unregister(process.stdin)
                            with contextlib.suppress(OSError):
                                process.stdin.close()
                        continue
                    stream: IO[bytes] = key.fileobj  # type: ignore[assignment]  # only pipes of ours are registered
                    try:
                        chunk = os.read(stream.fileno(), 65_536)
                    except BlockingIOError:
                        continue
                    if not chunk:
                        selector.unregister(stream)
                        continue
                    streams[stream] += chunk
                    if len(streams[stream]) > OUTPUT_BYTES_MAX:
                        raise WorkerFailed(f"{self._words[0]} printed more than {OUTPUT_BYTES_MAX:,} bytes")
        try:
            code = process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise WorkerFailed(f"{self._words[0]} had no end after {timeout_s:g} s") from error
        if self._stopped.is_set():
            raise WorkerFailed("stopped")
        out, errors = (bytes(data).decode("utf-8", "replace") for data in streams.values())
        return out, code, errors[-2_000:]


def _write(stdin: IO[bytes], left: memoryview) -> memoryview:
    try:
        return left[os.write(stdin.fileno(), left[:65_536]) :]
    except BlockingIOError:
        return left
    except OSError:
        # It does not want to read to the end: its answer will tell.
        return left[:0]


def _filled(word: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        word = word.replace(name, value)
    return word


def _written(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(OUTPUT_BYTES_MAX)
    except OSError:
        return ""


def end_group(pid: int) -> None:
    """Kill a process group; nothing where it has ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _Guard:
    """A process of its own that kills the commands of this one when it ends, ``kill -9`` included."""

    def __init__(self) -> None:
        self.marker = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    def start(self) -> None:
        """Have it before the first command is started."""
        with self._lock:
            self._started()

    @contextlib.contextmanager
    def watching(self, pid: int) -> Generator[None]:
        """Keep an eye on a group."""
        with self._lock:
            self._groups.add(pid)
            self._tell(b"+%d\n" % pid)
        try:
            yield
        finally:
            with self._lock:
                self._groups.discard(pid)
                self._tell(b"-%d\n" % pid)

    def end_all(self) -> None:
        """Kill every group, and let the guard go."""
        with self._lock:
            for pid in self._groups:
                end_group(pid)
            if self._process is not None and self._process.stdin is not None and not self._groups:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
                self._process.wait()
                self._process = None

    def _started(self) -> IO[bytes]:
        if self._process is None or self._process.poll() is not None:
            script = str(Path(__file__).with_name("command_guard.py"))
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", script, f"{MARKER}={self.marker}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            assert self._process.stdin is not None
            for pid in self._groups:
                self._process.stdin.write(b"+%d\n" % pid)
        assert self._process.stdin is not None
        return self._process.stdin

    def _tell(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            stdin = self._started()
            stdin.write(line)
            stdin.flush()
