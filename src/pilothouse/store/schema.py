"""The trace store's tables, one schema for every engine. The engine clause is a template; nothing else differs."""

from __future__ import annotations

from dataclasses import dataclass

LC = "LowCardinality(String)"
TEXT = "String CODEC(ZSTD(1))"
BIG_TEXT = "String CODEC(ZSTD(3))"
TIME = "DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))"
COUNT = "UInt64 CODEC(T64, ZSTD(1))"
MAP = "Map(LowCardinality(String), String) CODEC(ZSTD(1))"
MONEY = "Nullable(Decimal(18, 12))"

TOKEN_BUCKETS = (
    "input_uncached",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write_other",
    "audio_input",
    "output_text",
    "reasoning",
    "audio_output",
)
"""The disjoint usage buckets, in the order of :class:`pilothouse.records.Usage`; each is a column ``<bucket>_tokens``."""

_TOKENS = tuple((f"{bucket}_tokens", COUNT) for bucket in TOKEN_BUCKETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """One stored table."""

    name: str
    columns: tuple[tuple[str, str], ...]
    """Column names and types; the last of every table are ``received_at``, ``received_day`` and ``version``."""
    order: str
    """The sorting key: also the row's identity, of which the newest version wins."""
    indexes: tuple[str, ...] = ()
    shard: str = "cityHash64(project_id)"
    granularity: int = 8192
    key: str = ""
    """The primary key where it is shorter than the sorting key."""
    keep_days: int = 0
    """Days after which rows go by themselves; 0: they stay until retention takes them."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """All columns in order."""
        return tuple(name for name, _ in self.columns)


_ARRIVAL = (
    ("received_at", "DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))"),
    ("received_day", "Date"),
    ("version", "UInt64 CODEC(Delta, ZSTD(1))"),
)

# The words that no content row holds: a search reads this and the messages. The engine knows only this form.
_INLINE_WORDS = "concat(if(empty(input_refs), input_text, ''), ' ', if(empty(output_refs), output_text, ''))"

SPAN = TableSpec(
    name="span",
    columns=(
        ("project_id", LC),
        ("trace_id", TEXT),
        ("span_id", TEXT),
        ("parent_span_id", TEXT),
        ("step", "UInt32 CODEC(T64, ZSTD(1))"),
        ("kind", LC),
        ("name", LC),
        ("agent", LC),
        ("agent_id", LC),
        ("agent_version", LC),
        ("operation", LC),
        ("model", LC),
        ("request_model", LC),
        ("provider", LC),
        ("dialect", LC),
        ("status", LC),
        ("error_type", LC),
        ("error_message", TEXT),
        ("error_stack", TEXT),
        ("start_time", TIME),
        ("duration_ns", "Int64 CODEC(ZSTD(1))"),
        ("ttft_ns", "Nullable(Int64)"),
        *_TOKENS,
        ("usage_scope", LC),
        ("usage_rule", LC),
        ("usage_ambiguous", "UInt8"),
        ("cost_usd", MONEY),
        ("cost_source", LC),
        ("cost_given_usd", MONEY),
        ("duplicate_of", TEXT),
        ("tool_name", LC),
        ("tool_call_id", TEXT),
        ("tool_error", TEXT),
        ("response_id", TEXT),
        ("finish_reason", LC),
        ("session_id", TEXT),
        ("user_id", TEXT),
        ("environment", LC),
        ("service", LC),
        ("feature", LC),
        ("tags", "Array(LowCardinality(String))"),
        ("prompt_name", LC),
        ("prompt_version", LC),
        ("parameters", TEXT),
        ("input_text", TEXT),
        ("output_text", TEXT),
        ("message_scope", TEXT),
        ("input_refs", "Array(String) CODEC(ZSTD(1))"),
        ("output_refs", "Array(String) CODEC(ZSTD(1))"),
        ("tools_ref", TEXT),
        ("tools_offered", "Array(LowCardinality(String))"),
        ("documents_ref", TEXT),
        ("attributes", MAP),
        ("typed_attributes", "Array(LowCardinality(String))"),
        ("resource", MAP),
        ("scope_name", LC),
        ("scope_version", LC),
        ("otel_kind", "UInt8"),
        ("trace_state", TEXT),
        ("links", TEXT),
        ("notes", "Array(LowCardinality(String))"),
        *_ARRIVAL,
    ),
    # The hour first: lists and charts read a time range, and a trace lies within few hours.
    order="(project_id, toStartOfHour(start_time), trace_id, start_time, span_id)",
    key="(project_id, toStartOfHour(start_time), trace_id)",
    indexes=(
        "INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1",
        "INDEX by_span span_id TYPE bloom_filter(0.01) GRANULARITY 1",
        "INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1",
        "INDEX by_attribute mapValues(attributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        f"INDEX by_word {_INLINE_WORDS} TYPE text(tokenizer = splitByNonAlpha, preprocessor = lower({_INLINE_WORDS}))",
    ),
    shard="cityHash64(trace_id)",
)

TRACE = TableSpec(
    name="trace",
    columns=(
        ("project_id", LC),
        ("trace_id", TEXT),
        ("root_span_id", TEXT),
        ("root_name", LC),
        ("agent", LC),
        ("agent_version", LC),
        ("agents", "Array(LowCardinality(String))"),
        ("models", "Array(LowCardinality(String))"),
        ("tools", "Array(LowCardinality(String))"),
        ("dialects", "Array(LowCardinality(String))"),
        ("status", LC),
        ("open", "UInt8"),
        ("running_spans", "UInt32"),
        ("start_time", TIME),
        ("duration_ns", "Int64 CODEC(ZSTD(1))"),
        ("spans", COUNT),
        ("model_calls", COUNT),
        ("tool_calls", COUNT),
        ("errors", COUNT),
        ("duplicates", COUNT),
        ("orphans", COUNT),
        *_TOKENS,
        ("cost_usd", MONEY),
        ("cost_unknown", COUNT),
        ("usage_ambiguous", COUNT),
        ("usage_gap", "Int64"),
        ("session_id", TEXT),
        ("user_id", TEXT),
        ("environment", LC),
        ("service", LC),
        ("feature", LC),
        ("tags", "Array(LowCardinality(String))"),
        ("input_text", TEXT),
        ("output_text", TEXT),
        ("first_error", TEXT),
        ("signals", "Array(LowCardinality(String))"),
        ("signal_details", TEXT),
        *_ARRIVAL,
    ),
    order="(project_id, trace_id)",
    indexes=("INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1",),
    shard="cityHash64(trace_id)",
    # Looked up by random trace ids at every batch of arriving spans: small granules read less for each.
    granularity=1024,
)

MESSAGE = TableSpec(
    name="message",
    columns=(
        ("project_id", LC),
        ("scope", TEXT),
        ("hash", TEXT),
        ("kind", LC),
        ("role", LC),
        ("name", LC),
        # Blocks of a megabyte: the messages of a conversation resemble each other, and are read together.
        ("content", BIG_TEXT + " SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 4194304)"),
        ("envelope", BIG_TEXT),
        ("trace_id", TEXT),
        ("span_id", TEXT),
        ("time", "DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))"),
        *_ARRIVAL,
    ),
    # The scope first: the messages of one trace or session lie together.
    order="(project_id, scope, hash)",
    indexes=(
        "INDEX by_word content TYPE text(tokenizer = splitByNonAlpha, preprocessor = lower(content))",
        "INDEX by_hash hash TYPE bloom_filter(0.01) GRANULARITY 1",
    ),
    granularity=1024,
)

EVENT = TableSpec(
    name="event",
    columns=(
        ("project_id", LC),
        ("trace_id", TEXT),
        ("span_id", TEXT),
        ("position", "UInt32"),
        ("time", TIME),
        ("name", LC),
        ("attributes", MAP),
        *_ARRIVAL,
    ),
    order="(project_id, toStartOfHour(time), trace_id, span_id, position)",
    indexes=("INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1",),
    shard="cityHash64(trace_id)",
)

LOG = TableSpec(
    name="log",
    columns=(
        ("project_id", LC),
        ("time", TIME),
        ("observed_time", TIME),
        ("severity_number", "UInt8"),
        ("severity", LC),
        ("service", LC),
        ("host", LC),
        ("event_name", LC),
        ("body", BIG_TEXT),
        ("trace_id", TEXT),
        ("span_id", TEXT),
        ("attributes", MAP),
        ("resource", MAP),
        ("scope_name", LC),
        ("hash", TEXT),
        *_ARRIVAL,
    ),
    order="(project_id, toStartOfHour(time), time, hash)",
    key="(project_id, toStartOfHour(time))",
    indexes=(
        "INDEX by_word body TYPE text(tokenizer = splitByNonAlpha, preprocessor = lower(body))",
        "INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1",
        "INDEX by_attribute mapValues(attributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        # Within an hour too, only the granules of the seconds around a trace are read.
        "INDEX by_time time TYPE minmax GRANULARITY 1",
    ),
)

SCORE = TableSpec(
    name="score",
    columns=(
        ("project_id", LC),
        ("trace_id", TEXT),
        ("span_id", TEXT),
        ("session_id", TEXT),
        ("name", LC),
        ("source", LC),
        ("score_id", TEXT),
        ("value", "Nullable(Float64)"),
        ("label", LC),
        ("explanation", TEXT),
        ("actor", LC),
        ("actor_id", TEXT),
        ("actor_kind", LC),
        ("run", TEXT),
        ("removed", "UInt8"),
        ("time", TIME),
        *_ARRIVAL,
    ),
    order="(project_id, trace_id, span_id, name, source, score_id)",
    indexes=("INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1",),
    shard="cityHash64(trace_id)",
)

ANNOTATION = TableSpec(
    name="annotation",
    columns=(
        ("project_id", LC),
        ("trace_id", TEXT),
        ("span_id", TEXT),
        ("session_id", TEXT),
        ("kind", LC),
        ("annotation_id", TEXT),
        ("name", LC),
        ("text", TEXT),
        ("actor", LC),
        ("actor_id", TEXT),
        ("actor_kind", LC),
        ("run", TEXT),
        ("removed", "UInt8"),
        ("time", TIME),
        *_ARRIVAL,
    ),
    # Notes and labels; what scores are, is in the table of scores, beside those that arrived with the telemetry.
    order="(project_id, trace_id, span_id, annotation_id)",
    indexes=("INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1",),
    shard="cityHash64(trace_id)",
    granularity=1024,
)

GONE = TableSpec(
    name="gone",
    columns=(("project_id", LC), ("trace_id", TEXT), ("session_id", TEXT), ("time", TIME), *_ARRIVAL),
    # What was deleted on request, by id alone: an export that has it lets go of it.
    order="(project_id, trace_id)",
    shard="cityHash64(trace_id)",
    granularity=1024,
)

POINT = TableSpec(
    name="point",
    columns=(
        ("project_id", LC),
        ("metric", LC),
        ("time", TIME),
        ("start_time", TIME),
        ("type", LC),
        ("temporality", LC),
        ("unit", LC),
        ("service", LC),
        ("value", "Float64 CODEC(ZSTD(1))"),
        ("count", COUNT),
        ("detail", TEXT),
        ("attributes", MAP),
        ("resource", MAP),
        ("hash", TEXT),
        *_ARRIVAL,
    ),
    order="(project_id, metric, toStartOfHour(time), time, hash)",
    key="(project_id, metric, toStartOfHour(time))",
)

PULSE = TableSpec(
    name="pulse",
    columns=(
        ("project_id", LC),
        ("instance", TEXT),
        ("service", LC),
        ("time", TIME),
        ("interval_s", "Float64"),
        ("goodbye", "UInt8"),
        ("open", TEXT),
        *_ARRIVAL,
    ),
    # One row a process: of its heartbeats only the last one tells anything, so there are never many to read.
    order="(project_id, instance)",
    keep_days=8,
)

TABLES = (SPAN, TRACE, MESSAGE, EVENT, LOG, SCORE, ANNOTATION, GONE, POINT, PULSE)

STORE_VERSION = 3
"""What a store is brought to. 1: as first released. 2: details of signals, hosts of logs. 3: annotations."""

ADDED_COLUMNS: tuple[tuple[int, str, str], ...] = (
    (2, "trace", "signal_details"),
    (2, "log", "host"),
    *((3, "score", column) for column in ("actor", "actor_id", "actor_kind", "run", "removed")),
)
"""Columns that stores of an older version lack: version, table, column. Never edited after release."""

ADDED_INDEXES: tuple[tuple[int, str, str], ...] = ((2, "log", "by_attribute"), (2, "log", "by_time"))
"""Indexes that stores of an older version lack: version, table, index. Never edited after release."""


def add_index(table: str, index: str, database: str, *, cluster: str = "") -> list[str]:
    """The statements that give an existing table an index it lacks; parts written before stay without it."""
    spec = next(spec for spec in TABLES if spec.name == table)
    found = next(text for text in spec.indexes if text.startswith(f"INDEX {index} ")).removeprefix("INDEX ")
    return [f"ALTER TABLE {database}.{table}{'_local' if cluster else ''} ADD INDEX IF NOT EXISTS {found}"]


def add_column(table: str, column: str, database: str, *, cluster: str = "") -> list[str]:
    """The statements that give an existing table a column it lacks; nothing happens where it is there."""
    spec = next(spec for spec in TABLES if spec.name == table)
    names = spec.column_names
    kind = dict(spec.columns)[column]
    before = names[names.index(column) - 1]
    # A Distributed table has no codecs of its own.
    plain = kind.split(" CODEC(")[0]
    local = f"ALTER TABLE {database}.{table}{'_local' if cluster else ''} ADD COLUMN IF NOT EXISTS {column} {kind} AFTER {before}"
    if not cluster:
        return [local]
    return [local, f"ALTER TABLE {database}.{table} ADD COLUMN IF NOT EXISTS {column} {plain} AFTER {before}"]


def create_table(spec: TableSpec, database: str, *, cluster: str = "", replicated: bool = False) -> list[str]:
    """The statements that make one table.

    Without a cluster: one table. With one: ``<name>_local`` on every node (Replicated where asked) and a
    Distributed table of the plain name over them. Replicated engines are untested: no Keeper runs in the tests.
    """
    local = f"{spec.name}_local" if cluster else spec.name
    columns = ",\n  ".join([*(f"{name} {kind}" for name, kind in spec.columns), *spec.indexes])
    engine = "ReplacingMergeTree(version)"
    if replicated:
        engine = (
            f"ReplicatedReplacingMergeTree('/clickhouse/tables/{{shard}}/{{database}}/{local}', '{{replica}}', version)"
        )
    settings = f"index_granularity = {spec.granularity}, fsync_after_insert = 1, min_rows_for_wide_part = 0"
    # A day nobody writes to any more becomes one part: FINAL costs next to nothing then.
    settings += ", min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1"
    lives = f"\nTTL received_day + toIntervalDay({spec.keep_days})" if spec.keep_days else ""
    # Partitioned by the day of arrival, not of start: a sender with a wild clock cannot make thousands of partitions.
    statements = [
        f"CREATE TABLE IF NOT EXISTS {database}.{local} (\n  {columns}\n) ENGINE = {engine}\nPARTITION BY received_day\n"
        f"PRIMARY KEY {spec.key or spec.order}\nORDER BY {spec.order}{lives}\nSETTINGS {settings}"
    ]
    if cluster:
        statements.append(
            f"CREATE TABLE IF NOT EXISTS {database}.{spec.name} AS {database}.{local} "
            f"ENGINE = Distributed('{cluster}', '{database}', '{local}', {spec.shard})"
        )
    return statements
