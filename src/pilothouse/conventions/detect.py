"""Which dialect a span speaks: the emitter's scope decides, then its attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pilothouse.records import RawSpan, names

from .dialects import (
    claude_code,
    genkit,
    google_adk,
    laminar,
    langfuse,
    langsmith,
    livekit,
    logfire_pydantic_ai,
    mlflow,
    openai_agents,
    openinference,
    openllmetry,
    otel_genai,
    pilothouse,
    plain,
    vercel_ai,
)
from .draft import Draft

Reader = Callable[[RawSpan, Draft], None]

READERS: Final[dict[str, Reader]] = {
    module.NAME: module.read
    for module in (
        claude_code,
        genkit,
        google_adk,
        langfuse,
        langsmith,
        laminar,
        livekit,
        logfire_pydantic_ai,
        mlflow,
        openai_agents,
        openinference,
        openllmetry,
        otel_genai,
        pilothouse,
        plain,
        vercel_ai,
    )
}
"""Every dialect by name."""

_SCOPES: Final = (
    ("openinference.", openinference.NAME),
    ("@arizeai/openinference", openinference.NAME),
    ("langfuse-sdk", langfuse.NAME),
    ("com.anthropic.claude_code", claude_code.NAME),
    ("gcp.vertex.agent", google_adk.NAME),
    ("logfire.openai_agents", openai_agents.NAME),
    ("opentelemetry.instrumentation.openai_agents", openai_agents.NAME),
    ("opentelemetry.instrumentation.genai.openai_agents", openai_agents.NAME),
    ("pydantic-ai", logfire_pydantic_ai.NAME),
    ("logfire", logfire_pydantic_ai.NAME),
    ("mlflow", mlflow.NAME),
    ("lmnr", laminar.NAME),
    ("laminar", laminar.NAME),
    ("langsmith", langsmith.NAME),
    ("genkit", genkit.NAME),
    ("livekit", livekit.NAME),
)
"""Scope name prefixes that decide alone."""

_SCOPES_WHOLE: Final = {
    names.SCOPE: pilothouse.NAME,
    names.GATEWAY_SCOPE: pilothouse.NAME,
    "ai": vercel_ai.NAME,
    "gen_ai": vercel_ai.NAME,
    "traceloop.tracer": openllmetry.NAME,
}
"""Scope names that decide alone."""

_INSTRUMENTATION: Final = "opentelemetry.instrumentation."
_OPENLLMETRY_LIBRARIES: Final = frozenset(
    [
        "agno",
        "alephalpha",
        "anthropic",
        "bedrock",
        "chromadb",
        "cohere",
        "crewai",
        "google_generativeai",
        "groq",
        "haystack",
        "lancedb",
        "langchain",
        "llamaindex",
        "marqo",
        "milvus",
        "mistralai",
        "ollama",
        "openai",
        "pinecone",
        "qdrant",
        "replicate",
        "sagemaker",
        "together",
        "transformers",
        "voyageai",
        "watsonx",
        "weaviate",
        "writer",
    ]
)
"""Libraries whose instrumentation under this very scope is OpenLLMetry's: OTel's own have other names."""

_MARKS: Final = (
    (("langfuse.observation.type", "langfuse.observation.input"), langfuse.NAME),
    (("openinference.span.kind",), openinference.NAME),
    (("ai.operationId",), vercel_ai.NAME),
    (("mlflow.spanType", "mlflow.spanInputs"), mlflow.NAME),
    (("langsmith.span.kind",), langsmith.NAME),
    (("lmnr.span.type", "lmnr.span.path", "lmnr.span.input"), laminar.NAME),
    (("genkit:type", "genkit:name"), genkit.NAME),
    (("lk.agent_name", "lk.function_tool.name", "lk.chat_ctx", "lk.room_name"), livekit.NAME),
    (("logfire.span_type", "logfire.msg_template"), logfire_pydantic_ai.NAME),
    (("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"), google_adk.NAME),
    (("traceloop.span.kind", "llm.request.type", "traceloop.entity.name"), openllmetry.NAME),
    (("gen_ai.prompt.0.content", "gen_ai.prompt.0.role", "gen_ai.completion.0.role"), openllmetry.NAME),
    (
        (
            "gen_ai.operation.name",
            "gen_ai.request.model",
            "gen_ai.response.model",
            "gen_ai.provider.name",
            "gen_ai.system",
            "gen_ai.tool.name",
            "gen_ai.agent.name",
            "mcp.method.name",
        ),
        otel_genai.NAME,
    ),
)
"""Attributes that decide where the scope does not, in order."""

_SCOPES_MAX: Final = 4096
_known_scopes: dict[str, str] = {}


def dialect_of(span: RawSpan) -> str:
    """The name of the dialect to read a span with."""
    scope = span.emitter.scope_name
    known = _known_scopes.get(scope)
    if known is None:
        if len(_known_scopes) >= _SCOPES_MAX:
            _known_scopes.clear()
        known = _by_scope(scope)
        _known_scopes[scope] = known
    return known or _by_attributes(span.attributes)


def _by_scope(scope: str) -> str:
    if scope in _SCOPES_WHOLE:
        return _SCOPES_WHOLE[scope]
    for start, name in _SCOPES:
        if scope.startswith(start):
            return name
    library = scope.removeprefix(_INSTRUMENTATION).split(".", 1)[0] if scope.startswith(_INSTRUMENTATION) else ""
    return openllmetry.NAME if library in _OPENLLMETRY_LIBRARIES else ""


def _by_attributes(attributes: Mapping[str, Any]) -> str:
    for keys, name in _MARKS:
        for key in keys:
            if key in attributes:
                return name
    return plain.NAME
