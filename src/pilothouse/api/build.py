"""Builds the API application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from . import (
    analysis,
    approvals,
    audit,
    budgets,
    cache,
    charts,
    context_window,
    cost,
    decisions,
    deletions,
    diff,
    errors,
    evals,
    export,
    gateway,
    guard,
    health,
    jobs,
    keys,
    live,
    llms,
    logs,
    map,
    online,
    policy,
    queues,
    retention,
    routing,
    runtime,
    search,
    selections,
    sessions,
    sign_in,
    sql,
    stores,
    traces,
)
from . import annotations as annotation_routes  # the plain name is taken by the import above
from .approval_waits import Waits
from .context import Provider
from .errors import RESPONSES
from .live_feed import Feeds

PREFIX = "/api/v1"


def build(provider: Provider, *, version: str = "") -> FastAPI:
    """The application: the API under ``/api/v1``, health, metrics, ``/openapi.json``. Pages are mounted by the caller."""
    app = FastAPI(
        title="Pilothouse",
        version=version or "0",
        description="The operations room for LLM agents: traces in, answers out.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.provider = provider
    app.state.feeds = Feeds(lambda: app.state.provider)
    app.state.approval_waits = Waits()
    errors.install(app)
    for noun in (
        # Before the traces: "diff" is no trace's id.
        diff,
        context_window,
        traces,
        decisions,
        sessions,
        search,
        selections,
        export,
        live,
        logs,
        charts,
        map,
        audit,
        cost,
        budgets,
        cache,
        routing,
        evals,
        gateway,
        online,
        approvals,
        sql,
        stores,
        retention,
        annotation_routes,
        queues,
        jobs,
        analysis,
        runtime,
        guard,
        policy,
        deletions,
        keys,
        sign_in,
    ):
        app.include_router(noun.router, prefix=PREFIX, responses=RESPONSES)
    app.include_router(health.router)
    app.include_router(llms.router)
    app.openapi = lambda: _openapi(app)
    app.add_api_route("/openapi.json", lambda: app.openapi(), include_in_schema=False)
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for operations in schema["paths"].values():
            for operation in operations.values():
                # Parameters that do not validate are answered 400 in the one shape, never 422.
                operation["responses"].pop("422", None)
        schemas = schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]
        app.openapi_schema = schema
    return app.openapi_schema
