"""The ends of a process and its forks: every recorder gets its chance to deliver or to write to disk.

Covered: the interpreter's end, SIGTERM, ``os.fork``, and the children of :mod:`multiprocessing`, which leave by
``os._exit`` without the interpreter's end. Not covered, as nothing can: ``kill -9`` and a program's own ``os._exit``,
which lose what ended in the last moments (two flush intervals).
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline import Pipeline

_HANDLER_FLUSH_S = 0.5
"""The most a program's own SIGTERM handler is held up."""

_open: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_hooked: set[str] = set()
_previous: Any = None
"""The handler of SIGTERM before ours; Any: a function, a number, or None."""
_inside = False
"""True while the program's own handler runs: where it calls ours in turn, it wants the default action."""


def watch(pipeline: Pipeline) -> None:
    """Close a recorder when the process ends."""
    _open.add(pipeline)
    if "atexit" not in _hooked:
        _hooked.add("atexit")
        atexit.register(_close_all)
        os.register_at_fork(after_in_child=_after_fork)
    _watch_sigterm()


def forget(pipeline: Pipeline) -> None:
    """It is closed."""
    _open.discard(pipeline)


def watch_child(pipeline: Pipeline) -> None:
    """Where this process is a child of multiprocessing: close before it leaves by ``os._exit``."""
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is None or util is None or process.parent_process() is None:
        return
    # A negative priority: after the finalizers of the program, which may record.
    util.Finalize(None, pipeline.close, exitpriority=-100)


def _close_all() -> None:
    for pipeline in list(_open):
        pipeline.close()


def _after_fork() -> None:
    for pipeline in list(_open):
        pipeline.forked()


def _watch_sigterm() -> None:
    global _previous
    if threading.current_thread() is not threading.main_thread():
        return
    try:
        current = signal.getsignal(signal.SIGTERM)
        if current is _on_sigterm or current is None or current is signal.SIG_IGN:
            return
        signal.signal(signal.SIGTERM, _on_sigterm)
    except ValueError:
        # Not the main interpreter.
        return
    _previous = current


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Deliver, then do what would have happened without us."""
    global _inside
    if callable(_previous) and not _inside:
        # The program decides whether and how it ends; its handler may leave without the interpreter's end.
        for pipeline in list(_open):
            pipeline.flush(min(_HANDLER_FLUSH_S, pipeline.settings.exit_timeout_s))
        _inside = True
        try:
            _previous(number, frame)
        finally:
            _inside = False
        return
    if os.getpid() == 1:
        # The kernel keeps the default action from the first process of a container: it lives on, and so do we.
        for pipeline in list(_open):
            pipeline.flush(_HANDLER_FLUSH_S)
        return
    _close_all()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
