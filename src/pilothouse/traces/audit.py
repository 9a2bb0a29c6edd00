"""The reliability audit: what of an agent would fail silently, told from its telemetry alone."""

from __future__ import annotations

from pilothouse.store import TraceStore
from pilothouse.store import audit_reads as reads

from .agent_runs import AgentRuns, runs_of
from .audit_checks import Around, Check, Outcome
from .audit_failing import FAILING
from .audit_recording import RECORDING
from .model import HARMS, Audit, AuditCheck
from .windows import time_range

_EXAMPLES = 5
_VOLUME_DAYS = 8
_STATES = ("failing", "cannot_tell", "passing")


def audit(
    store: TraceStore, project: str, agent: str, *, since_ns: int | None = None, until_ns: int | None = None
) -> Audit:
    """Check one agent's newest 200 traces of a window. Failing checks come first, those that do most harm before all.

    Raises:
        NotFound: no trace of the window has the agent.
    """
    covered = time_range(since_ns, until_ns)
    runs = runs_of(store, project, agent, covered)
    around = _around(store, project, runs)
    checks = [_made(runs, check, check.look_at(runs, around)) for check in (*FAILING, *RECORDING)]
    checks.sort(key=lambda one: (_STATES.index(one.state), HARMS.index(one.harm), -one.count, one.check))
    return Audit(
        agent=agent,
        window=covered.as_window(),
        looked=runs.looked,
        checks=tuple(checks),
        failing=sum(one.state == "failing" for one in checks),
        cannot_tell=sum(one.state == "cannot_tell" for one in checks),
        passing=sum(one.state == "passing" for one in checks),
    )


def _around(store: TraceStore, project: str, runs: AgentRuns) -> Around:
    covered, services = runs.covered, runs.services
    joined, lines = reads.logs_beside(store, project, runs.trace_ids, services, covered.since_ns, covered.until_ns)
    firsts = {span["first_ref"] for _, span in runs.spans("model") if span["first_ref"]}
    return Around(
        log_lines=lines,
        log_lines_joined=joined,
        heartbeats=reads.heartbeats_of(store, project, services),
        traces_by_day=tuple(reads.volume_by_day(store, project, runs.agent, covered.until_ns, days=_VOLUME_DAYS)),
        system_hashes=frozenset(reads.system_hashes(store, project, sorted(firsts))),
    )


def _made(runs: AgentRuns, check: Check, outcome: Outcome) -> AuditCheck:
    examples = tuple(outcome.examples[:_EXAMPLES])
    return AuditCheck(
        check=check.name,
        title=check.title,
        harm=check.harm,
        state=outcome.state,
        found=outcome.found,
        count=outcome.count,
        of=outcome.of,
        examples=examples,
        look=_look(runs, outcome),
        remedy="" if outcome.state == "passing" else check.remedy,
    )


def _look(runs: AgentRuns, outcome: Outcome) -> str:
    if outcome.look:
        return outcome.look
    if not outcome.examples:
        return ""
    first = outcome.examples[0]
    step = f" --step {first.step:03d}" if first.step else ""
    return f"pilothouse show {first.trace_id}{step}"
