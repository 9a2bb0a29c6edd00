"""Plays scenarios with genuine SDKs against the scripted model server, and gives what their instrumentations sent."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as SecondInstrumentor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pilothouse.intake.ingest import Ingest
from pilothouse.intake.segment import Record
from pilothouse.records import names
from pilothouse.store import TraceStore
from pilothouse.testing import ModelServer, Rule, Script
from pilothouse.testing.demo.spans import Recorder, Tally

from .signal_scenarios import Scenario

SECOND_NS = 1_000_000_000


class StepLimit(RuntimeError):
    """The agent was not allowed any more steps."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """A scenario and the spans its run sent."""

    scenario: Scenario
    trace_id: str
    request: ExportTraceServiceRequest


def play(scenarios: Sequence[Scenario], seed: int) -> list[Played]:
    """Run every scenario: two thirds with the OpenAI SDK under OpenInference, the rest with Anthropic's under OpenLLMetry."""
    rules = [
        Rule(system=f"run {number} of this rehearsal", times=1, reply=reply)
        for number, scenario in enumerate(scenarios)
        for reply in scenario.replies
    ]
    dice = random.Random(f"{seed} sdk")
    played: dict[int, Played] = {}
    with ModelServer(Script(rules=tuple(rules)), seed=seed) as server, _instrumented() as (exporter, provider, second):
        # A second instrumentation cannot be taken off quite without a trace: its runs come last.
        order = sorted(enumerate(scenarios), key=lambda entry: entry[1].shape == "twice")
        for number, scenario in order:
            exporter.clear()
            only_openai = scenario.shape in ("twice",) or "usage" in repr(scenario.replies[:1]) or scenario.tokens_max
            wire = "openai" if only_openai or dice.random() < 0.66 else "anthropic"
            if scenario.shape == "twice":
                second.instrument(tracer_provider=provider)
            try:
                trace_id = _Run(scenario, number, server, provider, wire).go()
            finally:
                if scenario.shape == "twice":
                    second.uninstrument()
            request = encode_spans(exporter.get_finished_spans())
            _shape(request, scenario, dice)
            played[number] = Played(scenario=scenario, trace_id=trace_id, request=request)
    return [played[number] for number in range(len(scenarios))]


