"""Who and where, from the span, its metadata and its resource."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.conventions.providers import provider_id, provider_of_model

from .making import reading

AGENT = {"gen_ai.operation.name": "invoke_agent"}


@pytest.mark.parametrize(
    "key",
    [
        "session.id",
        "gen_ai.conversation.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
        "lmnr.association.properties.session_id",
        "langsmith.trace.session_id",
        "ai.telemetry.metadata.sessionId",
        "gcp.vertex.agent.session_id",
    ],
)
def test_every_name_of_a_session(key: str) -> None:
    assert reading({key: "s1"}).session_id == "s1"


def test_a_connection_to_a_tool_server_is_no_session() -> None:
    assert reading({"mcp.session.id": "m1", "mcp.method.name": "tools/call"}).session_id == ""


@pytest.mark.parametrize("key", ["user.id", "enduser.id", "gen_ai.user", "langfuse.user.id"])
def test_every_name_of_a_user(key: str) -> None:
    assert reading({key: "u1"}).user_id == "u1"


def test_the_resource_fills_what_the_span_leaves_open() -> None:
    resource = {"service.version": "1.4.0", "deployment.environment.name": "staging", "service.name": "shop"}
    found = reading({"gen_ai.operation.name": "chat"}, resource=resource)

    assert (found.agent_version, found.environment, found.agent) == ("1.4.0", "staging", "")
    assert reading(AGENT, resource={"deployment.environment": "prod"}).environment == "prod"
    assert reading({**AGENT, "gen_ai.agent.version": "7"}, resource=resource).agent_version == "7"


def test_a_service_names_an_agent_only_where_nothing_else_does() -> None:
    resource = {"service.name": "shop"}

    assert reading(AGENT, resource=resource).agent == "shop"
    assert reading({**AGENT, "gen_ai.agent.name": "clerk"}, resource=resource).agent == "clerk"
    assert reading(AGENT, resource={"service.name": "unknown_service:python"}).agent == ""


@pytest.mark.parametrize("tags", [["a", "b"], '["a", "b"]', "a, b", ("a", "b")])
def test_tags_in_every_shape(tags: Any) -> None:
    assert reading({"tag.tags": tags}).tags == ("a", "b")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("OpenAI", "openai"),
        ("az.ai.openai", "azure"),
        ("aws.bedrock", "aws"),
        ("gcp.gemini", "google"),
        ("vertex_ai", "google"),
        ("google-gla", "google"),
        ("openai.responses", "openai"),
        ("anthropic.messages", "anthropic"),
        ("amazon-bedrock", "aws"),
        ("azure-openai.chat", "azure"),
        ("xai", "x-ai"),
        ("mistral_ai", "mistral"),
        ("Langchain", ""),
        ("crewai", ""),
        ("my-own-host", "my-own-host"),
        ("", ""),
    ],
)
def test_providers_have_one_spelling(name: str, expected: str) -> None:
    assert provider_id(name) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", "openai"),
        ("o3-mini", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("models/gemini-2.5-pro", "google"),
        ("anthropic/claude-sonnet-4-5", "anthropic"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "aws"),
        ("openai:gpt-4o", "openai"),
        ("llama3:8b", ""),
        ("", ""),
    ],
)
def test_a_model_tells_its_provider(model: str, expected: str) -> None:
    assert provider_of_model(model) == expected
