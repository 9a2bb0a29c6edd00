"""Hundreds of experiments compared within a context of 200,000 tokens, by a script that does what a model would do.

Made: 300 experiments, each run on six cases as baseline and as candidate, 3,600 traces of three spans with a score each.
Planted: the best, the worst with the reason why, one whose candidate lost quality though its mean is like everybody's,
one whose candidate lost on a single case while the others rose, and one run with a perfect score that proves nothing.

The script sees what a model sees: the server's instructions, the list of tools, and the texts of their answers. It
reads ids and figures out of these texts, makes a mistake or two on the way as models do, and plans and finishes by the
same tools. Everything that comes into its context is counted: instructions, tools, its own calls, every answer. A token
is taken for three characters, which for JSON is on the safe side.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from pilothouse.cli.client import Client
from pilothouse.cli.settings import CliSettings
from pilothouse.runtime.sources import ApiRows, pages, read_source

from .ingest import Server, server

SEED = 20261129
EXPERIMENTS = 300
CASES = 6
VARIANTS = ("baseline", "candidate")
CONTEXT_TOKENS_MAX = 200_000
CHARS_A_TOKEN = 3
REASON = "quota of index shard 7 is used up"

BEST, WORST, REGRESSED, ONE_CASE, LUCKY = 211, 87, 142, 263, 19
BAD_CASE = "case-4"


def name_of(number: int) -> str:
    """An experiment's name."""
    return f"exp-{number:03d}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of an experiment: a trace."""

    experiment: str
    case: str
    variant: str
    quality: float
    failed: bool
    cost: float
    at_ns: int
    trace_id: str


def runs(experiments: int = EXPERIMENTS, *, now_ns: int | None = None) -> Iterator[Run]:
    """All runs, in no telling order."""
    drawn = random.Random(SEED)
    now = now_ns or time.time_ns()
    made: list[Run] = []
    for number in range(experiments):
        level = drawn.uniform(0.55, 0.75)
        for variant in VARIANTS:
            for case in range(CASES):
                # Its second variant has one run only: the lucky one.
                if number == LUCKY and (variant, case) != ("baseline", 0):
                    continue
                quality = level + drawn.uniform(-0.08, 0.08)
                failed = drawn.random() < 0.04
                if number == BEST:
                    quality, failed = drawn.uniform(0.93, 0.97), False
                elif number == WORST:
                    quality, failed = drawn.uniform(0.1, 0.3), case != 0
                elif number == REGRESSED:
                    quality = 0.86 if variant == "baseline" else 0.46
                elif number == ONE_CASE:
                    quality = (
                        0.65
                        + (0.08 if variant == "candidate" else 0)
                        - (0.45 if (variant, f"case-{case}") == ("candidate", BAD_CASE) else 0)
                    )
                elif number == LUCKY:
                    quality = 1.0
                made.append(
                    Run(
                        experiment=name_of(number),
                        case=f"case-{case}",
                        variant=variant,
                        quality=round(min(1.0, quality), 4),
                        failed=failed,
                        cost=round(drawn.uniform(0.01, 0.05), 4),
                        at_ns=now - drawn.randrange(3_600, 72_000) * 1_000_000_000,
                        trace_id=f"{drawn.getrandbits(128):032x}",
                    )
                )
    drawn.shuffle(made)
    yield from made


