"""What a recorder is made of: our tracer provider, the books of open traces, and the pipeline that ships."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import opentelemetry.sdk.version
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource

from pilothouse.records import names

from .books import Books
from .calls import Bookkeeping, Call, current_call, open_call
from .context import ATTEMPT, Attempt, attach, detach, labelled, labels
from .pipeline import Pipeline
from .provider import OwnProvider
from .recorder import Options
from .settings import Settings


class Recorder:
    """Everything that records in this process. Made by :func:`pilothouse.init`."""

    def __init__(self, settings: Settings, options: Options) -> None:
        self.settings = settings
        self.options = options
        described = Resource({**_described(settings), **options.resource})
        self.provider = OwnProvider(described)
        """The tracer provider, for instrumentors that take one."""
        self.books = Books()
        self.pipeline = Pipeline(settings, described)
        # Labels first: the pipeline looks at a span as it starts.
        self.provider.add_span_processor(Bookkeeping(self.books))
        self.provider.add_span_processor(self.pipeline.processor)
        self.tracer = self.provider.get_tracer(names.SCOPE, _version())

    def open(self, kind: str, name: str, attributes: Mapping[str, Any], context: otel.Context | None = None) -> Call:
        """Start a span of ours in the current context, or in a given one."""
        return open_call(self, kind, name, attributes, context)

    def call(self) -> Call | None:
        """The innermost open call of ours."""
        return current_call()

    def context(self) -> otel.Context:
        """The current context, to be used later or elsewhere."""
        return otel.get_current()

    def span(self) -> trace.Span:
        """The current span, whoever started it."""
        return trace.get_current_span()

    def labels(self) -> Mapping[str, Any]:
        """The attributes that every span gets here."""
        return labels(otel.get_current())

    def label(self, attributes: Mapping[str, Any]) -> Any:
        """Give these attributes to every span from here on, until :meth:`unlabel` gets the result."""
        return attach(labelled(attributes))

    def attempt(self, number: int, most: int) -> Any:
        """Mark the spans that start directly below the current one as a try, until :meth:`unlabel` gets the result."""
        parent = trace.get_current_span().get_span_context().span_id
        marked = Attempt(number=number, most=most, parent_span_id=parent)
        return attach(otel.set_value(ATTEMPT, marked))

    def unlabel(self, token: Any) -> None:
        """Undo :meth:`label` or :meth:`attempt`."""
        detach(token)

    def __repr__(self) -> str:
        return f"Recorder(service={self.settings.service!r}, endpoint={self.settings.endpoint!r})"


def _described(settings: Settings) -> dict[str, str]:
    """The resource: what this process is. No detectors: they take longer than everything else together."""
    found = {
        "service.name": settings.service or _program(),
        names.INSTANCE: str(uuid4()),
        "host.name": platform.node(),
        "process.pid": str(os.getpid()),
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": opentelemetry.sdk.version.__version__,
        "service.version": settings.version,
        "deployment.environment.name": settings.environment,
        "session.id": settings.session,
        "user.id": settings.user,
    }
    return {name: value for name, value in found.items() if value}


def _program() -> str:
    """The program's name, for a service that has none: ``agent.py`` records as ``agent``."""
    name = os.path.basename(sys.argv[0] if sys.argv else "").removesuffix(".py")  # noqa: PTH119
    if name == "__main__":
        name = os.path.basename(os.path.dirname(sys.argv[0]))  # noqa: PTH119, PTH120
    return name if name not in ("", "-c", "-m") else "python"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pilothouse")
    except PackageNotFoundError:
        return ""
