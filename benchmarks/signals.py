"""``make signals``: precision and recall of every signal, on real agent runs and on runs with a known fault.

Real runs come from a folder of fixtures outside the project (``PILOTHOUSE_FIXTURES``); where it is absent that part is
left out, and said. The others are played by genuine SDKs against the scripted model server, with the fault, or a near
miss of it, written into the script. Everything goes through the real intake into a real store. A label never comes
from a rule: it is what the generator put in, what the data says, or what a person read.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pilothouse.intake.ingest import Ingest
from pilothouse.intake.masking import read_maskers
from pilothouse.records import SystemClock
from pilothouse.signals import RULES
from pilothouse.store import TraceStore, open_store

from .signal_runs import Played, judge, play
from .signal_scenarios import Scenario, scenarios, usual_traffic

SEED = 7
Judged = Sequence[tuple[Scenario, frozenset[str]]]
"""Each run and the signals that were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one signal did."""

    signal: str
    found_rightly: int
    found_wrongly: int
    missed: int
    rightly_silent: int

    @property
    def precision(self) -> float | None:
        """Of what was found, the share that is true; None where nothing was found."""
        found = self.found_rightly + self.found_wrongly
        return self.found_rightly / found if found else None

    @property
    def recall(self) -> float | None:
        """Of what is true, the share that was found; None where nothing is."""
        true = self.found_rightly + self.missed
        return self.found_rightly / true if true else None


def scores(judged: Judged) -> list[Score]:
    """One score a signal, in the order of the rules."""
    found: list[Score] = []
    for name in RULES:
        pairs = [(name in scenario.truth, name in signals) for scenario, signals in judged]
        found.append(
            Score(
                signal=name,
                found_rightly=pairs.count((True, True)),
                found_wrongly=pairs.count((False, True)),
                missed=pairs.count((True, False)),
                rightly_silent=pairs.count((False, False)),
            )
        )
    return found


def generated(store: TraceStore, *, each: int, seed: int = SEED, agents: int = 4) -> Judged:
    """Play and judge the scenarios, ``each`` times every kind."""
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    faults = list(scenarios(seed, each))
    everyday, unusual = usual_traffic(seed, agents)
    runs = play([*everyday, *faults, *unusual], seed)
    ingest = Ingest(store, SystemClock(), read_maskers({}))
    return judge(store, ingest, "generated", runs[: len(everyday)], runs[len(everyday) :])


# -- real runs ---------------------------------------------------------------------------------------------------------

TAU_NO_ANSWER = {(2, 1)}
"""Task and trial of the one run that ended, by reading, in 26 calls without a word after them. The runs whose last step
hands over to a person ended as they should; no final answer of the 40 announces, claims or leaves open what was not
done; no call was made four times with the same arguments."""


def real_runs(folder: Path) -> list[Played]:
    """The runs of the fixtures as spans, with what is true of them."""
    return [*_tau_runs(folder), *_framework_runs(folder)]


def _tau_runs(folder: Path) -> Iterator[Played]:
    for run in json.loads((folder / "tau_bench/gpt-4o-airline_10tasks.json").read_text()):
        truth: set[str] = set()
        # A tool of this benchmark that fails says so in its first word; its span is none the worse for it.
        if any(message["role"] == "tool" and message["content"].startswith("Error") for message in run["traj"]):
            truth.add("soft_error")
        if (run["task_id"], run["trial"]) in TAU_NO_ANSWER:
            truth.add("no_answer")
        scenario = Scenario(family="tau", kind=f"{run['task_id']}.{run['trial']}", truth=frozenset(truth), replies=())
        yield _played(scenario, _tau_spans(run["traj"]))


def _tau_spans(messages: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], float, float]]:
    history: list[dict[str, Any]] = []
    arguments: dict[str, tuple[str, str]] = {}
    at = 0.0
    for message in messages:
        if message["role"] == "assistant":
            parts: list[dict[str, Any]] = []
            if message.get("content"):
                parts.append({"type": "text", "content": message["content"]})
            for wanted in message.get("tool_calls") or ():
                function = wanted["function"]
                arguments[wanted["id"]] = (function["name"], function["arguments"])
                parts.append({"type": "tool_call", "id": wanted["id"], "name": function["name"], "arguments": function["arguments"]})  # fmt: skip
            reason = "tool_calls" if message.get("tool_calls") else "stop"
            output = {"role": "assistant", "parts": parts, "finish_reason": reason}
            yield (
                "chat gpt-4o",
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.request.model": "gpt-4o",
                    "gen_ai.response.finish_reasons": [reason],
                    "gen_ai.input.messages": json.dumps(history),
                    "gen_ai.output.messages": json.dumps([output]),
                },
                at,
                at + 2,
            )
            history.append({"role": "assistant", "parts": parts})
        elif message["role"] == "tool":
            name, given = arguments.get(message["tool_call_id"], (message.get("name", ""), ""))
            yield (
                f"execute_tool {name}",
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": name,
                    "gen_ai.tool.call.arguments": given,
                    "gen_ai.tool.call.result": message["content"],
                },
                at,
                at + 0.5,
            )
            reply = {"type": "tool_call_response", "id": message["tool_call_id"], "response": message["content"]}
            history.append({"role": "tool", "parts": [reply]})
        else:
            # A person takes a while to write.
            at += 20
            history.append({"role": message["role"], "parts": [{"type": "text", "content": message["content"]}]})
        at += 2


def _played(scenario: Scenario, spans: Iterator[tuple[str, dict[str, Any], float, float]]) -> Played:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.genai"
    trace_id, root = os.urandom(16), os.urandom(8)
    base = time.time_ns() - 5 * 3_600_000_000_000
    last = 0.0
    for name, attributes, begun, ended in spans:
        _span(scope, trace_id, os.urandom(8), root, name, attributes, base, begun, ended)
        last = max(last, ended)
    about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "airline"}
    _span(scope, trace_id, root, b"", "invoke_agent airline", about, base, 0, last + 1)
    return Played(scenario=scenario, trace_id=trace_id.hex(), request=request)


def _framework_runs(folder: Path) -> Iterator[Played]:
    for path in sorted((folder / "framework_traces").glob("*.trace.json")):
        data = json.loads(path.read_text())
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        scope.scope.name = "langfuse-sdk"
        trace_id = os.urandom(16)
        for seen in data.get("observations") or data["trace"]["observations"]:
            about: dict[str, Any] = {"langfuse.observation.type": seen["type"].lower()}
            for field in ("input", "output"):
                value = seen.get(field)
                if value not in (None, ""):
                    text = value if isinstance(value, str) else json.dumps(value)
                    about[f"langfuse.observation.{field}"] = text
            if seen["model"]:
                about["langfuse.observation.model.name"] = seen["model"]
            begun, ended = (datetime.fromisoformat(seen[name]).timestamp() for name in ("startTime", "endTime"))
            parent = bytes.fromhex(seen["parentObservationId"] or "")
            _span(scope, trace_id, bytes.fromhex(seen["id"]), parent, seen["name"], about, 0, begun, ended)
        # By reading: three short runs that did what they were asked.
        scenario = Scenario(family="framework", kind=path.name.split("-20")[0], truth=frozenset(), replies=())
        yield Played(scenario=scenario, trace_id=trace_id.hex(), request=request)


def _span(
    scope: Any, trace_id: bytes, span_id: bytes, parent: bytes, name: str, about: dict[str, Any], base: int, begun: float, ended: float
) -> None:  # fmt: skip
    span = scope.spans.add()
    span.trace_id, span.span_id, span.parent_span_id, span.name = trace_id, span_id, parent, name
    span.start_time_unix_nano, span.end_time_unix_nano = base + int(begun * 1e9), base + int(ended * 1e9)
    for key, value in about.items():
        attribute = span.attributes.add()
        attribute.key = key
        if isinstance(value, list):
            for item in value:
                attribute.value.array_value.values.add().string_value = item
        else:
            attribute.value.string_value = str(value)


def real(store: TraceStore, folder: Path) -> Judged:
    """Send and judge the real runs."""
    ingest = Ingest(store, SystemClock(), read_maskers({}))
    return judge(store, ingest, "real", (), real_runs(folder))


# -- the table ---------------------------------------------------------------------------------------------------------


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not of:
        return 0.0, 1.0
    z, share = 1.959964, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def table(title: str, judged: Judged) -> Iterator[str]:
    """Precision and recall by signal, and every kind of run of which something was missed or wrongly found."""
    yield f"{title}: {len(judged):,} runs"
    yield f"{'signal':<20} {'true':>5} {'found':>6} {'right':>6}   {'precision (95 %)':<22} recall (95 %)"
    for score in scores(judged):
        true, found = score.found_rightly + score.missed, score.found_rightly + score.found_wrongly
        if not true and not found:
            continue
        yield (
            f"{score.signal:<20} {true:>5} {found:>6} {score.found_rightly:>6}   "
            f"{_share(score.found_rightly, found):<22} {_share(score.found_rightly, true)}"
        )
    silent = [score.signal for score in scores(judged) if not score.found_rightly + score.missed + score.found_wrongly]
    if silent:
        yield f"neither true nor found: {', '.join(silent)}"
    wrong: dict[str, int] = {}
    kinds: dict[str, int] = {}
    for scenario, signals in judged:
        kind = f"{scenario.family}, {scenario.kind}"
        kinds[kind] = kinds.get(kind, 0) + 1
        for word, names in (("missed", scenario.truth - signals), ("wrongly found", signals - scenario.truth)):
            for name in sorted(names):
                key = f"{word} {name}: {kind}"
                wrong[key] = wrong.get(key, 0) + 1
    for key, count in sorted(wrong.items()):
        yield f"  {key} ({count} of {kinds[key.split(': ', 1)[1]]})"
    yield ""


def _share(hits: int, of: int) -> str:
    if not of:
        return "-"
    low, high = interval(hits, of)
    return f"{hits / of:.2f} ({low:.2f} to {high:.2f})"


def fixtures() -> Path | None:
    """The folder of real runs; None where there is none."""
    folder = Path(os.environ.get("PILOTHOUSE_FIXTURES", Path(__file__).parents[2] / "shared/fixtures"))
    return folder if (folder / "tau_bench").is_dir() else None


def report(folder: Path, *, each: int) -> Iterator[str]:
    """Both tables."""
    store = open_store("", folder)
    store.migrate()
    try:
        found = fixtures()
        if found is None:
            yield "no real runs: PILOTHOUSE_FIXTURES names no folder with tau_bench; that part is left out\n"
        else:
            yield from table("real agent runs with known outcomes", real(store, found))
        yield from table(
            f"generated with a known fault or a near miss of one, seed {SEED}", generated(store, each=each)
        )
    finally:
        store.close()
