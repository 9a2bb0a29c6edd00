"""Runs the real clients under `agents/` against the scripted model server, and keeps what they export.

Each client is a program of its own in an environment of its own: their packages pin each other's versions, and the
project's own environment must not depend on them. `python -m tests.clients.install_clients` makes the environments.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilothouse.testing import ModelServer, OtlpSink, RecordedRequest, SinkRequest
from pilothouse.testing.jsons import JsonObject

ROOT = Path(__file__).parents[2]
AGENTS = Path(__file__).parent / "agents"
TIMEOUT_S = 120

# Low enough for short instructions to be cached, so that recordings stay small.
SCRIPT = {
    "cache_tokens_min": 32,
    "rules": [{"user": "refuse", "reply": {"fault": {"status": 500, "message": "The model refused to start."}}}],
}


@dataclass(frozen=True, kw_only=True)
class Client:
    """A real client: a program, and the packages it needs."""

    name: str
    program: str
    """File under `agents/`."""
    environment: str
    """Dependency group of pyproject.toml with its packages, or `node`."""
    modules: tuple[str, ...] = ()
    """Modules that must be importable; the client counts as not installed otherwise."""
    signals: tuple[str, ...] = ("traces",)
    """What it exports."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables."""


CLIENTS = (
    Client(
        name="openai-openinference",
        program="openai_openinference.py",
        environment="clients",
        modules=("openai", "openinference.instrumentation.openai"),
    ),
    Client(
        name="anthropic-openinference",
        program="anthropic_openinference.py",
        environment="clients",
        modules=("anthropic", "openinference.instrumentation.anthropic"),
    ),
    Client(
        name="openai-openllmetry",
        program="openai_openllmetry.py",
        environment="clients",
        modules=("openai", "traceloop.sdk"),
        signals=("traces", "metrics"),
    ),
    Client(
        name="anthropic-openllmetry",
        program="anthropic_openllmetry.py",
        environment="clients",
        modules=("anthropic", "traceloop.sdk"),
        signals=("traces", "metrics"),
    ),
    Client(
        name="openai-otel",
        program="openai_otel.py",
        environment="clients",
        modules=("opentelemetry.instrumentation.genai.openai",),
        signals=("traces", "logs", "metrics"),
    ),
    Client(
        name="anthropic-otel",
        program="anthropic_otel.py",
        environment="clients",
        modules=("opentelemetry.instrumentation.genai.anthropic",),
        signals=("traces", "logs", "metrics"),
    ),
    Client(
        name="openai-otel-legacy",
        program="openai_otel_legacy.py",
        environment="clients-pinned",
        modules=("opentelemetry.instrumentation.openai_v2",),
        signals=("traces", "logs", "metrics"),
    ),
    Client(
        name="pydantic-ai",
        program="pydantic_ai_own.py",
        environment="clients",
        modules=("pydantic_ai",),
        signals=("traces", "metrics"),
    ),
    Client(
        name="pydantic-ai-format-2",
        program="pydantic_ai_own.py",
        environment="clients",
        modules=("pydantic_ai",),
        signals=("traces", "metrics"),
        variables={"FORMAT": "2"},
    ),
    Client(
        name="pydantic-ai-format-6",
        program="pydantic_ai_own.py",
        environment="clients",
        modules=("pydantic_ai",),
        signals=("traces", "metrics"),
        variables={"FORMAT": "6"},
    ),
    Client(
        name="openai-openllmetry-old",
        program="openai_openllmetry_old.py",
        environment="clients-pinned",
        modules=("openai", "opentelemetry.instrumentation.openai"),
        signals=("traces", "metrics"),
    ),
    Client(
        name="anthropic-openllmetry-old",
        program="anthropic_openllmetry_old.py",
        environment="clients-pinned",
        modules=("anthropic", "opentelemetry.instrumentation.anthropic"),
        signals=("traces", "metrics"),
    ),
    Client(
        name="openai-agents",
        program="openai_agents_openinference.py",
        environment="clients",
        modules=("agents", "openinference.instrumentation.openai_agents"),
    ),
    Client(
        name="langgraph",
        program="langgraph_openinference.py",
        environment="clients",
        modules=("langgraph", "langchain_openai", "openinference.instrumentation.langchain"),
    ),
    Client(
        name="langfuse",
        program="langfuse_own.py",
        environment="clients",
        modules=("langfuse",),
    ),
    Client(
        name="google-adk",
        program="google_adk_own.py",
        environment="clients-pinned",
        modules=("google.adk",),
        signals=("traces", "logs", "metrics"),
    ),
    Client(
        name="google-adk-content",
        program="google_adk_own.py",
        environment="clients-pinned",
        modules=("google.adk",),
        signals=("traces", "logs", "metrics"),
        variables={
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
        },
    ),
    Client(
        name="google-adk-old",
        program="google_adk_old.py",
        environment="clients-adk-old",
        modules=("google.adk",),
    ),
    Client(
        name="mlflow",
        program="mlflow_own.py",
        environment="clients-mlflow",
        modules=("mlflow", "openai"),
        signals=("traces", "metrics"),
    ),
    Client(
        name="pilothouse",
        program="pilothouse_own.py",
        environment="own",
        modules=("openai", "pilothouse"),
        signals=("traces", "logs"),
    ),
    Client(name="vercel-ai", program="vercel/agent.mjs", environment="node"),
    Client(name="vercel-ai-legacy", program="vercel/agent.mjs", environment="node", variables={"DIALECT": "legacy"}),
)


