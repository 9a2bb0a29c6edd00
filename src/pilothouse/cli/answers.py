"""What each command answers: the route whose answer it gives on, or the shape of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROUTES: dict[str, tuple[str, str]] = {
    "ls": ("get", "/traces"),
    "ls --facets": ("get", "/facets"),
    "show --as json": ("get", "/traces/{id}"),
    "show --step": ("get", "/traces/{id}/spans/{key}"),
    "show --as graph": ("get", "/traces/{id}/graph"),
    "show --as breakdown": ("get", "/traces/{id}/breakdown"),
    "show --as path": ("get", "/traces/{id}/critical-path"),
    "show --as waterfall": ("get", "/traces/{id}/waterfall"),
    "show --as states": ("get", "/traces/{id}/states"),
    "show --as plan": ("get", "/traces/{id}/plan"),
    "why": ("get", "/traces/{id}/why"),
    "decision": ("get", "/traces/{id}/decisions"),
    "decision STEP": ("get", "/traces/{id}/spans/{key}/decision"),
    "search": ("get", "/search"),
    "logs show": ("get", "/traces/{id}/logs"),
    "logs search": ("get", "/logs"),
    "logs lost": ("get", "/logs/lost"),
    "context": ("get", "/traces/{id}/context"),
    "diff": ("get", "/traces/diff"),
    "note": ("post", "/annotations"),
    "score": ("post", "/annotations"),
    "label": ("post", "/annotations"),
    "notes": ("get", "/annotations"),
    "notes --runs": ("get", "/annotations/runs"),
    "undo": ("post", "/annotations/undo"),
    "queues ls": ("get", "/queues"),
    "queues make": ("post", "/queues"),
    "queues show": ("get", "/queues/{queue}"),
    "queues add": ("post", "/queues/{queue}/items"),
    "queues items": ("get", "/queues/{queue}/items"),
    "queues next": ("post", "/queues/{queue}/next"),
    "queues label": ("post", "/queues/{queue}/label"),
    "queues skip": ("post", "/queues/{queue}/skip"),
    "queues undo": ("post", "/queues/{queue}/undo"),
    "queues labels": ("get", "/queues/{queue}/labels"),
    "queues taxonomy": ("get", "/queues/{queue}/taxonomy"),
    "queues choices": ("post", "/queues/{queue}/choices"),
    "delete": ("post", "/deletions"),
    "sql": ("post", "/sql"),
    "sql --schema": ("get", "/sql/schema"),
    "cost": ("get", "/cost"),
    "cost why": ("get", "/cost/{id}"),
    "budgets": ("get", "/budgets"),
    "cache prompts": ("get", "/cache/prompts"),
    "cache lint": ("get", "/cache/lint"),
    "cache show": ("get", "/cache"),
    "cache compared": ("get", "/cache/comparisons"),
    "cache clear": ("post", "/cache/clear"),
    "gateway": ("get", "/gateway"),
    "eval unpush": ("delete", "/evals/runs/{run_id}"),
    "eval results ls": ("get", "/evals/runs"),
    "eval results show": ("get", "/evals/runs/{run_id}"),
    "eval results groups": ("get", "/evals/runs/{run_id}/groups"),
    "eval results cases": ("get", "/evals/runs/{run_id}/cases"),
    "eval results case": ("get", "/evals/runs/{run_id}/cases/{case}"),
    "eval results compare": ("get", "/evals/runs/{run_id}/compare"),
    "routing show": ("get", "/routing"),
    "routing train": ("post", "/routing/train"),
    "routing rate": ("get", "/routing/difficulty"),
    "routing try": ("post", "/routing/try"),
    "routing replays": ("get", "/routing/replays"),
    "routing report": ("get", "/routing/replays/{replay_id}"),
    "routing resume": ("post", "/routing/replays/{replay_id}/resume"),
    "routing stop": ("post", "/routing/replays/{replay_id}/stop"),
    "eval online": ("get", "/evals/online"),
    "eval online show": ("get", "/evals/online/{name}"),
    "eval online try": ("post", "/evals/online/{name}/try"),
    "eval online retry": ("post", "/evals/online/{name}/retry"),
    "eval online stop": ("post", "/evals/online/{name}/stop"),
    "eval online start": ("post", "/evals/online/{name}/start"),
    "sessions": ("get", "/sessions"),
    "sessions show": ("get", "/sessions/{id}"),
    "live": ("get", "/live"),
    "fleet": ("get", "/fleet"),
    "level": ("get", "/levels"),
    "audit": ("get", "/agents/{agent}/audit"),
    "map": ("get", "/map"),
    "overview": ("get", "/overview"),
    "stats": ("get", "/stats"),
    "doctor": ("get", "/doctor"),
    "reprocess": ("post", "/reprocess"),
    "store stats": ("get", "/store/stats"),
    "retention show": ("get", "/retention"),
    "retention set": ("post", "/retention"),
    "retention apply": ("post", "/retention/apply"),
    "approvals ls": ("get", "/approvals"),
    "approvals show": ("get", "/approvals/{approval_id}"),
    **{
        f"approvals {verb}": ("post", f"/approvals/{{approval_id}}/{verb}")
        for verb in ("approve", "reject", "edit", "ask", "answer", "delegate", "cancel")
    },
    "approvals request": ("post", "/approvals"),
    "guard activity": ("get", "/guard/activity"),
    "guard switches": ("get", "/guard/switches"),
    "guard off": ("post", "/guard/switches"),
    "guard on": ("post", "/guard/switches"),
    "guard check": ("post", "/guard/check"),
    "guard propose": ("post", "/guard/proposals"),
    "guard proposals": ("get", "/guard/proposals"),
    "guard accept": ("post", "/guard/proposals/{proposal_id}/accept"),
    "guard dismiss": ("post", "/guard/proposals/{proposal_id}/dismiss"),
    "drill guards": ("post", "/guard/drill"),
    "policy": ("get", "/policy"),
    "policy check": ("post", "/policy/check"),
    "policy try": ("post", "/policy/try"),
    "policy set": ("post", "/policy"),
    "policy history": ("get", "/policy/versions"),
    "policy diff": ("get", "/policy/versions/{number}"),
    "policy undo": ("post", "/policy/undo"),
    "jobs ls": ("get", "/jobs"),
    "analyze ls": ("get", "/analysis"),
    "jobs show": ("get", "/jobs/{id}"),
    "jobs cancel": ("post", "/jobs/{id}/cancel"),
    "keys ls": ("get", "/keys"),
    "keys new": ("post", "/keys"),
    "keys revoke": ("delete", "/keys/{key_id}"),
    "projects ls": ("get", "/projects"),
    "projects new": ("post", "/projects"),
}
"""The API route behind each command: its answer is the command's answer, cut to the budget."""

