"""The gateway: calls of models pass through, unchanged and traced, with our keys in front and the providers' behind."""

from .config import GatewayConfig, Route, Target, Upstream, UpstreamKey, read_gateway
from .endpoints import ENDPOINTS, PREFIX
from .gateway import Caller, Gateway
from .rules import Rules, RulesReader

__all__ = [
    "ENDPOINTS",
    "PREFIX",
    "Caller",
    "Gateway",
    "GatewayConfig",
    "Route",
    "Rules",
    "RulesReader",
    "Target",
    "Upstream",
    "UpstreamKey",
    "read_gateway",
]