class ClientFailed(RuntimeError):
    """A client ended with an error; the message carries its standard error."""


@dataclass(frozen=True, kw_only=True)
class ClientRun:
    """What one client did."""

    model_port: int
    calls: tuple[RecordedRequest, ...]
    """What it asked the models, oldest first."""
    requests: tuple[SinkRequest, ...]
    """Its exports, oldest first."""
    bodies: dict[str, JsonObject]
    """Its exports as one OTLP/JSON body for each signal."""
    spans: list[JsonObject]


def client_named(name: str) -> Client:
    """Return a client by name."""
    return next(client for client in CLIENTS if client.name == name)


def is_installed(client: Client) -> bool:
    """Tell whether a client can run here."""
    return interpreter_of(client.environment, client.modules) is not None


def run_client(name: str, *, otlp_url: str | None = None, headers: str = "") -> ClientRun:
    """Run a client to its end. It exports to a sink of its own, or to `otlp_url` with these OTLP headers instead."""
    client = client_named(name)
    interpreter = interpreter_of(client.environment, client.modules)
    if interpreter is None:
        raise ClientFailed(f"{name} is not installed; run python -m tests.clients.install_clients")
    with ModelServer(SCRIPT, seed=7) as models, OtlpSink() as sink:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/tmp"),
            "MODEL_URL": models.address,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url or sink.address,
            "OTEL_EXPORTER_OTLP_HEADERS": headers,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "GOOGLE_API_KEY": "none",
            "TRACELOOP_TELEMETRY": "false",
            "PYTHONWARNINGS": "ignore",
            "NO_PROXY": "127.0.0.1",
            **client.variables,
        }
        finished = subprocess.run(
            [*interpreter, str(AGENTS / client.program)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if finished.returncode != 0:
            raise ClientFailed(f"{name} ended with {finished.returncode}:\n{finished.stderr[-4000:]}")
        return ClientRun(
            model_port=models.port,
            calls=models.requests,
            requests=sink.requests,
            bodies={signal: sink.as_json(signal) for signal in ("traces", "logs", "metrics")},
            spans=sink.spans(),
        )


@functools.cache
def interpreter_of(environment: str, modules: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the command that runs a program of this environment, or None."""
    if environment == "node":
        return ("node",) if (AGENTS / "vercel" / "node_modules").is_dir() else None
    check = "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))"
    for python in (ROOT / f".venv-{environment}" / "bin" / "python", Path(sys.executable)):
        if not python.exists():
            continue
        found = subprocess.run([python, "-c", check, *modules], capture_output=True, check=False)
        if found.returncode == 0:
            return (str(python),)
    return None
