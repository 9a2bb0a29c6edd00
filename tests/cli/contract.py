"""What the contract test needs to know of each command: a call that answers, and what is special about it."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live import LiveServer

CALLS: dict[str, str] = {
    "ls": "ls",
    "show": "show {trace}",
    "why": "why {trace}",
    "decision": "decision {trace}",
    "search": "search weather",
    "logs show": "logs show {trace} --infra",
    "logs search": "logs search",
    "logs lost": "logs lost",
    "pull": "pull {trace} {folder}/export",
    "context": "context {trace}",
    "diff": "diff {trace} {other}",
    "note": "note {trace} 'seen by the contract' --dry-run",
    "score": "score {trace} contract 0.5 --dry-run",
    "label": "label {trace} contract --dry-run",
    "notes": "notes {trace}",
    "undo": "undo --run contract --dry-run",
    "sql": "sql 'SELECT trace_id, kind, name, input_text FROM spans ORDER BY trace_id, step'",
    "cost": "cost --by agent,model",
    "cost why": "cost why {trace}",
    "sessions": "sessions",
    "sessions show": "sessions show {session}",
    "live": "live",
    "fleet": "fleet",
    "level": "level",
    "audit": "audit concierge",
    "map": "map",
    "overview": "overview",
    "stats": "stats",
    "doctor": "doctor",
    "reprocess": "reprocess --dry-run",
    "store stats": "store stats",
    "retention show": "retention show",
    "retention set": "retention set --off --environment contract",
    "retention apply": "retention apply --dry-run",
    "budgets": "budgets",
    "cache prompts": "cache prompts",
    "cache lint": "cache lint",
    "cache show": "cache show",
    "cache clear": "cache clear",
    "cache compared": "cache compared",
    "gateway": "gateway",
    "routing show": "routing show",
    "routing replays": "routing replays",
    "queues ls": "queues ls",
    "eval online": "eval online",
    "guard check": "guard check hello",
    "guard activity": "guard activity",
    "guard proposals": "guard proposals",
    "guard switches": "guard switches",
    "drill guards": "drill guards",
    "policy": "policy",
    "policy history": "policy history",
    "keys ls": "keys ls",
    "keys new": "keys new --mode read --name contract",
    "projects ls": "projects ls",
    "sign-in": "sign-in",
    "open": "open /traces",
    "status": "status",
    "deliver": "deliver --spill {folder}/spill",
    "schema": "schema ls",
    "docs": "docs",
    "skills": "skills",
    "skills install": "skills install --project {folder} --dry-run",
    "api": "api",
}
"""One call of each command that answers with JSON in a pipe. It may be made again and again."""

MORE_FORMS: dict[str, tuple[str, ...]] = {
    # by the name of their schema
    "show --as json": ("show {trace} --as json",),
    "show --as graph": ("show {trace} --as graph",),
    "show --as breakdown": ("show {trace} --as breakdown",),
    "show --as path": ("show {trace} --as path",),
    "show --as waterfall": ("show {trace} --as waterfall",),
    "show --as states": ("show {trace} --as states",),
    "show --as plan": ("show {trace} --as plan",),
    "show --step": ("show {trace} --step 1",),
    "ls --facets": ("ls --facets agent,status",),
    "decision STEP": ("decision {trace} {model_step}",),
    "context": ("context {trace} --step {model_step}",),
    "level": ("level concierge",),
    "docs --search": ("docs --search budget",),
    "docs TOPIC": ("docs watch --json",),
    "skills get": ("skills get triage --json",),
    "sql --schema": ("sql --schema --json",),
    "logs show": ("logs {trace}",),
}
"""Other forms of an answer, as JSON."""

TEXTS: tuple[str, ...] = (
    *("show {trace} --as tree", "show {trace} --as card", "show {trace} --as transcript", "show {trace} --as md"),
    *(
        "show {trace} --step {model_step} --field input",
        "sessions {session} --as transcript",
        "sessions {session} --as tree",
    ),
    *("map --as tree", "map --as table", "map --as mermaid", "map --as dot"),
    *("sql --schema", "sql 'SELECT * FROM spans' --format csv", "sql 'SELECT * FROM spans' --format md"),
    *("docs read-traces-from-the-shell", "docs cli --section Filters", "skills get triage", "api /metrics"),
    *("sql 'SELECT * FROM spans' --format table", "decision {trace} {model_step} --field prompt"),
)
"""Calls that are answered with text, in a pipe too."""

ELSEWHERE: dict[str, str] = {
    "mcp": "speaks another protocol: tests/mcp",
    "import": "reads files of other tools: tests/imports",
    "delete": "takes away what the other calls read: tests/deletions",
    "analyze": "a group",
    "analyze new": "works on an export: tests/analysis",
    "analyze run": "works on an export: tests/analysis",
    "analyze status": "works on an export: tests/analysis",
    "analyze next": "works on an export: tests/analysis",
    "analyze finish": "works on an export: tests/analysis",
    "analyze report": "works on an export: tests/analysis",
    "analyze ls": "empty without an analysis on the server: tests/analysis",
    "eval": "a group",
    **{
        f"eval {verb}": "works on a folder of cases: tests/evals"
        for verb in (
            *("init", "list", "show", "add", "replace", "edit", "rm", "lint"),
            *("run", "runs", "compare", "gate", "flaky", "from-trace", "minimise", "replay", "backtest", "escapes"),
            *(
                "judge",
                "judge ls",
                "judge show",
                "judge new",
                "judge label",
                "judge import",
                "judge calibrate",
                "judge prefer",
            ),
            *("import", "export", "ci"),
            *("push", "unpush", "results", "results ls", "results show", "results groups", "results cases"),
            *("results case", "results compare"),
        )
    },
    "optimize": "works on a folder of cases, and asks models: tests/optimize",
    "review": "a group; `review DIFF` is `review diff DIFF`",
    **dict.fromkeys(("review diff", "review init", "review rules", "review lint"), "work on files: tests/review"),
    **dict.fromkeys(
        ("eval online show", "eval online try", "eval online stop", "eval online start", "eval online retry"),
        "need a scorer in the policy: tests/online",
    ),
    "approvals": "a group",
    "approvals ls": "empty without an action that waits: tests/approvals",
    "approvals show": "needs an action that waits: tests/approvals",
    **{
        f"approvals {verb}": "decides about an action: tests/approvals"
        for verb in ("approve", "reject", "edit", "ask", "answer", "delegate", "cancel", "request")
    },
    "queues": "a group",
    **{
        f"queues {verb}": "needs a queue, and a person who labels: tests/queues"
        for verb in (
            *("show", "make", "add", "items", "next", "label", "skip", "undo", "labels", "taxonomy", "choices"),
        )
    },
    "logs": "a group; `logs ID` is `logs show ID`",
    "guard": "a group",
    "cache": "a group",
    "routing": "a group",
    **dict.fromkeys(("routing train", "routing rate"), "need hundreds of calls: tests/routing"),
    **dict.fromkeys(("routing try", "routing report", "routing resume", "routing stop"), "ask models: tests/routing"),
    "drill": "a group",
    **dict.fromkeys(("guard propose", "guard accept", "guard dismiss"), "make rules of traces: tests/policies"),
    **dict.fromkeys(("guard off", "guard on"), "a person throws switches: tests/policies"),
    **dict.fromkeys(
        ("policy check", "policy try", "policy set", "policy diff", "policy undo"),
        "read a policy of the user's own, or change the server's: tests/policies",
    ),
    "jobs": "a group",
    "jobs ls": "empty without a durable run: tests/jobs",
    "jobs show": "needs a durable run: tests/jobs",
    "jobs cancel": "needs a durable run: tests/jobs",
    "store": "a group",
    "retention": "a group",
    "keys": "a group",
    "projects": "a group",
    "projects new": "once for each name: test_cli_app",
    "skills get": "text, unless --json says otherwise: among the forms and texts",
    "keys revoke": "once for each key: test_cli_app",
    "tail": "lines of events, not one answer: tests/watch and below",
    "logs follow": "goes on until it is stopped: test_cli_logs",
    "run": "the answer is the command's own: tests/sdk/test_run",
    "verify": "runs an agent several times: tests/sdk/test_verify",
    "up": "starts a server: test_cli_app",
    "down": "stops a server: test_cli_app",
    "demo": "minutes of real SDKs: tests/testing/test_demo",
}
"""Commands that this test calls in no way, or only in one of its own, with the reason."""

PAGED: tuple[str, ...] = (
    *("ls", "ls --sort oldest", "ls --sort slowest", "ls --sort dearest", "ls --sort spans", "ls errors>0"),
    *("search weather", "sessions", "sessions --sort dearest", "logs search", "logs search --level error", "logs lost"),
)
"""Lists that go on with ``--cursor``."""

EMPTY: tuple[tuple[str, str], ...] = (
    ("ls agent:nobody status:ok", "agent:nobody"),
    ("search xyzzyplugh", "xyzzyplugh"),
    ("sessions --filter agent:nobody", "agent:nobody"),
    ("logs search --service nowhere --level error", "--service nowhere"),
    ("logs search xyzzyplugh", "xyzzyplugh"),
    ("cost --filter 'status:ok agent:nobody'", "agent:nobody"),
    ("overview --filter agent:nobody", "agent:nobody"),
    ("map --filter agent:nobody", "agent:nobody"),
    ("live agent:nobody", "agent:nobody"),
    ("live --state died", "--state died"),
)
"""Calls that find nothing, and the filter that is to blame."""

SLIPS: tuple[tuple[str, str], ...] = (
    ("ls agnt:concierge", "agent"),
    ("ls statsu:error --since 1h", "status"),
    ("live agnt:concierge", "agent"),
    ("tail agnt:concierge", "agent"),
    ("sessions --filter agnt:concierge", "agent"),
    ("cost --filter agnt:concierge --by model", "agent"),
    ("overview --filter agnt:concierge", "agent"),
    ("map --filter agnt:concierge", "agent"),
    ("pull agnt:concierge {folder}/slip", "agent"),
    ("ls --sort slowst", "slowest"),
    ("sessions --sort newst", "newest"),
    ("ls --facets agnt", "agent"),
    ("cost --by modl", "model"),
    ("live --state diedd", "died"),
    ("show {trace} --as trea", "tree"),
    ("sessions {session} --as transcrpt", "transcript"),
    ("map --as mermad", "mermaid"),
    ("show {trace} --step 1 --field inptu", "input"),
    ("decision {trace} {model_step} --field prmpt", "prompt"),
    ("logs search --level errr", "error"),
    ("logs {trace} --reason trce_id", "trace_id"),
    ("sql 'SELECT modle FROM spans'", "spans.model"),
    ("sql 'SELECT model FROM spanz'", "spans"),
    ("sql 'SELECT 1' --format cvs", "csv"),
    ("sql --schema spanz", "spans"),
    ("audit concierge --fail-on hihg", "high"),
    ("keys new --mode reed", "read"),
    ("retention set --days 3 --kind trace --environment contract", "traces"),
    ("pull {trace} {folder}/slip --content ful", "full"),
    ("schema lss", "ls"),
    ("docs wach", "watch"),
    ("docs watch --section 'In a programm'", "In a program"),
    ("skills get triaje", "triage"),
    ("skills install --for cluade --dry-run", "claude"),
    ("show 0000", "{trace}"),
)
"""Slips of the finger, and what was meant."""

FIX_DOES_OTHERWISE = {"keys new": "makes a key", "retention set": "sets a rule"}

IDS: tuple[tuple[str, str], ...] = (
    *(("show", "{id}"), ("why", "{id}"), ("decision", "{id}"), ("logs", "{id}"), ("context", "{id}")),
    *(("cost why", "{id}"), ("diff", "{id} {trace}"), ("pull", "{id} {folder}/by-{id}"), ("tail", "--trace {id}")),
)
"""Commands that take a trace's id, and where."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The recorded things that calls name."""

    trace: str
    other: str
    model_step: str
    session: str
    unique: str
    """A trace that alone begins as it does."""

    def words(self, line: str, folder: Path, **more: str) -> list[str]:
        """A call, ready to run."""
        values = {"trace": self.trace, "other": self.other, "session": self.session, "model_step": self.model_step}
        return [word.format(folder=folder, **values, **more) if "{" in word else word for word in shlex.split(line)]


