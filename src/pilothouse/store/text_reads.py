"""Full-text reads: where words occur, in messages and in the short values that only spans hold."""

from __future__ import annotations

from dataclasses import dataclass

from .conditions import ARRIVED, has_phrase, words_in_message, words_in_span
from .trace_store import TraceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One content or span in which the words occur."""

    time_ns: int
    id: str
    """The content's hash, or the span's id: orders places of one moment."""
    scope: str
    """Where the content is stored; empty for a span's own text and for what the whole project shares."""
    trace_id: str
    span_id: str
    role: str
    """The message's role; ``value``, ``tools`` or ``documents``; ``tool input or output`` of a span."""
    in_span: bool

    @property
    def key(self) -> tuple[str, str]:
        """What tells its text from others: two traces may have spans of one id."""
        return (self.trace_id if self.in_span else self.scope, self.id)


def find_words(
    store: TraceStore,
    project: str,
    words: str,
    since_ns: int,
    until_ns: int,
    *,
    limit: int,
    after: tuple[int, str] | None = None,
) -> list[Place]:
    """The newest places of some words, newest first. ``after`` is time and id of the last one seen.

    What is said again on a later day is a place again: each day stores its own copy of a content. Versions of a row
    that are not merged yet come twice: sorting them out here would make the engine read far more than it shows.
    """
    params: dict[str, object] = {"project": project, "words": words, "since": since_ns, "until": until_ns}
    params["limit"] = limit
    beyond = ""
    if after is not None:
        params.update(after_time=after[0], after_id=after[1])
        beyond = " AND ({time} < {after_time:Int64} OR {time} = {after_time:Int64} AND {id} > {after_id:String})"
    phrase = has_phrase(words)
    said_at, held_at = "toUnixTimestamp64Milli(time) * 1000000", "toUnixTimestamp64Nano(start_time)"
    said = (
        f"SELECT {said_at} AS at, hash AS id, scope AS place, trace_id AS trace, span_id AS span, "
        f"if(kind = 'message', role, kind) AS said_as, 0 AS in_span FROM {{db}}.message "
        f"WHERE project_id = {{project:String}} AND {ARRIVED} AND {_between('time')} "
        f"AND {words_in_message('words', phrase=phrase)}{beyond.replace('{time}', said_at).replace('{id}', 'hash')} "
        "ORDER BY at DESC, id LIMIT {limit:UInt32}"
    )
    held = (
        f"SELECT {held_at} AS at, span_id AS id, '' AS place, trace_id AS trace, span_id AS span, "
        "'tool input or output' AS said_as, 1 AS in_span FROM {db}.span "
        f"WHERE project_id = {{project:String}} AND {ARRIVED} AND {_between('start_time')} "
        f"AND {words_in_span('words', phrase=phrase)}{beyond.replace('{time}', held_at).replace('{id}', 'span_id')} "
        "ORDER BY at DESC, id LIMIT {limit:UInt32}"
    )
    table = store.query(
        f"SELECT * FROM (SELECT * FROM ({said}) UNION ALL SELECT * FROM ({held})) "
        "ORDER BY at DESC, id LIMIT {limit:UInt32}",
        params,
    )
    return [
        Place(
            time_ns=row[0], id=row[1], scope=row[2], trace_id=row[3], span_id=row[4], role=row[5], in_span=row[6] == 1
        )
        for row in table.rows
    ]


def texts_of(store: TraceStore, project: str, places: list[Place]) -> dict[tuple[str, str], str]:
    """The text of each place, by its ``key``."""
    contents = [place for place in places if not place.in_span]
    spans = [place for place in places if place.in_span]
    found: dict[tuple[str, str], str] = {}
    if contents:
        table = store.query(
            "SELECT scope, hash, content FROM {db}.message WHERE project_id = {project:String} "
            "AND scope IN {scopes:Array(String)} AND hash IN {hashes:Array(String)} LIMIT 1 BY scope, hash",
            {
                "project": project,
                "scopes": list({place.scope for place in contents}),
                "hashes": list({place.id for place in contents}),
            },
        )
        found.update(((row[0], row[1]), row[2]) for row in table.rows)
    if spans:
        table = store.query(
            "SELECT trace_id, span_id, concat(input_text, '\\n', output_text) FROM {db}.span WHERE project_id = {project:String} "
            "AND start_time >= fromUnixTimestamp64Nano({first:Int64}, 'UTC') "
            "AND start_time <= fromUnixTimestamp64Nano({last:Int64}, 'UTC') "
            "AND trace_id IN {traces:Array(String)} AND span_id IN {spans:Array(String)} "
            "ORDER BY version DESC LIMIT 1 BY trace_id, span_id",
            {
                "project": project,
                "traces": list({place.trace_id for place in spans}),
                "spans": [place.id for place in spans],
                "first": min(place.time_ns for place in spans),
                "last": max(place.time_ns for place in spans),
            },
        )
        found.update(((row[0], row[1]), row[2]) for row in table.rows)
    return found


def _between(column: str) -> str:
    return (
        f"{column} >= fromUnixTimestamp64Nano({{since:Int64}}, 'UTC') "
        f"AND {column} < fromUnixTimestamp64Nano({{until:Int64}}, 'UTC')"
    )
