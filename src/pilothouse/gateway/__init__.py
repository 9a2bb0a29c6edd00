"""The gateway: calls of models pass through, unchanged and traced, with our keys in front and the providers' behind."""

from .caching import Answers
from .config import GatewayConfig, Route, Target, Upstream, UpstreamKey, read_gateway
from .endpoints import ENDPOINTS, PREFIX
from .gateway import Caller, Gateway
from .labels import read as read_labels
from .rules import Rules, RulesReader
from .spans import request_of_check
from .status import (
    AddressStatus,
    BreakerStatus,
    GatewayStatus,
    KeyStatus,
    RouteStatus,
    UpstreamStatus,
    hosts_only,
    status_of,
)

__all__ = [
    "ENDPOINTS",
    "PREFIX",
    "AddressStatus",
    "Answers",
    "BreakerStatus",
    "Caller",
    "Gateway",
    "GatewayConfig",
    "GatewayStatus",
    "KeyStatus",
    "Route",
    "RouteStatus",
    "Rules",
    "RulesReader",
    "Target",
    "Upstream",
    "UpstreamKey",
    "UpstreamStatus",
    "hosts_only",
    "read_gateway",
    "read_labels",
    "request_of_check",
    "status_of",
]
