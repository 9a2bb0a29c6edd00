"""Switch on the instrumentors that are installed, for our tracer provider: one for each library, never two.

An instrumentor is switched on when its library is imported, at once where it is already: a library nobody uses costs
nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

from pilothouse.records import BadRequest

from .on_import import when_imported

if TYPE_CHECKING:
    from types import ModuleType

    from .recording import Recorder

LOG = logging.getLogger("pilothouse")

GROUP: Final = "opentelemetry_instrumentor"
"""Where instrumentors are announced among the entry points."""
_FAMILIES: Final = ("openinference", "otel-genai", "openllmetry")
"""In the order of choice where several know one library: the first record most without being asked to."""
_GENAI: Final = frozenset({"openai_v2", "google_genai", "vertexai", "openai_agents", "claude_agent_sdk"})
"""OpenTelemetry's own instrumentors of model libraries from before they shared the prefix ``genai``."""
_MODULES: Final = {
    "openai_agents": "agents",
    "openai_v2": "openai",
    "bedrock": "botocore",
    "google_genai": "google.genai",
    "google_generativeai": "google.generativeai",
    "vertexai": "vertexai",
    "google_adk": "google.adk",
    "llamaindex": "llama_index.core",
    "llama_index": "llama_index.core",
    "langchain": "langchain_core",
    "mistralai": "mistralai",
    "strands_agents": "strands",
    "autogen_agentchat": "autogen_agentchat",
}
"""The module of a library where it is not named like the instrumentor."""
_ALIASES: Final = {"openai_v2": "openai", "llamaindex": "llama_index", "vertex_ai": "vertexai"}

OURS: Final = frozenset({"mcp", "a2a"})
"""Recorded by the recorder itself (:mod:`.across`): a second view of each call would count it twice."""

_on: list[Any] = []


def switch_on(recorder: Recorder, chosen: str | bool | Iterable[str]) -> None:
    """Switch on the instrumentors of all libraries (``auto``), or of those named.

    Raises:
        BadRequest: a library is named that no installed instrumentor knows. A broken instrumentor is named in the log.
    """
    found = choose(entry_points(group=GROUP))
    if isinstance(chosen, str | bool):
        if chosen not in ("auto", True):
            raise BadRequest("instrument takes auto, False or a list of libraries", got=chosen, fix=f'["{chosen}"]')
        wanted = [name for name in found if name not in OURS]
    else:
        wanted = [_ALIASES.get(name, name) for name in chosen if name not in OURS]
        if unknown := [name for name in wanted if name not in found]:
            raise BadRequest(
                "no instrumentor is installed for this library",
                got=unknown[0],
                allowed=sorted(found),
                fix=f"pip install openinference-instrumentation-{unknown[0].replace('_', '-')}",
            )
    if wanted:
        _ask_for_content(recorder.settings.capture_content)
    for library in wanted:
        entry = found[library]
        when_imported(module_of(library), _Switch(recorder, entry).now)


def switch_off() -> None:
    """Switch off what :func:`switch_on` switched on."""
    while _on:
        try:
            _on.pop().uninstrument()
        except Exception as error:
            LOG.debug("an instrumentor could not be switched off: %s", type(error).__name__)


def choose(entries: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    """One instrumentor for each library, of those that record models and agents."""
    best: dict[str, tuple[int, EntryPoint]] = {}
    for entry in entries:
        known = family_of(entry)
        if known is None:
            continue
        rank, library = _FAMILIES.index(known[0]), known[1]
        if library not in best or rank < best[library][0]:
            best[library] = (rank, entry)
    return {library: entry for library, (_, entry) in sorted(best.items())}


def module_of(library: str) -> str:
    """The module that a program imports to use a library."""
    return _MODULES.get(library, library)


def family_of(entry: EntryPoint) -> tuple[str, str] | None:
    """Who made an instrumentor and for which library; None for those of databases, web frameworks and the like."""
    module = entry.value.partition(":")[0]
    for prefix, family in (
        ("openinference.instrumentation.", "openinference"),
        ("opentelemetry.instrumentation.genai.", "otel-genai"),
    ):
        if module.startswith(prefix):
            return family, _library(module.removeprefix(prefix))
    if not module.startswith("opentelemetry.instrumentation."):
        return None
    name = module.removeprefix("opentelemetry.instrumentation.").partition(".")[0]
    # OpenLLMetry's have names like OpenTelemetry's own; they alone need its attribute names.
    needs = (entry.dist.requires if entry.dist is not None else None) or ()
    if any(line.startswith("opentelemetry-semantic-conventions-ai") for line in needs):
        return "openllmetry", _library(name)
    return ("otel-genai", _library(name)) if name in _GENAI else None


def _library(name: str) -> str:
    name = name.partition(".")[0]
    return _ALIASES.get(name, name)


class _Switch:
    """Switches one instrumentor on."""

    def __init__(self, recorder: Recorder, entry: EntryPoint) -> None:
        self._recorder = recorder
        self._entry = entry

    def now(self, module: ModuleType) -> None:
        from . import recorder as recorders

        if recorders.current() is not self._recorder:
            return
        try:
            instrumentor: Any = self._entry.load()()
            if getattr(instrumentor, "is_instrumented_by_opentelemetry", False):
                return
            instrumentor.instrument(tracer_provider=self._recorder.provider)
            _on.append(instrumentor)
        except Exception as error:
            LOG.warning(
                "the instrumentor %s could not be switched on (%s: %s); pilothouse.init(instrument=[...]) leaves it out",
                self._entry.value,
                type(error).__name__,
                error,
            )


def _ask_for_content(wanted: bool) -> None:
    """Tell instrumentors by their own variables whether to record content; a variable that is set stays."""
    if wanted:
        variables = {
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        }
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        return
    # Here the caller's word outweighs the environment: what must not leave is not recorded.
    os.environ.update(
        {
            "OPENINFERENCE_HIDE_INPUTS": "true",
            "OPENINFERENCE_HIDE_OUTPUTS": "true",
            "TRACELOOP_TRACE_CONTENT": "false",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "false",
        }
    )
