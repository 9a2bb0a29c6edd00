"""Provider names in one spelling, the one that price books use."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_SPELLINGS: Final = {
    "az.ai.openai": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "azure openai": "azure",
    "az.ai.inference": "azure",
    "azure.ai.inference": "azure",
    "azure_ai": "azure",
    "azure": "azure",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "aws-bedrock": "aws",
    "amazon-bedrock": "aws",
    "amazon_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "amazon": "aws",
    "aws": "aws",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "google_vertexai": "google",
    "google_genai": "google",
    "google_anthropic_vertex": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "vertexai": "google",
    "gemini": "google",
    "google": "google",
    "gcp": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "mistral": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "x.ai": "x-ai",
    "grok": "x-ai",
    "x-ai": "x-ai",
    "together_ai": "together",
    "togetherai": "together",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "cohere_chat": "cohere",
    "openai_chat": "openai",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "openai": "openai",
    "anthropic": "anthropic",
    "deepseek": "deepseek",
    "groq": "groq",
    "perplexity": "perplexity",
    "openrouter": "openrouter",
    "cohere": "cohere",
    "ibm.watsonx.ai": "watsonx",
}

_NOT_PROVIDERS: Final = frozenset(
    {
        "langchain",
        "langgraph",
        "llamaindex",
        "llama_index",
        "llama-index",
        "crewai",
        "haystack",
        "litellm",
        "agno",
        "autogen",
        "smolagents",
        "dspy",
        "mcp",
        "openai-agents",
        "openai_agents",
        "pydantic-ai",
        "pydantic_ai",
        "strands-agents",
        "strands",
        "semantic_kernel",
        "claude-agent-sdk",
        "claude_agent_sdk",
        "google_adk",
        "gcp.vertex.agent",
        "vercel",
        "gateway",
        "unknown",
        "_other",
        "custom",
        "none",
        "null",
    }
)
"""Frameworks, which some emitters put where the provider belongs."""

_MODEL_STARTS: Final = (
    (("gpt-", "o1", "o3", "o4", "chatgpt", "text-embedding-", "davinci", "codex-", "computer-use", "omni-"), "openai"),
    (("claude",), "anthropic"),
    (("gemini", "text-bison", "chat-bison", "imagen", "learnlm"), "google"),
    (
        ("mistral", "codestral", "pixtral", "ministral", "magistral", "devstral", "open-mistral", "open-mixtral"),
        "mistral",
    ),
    (("command", "embed-english", "embed-multilingual", "rerank-", "c4ai-"), "cohere"),
    (("grok",), "x-ai"),
    (("deepseek",), "deepseek"),
    (("sonar",), "perplexity"),
    (("anthropic.", "amazon.", "meta.", "us.", "eu.", "apac.", "global."), "aws"),
)


@lru_cache(maxsize=4096)
def provider_id(name: str) -> str:
    """The provider's canonical id; empty for frameworks and placeholders, lower case for names no rule knows.

    Suffixes such as ``openai.chat`` and ``anthropic.messages`` (the Vercel AI SDK's) are taken off.
    """
    plain = name.strip().lower()
    if not plain or plain in _NOT_PROVIDERS:
        return ""
    known = _SPELLINGS.get(plain)
    if known is not None:
        return known
    stem = plain.split(".", 1)[0]
    if stem in _NOT_PROVIDERS:
        return ""
    if stem in _SPELLINGS:
        return _SPELLINGS[stem]
    for part in ("vertex", "gemini"):
        if part in plain:
            return "google"
    for part, provider in (("bedrock", "aws"), ("azure", "azure"), ("anthropic", "anthropic"), ("openai", "openai")):
        if part in plain:
            return provider
    return plain


@lru_cache(maxsize=4096)
def provider_of_model(model: str) -> str:
    """A guess at who serves a model, from its name: ``provider/model`` spells it out; empty where nothing fits."""
    plain = model.strip().lower()
    if "/" in plain:
        prefix, rest = plain.split("/", 1)
        if prefix in _SPELLINGS:
            return _SPELLINGS[prefix]
        plain = rest.rsplit("/", 1)[-1]
    elif ":" in plain and plain.split(":", 1)[0] in _SPELLINGS:
        return _SPELLINGS[plain.split(":", 1)[0]]
    for starts, provider in _MODEL_STARTS:
        if plain.startswith(starts):
            return provider
    return ""
