"""The recorder of this process: made once by :func:`init`, found by everything else through :func:`current`.

This file costs nothing to import. OpenTelemetry and all that ships come in when :func:`init` is called.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .recording import Recorder
    from .settings import Mask, Settings
    from .stats import Stats

LOG = logging.getLogger("pilothouse")

Instrument = Literal["auto"] | Iterable[str] | bool

_lock = threading.Lock()
_current: Recorder | None = None
_provisional = False
"""True while the recorder was started by ``pilothouse run``, not by the program."""
_watchers: list[Callable[[Recorder], None]] = []


def init(
    *,
    service: str = "",
    endpoint: str = "",
    key: str = "",
    environment: str = "",
    version: str = "",
    session: str = "",
    user: str = "",
    capture_content: bool | None = None,
    mask: Mask | str | None = None,
    instrument: Instrument = "auto",
    threads: bool = True,
    global_provider: bool = False,
    resource: Mapping[str, str] | None = None,
    spill_dir: Path | str | None = None,
    spill_bytes_max: int | None = None,
    queue_bytes_max: int | None = None,
    flush_interval_s: float | None = None,
    heartbeat_interval_s: float | None = None,
    exit_timeout_s: float | None = None,
    compression: str = "",
) -> Recorder:
    """Start to record. Works without arguments; a second call gives the recorder that runs and changes nothing.

    Args:
        service: Name of this program; else ``OTEL_SERVICE_NAME``, else the script's name.
        endpoint: Address of the server; else ``PILOTHOUSE_URL``, else the server that runs on this machine.
        key: Key of the project; else ``PILOTHOUSE_API_KEY``.
        environment: Such as ``production``.
        version: Version of the program or agent.
        session: Session of every span that is in no :func:`pilothouse.session`.
        user: The same for the user.
        capture_content: False keeps prompts, answers, arguments and results in this process.
        mask: A function from text to text, or names of mask groups, applied before anything leaves the process.
        instrument: ``auto`` switches on every installed instrumentor of a model library or agent framework, one for
            each library; a list names libraries; False switches on none.
        threads: Let threads and pools started within a span continue its trace.
        global_provider: Also become OpenTelemetry's global tracer provider.
        resource: Further resource attributes.

    Raises:
        BadRequest: an argument is out of its range. Trouble with the server or the disk never raises.
    """
    if _current is not None:
        if not _provisional:
            return _current
        shutdown()
    from .settings import read_settings

    settings = read_settings(
        endpoint=endpoint,
        key=key,
        service=service,
        environment=environment,
        version=version,
        session=session,
        user=user,
        capture_content=capture_content,
        mask=mask,
        spill_dir=spill_dir,
        spill_bytes_max=spill_bytes_max,
        queue_bytes_max=queue_bytes_max,
        flush_interval_s=flush_interval_s,
        heartbeat_interval_s=heartbeat_interval_s,
        exit_timeout_s=exit_timeout_s,
        compression=compression,
        global_provider=global_provider,
    )
    chosen = instrument if isinstance(instrument, str | bool) else tuple(instrument)
    return start(settings, Options(instrument=chosen, threads=threads, resource=dict(resource or {})))


def init_provisionally(*, service: str, watcher: Callable[[Recorder], None]) -> None:
    """Start with what the environment says. A program that calls :func:`init` itself replaces it, with its own masks.

    The watcher is given every recorder that starts in this process.
    """
    global _provisional
    _watchers.append(watcher)
    init(service=service)
    _provisional = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What :func:`init` does beside making the recorder; another process of a pool does the same."""

    instrument: str | bool | tuple[str, ...]
    threads: bool
    resource: dict[str, str]


def start(settings: Settings, options: Options) -> Recorder:
    """Start a recorder with settings that are complete, unless one runs."""
    global _current
    with _lock:
        if _current is not None:
            return _current
        from .recording import Recorder

        recorder = _current = Recorder(settings, options)
    for watcher in _watchers:
        watcher(recorder)
    if options.threads:
        from .threads import carry_into_threads

        carry_into_threads()
    from .across import carry_across

    carry_across(options.instrument)
    if settings.global_provider:
        from opentelemetry import trace

        trace.set_tracer_provider(recorder.provider)
    if options.instrument:
        from .instrumentors import switch_on

        switch_on(recorder, options.instrument)
    return recorder


def current() -> Recorder | None:
    """The recorder of this process; None before :func:`init` and after :func:`shutdown`."""
    return _current


def flush(timeout_s: float = 10.0) -> bool:
    """Wait until everything recorded so far is with the server or safe on disk; False where time ran out."""
    recorder = _current
    return recorder.pipeline.flush(timeout_s) if recorder is not None else True


def shutdown(timeout_s: float | None = None) -> None:
    """Stop recording: what is queued is delivered or put on disk. A later :func:`init` starts anew."""
    global _current, _provisional
    with _lock:
        recorder, _current = _current, None
        _provisional = False
    if recorder is None:
        return
    from .instrumentors import switch_off

    switch_off()
    recorder.pipeline.close(recorder.settings.exit_timeout_s if timeout_s is None else timeout_s)


def stats() -> Stats | None:
    """What became of everything that was recorded; None where nothing records."""
    recorder = _current
    return recorder.pipeline.stats() if recorder is not None else None


def current_trace_id() -> str:
    """The trace this code runs in, 32 hex digits; empty outside of any."""
    recorder = _current
    if recorder is None:
        return ""
    where = recorder.span().get_span_context()
    return f"{where.trace_id:032x}" if where.is_valid else ""
