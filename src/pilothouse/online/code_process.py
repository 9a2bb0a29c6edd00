"""The process of a scorer written as code: ``python -P code_process.py MODULE:FUNCTION SECONDS``.

It imports nothing of ours: it is there before the first of ours would be loaded. A line of JSON in is a unit, a line out what the function says of it. It ends when standard input closes, and by itself
where one call takes longer than so many seconds, should nobody be left to end it.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve one function until standard input closes."""
    spec, seconds = sys.argv[1], float(sys.argv[2])
    sys.path.insert(0, str(Path.cwd()))
    # What the function prints must not stand among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**row: Any) -> None:
        answers.write(json.dumps(row, default=str)[:60_000] + "\n")
        answers.flush()

    try:
        function, source = _load(spec)
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        return
    say(source=source)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            said = function(json.loads(line))
        except Exception as error:
            say(raised=f"{type(error).__name__}: {error}"[:1_000])
        else:
            say(said=said)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _load(spec: str) -> tuple[Callable[[Any], Any], str]:
    module, _, name = spec.partition(":")
    function = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{spec} is no function")
    file = inspect.getsourcefile(inspect.unwrap(function))
    body = Path(file).read_bytes() if file else spec.encode()
    return function, hashlib.sha256(body).hexdigest()[:12]


if __name__ == "__main__":
    main()
