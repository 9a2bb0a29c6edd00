"""What happens in each Python process under ``pilothouse run``: it records, and says at its end what was recorded."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import threading
import time
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from pilothouse.records import names

from . import recorder as recorders

if TYPE_CHECKING:
    from .recording import Recorder

_TRACES_KEPT: Final = 100
_WRITE_INTERVAL_S: Final = 1.0
"""The report is written when a trace ends, at most this often, and at the end: a killed process leaves it, too."""

INSTRUMENTORS: Final = {
    "openai": "openinference-instrumentation-openai",
    "anthropic": "openinference-instrumentation-anthropic",
    "agents": "openinference-instrumentation-openai-agents",
    "langchain_core": "openinference-instrumentation-langchain",
    "llama_index.core": "openinference-instrumentation-llama-index",
    "google.genai": "openinference-instrumentation-google-genai",
    "google.adk": "openinference-instrumentation-google-adk",
    "litellm": "openinference-instrumentation-litellm",
    "mistralai": "openinference-instrumentation-mistralai",
    "groq": "openinference-instrumentation-groq",
    "crewai": "openinference-instrumentation-crewai",
    "dspy": "openinference-instrumentation-dspy",
    "smolagents": "openinference-instrumentation-smolagents",
    "haystack": "openinference-instrumentation-haystack",
    "ollama": "opentelemetry-instrumentation-ollama",
    "cohere": "opentelemetry-instrumentation-cohere",
}
"""By the module that a program imports: the package to install where no instrumentor for it is."""


def start(folder: str) -> None:
    """Record this process and report into the folder. Called before the program's own code."""
    report = _Report(Path(folder))
    # Before the recorder's own: what is registered first runs last, after everything has been delivered.
    atexit.register(report.write, at_end=True)
    os.register_at_fork(after_in_child=report.forked)
    recorders.init_provisionally(service=_module_run(), watcher=report.watch)


def _module_run() -> str:
    """The module's name under ``python -m``, which ``sys.argv`` does not hold yet; else empty."""
    if sys.argv[:1] != ["-m"] or "-m" not in sys.orig_argv[:-1]:
        return ""
    return sys.orig_argv[sys.orig_argv.index("-m") + 1].removesuffix(".__main__").rpartition(".")[2]


class _Report(SpanProcessor):
    """Counts the spans that end in this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._written = 0.0
        self._recorder: Recorder | None = None
        self._clear()

    def _clear(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._traces: dict[str, int] = {}
        """When the first span of each trace that is kept began."""

    def watch(self, recorder: Recorder) -> None:
        """Count what this recorder records."""
        self._recorder = recorder
        recorder.provider.add_span_processor(self)

    def forked(self) -> None:
        """A child counts its own."""
        self._lock = threading.Lock()
        self._clear()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: only what ends counts."""

    def on_end(self, span: ReadableSpan) -> None:
        """Count a span."""
        where = span.get_span_context()
        if where is None:
            return
        with self._lock:
            self._kinds[_kind(span.attributes or {})] += 1
            if len(self._traces) < _TRACES_KEPT:
                self._traces.setdefault(f"{where.trace_id:032x}", span.start_time or 0)
        if span.parent is None and time.monotonic() - self._written > _WRITE_INTERVAL_S:
            self.write()

    def write(self, *, at_end: bool = False) -> None:
        """Write the report; never raises."""
        with contextlib.suppress(Exception):
            self._written = time.monotonic()
            path = self._folder / f"{os.getpid()}.json"
            new = path.with_suffix(".new")
            new.write_text(json.dumps(self._facts(at_end)), encoding="utf-8")
            new.replace(path)

    def _facts(self, at_end: bool) -> dict[str, Any]:
        recorder = self._recorder
        stats = recorder.pipeline.stats() if recorder is not None else None
        with self._lock:
            kinds, traces = dict(self._kinds), dict(self._traces)
        return {
            "python": sys.executable,
            "argv": sys.argv[:20],
            "endpoint": recorder.settings.endpoint if recorder is not None else "",
            "spans": sum(kinds.values()),
            "kinds": kinds,
            "traces": [trace for trace, _ in sorted(traces.items(), key=lambda item: item[1])],
            "sent": stats.sent if stats is not None else 0,
            "dropped": stats.dropped if stats is not None else 0,
            "spilled": stats.spilled if stats is not None else 0,
            "state": stats.state if stats is not None else "",
            "not_instrumented": _not_instrumented() if at_end else {},
        }


def _kind(attributes: Any) -> str:
    """What a span is, in the words of whoever wrote it: enough to count."""
    found = attributes.get(names.KIND) or attributes.get("openinference.span.kind") or ""
    operation = attributes.get("gen_ai.operation.name") or attributes.get("llm.request.type") or ""
    word = str(found or operation or attributes.get("traceloop.span.kind") or "other").lower()
    return _WORDS.get(word, word)


_WORDS: Final = {
    "llm": "model",
    "chat": "model",
    "completion": "model",
    "text_completion": "model",
    "generate_content": "model",
    "execute_tool": "tool",
    "invoke_agent": "agent",
}


def _not_instrumented() -> dict[str, str]:
    """Libraries that this process imported and nothing records: the package that would."""
    seen = [module for module in INSTRUMENTORS if module in sys.modules]
    if not seen:
        return {}
    from .instrumentors import GROUP, choose, module_of

    known = {module_of(library) for library in choose(entry_points(group=GROUP))}
    return {module: INSTRUMENTORS[module] for module in seen if module not in known}