_TYPES: dict[str, Any] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "count": {"type": "integer"},
    "yes": {"type": "boolean"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "object": {"type": "object"},
    "objects": {"type": "array", "items": {"type": "object"}},
    "text?": {"type": ["string", "null"]},
    "number?": {"type": ["number", "null"]},
    "any": {},
}


def shape(required: str, optional: str = "", **more: Any) -> dict[str, Any]:
    """The schema of an object: ``url:text pid:count``; ``more`` holds the schemas of what is nested."""
    fields = {name: _TYPES[kind] for name, _, kind in (word.partition(":") for word in required.split())}
    maybe = {name: _TYPES[kind] for name, _, kind in (word.partition(":") for word in optional.split())}
    return {"type": "object", "properties": {**fields, **more, **maybe}, "required": [*fields, *more]}


def rows(required: str, optional: str = "", **more: Any) -> dict[str, Any]:
    """The schema of a list of such objects."""
    return {"type": "array", "items": shape(required, optional, **more)}


_RATED = (
    "name:text cases:count passed:count rate:number? unscored:count",
    "before:number difference:number? p:number p_adjusted:number verdict:text",
)
_INTERVAL = {"type": "array", "items": {"type": "number"}}
_RATE = shape(*_RATED, interval=_INTERVAL)
_RATES = rows(*_RATED, interval=_INTERVAL)

