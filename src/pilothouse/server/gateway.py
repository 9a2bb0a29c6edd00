"""The gateway with the server's keys, journal and policy behind it."""

from __future__ import annotations

from collections.abc import Iterable

from pilothouse.access import Grant
from pilothouse.api import Metric
from pilothouse.costs import PriceBook
from pilothouse.gateway import Answers, Gateway, RulesReader
from pilothouse.intake.receive import Intake
from pilothouse.records import Forbidden

from .state import ServerState


def gateway_metrics(gateway: Gateway) -> Iterable[Metric]:
    """The gateway's figures, for Prometheus."""
    recorder = gateway.recorder
    yield Metric(
        name="gateway_calls_under_way",
        help="Calls of models that are being answered.",
        samples=tuple(({"upstream": name}, float(count)) for name, count in gateway.under_way.items()) or (({}, 0.0),),
    )
    for name, help, count in (
        ("recorded", "Calls through the gateway whose trace is durable.", recorder.recorded),
        ("without_content", "Calls traced without prompt and answer, since too many waited.", recorder.without_content),
        ("lost", "Calls without a trace.", recorder.lost),
    ):
        yield Metric(name=f"gateway_calls_{name}_total", help=help, type="counter", samples=(({}, float(count)),))
    survivor = gateway.rules.survivor
    counts = survivor.events.counts() if survivor is not None else {}
    if counts:
        yield Metric(
            name="gateway_survival_total",
            help="What survival did with calls: answers, retries, fallbacks, ends, breakers that changed.",
            type="counter",
            samples=tuple(
                ({"what": what, "name": name, "failure": failure}, float(count))
                for (what, name, failure), count in sorted(counts.items())
            ),
        )


def make_gateway(state: ServerState, intake: Intake) -> Gateway:
    """The gateway of a server; the caller starts and closes it."""

    def authorise(token: str | None) -> Grant:
        grant = state.keyring.authenticate(token)
        if not grant.allows("write"):
            raise Forbidden(
                "this key may read but not call models", got=grant.mode, fix="pilothouse keys new --mode write"
            )
        return grant

    reader = RulesReader(budgets=state.budgets, guards=state.guards, routing=state.routing)
    policy = state.policy
    policy.ahead(lambda new: reader.prepare(new.sections))
    reader.read(policy.policy.sections)
    answers = Answers(state.answers, prices=PriceBook(state.config.prices))
    return Gateway(authorise, intake.keep, lambda: reader.read(policy.policy.sections), answers=answers)