@contextmanager
def _instrumented() -> Iterator[tuple[InMemorySpanExporter, TracerProvider, SecondInstrumentor]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    first, other, second = OpenAIInstrumentor(), AnthropicInstrumentor(), SecondInstrumentor()
    first.instrument(tracer_provider=provider)
    other.instrument(tracer_provider=provider)
    try:
        yield exporter, provider, second
    finally:
        first.uninstrument()
        other.uninstrument()


class _Run:
    """One run of an agent that does what the model says."""

    def __init__(
        self, scenario: Scenario, number: int, server: ModelServer, provider: TracerProvider, wire: str
    ) -> None:
        self.scenario = scenario
        self.wire = wire
        self.system = f"You are run {number} of this rehearsal. Do what the user asks."
        self.recorder = Recorder(
            tracer=provider.get_tracer(
                "openinference.instrumentation.rehearsal"
                if wire == "openai"
                else "opentelemetry.instrumentation.rehearsal"
            ),
            dialect="openinference" if wire == "openai" else "openllmetry",
            tally=Tally(),
        )
        self.openai = openai.OpenAI(base_url=server.openai_url, api_key="x", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=server.anthropic_url, api_key="x", max_retries=0)
        self.counts: Counter[str] = Counter()
        self.left = len(scenario.replies)

    def go(self) -> str:
        """Run, and give the trace's id."""
        agent = self.scenario.agent or f"{self.scenario.family}-agent"
        try:
            with self.recorder.agent(agent, self.scenario.question) as answer:
                text = self._talk()
                if text is not None:
                    answer(text)
                elif self.scenario.raises:
                    raise StepLimit("stopped after the last allowed step")
        except (StepLimit, openai.APIError, anthropic.APIError):
            pass
        return self.recorder.tally.trace_id

    def _talk(self) -> str | None:
        messages: list[Any] = [{"role": "user", "content": self.scenario.question}]
        while self.left:
            self.left -= 1
            try:
                text, wanted = self._ask(messages)
            except (openai.APIError, anthropic.APIError):
                if not self.left:
                    raise
                continue
            if not wanted:
                return text
            self._answer(
                messages, [(name, id, arguments, self._use(name, id, arguments)) for name, id, arguments in wanted]
            )
        return None

    def _use(self, name: str, id: str, arguments: dict[str, Any]) -> str:
        function = self.scenario.tools.get(name)
        if function is None:
            said = self.scenario.unknown_tool_text
            if said == "-":
                return "?"
            with self.recorder.tool(name, id, arguments) as result:
                result(said)
            return said
        count = self.counts[name]
        self.counts[name] += 1
        try:
            with self.recorder.tool(name, id, arguments) as result:
                text = function(arguments, count)
                result(text)
            return text
        except (OSError, LookupError, ValueError) as error:
            return json.dumps({"error": type(error).__name__, "message": str(error)})

    def _ask(self, messages: list[Any]) -> tuple[str, list[tuple[str, str, dict[str, Any]]]]:
        offered = self.scenario.offered or tuple(self.scenario.tools)
        last = self.scenario.tokens_max if not self.left else None
        schema = {"type": "object", "properties": {}}
        more: dict[str, Any] = {}
        if self.wire == "openai":
            if offered:
                more["tools"] = [{"type": "function", "function": {"name": n, "parameters": schema}} for n in offered]
            if last:
                more["max_tokens"] = last
            system = {"role": "system", "content": self.system}
            answer: Any = self.openai.chat.completions.create(
                model=self.scenario.model, messages=[system, *messages], **more
            )
            message = answer.choices[0].message
            messages.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
            calls = [(c.function.name, c.id, json.loads(c.function.arguments)) for c in message.tool_calls or ()]
            return message.content or "", calls
        if offered:
            more["tools"] = [{"name": n, "input_schema": schema} for n in offered]
        answer = self.anthropic.messages.create(
            model="claude-haiku-4-5", system=self.system, messages=messages, max_tokens=last or 4_000, **more
        )
        messages.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]}
        )
        text = "".join(block.text for block in answer.content if block.type == "text")
        return text, [(b.name, b.id, b.input) for b in answer.content if b.type == "tool_use"]

    def _answer(self, messages: list[Any], results: Sequence[tuple[str, str, dict[str, Any], str]]) -> None:
        if self.wire == "openai":
            messages += [{"role": "tool", "tool_call_id": id, "content": text} for _, id, _, text in results]
        else:
            blocks = [{"type": "tool_result", "tool_use_id": id, "content": text} for _, id, _, text in results]
            messages.append({"role": "user", "content": blocks})


def _shape(request: ExportTraceServiceRequest, scenario: Scenario, dice: random.Random) -> None:
    """Stretch the run to its wall clock, an hour ago, and do to its spans what the scenario says."""
    spans = [span for block in request.resource_spans for scope in block.scope_spans for span in scope.spans]
    if scenario.user:
        for span in spans:
            attribute = span.attributes.add()
            attribute.key, attribute.value.string_value = "user.id", scenario.user
    first = min(span.start_time_unix_nano for span in spans)
    length = max(max(span.end_time_unix_nano for span in spans) - first, 1)
    base = time.time_ns() - 5 * 3_600 * SECOND_NS
    factor = scenario.took_s * SECOND_NS / length
    for span in spans:
        span.start_time_unix_nano = base + int((span.start_time_unix_nano - first) * factor)
        span.end_time_unix_nano = base + int((span.end_time_unix_nano - first) * factor)
    inner = [span for span in spans if span.parent_span_id]
    if scenario.shape == "backwards":
        span = dice.choice(inner)
        span.end_time_unix_nano = span.start_time_unix_nano - SECOND_NS
    elif scenario.shape == "future":
        span = dice.choice(inner)
        span.start_time_unix_nano += 900 * 86_400 * SECOND_NS
        span.end_time_unix_nano += 900 * 86_400 * SECOND_NS
    elif scenario.shape == "no content":
        for span in spans:
            kept = [a for a in span.attributes if not re.search(r"message|input|output|prompt|completion|content", a.key)
                    or "token" in a.key]  # fmt: skip
            copies = [type(a).FromString(a.SerializeToString()) for a in kept]
            del span.attributes[:]
            span.attributes.extend(copies)
    for block in request.resource_spans:
        for scope in block.scope_spans:
            if scenario.shape == "open":
                kept = [span for span in scope.spans if span.parent_span_id]
                _keep(scope, kept)
            elif scenario.shape == "gap":
                tool = next((span for span in scope.spans if "get_order" in span.name), None)
                if tool is not None:
                    # The tool's span is replaced by a child of it.
                    tool.parent_span_id = tool.span_id
                    tool.span_id = bytes(reversed(tool.span_id))


