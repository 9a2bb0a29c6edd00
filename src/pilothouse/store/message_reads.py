"""Reads of what was sent to models: the calls of a trace with the messages they refer to, and how large those are.

Messages are measured and fingerprinted where they lie: a window of two hundred thousand tokens is described in a few
kilobytes, and an image of a megabyte by its length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .schema import TOKEN_BUCKETS
from .trace_reads import READ_SETTINGS, Stretch
from .trace_store import TraceStore

HEAD_CHARS = 240
"""How much of a part's words is read: enough to recognise it, and to show it."""
_HASHES_A_QUERY = 5_000


class PartFacts(NamedTuple):
    """One part of a message, measured."""

    type: str
    id: str
    name: str
    chars: int
    """Characters of its words."""
    print: str
    """A fingerprint of its words."""
    head: str
    arguments_chars: int
    arguments_print: str
    """A fingerprint of the arguments, in whatever order their keys stand; of the media's address as well."""
    arguments_head: str
    mime: str


class MessageFacts(NamedTuple):
    """One stored content, measured."""

    hash: str
    kind: str
    role: str
    chars: int
    bytes: int
    print: str
    """A fingerprint of all its words."""
    parts: tuple[PartFacts, ...]


class CallRow(NamedTuple):
    """One model call: when, by whom, and which messages it was sent."""

    span_id: str
    start_ns: int
    duration_ns: int
    agent: str
    model: str
    provider: str
    status: str
    name: str
    usage_scope: str
    duplicate_of: str
    response_id: str
    previous_response_id: str
    """The answer this call goes on from, where the provider keeps the conversation; or the conversation's id."""
    compacted: bool
    """The emitter says that the conversation was compacted before this call."""
    input_refs: tuple[str, ...]
    output_refs: tuple[str, ...]
    tools_ref: str
    tools_offered: tuple[str, ...]
    scope: str
    tokens: tuple[int, ...]
    """By bucket, in the order of ``TOKEN_BUCKETS``."""


_PART = (
    "arrayMap(p -> tuple("
    "JSONExtractString(p, 'type'), JSONExtractString(p, 'id'), JSONExtractString(p, 'name'), "
    "JSONExtractUInt(p, 'at', 2) - JSONExtractUInt(p, 'at', 1), "
    "toString(cityHash64(substringUTF8(content, JSONExtractUInt(p, 'at', 1) + 1, "
    "JSONExtractUInt(p, 'at', 2) - JSONExtractUInt(p, 'at', 1)))), "
    "substringUTF8(content, JSONExtractUInt(p, 'at', 1) + 1, "
    f"least({HEAD_CHARS}, JSONExtractUInt(p, 'at', 2) - JSONExtractUInt(p, 'at', 1))), "
    "if(JSONHas(p, 'arguments'), lengthUTF8(JSONExtractRaw(p, 'arguments')), 0), "
    "toString(cityHash64(if(JSONType(p, 'arguments') = 'Object', '', JSONExtractRaw(p, 'arguments')), "
    "JSONExtractString(p, 'uri'), "
    "toString(arraySort(JSONExtractKeysAndValuesRaw(p, 'arguments'))))), "
    f"if(JSONHas(p, 'arguments'), substringUTF8(JSONExtractRaw(p, 'arguments'), 1, {HEAD_CHARS}), ''), "
    "JSONExtractString(p, 'mime')), JSONExtractArrayRaw(envelope, 'parts'))"
)


def message_facts(
    store: TraceStore, project: str, scopes: Iterable[str], hashes: Iterable[str]
) -> dict[str, MessageFacts]:
    """Contents by hash, measured, looked for in the project's shared scope and in ``scopes``."""
    found: dict[str, MessageFacts] = {}
    unique = list(dict.fromkeys(hashes))
    within = ["", *dict.fromkeys(scopes)]
    for first in range(0, len(unique), _HASHES_A_QUERY):
        # No FINAL: copies of one hash have the same content, whichever day they were stored on.
        table = store.query(
            "SELECT hash, kind, role, lengthUTF8(content) AS chars, length(content) AS bytes, "
            f"toString(cityHash64(content)) AS print, substringUTF8(content, 1, {HEAD_CHARS}) AS head, "
            f"if(envelope = '', [], {_PART}) AS parts FROM {{db}}.message WHERE project_id = {{project:String}} "
            "AND scope IN {scopes:Array(String)} AND hash IN {hashes:Array(String)} LIMIT 1 BY hash",
            {"project": project, "scopes": within, "hashes": unique[first : first + _HASHES_A_QUERY]},
        )
        for hash, kind, role, chars, size, fingerprint, head, parts in table.rows:
            measured = tuple(PartFacts(*part) for part in parts)
            whole = PartFacts("text", "", "", chars, fingerprint, head, 0, "", "", "")
            found[hash] = MessageFacts(hash, kind, role, chars, size, fingerprint, measured or (whole,))
    return found