OWN: dict[str, Mapping[str, Any]] = {
    "show": shape(
        "trace:text agent:text status:text start:text duration_ms:number? tokens:count cost_usd:text? signals:texts "
        "input:text output:text first_error:text",
        "hidden_steps:count cuts:count get:text",
        steps=rows("", "step:text kind:text name:text status:text ms:number? tokens:count error:text in:text out:text cut:count"),
    ),
    "pull": shape("folder:text traces:count gone:count files:count bytes:count complete:yes counts:object"),
    "pull --verify": shape("folder:text files:count sound:yes"),
    "logs follow": shape("records:count refused:count files:count"),
    "import": shape(
        "format:text dry_run:yes files:count other_files:count traces:count spans:count scores:count records:count "
        "requests:count sent_bytes:count first:text last:text failed:count",
        failures=rows("file:text where:text reason:text"),
    ),
    "analyze new": shape(
        "run:text folder:text items:count second_readings:count worker:text second_worker:text limits:texts profile:object"
    ),
    "analyze run": shape("run:text folder:text status:text counts:object tokens:count usd:number readings_of_unknown_cost:count", "open:objects", blocked=_TYPES["any"]),
    "analyze status": shape("run:text folder:text status:text counts:object tokens:count usd:number readings_of_unknown_cost:count open:objects"),
    "analyze finish": shape("run:text folder:text status:text counts:object tokens:count usd:number readings_of_unknown_cost:count", "report:any findings:any"),
    "analyze report --findings": rows(
        "", "id:text mode:text mark:text severity:text title:text items:any of:any interval:any root_cause:any evidence:any"
    ),
    "analyze next": shape(
        "item:text? reader:any answer_file:text? until:text? left:count prompt_file:text? prompt:text?",
        collected=rows("item:text accepted:yes wrong:texts answer_file:any"),
    ),
    "eval init": shape("folder:text files:texts"),
    "eval list": shape(
        "suite:text version:text total:count broken:count matching:count",
        cases=rows("id:text file:text", "capability:text difficulty:text severity:text kind:text tags:texts checks:count criteria:count repeats:count quarantined:text error:text"),
    ),
    "eval show": shape("id:text input:any file:text sha256:text last_result:object", "stubs:object checks:objects criteria:any metadata:object settings:object repeats:count quarantined:text"),
    "eval add": shape("added:texts total:count errors:objects"),
    "eval replace": shape("added:texts total:count errors:objects"),
    "eval edit": shape("id:text input:any before:object", "stubs:object checks:objects criteria:any metadata:object settings:object repeats:count quarantined:text"),
    "eval rm": shape("removed:text text:text"),
    "eval lint": shape("cases:count ok:yes", findings=rows("rule:text severity:text message:text cases:texts fix:text")),
    "eval run": shape(
        "run:text suite:text suite_version:text target:text version:text cases:count passed:count failed:count flaky:count "
        "unscored:count attempts:count attempts_passed:count taken_over:count cost_usd:number judge_usd:number "
        "seconds:number wall_s:number stopped:text by_capability:objects judges:texts judged:objects",
        "pushed:object",
        by_tool=rows("tool:text scorer:text calls:count passed:count failed:count unscored:count mean:number?", "worst:any"),
        failures=rows("case:text why:text attempts:text trace_id:text"),
    ),
    "eval push": shape(
        "run_id:text url:text suite:text run:text cases:count passed:count failed:count flaky:count unscored:count "
        "batches:count sent:count verdict:text sentence:text baseline:text"
    ),
    "eval runs": shape("", runs=rows("run:text version:text target:text started:text finished:yes", "cases:any passed:any failed:any flaky:any unscored:any cost_usd:any")),
    **dict.fromkeys(
        ("eval compare", "eval gate"),
        shape(
            "base:text candidate:text outcome:text reasons:texts total:count counts:object verdict:object changes_more:count "
            "cost_before_usd:number cost_after_usd:number judge_usd:number seconds_before:number seconds_after:number "
            "judged:object judge_rates:object",
            by_capability=rows("capability:text compared:count regressed:count improved:count difference:number p:number p_adjusted:number found:yes"),
            changes=rows("case:text bucket:text", "before:text after:text why:text capability:text severity:text cluster:text "
                         "trace_before:text trace_after:text text_before:text text_after:text judge:text"),
        ),
    ),
    "eval ci": shape(
        "base:text candidate:text outcome:text reasons:texts counts:object no_baseline:text files:texts closed:yes",
        "total:count verdict:object changes_more:count cost_before_usd:number cost_after_usd:number judge_usd:number "
        "seconds_before:number seconds_after:number judged:object judge_rates:object by_capability:objects",
        changes=rows("case:text bucket:text", "before:text after:text why:text capability:text severity:text cluster:text "
                     "trace_before:text trace_after:text text_before:text text_after:text judge:text"),
    ),
    "eval from-trace": shape("id:text suite:text file:text checks:texts input:text stubs:count bytes:count verdict:text masked:object", "trimmed:object minimised:object"),
    "eval minimise": shape("id:text file:text minimised:object"),
    "eval replay": shape(
        "mode:text holds:yes decided_by:text decisions:count failing:count counts:object", "judged:object",
        steps=rows("number:count verdict:text holds:yes", "recorded:any today:any why:text"),
    ),
    "eval backtest": shape(
        "run:text base:text target:text version:text mode:text outcome:text reasons:texts question:object clusters:text "
        "customers_more:count failures:count why_more:count stopped:text cost_usd:number agreement:object judged:object "
        "verdict:any",
        overall=_RATE,
        customers=_RATES,
        weeks=_RATES,
        releases=_RATES,
        taken=shape("sessions:count fetched:count cases:count", left_out=rows("why:text count:count example:text")),
        why=rows("check:text tool:text reason:text cases:count share:number customers:count examples:objects"),
    ),
    "eval backtest --dry-run": shape(
        "traces:count running:count sessions:count taken:count failed:count window:object",
        customers=rows("name:text count:count"),
        weeks=rows("name:text count:count"),
        releases=rows("name:text count:count"),
    ),
    "eval escapes": shape(
        "suite:text failures:count escaped:count rate:number? counts:object missing_more:count",
        interval=_INTERVAL,
        weeks=rows("week:text failures:count escaped:count rate:number? counts:object", interval=_INTERVAL),
        missing=rows("trace:text start:text agent:text why:texts asked:text error:yes command:text"),
        passed=rows("trace:text case:text why:texts"),
    ),
    "eval import": shape(
        "format:text read:count ids:texts file:text run:text attempts:count lost:count unread:count suite:text",
        notes=rows("at:text case:text lost:text"),
        failed=rows("at:text why:text"),
    ),
    "eval export": shape("file:text format:text cases:count lost:count", notes=rows("case:text lost:text")),
    "optimize": shape(
        "optimization:text folder:text changed:yes sentence:text parts:object final:object diff:text best:text spent_usd:number stopped:text wrote:text",
        rounds=rows("round:count outcome:text candidate:text reason:text why:text"),
    ),
    "review diff": shape(
        "outcome:text reviewer:text rules:count files:count verdicts:count known:count questions:count usd:number dropped:object notes:texts sentence:text",
        findings=rows("rule:text severity:text file:text line:count removed:yes why:text suggestion:text text:text"),
        unreviewed=rows("rules:texts file:text line:count why:text"),
    ),
    "review init": shape("folder:text files:texts kept:texts"),
    "review rules": shape("", rules=rows("id:text severity:text paths:texts text:text examples:object file:text")),
    "review lint": shape("rules:count ok:yes", findings=rows("check:text severity:text message:text rule:text file:text")),
    "eval flaky": shape("quarantined:texts", cases=rows("case:text version:text passed:count attempts:count verdict:text mixed:yes passing:number failing:number quarantined:yes")),
    "eval judge ls": shape(
        "",
        judges=rows("judge:text model:text rubric:text gate:text may_gate:yes why_not:texts labels:count"),
        templates=rows("name:text about:text"),
    ),
    "eval judge show": shape("judge:text settings:object rubric:text", "may_gate:yes why_not:texts"),
    "eval judge new": shape("file:text text:text section:text written:yes asked:text"),
    "eval judge label": shape(
        "run:text done:count left:count random_left:count",
        "item:object",
        labelled=rows("item:text case:text outcome:text who:text how:text"),
    ),
    "eval judge import": shape(
        "queue:text criterion:text labels:count fresh:count taken_back:count of_runs:count people:texts left_out:object held_back:count",
        unread=rows("id:text why:text"),
    ),
    "eval judge calibrate": shape(
        "judge:text model:text rubric:text may_gate:yes gate:text why_not:texts bar:object labels:object agreement:any "
        "sensitivity:object specificity:object people:object position_bias:object verbosity_bias:object drift:objects "
        "variance:object asked_usd:number rates:objects",
    ),
    "eval judge prefer": shape(
        "judge:text pairs:count first:count second:count ties:count unscored:count usd:number position_bias:object",
        choices=rows("case:text criterion:text better:text why:text"),
    ),
    "sign-in": shape("url:text"),
    "open": shape("url:text opened:yes"),
    "status": shape("running:yes ready:yes parts:object url:text grpc:text? pid:count data:text store:text started:text"),
    "down": shape("stopped:yes url:text pid:count data:text"),
    "deliver": shape(
        "endpoint:text delivered:count waiting:count refused:count",
        elsewhere=rows("folder:text endpoint:text records:count bytes:count"),
    ),
    "verify": shape("verdict:text exit_code:count overhead:any", checks=rows("name:text verdict:text says:text evidence:texts remedy:text")),
    "demo": shape("summary:text runs:texts"),
    "docs": rows("topic:text kind:text title:text bytes:count"),
    "docs --search": rows("topic:text section:text line:count text:text"),
    "docs TOPIC": shape("topic:text title:text text:text sections:texts"),
    "skills": rows("name:text version:text description:text files:texts", installed=rows("folder:text state:text")),
    "skills get": shape("name:text file:text text:text files:texts"),
    "skills install": rows("skill:text folder:text action:text why:text"),
    "api": {"description": "What the address answers; without PATH: rows of method, path and summary."},
    "schema": shape("", "type:text properties:object description:text"),
}  # fmt: skip
"""The shape of ``data`` where no route has it."""