def record_sample(server: LiveServer) -> Sample:
    """Record log lines beside the captured traces: of a trace, of nobody, and errors without a failed span."""
    trace, other = "000000000000000000000000000000a4", "000000000000000000000000000000a2"
    now_ns = time.time_ns()
    records: list[dict[str, Any]] = []
    for number in range(30):
        record: dict[str, Any] = {
            "timeUnixNano": str(now_ns - number * 250_000_000),
            "severityText": "ERROR" if number % 3 == 0 else "INFO",
            "severityNumber": 17 if number % 3 == 0 else 9,
            "body": {"stringValue": f"line {number}: " + "payment service answered slowly " * (number % 7)},
        }
        if number % 2 == 0:
            record["traceId"] = trace if number % 4 else "00000000000000000000000000000bad"
        records.append(record)
    resource = [
        {"key": "service.name", "value": {"stringValue": "shop"}},
        {"key": "host.name", "value": {"stringValue": "shop-1"}},
    ]
    body = {"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [{"logRecords": records}]}]}
    server.post("/v1/logs", body)
    server.post(
        "/v1/traces", {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [_running(now_ns)]}]}
    )
    server.wait_for("SELECT count() FROM logs WHERE service = 'shop'", len(records))
    note = {"kind": "note", "id": trace, "text": "seen by the contract"}
    server.post("/api/v1/annotations", {"items": [note], "run": "contract", "dry_run": False})
    server.post("/api/v1/queues", {"name": "contract", "question": "Is the answer right?"})
    step = server.sql(f"SELECT min(step) FROM spans WHERE trace_id = '{trace}' AND kind = 'model'")[0][0]
    return Sample(
        trace=trace,
        other=other,
        model_step=str(step),
        session="session-7",
        unique=str(server.sql("SELECT trace_id FROM traces WHERE NOT startsWith(trace_id, '0') LIMIT 1")[0][0]),
    )


def _running(now_ns: int) -> dict[str, Any]:
    """The early copy of a span that is still open."""
    attributes = [
        {"key": "pilothouse.running", "value": {"boolValue": True}},
        {"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}},
        {"key": "gen_ai.agent.name", "value": {"stringValue": "night-watch"}},
    ]
    span = {"traceId": "0" * 30 + "f1", "spanId": "0" * 14 + "f1", "name": "watch", "attributes": attributes}
    span |= {"startTimeUnixNano": str(now_ns - 10**9), "endTimeUnixNano": str(now_ns)}
    return {"scope": {"name": "pilothouse"}, "spans": [span]}


def one_json(text: str) -> dict[str, Any]:
    """The one line of JSON that an answer is."""
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found
