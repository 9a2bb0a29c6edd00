"""Recording as a capability: the run, its model calls and its tools as spans, where :func:`pilothouse.init` was called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.tools import RunContext

from pilothouse.sdk import recorder as recorders


@dataclass
class Recorded(AbstractCapability[Any]):
    """Sends the agent's spans to Pilothouse through the recorder of this process; without one it does nothing."""

    id: str | None = "pilothouse_recorded"

    def get_ordering(self) -> CapabilityOrdering:
        """Outermost: what other capabilities do lies within the run's span."""
        return CapabilityOrdering(position="outermost")

    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        """pydantic-ai's own instrumentation, on the recorder's provider."""
        recorder = recorders.current()
        if recorder is None:
            return self
        from pydantic_ai.capabilities import Instrumentation
        from pydantic_ai.models.instrumented import InstrumentationSettings

        settings = InstrumentationSettings(
            tracer_provider=recorder.provider, include_content=recorder.settings.capture_content
        )
        return await Instrumentation(settings, id=self.id).for_run(ctx)
