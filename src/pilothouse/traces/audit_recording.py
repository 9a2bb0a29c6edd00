"""Checks of an audit: what is not recorded, so that a failure could not be seen or explained."""

from __future__ import annotations

import shlex
from collections import Counter

from .agent_runs import AgentRuns
from .audit_checks import Around, Check, Outcome, none_or_some


def _tool_results(runs: AgentRuns, _: Around) -> Outcome:
    ended = [(trace, span) for trace, span in runs.spans("tool") if span["status"] == "ok"]
    bare = [trace.at(span, span["tool_name"] or span["name"]) for trace, span in ended if not span["output_chars"]]
    return none_or_some(
        bare, len(ended), "the raw result of {count} of {of} tool calls is not recorded: nobody can tell whether they worked",
        fine="the raw result of all {of} tool calls is recorded", empty="it calls no tool",
    )  # fmt: skip


def _usage(runs: AgentRuns, _: Around) -> Outcome:
    calls = [(trace, span) for trace, span in runs.spans("model") if span["status"] == "ok"]
    bare = [trace.at(span, span["model"] or span["name"]) for trace, span in calls if not span["usage_scope"]]
    return none_or_some(bare, len(calls), "{count} of {of} model calls report no tokens: their cost is not known",
                        fine="all {of} model calls report their tokens", empty="it calls no model")  # fmt: skip


def _finish(runs: AgentRuns, _: Around) -> Outcome:
    calls = [(trace, span) for trace, span in runs.spans("model") if span["status"] == "ok"]
    bare = [trace.at(span, span["model"] or span["name"]) for trace, span in calls if not span["finish_reason"]]
    return none_or_some(bare, len(calls), "{count} of {of} model calls do not say why they stopped: a cut answer looks whole",
                        fine="all {of} model calls say why they stopped", empty="it calls no model")  # fmt: skip


def _prompts(runs: AgentRuns, _: Around) -> Outcome:
    calls = list(runs.spans("model"))
    bare = [
        trace.at(span, span["model"] or span["name"])
        for trace, span in calls
        if not span["messages_in"] and not span["input_head"]
    ]
    return none_or_some(bare, len(calls), "what {count} of {of} model calls were sent is not recorded",
                        fine="what all {of} model calls were sent is recorded", empty="it calls no model")  # fmt: skip


def _versions(runs: AgentRuns, _: Around) -> Outcome:
    bare = [
        trace.at(trace.top, "no version")
        for trace in runs.traces
        if not trace.row["agent_version"] and not any(span["agent_version"] for span in trace.spans)
    ]
    return none_or_some(bare, len(runs.traces), "{count} of {of} traces do not say which version ran",
                        fine="all {of} traces say which version ran")  # fmt: skip


def _sessions(runs: AgentRuns, _: Around) -> Outcome:
    bare = [trace.at(trace.top, "no session") for trace in runs.traces if not trace.row["session_id"]]
    return none_or_some(bare, len(runs.traces), "{count} of {of} traces belong to no session",
                        fine="all {of} traces belong to a session")  # fmt: skip


def _environments(runs: AgentRuns, _: Around) -> Outcome:
    bare = [trace.at(trace.top, "no environment") for trace in runs.traces if not trace.row["environment"]]
    return none_or_some(bare, len(runs.traces), "{count} of {of} traces do not say where they ran: tests and users are mixed",
                        fine="all {of} traces say where they ran")  # fmt: skip


def _orphans(runs: AgentRuns, _: Around) -> Outcome:
    torn = [trace.at(trace.top, f"{trace.row['orphans']} orphans") for trace in runs.traces if trace.row["orphans"]]
    return none_or_some(torn, len(runs.traces), "{count} of {of} traces have spans whose parent never arrived",
                        fine="no span of {of} traces lacks its parent")  # fmt: skip


def _doubles(runs: AgentRuns, _: Around) -> Outcome:
    twice = [
        trace.at(trace.top, f"{trace.row['duplicates']} second views")
        for trace in runs.traces
        if trace.row["duplicates"]
    ]
    return none_or_some(twice, len(runs.traces), "in {count} of {of} traces two instrumentations record the same calls",
                        fine="no call of {of} traces is recorded twice")  # fmt: skip


def _clocks(runs: AgentRuns, _: Around) -> Outcome:
    spans = [(trace, span) for trace in runs.traces for span in trace.spans]
    wrong = [trace.at(span, next(note for note in span["notes"] if note.startswith("clock:")))
             for trace, span in spans if any(note.startswith("clock:") for note in span["notes"])]  # fmt: skip
    return none_or_some(wrong, len(spans), "{count} of {of} spans had impossible times, which were corrected",
                        fine="the times of all {of} spans make sense")  # fmt: skip


