"""The documented SQL views: what users may query. Each is limited to one project by a parameter.

A view is data (a list of columns with their help), so that the DDL, ``pilothouse sql --schema``, the reference page
and the tests come from the same place.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a view."""

    name: str
    sql: str
    """The expression over the stored table; empty where it is the column of the same name."""
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One documented view. ``name`` is what users write; the stored view is ``<name>_of(project = …)``."""

    name: str
    table: str
    help: str
    columns: tuple[Column, ...]
    where: str = ""
    group_by: str = ""
    time_column: str
    """The column a time range is put on."""


def _c(name: str, help: str, sql: str = "") -> Column:
    return Column(name=name, sql=sql, help=help)


_RECENT = "received_at > now64(3) - INTERVAL 60 SECOND"
"""How long a trace without its root counts as running after the last span of it arrived."""

_SUMMED = "usage_scope != 'aggregate' AND duplicate_of = ''"

SPANS = View(
    name="spans",
    table="span",
    time_column="start_time",
    help="One row per span: a model call, a tool call, an agent's turn, or any other step.",
    columns=(
        _c("trace_id", "32 hex digits"),
        _c("span_id", "16 hex digits"),
        _c("parent_span_id", "16 hex digits; empty at a root"),
        _c("step", "place in the trace by start time, from 1; the same number on every surface"),
        _c("kind", "agent, model, tool, retrieval, embedding, guard, evaluator, chain or other"),
        _c("name", "the span's name"),
        _c("agent", "the agent it is or belongs to"),
        _c("agent_version", "the agent's version"),
        _c("operation", "the emitter's own word, e.g. chat or execute_tool"),
        _c("model", "the model that answered"),
        _c("request_model", "the model asked for"),
        _c("provider", "openai, anthropic, google, aws, azure, …"),
        _c("dialect", "which convention read it"),
        _c("status", "ok, error or running"),
        _c("error_type", "exception type or error code"),
        _c("error_message", "what the error said"),
        _c("start_time", "UTC, nanoseconds"),
        _c(
            "end_time",
            "UTC; NULL while running",
            "if(status = 'running', NULL, addNanoseconds(start_time, duration_ns))",
        ),
        _c("duration_ms", "wall clock in milliseconds", "duration_ns / 1e6"),
        _c("ttft_ms", "milliseconds to the first token; NULL where unknown", "ttft_ns / 1e6"),
        _c("input_uncached_tokens", "input tokens at the full price"),
        _c("cache_read_tokens", "input tokens read from the provider's cache"),
        _c(
            "cache_write_tokens",
            "input tokens written to the provider's cache",
            "cache_write_5m_tokens + cache_write_1h_tokens + cache_write_other_tokens",
        ),
        _c("output_tokens", "output tokens, reasoning and audio left out", "output_text_tokens"),
        _c("reasoning_tokens", "reasoning tokens (billed as output)"),
        _c("audio_input_tokens", "audio input tokens"),
        _c("audio_output_tokens", "audio output tokens"),
        _c(
            "usage_scope",
            "leaf; aggregate where descendants report the same tokens (leave out of sums); empty: no usage",
        ),
        _c("usage_rule", "which rule read the usage"),
        _c("usage_ambiguous", "1 where the emitter is unknown and two readings fit"),
        _c("duplicate_of", "span id of the same call seen by another instrumentation; such spans are aggregate"),
        _c(
            "cost_usd",
            "US dollars, decimal; NULL where the price is unknown or the span is an aggregate: sums are right",
            f"if({_SUMMED}, cost_usd, NULL)",
        ),
        _c("cost_source", "price book, emitter, unknown model or no usage"),
        _c("tool_name", "the tool called"),
        _c("tool_call_id", "the call's id, as in the model's answer"),
        _c("tool_error", "why the tool failed although the span says ok"),
        _c("finish_reason", "why the model stopped"),
        _c("session_id", "conversation or thread"),
        _c("user_id", "the end user"),
        _c("environment", "deployment environment"),
        _c("service", "service.name of the process"),
        _c("feature", "the product feature"),
        _c("tags", "tags"),
        _c("prompt_name", "the managed prompt"),
        _c("prompt_version", "its version"),
        _c("parameters", "request parameters, JSON"),
        _c(
            "input_text", "what was new in the input: the last message, or the tool's arguments; first 1,000 characters"
        ),
        _c("output_text", "the answer or the tool's result; first 1,000 characters"),
        _c("input_refs", "hashes of all input messages, in order: join messages.hash"),
        _c("output_refs", "hashes of the output messages"),
        _c("tools_offered", "names of the tools the model could choose from"),
        _c("attributes", "every raw attribute: attributes['key'], always text"),
        _c("resource", "the sender's resource attributes"),
        _c("scope_name", "the instrumentation"),
        _c("notes", "what the reader should know: clock corrected, counts contradictory, …"),
        _c("received_at", "when it arrived, UTC"),
    ),
)

TRACES = View(
    name="traces",
    table="trace",
    time_column="start_time",
    help="One row per trace: one request to an agent, from its start to its final answer.",
    columns=(
        _c("trace_id", "32 hex digits"),
        _c("root_name", "name of the root span"),
        _c("agent", "the agent asked"),
        _c("agent_version", "its version"),
        _c("agents", "all agents seen in it"),
        _c("models", "all models called"),
        _c("tools", "all tools called"),
        _c(
            "status",
            "ok, error or running",
            f"multiIf(running_spans > 0 AND received_at > now64(3) - INTERVAL 1 DAY, 'running', open AND {_RECENT}, 'running', status)",
        ),
        _c("start_time", "UTC, nanoseconds"),
        _c("end_time", "UTC: the end of the last span", "addNanoseconds(start_time, duration_ns)"),
        _c("duration_ms", "wall clock from the first start to the last end, in milliseconds", "duration_ns / 1e6"),
        _c("spans", "number of spans"),
        _c("model_calls", "number of model calls"),
        _c("tool_calls", "number of tool calls"),
        _c("errors", "number of spans with an error, soft tool errors included"),
        _c("input_uncached_tokens", "sum over leaf spans"),
        _c("cache_read_tokens", "sum over leaf spans"),
        _c(
            "cache_write_tokens",
            "sum over leaf spans",
            "cache_write_5m_tokens + cache_write_1h_tokens + cache_write_other_tokens",
        ),
        _c("output_tokens", "sum over leaf spans, reasoning and audio left out", "output_text_tokens"),
        _c("reasoning_tokens", "sum over leaf spans"),
        _c("audio_input_tokens", "sum over leaf spans"),
        _c("audio_output_tokens", "sum over leaf spans"),
        _c(
            "total_tokens",
            "sum of all buckets",
            "input_uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens"
            " + cache_write_other_tokens + audio_input_tokens + output_text_tokens + reasoning_tokens + audio_output_tokens",
        ),
        _c("cost_usd", "US dollars, decimal: the sum over leaf spans with a known price; NULL where none has"),
        _c("cost_unknown", "model calls whose price is unknown"),
        _c("session_id", "conversation or thread"),
        _c("user_id", "the end user"),
        _c("environment", "deployment environment"),
        _c("service", "service.name of the root"),
        _c("feature", "the product feature"),
        _c("tags", "tags"),
        _c("dialects", "the conventions its spans came in"),
        _c("input_text", "the request; first 1,000 characters"),
        _c("output_text", "the final answer; first 1,000 characters"),
        _c("first_error", "the first error's message"),
        _c("signals", "what is odd about it: error, soft_error, loop, no_answer, stalled, premature_finish, …"),
        _c("signal_details", "the same with message, severity, evidence, value and limit; a JSON list or empty"),
        _c("received_at", "when the last span of it arrived, UTC"),
    ),
)

SESSIONS = View(
    name="sessions",
    table="trace",
    time_column="start_time",
    help="One row per session: the traces of one conversation.",
    where="session_id != ''",
    group_by="session_id",
    columns=(
        _c("session_id", "conversation or thread"),
        _c("user_id", "the end user", "argMaxIf(user_id, start_time, user_id != '')"),
        _c("agent", "the agent asked last", "argMax(agent, start_time)"),
        _c("environment", "deployment environment", "argMax(environment, start_time)"),
        _c("traces", "number of turns", "count()"),
        _c("start_time", "start of the first trace, UTC", "min(start_time)"),
        _c("end_time", "end of the last trace, UTC", "max(addNanoseconds(start_time, duration_ns))"),
        _c("spans", "number of spans", "sum(spans)"),
        _c("model_calls", "number of model calls", "sum(model_calls)"),
        _c("tool_calls", "number of tool calls", "sum(tool_calls)"),
        _c("errors", "number of spans with an error", "sum(errors)"),
        _c(
            "total_tokens",
            "sum of all buckets over leaf spans",
            "sum(input_uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens"
            " + cache_write_other_tokens + audio_input_tokens + output_text_tokens + reasoning_tokens + audio_output_tokens)",
        ),
        _c("cost_usd", "US dollars, decimal", "sum(cost_usd)"),
        _c("first_input", "the first request", "argMin(input_text, start_time)"),
        _c("last_output", "the last answer", "argMax(output_text, start_time)"),
    ),
)

_MESSAGE_COLUMNS = (
    _c("trace_id", "the trace that said it first"),
    _c("span_id", "the span that said it first"),
    _c("role", "system, developer, user, assistant or tool"),
    _c("content", "the words; search with hasAllTokens(content, 'word') to use the index"),
    _c("envelope", "what is beside the words: tool calls, media, reasoning; JSON"),
    _c("hash", "content hash: spans.input_refs and output_refs name it"),
    _c("scope", "session or trace within which it is stored once; empty: once for the project"),
    _c("time", "when it was first said, UTC"),
)

MESSAGES = View(
    name="messages",
    table="message",
    time_column="time",
    help="One row per message of a conversation, stored once however often it was sent.",
    where="kind = 'message'",
    columns=_MESSAGE_COLUMNS,
)

CONTENTS = View(
    name="contents",
    table="message",
    time_column="time",
    help="Everything stored by content: messages, long tool results, tool definitions, retrieved documents.",
    columns=(_c("kind", "message, value, tools or documents"), *_MESSAGE_COLUMNS),
)

EVENTS = View(
    name="events",
    table="event",
    time_column="time",
    help="Span events: exceptions and whatever else a span noted on its way.",
    columns=(
        _c("trace_id", "32 hex digits"),
        _c("span_id", "16 hex digits"),
        _c("position", "place within the span, from 0"),
        _c("time", "UTC, nanoseconds"),
        _c("name", "the event's name, e.g. exception"),
        _c("attributes", "attributes['key'], always text"),
    ),
)

LOGS = View(
    name="logs",
    table="log",
    time_column="time",
    help="Log records received over OTLP.",
    columns=(
        _c("time", "UTC, nanoseconds"),
        _c("severity", "TRACE, DEBUG, INFO, WARN, ERROR, FATAL or what the sender says"),
        _c("severity_number", "1 to 24; 0 unknown"),
        _c("service", "service.name"),
        _c("host", "where it was written: host.name, else the node of the cluster"),
        _c("event_name", "the event's name"),
        _c("body", "the text; JSON where it was structured"),
        _c("trace_id", "32 hex digits or empty"),
        _c("span_id", "16 hex digits or empty"),
        _c("attributes", "attributes['key'], always text"),
        _c("resource", "the sender's resource attributes"),
        _c("scope_name", "the instrumentation"),
    ),
)

SCORES = View(
    name="scores",
    table="score",
    time_column="time",
    help="Scores and evaluation results on spans, traces and sessions.",
    where="removed = 0",
    columns=(
        _c("trace_id", "32 hex digits"),
        _c("span_id", "16 hex digits; empty: the whole trace"),
        _c("session_id", "set where the score is on a session"),
        _c("name", "what was judged"),
        _c("value", "the number; NULL where there is only a label"),
        _c("label", "the label"),
        _c("explanation", "why"),
        _c("source", "who judged", "if(actor != '', actor, source)"),
        _c("actor_kind", "person, agent or evaluator; empty where it came with the telemetry"),
        _c("run", "the run that wrote it; empty where it came with the telemetry"),
        _c("score_id", "its id"),
        _c("time", "UTC"),
    ),
)

_ANNOTATION_COLUMNS = (
    _c("trace_id", "32 hex digits; empty on a session"),
    _c("span_id", "16 hex digits; empty: the whole trace"),
    _c("session_id", "set where it is on a session"),
    _c("actor", "who wrote it"),
    _c("actor_kind", "person, agent or evaluator"),
    _c("run", "the run that wrote it"),
    _c("annotation_id", "its id"),
    _c("time", "UTC"),
)

NOTES = View(
    name="notes",
    table="annotation",
    time_column="time",
    help="What people and agents noted on spans, traces and sessions.",
    where="kind = 'note' AND removed = 0",
    columns=(_c("text", "the note"), *_ANNOTATION_COLUMNS),
)

LABELS = View(
    name="labels",
    table="annotation",
    time_column="time",
    help="Labels that people and agents put on spans, traces and sessions.",
    where="kind = 'label' AND removed = 0",
    columns=(_c("name", "the label"), *_ANNOTATION_COLUMNS),
)

METRICS = View(
    name="metrics",
    table="point",
    time_column="time",
    help="Metric data points received over OTLP.",
    columns=(
        _c("metric", "the metric's name"),
        _c("time", "UTC, nanoseconds"),
        _c("type", "gauge, sum, histogram, exponential_histogram or summary"),
        _c("temporality", "delta, cumulative or empty"),
        _c("unit", "the unit"),
        _c("service", "service.name"),
        _c("value", "the number; the sum of a histogram"),
        _c("count", "observations in a histogram"),
        _c("detail", "buckets, quantiles, min and max, JSON"),
        _c("attributes", "attributes['key'], always text"),
        _c("resource", "the sender's resource attributes"),
    ),
)

VIEWS = (TRACES, SPANS, MESSAGES, SESSIONS, EVENTS, LOGS, SCORES, NOTES, LABELS, METRICS, CONTENTS)
BY_NAME = {view.name: view for view in VIEWS}


def create_view(view: View, database: str) -> str:
    """The statement that makes one view."""
    columns = ",\n  ".join(f"{column.sql} AS {column.name}" if column.sql else column.name for column in view.columns)
    where = "project_id = {project:String}" + (f" AND {view.where}" if view.where else "")
    group = f"\nGROUP BY {view.group_by}" if view.group_by else ""
    # Without the setting the analyser reads `sum(spans) AS spans` as the alias inside its own expression.
    return (
        f"CREATE OR REPLACE VIEW {database}.{view.name}_of AS SELECT\n  {columns}\n"
        f"FROM {database}.{view.table} FINAL\nWHERE {where}{group}\nSETTINGS prefer_column_name_to_alias = 1"
    )


def describe(name: str = "") -> str:
    """The views as text: for people, agents and ``pilothouse sql --schema``."""
    chosen = [BY_NAME[name]] if name else list(VIEWS)
    blocks: list[str] = []
    for view in chosen:
        width = max(len(column.name) for column in view.columns)
        rows = "\n".join(f"  {column.name:<{width}}  {column.help}" for column in view.columns)
        blocks.append(f"{view.name}: {view.help}\n{rows}")
    return "\n\n".join(blocks) + "\n"