def _keep(scope: Any, spans: list[Any]) -> None:
    copies = [type(span).FromString(span.SerializeToString()) for span in spans]
    del scope.spans[:]
    scope.spans.extend(copies)


def judge(
    store: TraceStore, ingest: Ingest, project: str, everyday: Sequence[Played], played: Sequence[Played]
) -> list[tuple[Scenario, frozenset[str]]]:
    """Send runs through the real intake and give what the store says of each afterwards."""
    now = time.time_ns() - 5 * 3_600 * SECOND_NS
    if everyday:
        ingest.run([_record(project, run.request, now) for run in everyday])
        ingest.judge.baselines.refresh(time.time_ns())
    ended = [run for run in played if run.scenario.shape != "open"]
    for start in range(0, len(ended), 100):
        ingest.run([_record(project, run.request, now) for run in ended[start : start + 100]])
    found: dict[str, frozenset[str]] = {}
    # One clock for all that are open: who is silent for longer is looked at later.
    waiting = sorted((run for run in played if run.scenario.shape == "open"), key=lambda run: run.scenario.silent_s)
    for number, run in enumerate(waiting):
        _leave_open(ingest, project, run, now, number)
        found |= _signals(store, project, run.trace_id)
    found = _signals(store, project) | found
    return [(run.scenario, found.get(run.trace_id, frozenset())) for run in played]


def _signals(store: TraceStore, project: str, trace_id: str = "") -> dict[str, frozenset[str]]:
    rows = store.query(
        "SELECT trace_id, signals FROM {db}.trace FINAL WHERE project_id = {p:String} AND startsWith(trace_id, {t:String})",
        {"p": project, "t": trace_id},
    ).rows
    return {trace_id: frozenset(signals) for trace_id, signals in rows}


def _leave_open(ingest: Ingest, project: str, run: Played, now: int, number: int) -> None:
    scenario = run.scenario
    ingest.run([_record(project, run.request, now)])
    root = next(s.parent_span_id for b in run.request.resource_spans for sc in b.scope_spans for s in sc.spans)
    for place, second in enumerate(scenario.beats):
        last = scenario.goodbye and place == len(scenario.beats) - 1
        if place in (0, len(scenario.beats) - 1) or last:
            ingest.run([_heartbeat(project, run.trace_id, root.hex(), number, now + int(second * SECOND_NS), last, scenario.waits)])  # fmt: skip
    ingest.watch(now + int(scenario.silent_s * SECOND_NS))


def _heartbeat(project: str, trace_id: str, span_id: str, number: int, at: int, last: bool, waits: str) -> Record:
    span = {"trace_id": trace_id, "span_id": span_id, "name": "run", "kind": "agent", "state": "", "wait_for": waits, "since_ns": at}  # fmt: skip
    body = {"interval_s": 5, "instance": f"worker-{number}", "open": [span]}
    entry = {
        "timeUnixNano": str(at),
        "eventName": names.GOODBYE_EVENT if last else names.HEARTBEAT_EVENT,
        "body": {"stringValue": json.dumps(body)},
    }
    logs = {"resourceLogs": [{"scopeLogs": [{"scope": {"name": names.SCOPE}, "logRecords": [entry]}]}]}
    return Record(project_id=project, signal="logs", content_type="application/json", encoding="", received_ns=at,
                  body=json.dumps(logs).encode())  # fmt: skip


def _record(project: str, request: ExportTraceServiceRequest, received_ns: int) -> Record:
    return Record(project_id=project, signal="traces", content_type="application/x-protobuf", encoding="",
                  received_ns=received_ns, body=request.SerializeToString())  # fmt: skip