LINES: dict[str, Mapping[str, Any]] = {
    "tail": {
        "oneOf": [
            shape("trace_id:text kind:text name:text", "time:text step:count agent:text status:text duration_ms:number? "
                  "total_tokens:count cost_usd:text error:text", event={"const": "span"}),
            shape("trace_id:text state:text", "agent:text environment:text reason:text since:text status:text spans:count "
                  "cost_usd:text signals:any", event={"const": "trace"}),
            shape("trace_id:text signal:text", "agent:text environment:text", event={"const": "signal"}),
            shape("cursor:text skipped:count get:text", "since:text", event={"const": "lag"}),
            shape("reason:text lines:count cursor:text next:text", event={"const": "end"}),
        ]
    },
    "up": shape("url:text grpc:text? sign_in:text project:text new_key:text data:text replayed_bytes:count", event={"const": "ready"}),
}  # fmt: skip
"""The shape of a line, where an answer is no envelope."""

_MINIMISED = shape(
    "same:text shows:text runs:count seconds:number cost_usd:number left_out:object stopped:text sentence:text",
    before=shape("bytes:count messages:count calls:count"),
    after=shape("bytes:count messages:count calls:count"),
)
OWN.update(
    {
        "eval from-trace": {
            "type": "object",
            "properties": {
                **shape(
                    "id:text suite:text file:text verdict:text checks:texts input:text stubs:count bytes:count masked:object",
                    "trimmed:object",
                )["properties"],
                "minimised": _MINIMISED,
            },
            "required": ["id", "suite", "file", "verdict", "checks", "input", "stubs", "bytes", "masked"],
        },
        "eval minimise": shape("id:text file:text", minimised=_MINIMISED),
        "eval replay": shape(
            "mode:text holds:yes decided_by:text decisions:count failing:count counts:object",
            "judged:object",
            steps=rows("number:count verdict:text holds:yes recorded:text today:text why:text"),
        ),
    }
)

