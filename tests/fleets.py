"""A fleet with a known truth: sixty components and three hundred prompts, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pilothouse.records import Message, encode_message, iso
from pilothouse.store import TraceStore
from pilothouse.store.schema import MESSAGE, SPAN, TRACE

from .traces.support import NOW_NS, TraceBuilder, said, trace_id

SEED = 20_261
MANAGERS = ("refund manager", "research manager", "onboarding manager")
CRITICS = ("refund judge", "research reviewer")
WORKERS = (
    *("order lookup", "payment worker", "letter writer", "web researcher", "paper reader", "summariser"),
    *("account maker", "mail sender", "identity checker", "translator"),
)
FRONT = "front router"
MODELS = ("gpt-5-mini", "gpt-5", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-flash")
TOOLS_OWN = tuple(f"{verb}_{noun}" for verb in ("get", "list", "write") for noun in ("order", "user", "paper", "page", "mail", "ticket", "invoice"))  # fmt: skip
TOOLS_SHARED = ("search_docs", "current_time", "send_notification", "read_file")
TOOLS_MCP = ("mcp__github__create_issue", "mcp__github__search_code", "mcp__calendar__book_slot")
RETRIEVERS = ("policy index", "paper index")
EXTERNAL = ("api.stripe.com", "api.mailgun.net", "postgresql")
SERVICES = {FRONT: "gateway", **{name: name.split()[0] + "-service" for name in MANAGERS}}
PROMPTS = 300


@dataclass
class Fleet:
    """Traces, and what a map of them must say."""

    traces: list[TraceBuilder] = field(default_factory=list[TraceBuilder])
    calls: Counter[str] = field(default_factory=Counter[str])
    """Spans of each component."""
    errors: Counter[str] = field(default_factory=Counter[str])
    edges: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    prompts: set[str] = field(default_factory=set[str])
    """``agent/prompt``."""


def fleet(traces: int = 60, *, seed: int = SEED, start_ns: int = NOW_NS - 3_600_000_000_000) -> Fleet:
    """Requests come to the front, which hands each to a manager; it gives work to its workers and asks its critic.

    The first sixty traces touch everything once; more traces repeat what they do with other luck.
    """
    dice = random.Random(seed)
    made = Fleet()
    prompts = _Prompts()
    for number in range(traces):
        _Run(made, dice, prompts, number, start_ns + number * 20_000_000_000).play()
    return made


class _Prompts:
    """Three hundred prompts, dealt to the agents in turn: a third of them managed, the rest known by their hash."""

    def __init__(self) -> None:
        agents = (FRONT, *MANAGERS, *CRITICS, *WORKERS)
        self._of: dict[str, list[tuple[str, str, Message]]] = {agent: [] for agent in agents}
        self._next = Counter[str]()
        for number in range(PROMPTS):
            agent = agents[number % len(agents)]
            text = said("system", f"You are the {agent}. Rule {number}: be brief, and name the order.")
            managed = number % 3 == 0
            name = f"{agent.replace(' ', '-')}-{number}" if managed else ""
            self._of[agent].append((name, str(1 + number % 4) if managed else "", text))

    def next(self, agent: str) -> tuple[str, str, Message]:
        """Each prompt of an agent in turn."""
        self._next[agent] += 1
        return self._of[agent][(self._next[agent] - 1) % len(self._of[agent])]


@dataclass
class _Run:
    fleet: Fleet
    dice: random.Random
    prompts: _Prompts
    number: int
    start_ns: int

    def play(self) -> None:
        self.trace = TraceBuilder(trace_id(self.number), self.start_ns, agent=FRONT, session=f"s-{self.number // 2}")
        self.next = self.number * 1000
        self.clock = 0.0
        self.service = "gateway"
        front = self.agent(FRONT, None, "")
        self.model(FRONT, front, 1)
        if self.number % 5 == 0:
            self.add(
                "guard", ("injection check", "output check")[self.number % 2], front, f"agent:{FRONT}", agent=FRONT
            )
        manager = MANAGERS[self.number % len(MANAGERS)]
        self.service = SERVICES[manager]
        here = self.agent(manager, front, FRONT)
        self.model(manager, here, 2)
        workers = [WORKERS[(self.number + i) % len(WORKERS)] for i in range(4)]
        began = self.clock
        for place, worker in enumerate(workers):
            self.clock = began + place * 5  # side by side
            self.work(worker, here, manager, place)
        critic = CRITICS[self.number % len(CRITICS)]
        judge = self.agent(critic, here, manager)
        self.model(critic, judge, 4)
        self.add("evaluator", "tone evaluator", judge, f"agent:{critic}", agent=critic)
        if self.number % 4 == 0:
            wait = {"pilothouse.wait.for": "human"}
            self.add("waiting", "approval", here, f"agent:{manager}", id="human:a person", name="approval",
                     agent=manager, attributes=wait)  # fmt: skip
        self.model(manager, here, 2)
        self.fleet.traces.append(self.trace)

    def work(self, worker: str, parent: int, manager: str, place: int) -> None:
        here = self.agent(worker, parent, manager)
        at = WORKERS.index(worker)
        own = [TOOLS_OWN[i] for i in range(len(TOOLS_OWN)) if i % len(WORKERS) == at]
        tools = [*own, TOOLS_SHARED[(self.number + place) % len(TOOLS_SHARED)]]
        if at < len(TOOLS_MCP):
            tools.append(TOOLS_MCP[at])
        for tool in tools:
            self.model(worker, here, 3)
            failed = self.dice.random() < (0.3 if tool == "write_mail" else 0.02)
            columns: dict[str, Any] = {"tool_name": tool, "input_text": f'{{"id": {self.number}}}'}
            if failed:
                columns |= {"status": "error", "error_type": "TimeoutError", "error_message": "no answer in 5 s"}
            span = self.add("tool", tool, here, f"agent:{worker}", agent=worker, **columns)
            if tool.startswith("write_"):
                host = EXTERNAL[TOOLS_OWN.index(tool) % len(EXTERNAL)]
                self.add("other", "POST", span, f"tool:{tool}", id=f"external:{host}", otel_kind=3,
                         attributes={"server.address": host})  # fmt: skip
        if at in (3, 4, 5):
            self.add("retrieval", RETRIEVERS[at % 2], here, f"agent:{worker}", agent=worker, name=RETRIEVERS[at % 2])
        self.model(worker, here, 0)

    def agent(self, name: str, parent: int | None, caller: str) -> int:
        version = f"1.{self.number // 30}"
        caller = f"agent:{caller}" if caller else ""
        return self.add("agent", name, parent, caller, agent=name, agent_version=version, ms=4000, name=f"run {name}")

    def model(self, agent: str, parent: int, which: int) -> None:
        name, version, system = self.prompts.next(agent)
        self.fleet.prompts.add(f"{agent}/{f'{name}@{version}' if name else system.hash[:12]}")
        user = said("user", f"Please handle case {self.number}.")
        self.add(
            "model", MODELS[which], parent, f"agent:{agent}", agent=agent, model=MODELS[which], provider="openai",
            name=f"chat {MODELS[which]}", input=[system, user], output=[said("assistant", f"Done {self.next}.")],
            tokens={"input_uncached": 900, "output_text": 60}, cost="0.0012", ms=900, finish_reason="stop",
            prompt_name=name, prompt_version=version,
        )  # fmt: skip

    def add(self, kind: str, label: str, parent: int | None, caller: str, *, id: str = "", **columns: Any) -> int:
        self.next += 1
        component = id or f"{kind}:{label}"
        self.fleet.calls[component] += 1
        self.fleet.errors[component] += columns.get("status") == "error"
        if caller:
            self.fleet.edges[caller, component] += 1
        ms = columns.pop("ms", 120)
        columns.setdefault("name", label)
        columns.setdefault("service", self.service)
        self.trace.span(self.next, kind, parent=parent, at_ms=self.clock, ms=ms, **columns)
        self.trace.spans[-1]["resource"] = {"host.name": f"node-{self.number % 4}"}
        self.clock += 20 if kind == "agent" else ms
        return self.next


def store_all(store: TraceStore, traces: Sequence[TraceBuilder]) -> None:
    """Insert many traces with three statements: one by one, a disk's patience would be most of a test."""
    spans: list[list[Any]] = []
    rows: list[list[Any]] = []
    contents: dict[tuple[str, str], list[Any]] = {}
    for trace in traces:
        arrived = iso(trace.start_ns)
        arrival = {"received_at": arrived[:-1].replace("T", " "), "received_day": arrived[:10], "version": 1}
        spans += [[(row | arrival)[name] for name in SPAN.column_names] for row in trace.spans]
        row = trace._trace_row() | arrival
        rows.append([row.get(name, "") for name in TRACE.column_names])
        for digest, (message, by) in trace.messages.items():
            content, envelope = encode_message(message)
            scope = "" if message.role == "system" else trace.session or trace.id
            contents[scope, digest] = [
                *(trace.project, scope, digest, "message", message.role, "", content, envelope, trace.id, by),
                *(arrival["received_at"], *arrival.values()),
            ]
    store.insert("span", SPAN.column_names, spans)
    store.insert("trace", TRACE.column_names, rows)
    store.insert("message", MESSAGE.column_names, list(contents.values()))
