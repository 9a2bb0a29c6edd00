"""Runs the whole fleet: plans the runs of every round, plays them side by side, and reports each one."""

import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Literal

import anthropic
import openai
from openinference.instrumentation.anthropic import AnthropicInstrumentor as AnthropicUnderOpenInference
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenAIUnderOpenInference
from opentelemetry import trace
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor as AnthropicUnderOpenLLMetry
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenAIUnderOpenLLMetry

from pilothouse.testing.demo.openai_agent import StepLimitReached
from pilothouse.testing.demo.runs import Clients, export_billing, keep_stock, research, support_agent
from pilothouse.testing.demo.services import BILLING, RESEARCH, SERVICES, STOCK, SUPPORT, SUPPORT_NEXT, Service
from pilothouse.testing.demo.spans import Recorder, Tally
from pilothouse.testing.demo.storyline import SCRIPT
from pilothouse.testing.demo.telemetry import ExportCounts, FleetTelemetry, Run
from pilothouse.testing.model_server import ModelServer
from pilothouse.testing.seeded import seeded

RUNS_AT_ONCE = 6
SESSIONS_PER_ROUND = 2
TURN_GAP_S = 45
Status = Literal["ok", "error"]

_USERS = ("ada", "bela", "chloe", "dario", "emeka", "freya", "goran", "hana")
_SUBJECTS = (
    "hosting vendors",
    "parcel services",
    "payment providers",
    "map services",
    "mail gateways",
    "translation services",
    "archive storage",
)
_TURNS = (
    "Where is my order {order}?",
    "I want a refund for order {order}, please.",
    "Where do I find help about invoices?",
    "When does order {order} arrive?",
    "Is there help about delivery times?",
)


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """What to run, and where to send it."""

    endpoint: str
    """OTLP/HTTP address without the signal path, such as http://127.0.0.1:4318."""
    key: str
    """Sent as a bearer token."""
    rounds: int = 7
    """One round is a brief, two support sessions, a loop and a billing export: about nine traces."""
    seed: int = 0
    """Fixes questions, answers, users and delays; identifiers of traces are new every time."""
    spread_s: float = 0.0
    """Move the runs back over this many seconds, so that charts have a past."""


@dataclass(frozen=True, kw_only=True)
class AgentRun:
    """What one run of one agent came to."""

    service: Service
    agent: str
    user: str
    session: str
    trace_id: str
    status: Status
    model_calls: int
    tool_calls: int
    duration_s: float
    error: str = ""

    def line(self) -> str:
        """Return the run as one readable line."""
        work = f"{self.model_calls:3} model calls {self.tool_calls:3} tools {self.duration_s:6.2f} s"
        where = f"{self.service.name} {self.service.version} {self.service.environment}"
        return f"{self.status:5} {self.agent:13} {where:34} {work}  {self.trace_id}  {self.error}".rstrip()


@dataclass(frozen=True, kw_only=True)
class FleetReport:
    """What a whole demo came to."""

    runs: tuple[AgentRun, ...]
    exports: ExportCounts


@dataclass(frozen=True, kw_only=True)
class _Turn:
    agent: str
    run: Run
    work: Callable[[Clients, Recorder], str]


def run_fleet(config: FleetConfig, report: Callable[[AgentRun], object] = lambda run: None) -> FleetReport:
    """Run the fleet to its end and send its spans; `report` is called for each run as it ends."""
    telemetry = FleetTelemetry(SERVICES, traces_url=f"{config.endpoint.rstrip('/')}/v1/traces", key=config.key)
    finished: list[AgentRun] = []
    with ModelServer(SCRIPT, seed=config.seed) as server, _Instrumented(telemetry.tracer_provider):
        clients = Clients(
            openai=openai.OpenAI(base_url=server.openai_url, api_key="none", max_retries=0),
            anthropic=anthropic.Anthropic(base_url=server.anthropic_url, api_key="none", max_retries=0),
        )
        with ThreadPoolExecutor(max_workers=RUNS_AT_ONCE) as pool:
            # The turns of a session follow each other; sessions and other runs go side by side.
            waiting = [pool.submit(_play, session, clients, telemetry) for session in _plan(config)]
            for future in as_completed(waiting):
                for run in future.result():
                    finished.append(run)
                    report(run)
    return FleetReport(runs=tuple(finished), exports=telemetry.close())


