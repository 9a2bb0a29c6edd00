"""The HTTP API: thin routers over the verbs, one file per noun."""

from .build import build
from .context import Caller, Context, Metric, Provider, context

__all__ = ["Caller", "Context", "Metric", "Provider", "build", "context"]