def otlp(batch: list[Run]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an instrumented agent would send of these runs: traces, and the scores as evaluation events."""
    spans = [span for run in batch for span in _spans(run)]
    scope = {"name": "experiments"}
    resource = {"attributes": _attributes({"service.name": "experiments"})}
    logs = [_score(run) for run in batch]
    return (
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]},
        {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": logs}]}]},
    )


def _spans(run: Run) -> list[dict[str, Any]]:
    root, model, tool = (f"{int(run.trace_id[:12], 16):012x}{number:04x}" for number in (1, 2, 3))
    labels = {"experiment": run.experiment, "case": run.case, "variant": run.variant}
    question = f"Solve {run.case}: " + "which supplier delivers the parts of the order in time? " * 6
    answer = "The supplier is the one in the second list, by the dates of its last deliveries. " * 5
    start, second = run.at_ns, 1_000_000_000

    def span(
        id: str, parent: str, name: str, at: int, took: int, values: Mapping[str, Any], *, bad: bool = False
    ) -> Any:
        return {
            "traceId": run.trace_id,
            "spanId": id,
            "parentSpanId": parent,
            "name": name,
            "kind": 1,
            "startTimeUnixNano": str(start + at),
            "endTimeUnixNano": str(start + at + took),
            "attributes": _attributes(values),
            "status": {"code": 2, "message": REASON if run.experiment == name_of(WORST) else "timed out"}
            if bad
            else {},
        }

    return [
        span(root, "", "invoke_agent solver", 0, 6 * second, {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "solver", **labels,
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": question}]}]),
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]),
        }, bad=run.failed),
        span(model, root, "chat gpt-5-mini", second, 2 * second, {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini",
            "gen_ai.response.model": "gpt-5-mini", "gen_ai.usage.input_tokens": int(run.cost * 100_000),
            "gen_ai.usage.output_tokens": 200,
        }),
        span(tool, root, "execute_tool search", 3 * second, second, {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search",
            "gen_ai.tool.call.arguments": json.dumps({"query": run.case}),
            "gen_ai.tool.call.result": "" if run.failed else json.dumps({"hits": [answer[:200]] * 2}),
        }, bad=run.failed),
    ]  # fmt: skip


def _score(run: Run) -> dict[str, Any]:
    return {
        "timeUnixNano": str(run.at_ns + 7_000_000_000),
        "eventName": "gen_ai.evaluation.result",
        "traceId": run.trace_id,
        "attributes": _attributes({"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": run.quality}),
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    return [
        {"key": key, "value": {kinds[type(value)]: str(value) if isinstance(value, int) else value}}
        for key, value in values.items()
    ]


Ask = Callable[[str, dict[str, Any]], str]
"""Calls a tool and gives the text of its answer."""


@dataclass(kw_only=True)
class Context:
    """What a model would have been shown."""

    chars: int = 0
    billed_chars: int = 0
    """Every call sends all that came before it."""
    calls: int = 0
    largest: int = 0
    said: list[str] = field(default_factory=list[str])

    @property
    def tokens(self) -> int:
        """Everything in the context at the end."""
        return self.chars // CHARS_A_TOKEN

    def add(self, text: str) -> None:
        """Put a text into the context."""
        self.chars += len(text)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The script's answer."""

    best: str
    worst: str
    why: str
    regressed: str
    one_case: tuple[str, str]
    """The experiment and the case."""


def compare(ask: Ask, shown_first: str) -> tuple[Found, Context]:
    """Compare all experiments; ``shown_first`` is what a model is shown before its first call."""
    context = Context()
    context.add(shown_first)
    request = (
        "Compare all experiments of the last day (attributes experiment, case and variant; score quality). Which is best, "
        "which is worst and why, whose candidate regressed, and does any candidate fail on a single case only?"
    )
    context.add(request)

    def call(tool: str, **arguments: Any) -> str:
        context.billed_chars += context.chars
        context.add(json.dumps({"name": tool, "arguments": arguments}))
        text = ask(tool, arguments)
        context.add(text)
        context.calls += 1
        context.largest = max(context.largest, len(text))
        context.said.append(text)
        return text

    tasks = ["rank the experiments", "say why the worst fails", "find regressed candidates", "look at single cases"]
    call("todo_write", request=request, tasks=tasks)
    groups = "data://groups?by=attr.experiment&since=24h"
    call("schema", id=groups)
    # As models do: all of it at once, then a key that is not there.
    call("jq", id=groups, program=".")
    call("jq", id=groups, program=".[0].score.quality")
    ranked = 'map({e: .by["attr.experiment"], n: .traces, q: .scores.quality, failed_share}) | sort_by(.q)'
    call("todo_update", id="1", state="in_progress")
    table = call("jq", id=groups, program=f"{ranked} | .[:5][], .[-5:][]")
    rows = [row for row in _json_lines(table) if isinstance(row, dict)]
    # One run proves nothing.
    fair = sorted((row for row in rows if row["n"] >= CASES), key=lambda row: row["q"])
    best, worst = str(fair[-1]["e"]), str(fair[0]["e"])
    call("todo_update", id="1", state="completed", note=f"best {best}, worst {worst} of those with six runs or more")

    call("todo_update", id="2", state="in_progress")
    spans = f"data://spans?filter=attr.experiment:{worst} status:error&since=24h"
    errors = call(
        "jq",
        id=spans,
        program='map(select(.status == "error") | .error_message) | group_by(.) | map({m: .[0], n: length})[]',
    )
    why = str(max((row for row in _json_lines(errors) if isinstance(row, dict)), key=lambda row: row["n"])["m"])
    one = call("jq", id=spans, program='map(select(.status == "error"))[0].trace_id')
    trace_id = str(_json_lines(one)[0])
    call("slice", id=f"data://trace/{trace_id}", start=0, count=3)
    call("todo_update", id="2", state="completed", note=f"{why}; e.g. trace {trace_id}")

    call("todo_update", id="3", state="in_progress")
    by_variant = "data://groups?by=attr.experiment,attr.variant&since=24h"
    lost = call("jq", id=by_variant, program=(
        'group_by(.by["attr.experiment"]) | map(select(length == 2) | (map({(.by["attr.variant"]): .scores.quality}) | add) '
        '+ {e: .[0].by["attr.experiment"]} | {e, lost: (.baseline - .candidate)}) | sort_by(-.lost) | .[:5][]'
    ))  # fmt: skip
    regressed = str(_json_lines(lost)[0]["e"])
    call("todo_update", id="3", state="completed", note=regressed)

    call("todo_update", id="4", state="in_progress")
    by_case = "data://groups?by=attr.experiment,attr.case,attr.variant&since=24h"
    # Too early: the gate lists what is open.
    call("finish")
    single = call("jq", id=by_case, program=(
        'group_by([.by["attr.experiment"], .by["attr.case"]]) | map(select(length == 2) | {e: .[0].by["attr.experiment"], '
        'c: .[0].by["attr.case"], d: ((map({(.by["attr.variant"]): .scores.quality}) | add) | .candidate - .baseline)}) '
        "| group_by(.e) | map(select(length > 1) | sort_by(.d) | {e: .[0].e, c: .[0].c, worst: .[0].d, next: .[1].d}) "
        "| map(select(.worst < -0.25 and .next > -0.2)) | .[]"
    ))  # fmt: skip
    alone = min((row for row in _json_lines(single) if isinstance(row, dict)), key=lambda row: row["worst"])
    call("todo_update", id="4", state="completed", note=f"{alone['e']} on {alone['c']}")
    call("todo_read")
    call("finish")
    found = Found(best=best, worst=worst, why=why, regressed=regressed, one_case=(str(alone["e"]), str(alone["c"])))
    context.add(repr(found))
    return found, context


WANTED = Found(
    best=name_of(BEST),
    worst=name_of(WORST),
    why=REASON,
    regressed=name_of(REGRESSED),
    one_case=(name_of(ONE_CASE), BAD_CASE),
)


def _json_lines(text: str) -> list[Any]:
    found: list[Any] = []
    for line in text.splitlines():
        if re.match(r'[\[{"\d-]', line):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the comparison came to."""

    found: Found
    context: Context
    experiments: int
    traces: int
    raw_tokens: int
    """What all spans with their content would have put into the context."""
    seconds: float
    """From the first call to the answer."""


def measure(folder: Path, experiments: int = EXPERIMENTS) -> Measured:
    """Record the runs with a real server, and have them compared over MCP as a client would start it."""
    with server(folder / "server") as running:
        made = list(runs(experiments))
        for start in range(0, len(made), 200):
            traces, logs = otlp(made[start : start + 200])
            _post(running, "/v1/traces", traces)
            _post(running, "/v1/logs", logs)
        _wait_for(running, "SELECT count() FROM spans", 3 * len(made))
        _wait_for(running, "SELECT count() FROM scores", len(made))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")},
            "PILOTHOUSE_URL": f"http://{running.host}",
            "PILOTHOUSE_API_KEY": running.key,
            "PILOTHOUSE_DATA": str(folder / "client"),
        }
        return anyio.run(_compared, environment, running, len({run.experiment for run in made}), len(made))


async def _compared(environment: dict[str, str], running: Server, experiments: int, traces: int) -> Measured:
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "pilothouse.cli", "mcp", "--tools", "runtime"], env=environment
    )
    async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
        hello = await session.initialize()
        listed = await session.list_tools()
        shown = (hello.instructions or "") + "".join(tool.model_dump_json(exclude_none=True) for tool in listed.tools)

        def ask(tool: str, arguments: dict[str, Any]) -> str:
            answer = anyio.from_thread.run(session.call_tool, tool, arguments)
            return "".join(block.text for block in answer.content if isinstance(block, TextContent))

        started = time.monotonic()
        found, context = await anyio.to_thread.run_sync(compare, ask, shown)
        seconds = time.monotonic() - started
    raw = await anyio.to_thread.run_sync(_raw_chars, running)
    return Measured(
        found=found,
        context=context,
        experiments=experiments,
        traces=traces,
        raw_tokens=raw // CHARS_A_TOKEN,
        seconds=seconds,
    )


def _raw_chars(running: Server) -> int:
    reader = ApiRows(Client(CliSettings(json=True, url=f"http://{running.host}", key=running.key)))
    source = read_source("data://spans?since=24h&content=1")
    return sum(len(json.dumps(row)) for page in pages(reader, source) for row in page.rows)


def _post(running: Server, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {running.key}"}
    request = urllib.request.Request(f"http://{running.host}{path}", data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


def _wait_for(running: Server, query: str, count: int) -> None:
    deadline = time.monotonic() + 180
    while _post(running, "/api/v1/sql", {"query": query})["data"]["rows"][0][0] < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{query}: fewer than {count}")
        time.sleep(0.5)


def report(folder: Path, experiments: int = EXPERIMENTS) -> Iterator[str]:
    """The lines of the benchmark."""
    measured = measure(folder, experiments)
    context = measured.context
    right = sum(
        getattr(measured.found, name) == getattr(WANTED, name)
        for name in ("best", "worst", "why", "regressed", "one_case")
    )
    yield f"{measured.experiments} experiments, {measured.traces:,} traces compared over MCP by a script (seed {SEED})"
    yield f"  planted things found          {right} of 5"
    yield f"  in the context at the end     {context.tokens:,} tokens of {CONTEXT_TOKENS_MAX:,} (3 characters each)"
    yield f"  sent over all calls           {context.billed_chars // CHARS_A_TOKEN:,} tokens in {context.calls} calls"
    yield f"  largest answer                {context.largest:,} characters"
    yield f"  all spans read raw            {measured.raw_tokens:,} tokens"
    yield f"  from first call to answer     {measured.seconds:.1f} s"
