"""Who counts cached tokens how: habits of instrumentations, by scope name, found by reading them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from .draft import Draft
from .usage import Counts, Habit

Counting = Literal["inclusive", "exclusive", "as the provider", "unknown"]
"""``as the provider``: the emitter copies the provider's number, which Anthropic and Bedrock give without cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """How one instrumentation counts."""

    rule: str
    """The name shown to a reader, e.g. ``openinference/anthropic``."""
    counting: Counting
    drops_caches: bool = False
    """True where cache counts never arrive."""


_PYTHON_OPENINFERENCE: Final = "openinference.instrumentation."
_JS_OPENINFERENCE: Final = "@arizeai/openinference-instrumentation-"

_OPENINFERENCE: Final[dict[str, Counting]] = {
    "openai": "inclusive",
    "anthropic": "inclusive",
    "litellm": "inclusive",
    "llama_index": "inclusive",
    "langchain": "inclusive",
    "google_genai": "inclusive",
    "vertexai": "inclusive",
    "openai_agents": "inclusive",
    "groq": "inclusive",
    "mistralai": "inclusive",
    "dspy": "inclusive",
    "pydantic_ai": "inclusive",
    "google_adk": "inclusive",
    "bedrock": "exclusive",
    "claude_agent_sdk": "exclusive",
    "agno": "as the provider",
    "strands_agents": "as the provider",
    "smolagents": "as the provider",
}
_OPENLLMETRY: Final[dict[str, Counting]] = {
    "anthropic": "inclusive",
    "langchain": "inclusive",
    "openai": "inclusive",
    "google_generativeai": "inclusive",
    "vertexai": "inclusive",
    "groq": "inclusive",
    "mistralai": "inclusive",
    "openai_agents": "inclusive",
    "bedrock": "exclusive",
    "llamaindex": "as the provider",
}
_EXACT: Final[dict[str, Emission]] = {
    "pilothouse": Emission(rule="pilothouse", counting="inclusive"),
    "pilothouse.gateway": Emission(rule="gateway", counting="inclusive"),
    "pydantic-ai": Emission(rule="pydantic-ai", counting="inclusive"),
    "gcp.vertex.agent": Emission(rule="google-adk", counting="inclusive"),
    "gen_ai": Emission(rule="ai-sdk v7", counting="inclusive"),
    "com.anthropic.claude_code.tracing": Emission(rule="claude-code", counting="exclusive"),
    "com.anthropic.claude_code": Emission(rule="claude-code", counting="exclusive"),
    "com.anthropic.claude_code.events": Emission(rule="claude-code", counting="exclusive"),
}


@lru_cache(maxsize=4096)
def emission_of(scope_name: str, dialect: str) -> Emission:
    """How the emitter with this scope counts; unknown scopes are unknown, whatever the dialect promises."""
    if (exact := _EXACT.get(scope_name)) is not None:
        return exact
    if scope_name.startswith(_PYTHON_OPENINFERENCE):
        library = scope_name.removeprefix(_PYTHON_OPENINFERENCE).split(".", 1)[0]
        return Emission(rule=f"openinference/{library}", counting=_OPENINFERENCE.get(library, "unknown"))
    if scope_name.startswith(_JS_OPENINFERENCE):
        library = scope_name.removeprefix(_JS_OPENINFERENCE)
        if library.startswith("anthropic"):
            return Emission(rule="openinference-js/anthropic", counting="exclusive", drops_caches=True)
        known = _OPENINFERENCE.get(library.replace("-", "_"), "unknown")
        return Emission(rule=f"openinference-js/{library}", counting=known)
    if scope_name.startswith("com.anthropic.sdk"):
        # Anthropic's own SDK follows the convention: its input holds the cached tokens.
        return Emission(rule="anthropic sdk", counting="inclusive")
    if scope_name.startswith("logfire"):
        return Emission(rule="logfire", counting="inclusive")
    if dialect == "openllmetry":
        library = scope_name.removeprefix("opentelemetry.instrumentation.").split(".", 1)[0]
        return Emission(rule=f"openllmetry/{library or 'sdk'}", counting=_OPENLLMETRY.get(library, "unknown"))
    if scope_name.startswith(("opentelemetry.instrumentation.genai", "opentelemetry.util.genai")):
        return Emission(rule="otel contrib", counting="inclusive")
    if scope_name == "opentelemetry.instrumentation.openai_v2":
        return Emission(rule="otel contrib", counting="inclusive", drops_caches=True)
    if scope_name == "opentelemetry.instrumentation.google_genai":
        return Emission(rule="otel contrib", counting="inclusive")
    return Emission(rule=f"{dialect}/{scope_name}" if scope_name else dialect, counting="unknown")


def note_dropped_caches(draft: Draft, emission: Emission, counts: Counts) -> None:
    """Tell the reader which way the cost is off, where the emitter leaves cache counts out."""
    if not emission.drops_caches or counts.cache_read is not None or counts.cache_write is not None:
        return
    if emission.counting == "exclusive":
        draft.note("the emitter drops cache counts: input tokens and cost are a lower bound")
    else:
        draft.note("the emitter drops cache counts: cached input is priced in full, cost is an upper bound")


def habit_of(emission: Emission, provider: str) -> Habit:
    """Whether this emitter's input count holds the cached tokens, for calls to this provider."""
    if emission.counting == "as the provider":
        return "exclusive" if provider in ("anthropic", "aws") else "inclusive"
    return emission.counting