def messages_with(
    store: TraceStore, project: str, scopes: Iterable[str], hashes: Iterable[str], words: str
) -> frozenset[str]:
    """Which of these messages hold the words."""
    found: set[str] = set()
    unique = list(dict.fromkeys(hashes))
    within = ["", *dict.fromkeys(scopes)]
    for first in range(0, len(unique), _HASHES_A_QUERY):
        table = store.query(
            "SELECT DISTINCT hash FROM {db}.message WHERE project_id = {project:String} AND scope IN "
            "{scopes:Array(String)} AND hash IN {hashes:Array(String)} AND position(content, {words:String}) > 0",
            {
                "project": project,
                "scopes": within,
                "hashes": unique[first : first + _HASHES_A_QUERY],
                "words": words,
            },
        )
        found.update(row[0] for row in table.rows)
    return frozenset(found)


_OF_TRACE = (
    "project_id = {project:String} AND trace_id = {id:String} "
    "AND start_time >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') "
    "AND start_time <= fromUnixTimestamp64Nano({end:Int64}, 'UTC')"
)
_PREVIOUS = (
    "coalesce(nullIf(arrayFirst((v, k) -> endsWith(k, 'previous_response_id'), mapValues(attributes), "
    "mapKeys(attributes)), ''), nullIf(JSONExtractString(parameters, 'previous_response_id'), ''), "
    "JSONExtractString(parameters, 'conversation'))"
)
_TOKENS = ", ".join(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)


class Calls(NamedTuple):
    """Model calls in order, and how many more there are."""

    rows: tuple[CallRow, ...]
    left_out: int


def model_calls(
    store: TraceStore,
    project: str,
    trace_id: str,
    stretch: Stretch,
    *,
    limit: int,
    refs_max: int,
    last: bool = False,
) -> Calls:
    """The model calls of a trace by start time: the first ones, or with ``last`` those that end with the stretch.

    At most ``limit`` of them, and no more than together refer to ``refs_max`` messages (but always one).
    """
    params: dict[str, Any] = {"project": project, "id": trace_id, "start": stretch.start_ns, "end": stretch.end_ns}
    direction = "DESC" if last else "ASC"
    sizes = store.query(
        "SELECT span_id, length(input_refs) FROM {db}.span FINAL "
        f"WHERE {_OF_TRACE} AND kind = 'model' ORDER BY start_time {direction}, span_id {direction}",
        params,
        settings=READ_SETTINGS,
    ).rows
    chosen: list[str] = []
    refs = 0
    for span_id, size in sizes:
        refs += size
        if len(chosen) >= limit or (chosen and refs > refs_max):
            break
        chosen.append(span_id)
    if not chosen:
        return Calls((), 0)
    table = store.query(
        "SELECT span_id, toUnixTimestamp64Nano(start_time) AS start_ns, duration_ns, agent, model, provider, status, "
        f"name, usage_scope, duplicate_of, response_id, {_PREVIOUS} AS previous, "
        "attributes['gen_ai.conversation.compacted'] = 'true' AS compacted, input_refs, output_refs, tools_ref, "
        f"tools_offered, message_scope, {_TOKENS} FROM {{db}}.span FINAL WHERE {_OF_TRACE} AND kind = 'model' "
        "AND span_id IN {spans:Array(String)} ORDER BY start_ns, span_id",
        {**params, "spans": chosen},
        settings=READ_SETTINGS,
    )
    rows = tuple(
        CallRow._make(
            (
                *row[:12],
                bool(row[12]),
                tuple(row[13]),
                tuple(row[14]),
                row[15],
                tuple(row[16]),
                row[17],
                tuple(row[18:]),
            )
        )
        for row in table.rows
    )
    return Calls(rows, len(sizes) - len(chosen))
