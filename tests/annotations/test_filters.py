"""Finding traces by what was written to them, and the answer to a name that no score has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pilothouse import traces
from pilothouse.annotations import Change
from pilothouse.records import BadRequest, Target
from pilothouse.store import TraceStore
from pilothouse.traces import TraceQuery
from tests.traces.support import span_id, support_trace, trace_id

from .conftest import Desk, a_desk


@pytest.fixture(scope="module", params=["chdb", "clickhouse"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Three traces, the third of a session; each with something else written to it."""
    from pilothouse.store.clickhouse_engine import ClickHouseEngine
    from tests.conftest import fresh_store

    engine = (
        request.getfixturevalue("chdb_engine")
        if request.param == "chdb"
        else ClickHouseEngine(request.getfixturevalue("clickhouse_url"))
    )
    for store in fresh_store(engine):
        for desk in a_desk(tmp_path_factory.mktemp("filters"), store):
            for number in (1, 2, 3):
                support_trace(number, project=desk.project, session="chat" if number == 3 else "").store(store)
            desk.write(desk.label("wrong-tool"), desk.score("helpful", 0.25), desk.note("asked twice"), run="r")
            step = Target(trace_id=trace_id(2), span_id=span_id(201))
            desk.write(
                Change(kind="score", target=step, name="helpful", value=0.75, label="pass"),
                Change(kind="label", target=step, name="fine"),
                run="r",
            )
            desk.write(Change(kind="label", target=Target(session_id="chat"), name="talk"), run="r")
            desk.write(desk.label("gone"), run="r")
            desk.write(desk.label("gone", remove=True), run="r")
            yield desk


FOUND: dict[str, list[int]] = {
    "label:wrong-tool": [1],
    "label:fine,wrong-tool": [1, 2],
    "label:w*": [1],
    "label:talk": [3],
    "label:gone": [],
    "-label:*": [],
    "score.helpful<0.5": [1],
    "score.helpful>=0.25": [1, 2],
    "score.helpful:pass": [2],
    "score.helpful:0.75": [2],
    "score.helpful:*": [1, 2],
    "-score.helpful:*": [3],
    "has:note": [1],
    "has:label": [1, 2, 3],
    "has:score -has:note": [2],
}


@pytest.mark.parametrize("text", sorted(FOUND))
def test_a_filter_finds_what_was_written_to(written: Desk, text: str) -> None:
    found = traces.search(written.store, written.project, TraceQuery(text=text)).items
    assert sorted(row.trace_id for row in found) == [trace_id(number) for number in FOUND[text]]


def test_a_name_that_no_score_has_is_answered_with_those_there_are(written: Desk) -> None:
    for verb in (traces.search, traces.facets, traces.sessions, traces.heatmap):
        with pytest.raises(BadRequest) as refused:
            verb(written.store, written.project, TraceQuery(text="score.helpfull<0.5"))
        assert refused.value.allowed == ["helpful"] and "score.helpful<0.5" in str(refused.value.fix)
    with pytest.raises(BadRequest, match="number"):
        traces.search(written.store, written.project, TraceQuery(text="score.helpful>good"))
    with pytest.raises(BadRequest) as kinds:
        traces.search(written.store, written.project, TraceQuery(text="has:remark"))
    assert kinds.value.allowed == ["note", "score", "label"]


def test_labels_and_scores_are_counted_as_facets(written: Desk) -> None:
    labels, scores = traces.facets(written.store, written.project, TraceQuery(), ["label", "score"])
    assert [(one.value, one.count) for one in labels.values] == [("fine", 1), ("wrong-tool", 1)]
    assert [(one.value, one.count) for one in scores.values] == [("helpful", 2)]


def test_a_filter_that_found_nothing_names_the_label(written: Desk) -> None:
    page = traces.search(written.store, written.project, TraceQuery(text="label:nothing agent:refunds"))
    assert page.items == () and page.emptied_by == ("label:nothing",)


def test_a_store_of_an_older_version_gets_what_annotations_need(tmp_path: Path, any_store: TraceStore) -> None:
    any_store.command("DROP TABLE {db}.annotation")
    for column in ("actor", "actor_id", "actor_kind", "run", "removed"):
        any_store.command(f"ALTER TABLE {{db}}.score DROP COLUMN {column}")
    any_store.command("TRUNCATE TABLE {db}.schema_version")
    any_store.command("INSERT INTO {db}.schema_version SELECT 2, now()")
    any_store.migrate()
    for desk in a_desk(tmp_path, any_store):
        desk.write(desk.note("x"), desk.score("s", 1.0), run="r")
        assert len(desk.shown()) == 2
