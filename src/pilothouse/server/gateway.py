"""The gateway with the server's keys, journal and policy behind it."""

from __future__ import annotations

from pilothouse.access import Grant
from pilothouse.gateway import Gateway, GatewayConfig, read_gateway
from pilothouse.intake.receive import Intake
from pilothouse.policy import Watch
from pilothouse.records import Forbidden

from .state import ServerState


def make_gateway(state: ServerState, intake: Intake) -> Gateway:
    """The gateway of a server; the caller starts and closes it."""

    def authorise(token: str | None) -> Grant:
        grant = state.keyring.authenticate(token)
        if not grant.allows("write"):
            raise Forbidden(
                "this key may read but not call models", got=grant.mode, fix="pilothouse keys new --mode write"
            )
        return grant

    return Gateway(authorise, intake.keep, _Current(state.policy))


class _Current:
    """The section ``gateway`` as the policy has it now, read once a version."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._version = ""
        self._config = GatewayConfig()

    def __call__(self) -> GatewayConfig:
        policy = self._watch.policy
        if policy.version != self._version:
            self._config = read_gateway(policy.section("gateway"))
            self._version = policy.version
        return self._config
