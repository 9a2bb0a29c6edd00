"""``pilothouse verify``: runs an agent as its user does and says whether its record can be trusted.

Three questions: is every model and tool call recorded whole; does the record of a failure tell the decision, the raw
error and the recovery; what does recording cost. What really happened is seen apart from the record, by a pass-through
in front of the models and by the fault point in the tool wrapper.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilothouse.records import BadRequest

from . import tool_probe
from .run import Ran, environment_for, hints, read_reports
from .verify_checks import Check, Facts, Verdict, completeness, failure
from .verify_cost import Interval, median_interval
from .verify_facts import check_decoder, read_spans, read_tool_calls

if TYPE_CHECKING:
    ModelProxy = Any
    OtlpSink = Any

MODEL_ADDRESSES: Final[Mapping[str, str]] = {
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
    "GOOGLE_GEMINI_BASE_URL": "https://generativelanguage.googleapis.com",
}
"""Variables that clients read their model's address from, and the address where they are not set."""

STARTUP_MS_MAX: Final = 1_000.0
"""What recording may add to a run once, in wall clock: the recorder and the instrumentors are imported."""
OVERHEAD_PERCENT_MAX: Final = 5.0
"""What it may add beyond that, in percent of a real run."""
_OUTPUT_KEPT: Final = 2_000
_VERDICTS: Final[Mapping[Verdict, str]] = {"pass": "verified", "fail": "failed", "unknown": "could not tell"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to verify and how."""

    command: tuple[str, ...]
    fail_tool: str = ""
    """The tool that is made to fail; empty: the first that is called."""
    runs: int = 6
    """Pairs of runs to measure the overhead with; 0 measures none."""
    timeout_s: float = 300.0
    """The longest a run may take."""
    model_variables: tuple[str, ...] = ()
    """Further variables that hold a model's address."""
    stdin: bytes = b""
    """Given to each run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """What recording added to a run."""

    pairs: int
    wall_ms: Interval
    """Wall clock of a run with recording less that of one without; models answer from memory in both."""
    cpu_ms: Interval
    startup_ms: float
    """CPU to start the recorder, once a process."""
    span_us: float
    """CPU for one span with 1 kB in and out, sending included."""
    run_ms: float
    """Wall clock of the first, real run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All answers."""

    verdict: str
    """``verified``, ``failed`` or ``could not tell``."""
    checks: tuple[Check, ...]
    overhead: Overhead | None = None

    @property
    def exit_code(self) -> int:
        """0 verified, 7 a check failed, 6 it ran and could not be told."""
        return {"verified": 0, "failed": 7}.get(self.verdict, 6)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of the agent."""

    ran: Ran
    facts: Facts
    wall_s: float
    cpu_s: float
    timed_out: bool
    output: str
    """The end of what it wrote to standard error, else to standard output."""


def verify(options: Options, tell: Callable[[str], None]) -> Report:
    """Run the agent a few times and answer; ``tell`` is given a line for each step.

    Raises:
        BadRequest: there is no such command, or what is needed to read the record is not installed.
    """
    check_decoder()
    if shutil.which(options.command[0]) is None:
        raise BadRequest(
            "there is no such command", got=options.command[0], fix="pilothouse verify -- python my_agent.py"
        )
    from pilothouse.testing import ModelProxy, OtlpSink

    known = {**MODEL_ADDRESSES, **dict.fromkeys(options.model_variables, "")}
    routes = {name: os.environ.get(name) or address for name, address in known.items()}
    if nowhere := [name for name, address in routes.items() if not address]:
        raise BadRequest("this variable is not set", got=nowhere[0], fix=f"export {nowhere[0]}=https://…")
    with tempfile.TemporaryDirectory(prefix="pilothouse-verify-") as folder, ModelProxy(routes) as proxy:
        bench = _Bench(options, Path(folder), proxy, OtlpSink)
        tell("running the agent, recorded")
        first = bench.run()
        # Answers that are replayed together must come from one conversation: later ones have other ids in them.
        proxy.remember = False
        checks = [_ended(first), *completeness(first.facts, _remedy(first))]
        if not first.facts.spans:
            skipped = "skipped: nothing was recorded"
            checks += [
                Check(name=name, verdict="unknown", says=skipped)
                for name in ("decision before the error", "raw error", "recovery", "overhead")
            ]
            return _report(checks, None)
        tell("running it again with a tool that fails")
        checks += failure(bench.run(fail=options.fail_tool or tool_probe.ANY_TOOL).facts)
        overhead = None
        if options.runs:
            overhead = bench.overhead(first, tell)
            checks.append(_overhead_check(overhead))
        return _report(checks, overhead)


def _report(checks: Sequence[Check], overhead: Overhead | None) -> Report:
    worst: Verdict = "pass"
    for verdict in ("unknown", "fail"):
        if any(check.verdict == verdict for check in checks):
            worst = verdict
    return Report(verdict=_VERDICTS[worst], checks=tuple(checks), overhead=overhead)


def _ended(run: _Run) -> Check:
    name = "agent"
    if run.timed_out:
        says = "it did not end in time"
        return Check(name=name, verdict="unknown", says=says, evidence=_tail(run), remedy="--timeout SECONDS")
    if run.ran.returncode != 0:
        says = f"it ended with code {run.ran.returncode}, so the record is of a run that broke off"
        return Check(name=name, verdict="unknown", says=says, evidence=_tail(run), remedy="mend the agent first")
    return Check(name=name, verdict="pass", says=f"it ran to its end in {run.wall_s:.1f} s")


def _tail(run: _Run) -> tuple[str, ...]:
    return tuple(run.output.strip().splitlines()[-4:])


def _remedy(run: _Run) -> str:
    told = hints(run.ran)
    return (
        told[0]
        if told
        else "call pilothouse.init() in the agent, and decorate it with @pilothouse.agent and @pilothouse.tool"
    )


class _Bench:
    """Runs the agent again and again, each time with a receiver of its own."""

    def __init__(self, options: Options, folder: Path, proxy: ModelProxy, sink: Callable[[], OtlpSink]) -> None:
        self._options = options
        self._folder = folder
        self._proxy = proxy
        self._sink = sink
        self._count = 0

    def run(self, *, fail: str = "", recorded: bool = True) -> _Run:
        """One run: recorded or not, with a failing tool or not."""
        self._count += 1
        place = self._folder / str(self._count)
        (place / "reports").mkdir(parents=True)
        probe = place / "tools.jsonl"
        self._proxy.forget()
        with self._sink() as sink:
            environment = self._environment(place, sink.address, recorded=recorded)
            if recorded:
                environment |= {tool_probe.FILE_VARIABLE: str(probe), tool_probe.FAIL_VARIABLE: fail}
            output = place / "output"
            cpu, began = _cpu_of_children(), time.monotonic()
            returncode, timed_out = self._execute(environment, output)
            wall_s, cpu_s = time.monotonic() - began, _cpu_of_children() - cpu
            spans = read_spans(sink.as_json("traces")) if recorded else ()
        from pilothouse.testing import read_traffic

        return _Run(
            ran=read_reports(place / "reports", returncode),
            facts=Facts(spans=spans, traffic=read_traffic(self._proxy.calls), tools=read_tool_calls(probe)),
            wall_s=wall_s,
            cpu_s=cpu_s,
            timed_out=timed_out,
            output=output.read_text(encoding="utf-8", errors="replace")[-_OUTPUT_KEPT:],
        )

    def overhead(self, first: _Run, tell: Callable[[str], None]) -> Overhead:
        """Pairs of runs with and without recording, one after the other, in turns."""
        self._proxy.replay = True
        wall: list[float] = []
        cpu: list[float] = []
        pairs = self._options.runs
        for pair in range(pairs):
            tell(f"measuring the overhead, pair {pair + 1} of {pairs}")
            # The one that goes first changes from pair to pair: neither has the warmer caches.
            order = (True, False) if pair % 2 else (False, True)
            runs = {recorded: self.run(recorded=recorded) for recorded in order}
            wall.append((runs[True].wall_s - runs[False].wall_s) * 1e3)
            cpu.append((runs[True].cpu_s - runs[False].cpu_s) * 1e3)
        tell("measuring a span")
        inside = self._inside(first)
        return Overhead(
            pairs=pairs,
            wall_ms=median_interval(wall),
            cpu_ms=median_interval(cpu),
            startup_ms=inside["startup_ms"],
            span_us=inside["span_us"],
            run_ms=first.wall_s * 1e3,
        )

    def _inside(self, first: _Run) -> dict[str, float]:
        """The cost of a span in the agent's own interpreter."""
        place = self._folder / "inside"
        place.mkdir()
        with self._sink() as sink:
            environment = self._environment(place, sink.address, recorded=False)
            environment |= {"PILOTHOUSE_URL": sink.address}
            environment.pop("OTEL_SDK_DISABLED", None)
            done = subprocess.run(
                [*(first.ran.interpreters[:1] or (sys.executable,)), "-m", "pilothouse.sdk.verify_cost"],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
                timeout=self._options.timeout_s,
            )
        found: dict[str, float] = json.loads(done.stdout)
        return found

    def _environment(self, place: Path, sink: str, *, recorded: bool) -> dict[str, str]:
        hidden = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")
        base = {name: value for name, value in os.environ.items() if name not in hidden}
        base |= {name: self._proxy.url(name) for name in self._proxy.routes}
        base |= {
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY", ""), "127.0.0.1"))),
            "PILOTHOUSE_SPILL_DIR": str(place / "spill"),
            # Also for an agent that exports by an OpenTelemetry SDK of its own.
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink,
            "PILOTHOUSE_URL": sink,
        }
        if recorded:
            return environment_for(place / "reports", environment=base)
        return {**base, "OTEL_SDK_DISABLED": "true"}

    def _execute(self, environment: Mapping[str, str], output: Path) -> tuple[int, bool]:
        with open(output, "wb") as file:
            process = subprocess.Popen(
                self._options.command,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            try:
                process.communicate(self._options.stdin, timeout=self._options.timeout_s)
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                return process.returncode, True
        return process.returncode, False


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pairs(count: int) -> str:
    # Below six, no two of the values enclose the median with 95 %: the extremes stand there instead.
    few = ", too few for an interval of 95 %: lowest and highest are given" if count < 6 else ""
    return f"{count} {'pair' if count == 1 else 'pairs'} of runs{few}"


def _overhead_check(found: Overhead) -> Check:
    allowed_ms = STARTUP_MS_MAX + found.run_ms * OVERHEAD_PERCENT_MAX / 100
    says = (
        f"a run takes {found.wall_ms.median:,.0f} ms longer ({found.wall_ms.low:,.0f} to {found.wall_ms.high:,.0f}), of "
        f"which {found.startup_ms:,.0f} ms of CPU start the recorder; a span costs {found.span_us:,.0f} µs"
    )
    verdict: Verdict = "unknown"
    if found.wall_ms.high <= allowed_ms:
        verdict = "pass"
    elif found.wall_ms.low > allowed_ms:
        verdict = "fail"
    evidence = (
        f"{_pairs(found.pairs)}, in turns; CPU {found.cpu_ms.median:+,.0f} ms "
        f"({found.cpu_ms.low:,.0f} to {found.cpu_ms.high:,.0f})",
        f"allowed: {allowed_ms:,.0f} ms, that is {STARTUP_MS_MAX:,.0f} once and {OVERHEAD_PERCENT_MAX:g} % of a real run",
    )
    remedy = "" if verdict == "pass" else "more pairs narrow the interval: --runs 20"
    return Check(name="overhead", verdict=verdict, says=says, evidence=evidence, remedy=remedy)