class _Instrumented:
    """Patches both SDKs for the length of a block, in both dialects."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._provider = provider
        self._instrumentors = (
            OpenAIUnderOpenInference(),
            AnthropicUnderOpenInference(),
            OpenAIUnderOpenLLMetry(),
            AnthropicUnderOpenLLMetry(),
        )

    def __enter__(self) -> None:
        for instrumentor in self._instrumentors:
            instrumentor.instrument(tracer_provider=self._provider)

    def __exit__(self, *exception: object) -> None:
        for instrumentor in reversed(self._instrumentors):
            instrumentor.uninstrument()


def _plan(config: FleetConfig) -> Iterator[list[_Turn]]:
    for number in range(config.rounds):
        rng = seeded(config.seed, "round", number)
        yield [_research_turn(config, rng, number)]
        for session in range(SESSIONS_PER_ROUND):
            yield _support_session(config, rng, f"{number}-{session}")
        yield [_stock_turn(config, rng, number)]
        yield [_billing_turn(config, rng, number)]


def _research_turn(config: FleetConfig, rng: random.Random, number: int) -> _Turn:
    subject = f"{_SUBJECTS[number % len(_SUBJECTS)]}, part {number // len(_SUBJECTS) + 1}"
    run = _run(config, rng, RESEARCH, f"brief-{config.seed}-{number}")
    return _Turn(agent="research-team", run=run, work=lambda clients, recorder: research(clients, recorder, subject))


def _support_session(config: FleetConfig, rng: random.Random, name: str) -> list[_Turn]:
    following = rng.random() < 0.35
    first = _run(config, rng, SUPPORT_NEXT if following else SUPPORT, f"support-{config.seed}-{name}")
    model = "gpt-5-mini" if following else "gpt-4.1-mini"
    streaming = rng.random() < 0.5
    order = f"A-{rng.randint(1000, 9999)}"
    questions = [question.format(order=order) for question in rng.sample(_TURNS, rng.randint(1, 3))] + ["Thank you!"]
    memory: list[object] = []

    def answer(question: str, clients: Clients, recorder: Recorder) -> str:
        agent = support_agent(clients, recorder, model=model, streaming=streaming)
        agent.messages = memory
        return agent.ask(question)

    turns: list[_Turn] = []
    for index, question in enumerate(questions):
        later = max(first.shift_ns - index * TURN_GAP_S * 1_000_000_000, 0)
        run = Run(service=first.service, user=first.user, session=first.session, shift_ns=later)
        work = _bound(answer, question)
        turns.append(_Turn(agent="support", run=run, work=work))
    return turns


def _bound(answer: Callable[[str, Clients, Recorder], str], question: str) -> Callable[[Clients, Recorder], str]:
    return lambda clients, recorder: answer(question, clients, recorder)


def _stock_turn(config: FleetConfig, rng: random.Random, number: int) -> _Turn:
    sku = f"B-{17 + number}"
    run = _run(config, rng, STOCK, f"stock-{config.seed}-{number}")
    return _Turn(agent="stock-keeper", run=run, work=lambda clients, recorder: keep_stock(clients, recorder, sku))


def _billing_turn(config: FleetConfig, rng: random.Random, number: int) -> _Turn:
    period = "quarter" if number % 2 == 0 else "month"
    request = f"Export the ledger of the {period}, batch {config.seed}-{number}."
    run = _run(config, rng, BILLING, f"billing-{config.seed}-{number}")
    return _Turn(agent="billing", run=run, work=lambda clients, recorder: export_billing(clients, recorder, request))


def _run(config: FleetConfig, rng: random.Random, service: Service, session: str) -> Run:
    # More of the runs are recent than old, as a growing fleet has it.
    shift_s = config.spread_s * rng.random() ** 1.5
    return Run(service=service, user=rng.choice(_USERS), session=session, shift_ns=int(shift_s * 1e9))


def _play(turns: list[_Turn], clients: Clients, telemetry: FleetTelemetry) -> list[AgentRun]:
    return [_play_turn(turn, clients, telemetry) for turn in turns]


def _play_turn(turn: _Turn, clients: Clients, telemetry: FleetTelemetry) -> AgentRun:
    tally = Tally()
    started = time.perf_counter()
    error = ""
    with telemetry.running(turn.run) as tracer:
        recorder = Recorder(tracer=tracer, dialect=turn.run.service.dialect, tally=tally)
        try:
            turn.work(clients, recorder)
        except (openai.APIError, anthropic.APIError, StepLimitReached) as raised:
            error = f"{type(raised).__name__}: {raised}".splitlines()[0][:100]
    return AgentRun(
        service=turn.run.service,
        agent=turn.agent,
        user=turn.run.user,
        session=turn.run.session,
        trace_id=tally.trace_id,
        status="error" if error else "ok",
        model_calls=tally.model_calls,
        tool_calls=tally.tool_calls,
        duration_s=time.perf_counter() - started,
        error=error,
    )


def as_json(report: FleetReport) -> str:
    """Return a report as JSON text."""
    runs = [
        {
            "agent": run.agent,
            "service": run.service.name,
            "version": run.service.version,
            "environment": run.service.environment,
            "session": run.session,
            "user": run.user,
            "trace_id": run.trace_id,
            "status": run.status,
            "model_calls": run.model_calls,
            "tool_calls": run.tool_calls,
        }
        for run in report.runs
    ]
    return json.dumps({"runs": runs, "accepted": report.exports.accepted, "refused": report.exports.refused})