WITHOUT: dict[str, str] = {
    "run": "its answer is the command's own",
    "analyze report": "Markdown; its findings have a schema",
    "mcp": "it speaks another protocol",
}
"""Commands without a schema, with the reason."""

_TRACE = (
    *("trace_id", "start_time", "status", "agent", "root_name", "duration_ms", "spans", "errors", "tokens.total"),
    *("cost_usd", "signals"),
)
_LIVE = (
    *("trace_id", "agent", "environment", "state", "since", "doing.kind", "doing.name", "doing.since"),
    *("sign_of_life", "elapsed_ms", "usual_p95_ms", "spans", "total_tokens", "cost_usd", "signals"),
)
_SESSION = (
    *("session_id", "agent", "user_id", "traces", "status", "start_time", "end_time", "errors", "total_tokens"),
    "cost_usd",
)
BRIEF: dict[str, tuple[str, ...]] = {
    "ls": _TRACE,
    "live": _LIVE,
    "sessions": _SESSION,
    "jobs ls": ("run_id", "workflow", "state", "created", "started", "ended", "attempts", "steps", "error"),
    "approvals ls": (
        "approval_id",
        "state",
        "tool",
        "agent",
        "risk",
        "rule",
        "missing",
        "reviewers",
        "deadline",
        "use_by",
    ),
    "logs search": ("time", "severity", "service", "host", "body", "trace_id", "logger"),
}
"""The fields of a row that a list shows unless ``--fields`` says otherwise; a dot reaches inside.

Names and numbers, no free text: who polls a list must not be talked to by what was recorded.
"""
