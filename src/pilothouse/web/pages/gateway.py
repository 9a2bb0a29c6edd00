"""The gateway: upstreams with their health and traffic, routes, breakers, what stood in, and what caches saved."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.cache import CacheOverview
from pilothouse.gateway import BreakerStatus, GatewayStatus, UpstreamStatus
from pilothouse.traces.model.gateway import GatewayCalls, GatewayTraffic
from pilothouse.traces.model.prompt_cache import PromptCache
from pilothouse.web.context import told
from pilothouse.web.visit import PageContext, PageSpec, Visit

_DAY_NS = 86_400_000_000_000
PROMPT_DAYS = 7
BREAKS = 8
"""Findings of the lint that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPage(PageContext):
    """The gateway."""

    status: GatewayStatus = field(metadata=told("the gateway now: upstreams, keys by name, breakers, routes"))
    hour: GatewayTraffic = field(metadata=told("calls of the last hour"))
    day: GatewayTraffic = field(metadata=told("calls of the last 24 hours"))
    cache: CacheOverview = field(metadata=told("the response cache in the last 7 days"))
    prompts: PromptCache | None = field(
        metadata=told("providers' prompt caches in the last 7 days; on the page itself only with part=prompts")
    )
    address: str = field(metadata=told("what clients take as their base address"))

    @property
    def breaks_max(self) -> int:
        """Findings of the lint that are shown."""
        return BREAKS

    def of_hour(self, name: str) -> GatewayCalls | None:
        """An upstream's calls of the last hour."""
        return next((one for one in self.hour.upstreams if one.name == name), None)

    def of_day(self, name: str) -> GatewayCalls | None:
        """An upstream's calls of the last day."""
        return next((one for one in self.day.upstreams if one.name == name), None)

    def route_of_day(self, model: str) -> GatewayCalls | None:
        """A route's calls of the last day."""
        return next((one for one in self.day.routes if one.name == model), None)

    def open_breakers(self, upstream: UpstreamStatus) -> tuple[BreakerStatus, ...]:
        """Breakers of an upstream that let no call or only a probe through."""
        return tuple(one for one in self.status.breakers if one.upstream == upstream.name and one.state != "closed")

    @property
    def elsewhere(self) -> tuple[GatewayCalls, ...]:
        """Calls of the day by upstreams that the policy no longer names, or by none."""
        named = {one.name for one in self.status.upstreams}
        return tuple(one for one in self.day.upstreams if one.name not in named)


def gather(visit: Visit) -> GatewayPage:
    """Read the gateway; what prompt caches did is read when the page asks for it, since that takes seconds."""
    found = visit.reader.gateway()
    wanted = visit.text("part") == "prompts" or visit.text("prompts") == "1"
    prompts = visit.reader.prompt_cache(visit.now_ns - PROMPT_DAYS * _DAY_NS, visit.now_ns) if wanted else None
    return GatewayPage(
        title="Gateway",
        command="pilothouse gateway",
        status=found.status,
        hour=found.hour,
        day=found.day,
        cache=found.cache,
        prompts=prompts,
        address=f"{visit.visitor.otlp_url}/gateway",
    )


GATEWAY = PageSpec(name="gateway", path="/gateway", context=GatewayPage, gather=gather)
