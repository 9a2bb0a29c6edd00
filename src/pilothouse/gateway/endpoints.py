"""What the gateway serves: which path speaks which wire format, and what of it is a call of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Wire = Literal["openai", "anthropic"]
WIRES: Final[tuple[Wire, ...]] = ("openai", "anthropic")

Operation = Literal["chat", "responses", "embeddings", "count_tokens", "models"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address of a provider's API."""

    wire: Wire
    operation: Operation
    method: Literal["GET", "POST"]
    path: str
    """Below the provider's ``/v1``."""

    @property
    def traced(self) -> bool:
        """Whether it makes a model work: lists and counts are passed through and leave no trace."""
        return self.operation in ("chat", "responses", "embeddings")


_SERVED: Final = (
    Endpoint(wire="openai", operation="chat", method="POST", path="/chat/completions"),
    Endpoint(wire="openai", operation="responses", method="POST", path="/responses"),
    Endpoint(wire="openai", operation="embeddings", method="POST", path="/embeddings"),
    Endpoint(wire="openai", operation="models", method="GET", path="/models"),
    Endpoint(wire="anthropic", operation="chat", method="POST", path="/messages"),
    Endpoint(wire="anthropic", operation="count_tokens", method="POST", path="/messages/count_tokens"),
    Endpoint(wire="anthropic", operation="models", method="GET", path="/models"),
)

PREFIX: Final = "/gateway"
ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = {
    (one.method, f"{PREFIX}/{one.wire}/v1{one.path}"): one for one in _SERVED
}
"""By method and path. What a provider keeps for its caller (stored responses, files, batches) is not among them: behind
one key, everybody could read everybody's."""


def find(method: str, path: str) -> Endpoint | None:
    """The endpoint of a request; one model's card is served like the list of models."""
    found = ENDPOINTS.get((method, path.rstrip("/")))
    if found is not None or method != "GET":
        return found
    before, _, model = path.partition("/models/")
    listed = ENDPOINTS.get(("GET", f"{before}/models"))
    if listed is None or not model or "/.." in path:
        return None
    return Endpoint(wire=listed.wire, operation="models", method="GET", path=f"/models/{model}")
