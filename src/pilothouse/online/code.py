"""Scorers written as code: a plain function, in a process of its own, with a bound on its time and none of our keys."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from pilothouse.records import BadRequest, NotAllowed, clean

from .model import Outcome

LINE_BYTES_MAX: Final = 1 << 16
_START_S: Final = 30.0
_PROCESS: Final = Path(__file__).with_name("code_process.py")
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
"""Of the environment: what Python and libraries need, and no key."""


class _Late(Exception):
    """No answer in time."""


class _Gone(Exception):
    """The process has ended."""


class CodeScorer:
    """One function in one process, which is started again after it was late or died. Not for several threads."""

    def __init__(self, spec: str, folder: Path, *, timeout_s: float) -> None:
        """``spec`` is module:function, looked for in ``folder`` first. Nothing is started yet."""
        self._spec, self._folder, self._timeout_s = spec, folder, timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._hash = ""

    def source(self) -> str:
        """12 hex digits of the hash of the function's file. Starts the process where it does not run.

        Raises:
            BadRequest: the module or the function is not there.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._hash

    def score(self, data: Mapping[str, Any]) -> Outcome:
        """What the function says of a unit's plain data."""
        try:
            self.source()
            answer = self._ask(data)
        except _Late:
            self.close()
            return Outcome.none("code_late", f"{self._spec} took longer than {self._timeout_s:g} s")
        except _Gone:
            self.close()
            return Outcome.none("code_failed", f"the process of {self._spec} ended")
        except BadRequest as error:
            return Outcome.none("code_failed", error.message)
        return _outcome(self._spec, answer)

    def close(self) -> None:
        """End the process, and what it started."""
        process, self._process, self._buffer = self._process, None, b""
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self) -> None:
        self.close()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._process = subprocess.Popen(
            # By its path, so that nothing of ours is loaded for it; -P: nor found beside it in place of Python's own.
            [sys.executable, "-P", str(_PROCESS), self._spec, f"{self._timeout_s + 5:g}"],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            said = self._line(_START_S)
        except (_Late, _Gone) as error:
            self.close()
            raise BadRequest("the code of the scorer does not load", got=self._spec) from error
        if said.get("error"):
            self.close()
            raise BadRequest(f"the code of the scorer does not load: {clean(str(said['error']))[:500]}", got=self._spec)
        self._hash = str(said.get("source", ""))[:12]

    def _ask(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(data, default=str).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise _Gone from error
        return self._line(self._timeout_s)

    def _line(self, within_s: float) -> Mapping[str, Any]:
        process = self._process
        assert process is not None and process.stdout is not None
        until = time.monotonic() + within_s
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise _Late
            some = os.read(process.stdout.fileno(), LINE_BYTES_MAX)
            if not some or len(self._buffer) > LINE_BYTES_MAX:
                raise _Gone
            self._buffer += some
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            found: Any = json.loads(line)
        except ValueError as error:
            raise _Gone from error
        return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def check_allowed(spec: str, allowed: tuple[str, ...]) -> None:
    """Refuse code that the operator has not named.

    Raises:
        NotAllowed: it is not on the list of the configuration.
    """
    if spec not in allowed:
        raise NotAllowed(
            "code runs only where the configuration of the server names it",
            got=spec,
            allowed=list(allowed) or "no code yet",
            fix=f'[online]\ncode = ["{spec}"]',
        )


def _outcome(spec: str, answer: Mapping[str, Any]) -> Outcome:
    if answer.get("raised"):
        return Outcome.none("code_failed", f"{spec} raised {clean(str(answer['raised']))[:500]}")
    said: Any = answer.get("said")
    why = ""
    label = ""
    if isinstance(said, dict):
        row = cast("dict[str, Any]", said)
        why, label = clean(str(row.get("why") or ""))[:2_000], clean(str(row.get("label") or ""))[:100]
        said = row.get("score")
        if said is None and label:
            return Outcome(label=label, why=why)
    if isinstance(said, bool):
        return Outcome(value=float(said), label=label or ("pass" if said else "fail"), why=why)
    if isinstance(said, int | float) and math.isfinite(said) and abs(said) <= 1e15:
        return Outcome(value=float(said), label=label, why=why)
    if isinstance(said, str) and said.strip():
        return Outcome(label=clean(said).strip()[:100], why=why)
    return Outcome.none("code_failed", why or f"{spec} gave no score, but {str(said)[:100]}")