def _heartbeats(runs: AgentRuns, around: Around) -> Outcome:
    if not runs.services:
        return Outcome(state="cannot_tell", found="its spans name no service, so heartbeats cannot be matched")
    if around.heartbeats:
        return Outcome(state="passing", found=f"{around.heartbeats:,} processes of its services send heartbeats")
    return Outcome(
        state="failing", found=f"no process of {', '.join(runs.services[:3])} sends heartbeats: its death would be seen only as silence",
        count=len(runs.services), of=len(runs.services), look="pilothouse status",
    )  # fmt: skip


def _logs(runs: AgentRuns, around: Around) -> Outcome:
    if around.log_lines_joined:
        return Outcome(state="passing", found=f"{around.log_lines_joined:,} log lines name traces of it")
    if not around.log_lines:
        return Outcome(state="cannot_tell", found="no log line of its services was received")
    return Outcome(
        state="failing", found=f"none of {around.log_lines:,} log lines of its services names a trace",
        count=around.log_lines, of=around.log_lines,
        look=f"pilothouse logs search error --service {shlex.quote(runs.services[0])}",
    )  # fmt: skip


def _unpriced(runs: AgentRuns, _: Around) -> Outcome:
    calls = [(trace, span) for trace, span in runs.spans("model") if span["usage_scope"] == "leaf"]
    bare = [(trace, span) for trace, span in calls if span["cost_source"] == "unknown model"]
    names = Counter(span["model"] for _, span in bare)
    return none_or_some(
        [trace.at(span, span["model"]) for trace, span in bare], len(calls),
        f"{{count}} of {{of}} model calls have no price: {', '.join(name for name, _ in names.most_common(5))}",
        fine="all {of} model calls with usage have a price", empty="no model call reports its tokens",
    )  # fmt: skip


def _unversioned_prompts(runs: AgentRuns, around: Around) -> Outcome:
    calls = [
        (trace, span)
        for trace, span in runs.spans("model")
        if span["prompt_name"] or span["first_ref"] in around.system_hashes
    ]
    bare = [(trace, span) for trace, span in calls if not span["prompt_name"]]
    prompts = {span["first_ref"] for _, span in bare}
    return none_or_some(
        [trace.at(span, span["first_ref"][:12]) for trace, span in bare], len(calls),
        f"{{count}} of {{of}} model calls send a system prompt without a name ({len(prompts):,} different ones)",
        fine="all {of} system prompts have a name", empty="no system prompt is recorded",
    )  # fmt: skip


_INIT = 'pilothouse.init(service="shop", environment="production", version="1.4.2")'

RECORDING = (
    Check(name="tool_results_missing", title="Are raw results of tools recorded?", harm="high", look_at=_tool_results,
          remedy='@pilothouse.tool\ndef get_order(order: str) -> dict: ...   # or pilothouse.wrap_tool(get_order)'),
    Check(name="heartbeats_absent", title="Would its death be noticed?", harm="high", look_at=_heartbeats,
          remedy=f"{_INIT}   # sends heartbeats while spans are open"),
    Check(name="prompts_not_recorded", title="Is it recorded what models are sent?", harm="high", look_at=_prompts,
          remedy="pilothouse.init(capture_content=True), or OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true"),
    Check(name="finish_reason_missing", title="Is it recorded why models stop?", harm="medium", look_at=_finish,
          remedy="use an instrumentation that records gen_ai.response.finish_reasons, or pilothouse.model_call"),
    Check(name="usage_missing", title="Are tokens recorded?", harm="medium", look_at=_usage,
          remedy='with streaming, ask for usage: stream_options={"include_usage": True}'),
    Check(name="orphans", title="Do traces hold together?", harm="medium", look_at=_orphans,
          remedy="flush before the process ends, and carry the context into threads and processes"),
    Check(name="versions_missing", title="Is the version recorded?", harm="medium", look_at=_versions, remedy=_INIT),
    Check(name="environments_missing", title="Is the environment recorded?", harm="medium", look_at=_environments, remedy=_INIT),
    Check(name="logs_not_joined", title="Do its logs name their traces?", harm="medium", look_at=_logs,
          remedy="logging.getLogger().addHandler(pilothouse.logging_handler())"),
    Check(name="models_unpriced", title="Has every model a price?", harm="medium", look_at=_unpriced,
          remedy="add [[prices]] rows to pilothouse.toml, then: pilothouse reprocess"),
    Check(name="prompts_unversioned", title="Have prompts names and versions?", harm="low", look_at=_unversioned_prompts,
          remedy="record gen_ai.prompt.name and gen_ai.prompt.version with each model call"),
    Check(name="sessions_missing", title="Do traces belong to a session?", harm="low", look_at=_sessions,
          remedy='with pilothouse.session("chat-7", user="ada"): ...'),
    Check(name="double_instrumented", title="Is each call recorded once?", harm="low", look_at=_doubles,
          remedy="switch one of the two instrumentations off; pilothouse cost why ID shows the pairs"),
    Check(name="clock_skew", title="Are its clocks right?", harm="low", look_at=_clocks,
          remedy="check the clocks of its hosts; what was sent is in attributes['pilothouse.sent.start_ns']"),
)  # fmt: skip
