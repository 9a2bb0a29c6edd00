"""From readings to a report: cohorts, claims that are checked, groups compared, failure modes that keep their ids."""

from __future__ import annotations

import json
import random
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pilothouse.analysis.answers import accept
from pilothouse.analysis.cluster import clusters, template
from pilothouse.analysis.drive import Drive
from pilothouse.analysis.export import Export
from pilothouse.analysis.merge import merge
from pilothouse.analysis.plan import begin, plan
from pilothouse.analysis.playbook import load_playbook
from pilothouse.records import BadRequest, NotFound

from .exports import Call, Told, make_export

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")

SOLD = "I could not order it."


def stock(number: int, item: int) -> Call:
    return Call(tool="stock", output=f"Error: item {item} not found in warehouse {number}")


def shop(seed: int = 5, traces: int = 60, *, timeouts: bool = True) -> list[Told]:
    """A shop whose tools fail in two ways: one only for one customer, the other only in one version."""
    dice = random.Random(seed)
    made: list[Told] = []
    for number in range(traces):
        user, version = f"user-{number % 3}", "2.0" if number % 2 else "1.0"
        calls = [Call(tool="stock", output='{"units": 3}'), Call(tool="pay", output='{"ok": true}')]
        if user == "user-1" and number // 3 % 4 < 3:
            calls = [stock(number, dice.randrange(10**4))]
        elif timeouts and version == "2.0" and number % 5 == 0:
            error = f"TimeoutError: pay took longer than {dice.randrange(5, 90)} s"
            calls = [Call(tool="pay", output="", status="error", error=error)]
        failed = len(calls) == 1
        made.append(
            Told(
                number=number,
                calls=calls,
                answer=SOLD if failed else "Ordered.",
                row={"user_id": user, "agent_version": version},
                code={
                    "components": [
                        {
                            "kind": "tool",
                            "name": calls[0].tool,
                            "file": "shop/tools.py",
                            "line": 41,
                            "function": calls[0].tool,
                        }
                    ],
                    "revisions": ["abc123"],
                },
            )
        )
    return made


def analysed(path: Path, traces: list[Told], **how: Any) -> tuple[Path, dict[str, Any]]:
    export = Export(make_export(path, traces))
    folder = begin(export, plan(export, load_playbook("triage"), **how))
    driven = Drive(folder).go()
    assert not driven.state.open
    merge(folder)
    return folder, json.loads((folder / "cohorts.json").read_text())


def test_a_report_from_end_to_end(tmp_path: Path) -> None:
    traces = shop()
    folder, data = analysed(tmp_path / "export", traces, by="user_id")
    stock_items = {told.id for told in traces if told.calls[0].output.startswith("Error")}
    pay_items = {told.id for told in traces if told.calls[0].error}
    findings = {finding["component"]: finding for finding in data["cohorts"]}
    assert {name: set(found["item_ids"]) for name, found in findings.items()} == {"tool:stock": stock_items, "tool:pay": pay_items}  # fmt: skip

    one = findings["tool:stock"]
    assert (one["items"], one["of"], one["mode"], one["mark"], one["severity"]) == (len(stock_items), 60, one["mode"], "new", "high")  # fmt: skip
    assert one["interval"][0] < one["share"] < one["interval"][1]
    assert one["code"][0] == {
        "service": "shop",
        "revision": "abc123",
        "file": "shop/tools.py",
        "line": 41,
        "function": "stock",
    }
    assert one["counter_example"]["used_the_component"] and one["counter_example"]["item"] not in stock_items
    for piece in one["evidence"]:
        line = (tmp_path / "export" / piece["file"]).read_text().splitlines()[piece["line"] - 1]
        assert piece["quote"] in line
    # Why there: the customer it hits, and not the version, which it does not.
    assert ("user_id", "user-1") in {(found["field"], found["value"]) for found in one["differs"]}
    assert "agent_version" not in {found["field"] for found in one["differs"]}
    pay = findings["tool:pay"]
    assert {found["value"] for found in pay["differs"] if found["field"] == "agent_version"} <= {"2.0"}

    worst = data["by_group"][0]
    assert worst["group"] == "user-1" and worst["p_corrected"] < 0.01
    assert data["why_there"]["worse"] == ["user-1"]

    # Every claim can be run again, by anybody, as it stands.
    export = Export(tmp_path / "export")
    for finding in data["cohorts"]:
        claim = finding["claim"]
        assert claim["confirmed"]
        assert next(iter(export.query(claim["sql"])[0].values())) == claim["found"] + claim["elsewhere"]
        assert next(iter(export.query(claim["control_sql"])[0].values())) == claim["elsewhere"]

    text = (folder / "report.md").read_text()
    assert len(text) <= 10_001
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (folder / link).resolve().exists(), link
    actions = [json.loads(line) for line in (folder / "actions.jsonl").read_text().splitlines()]
    assert [action["finding"] for action in actions] == [finding["id"] for finding in data["cohorts"]]
    assert all(action["check"]["sql"] for action in actions)
    assert len((folder / "findings.jsonl").read_text().splitlines()) == 2


def test_the_same_answers_give_the_same_report(tmp_path: Path) -> None:
    folder, data = analysed(tmp_path / "export", shop())
    before = {name: (folder / name).read_bytes() for name in ("report.md", "cohorts.json", "findings.jsonl")}
    merge(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert (folder.parent / "taxonomy.json").exists() and data["cohorts"]


def test_failure_modes_keep_their_ids_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "export"
    _, first = analysed(path, shop(traces=60))
    ids = {finding["component"]: finding["mode"] for finding in first["cohorts"]}
    # Later traces, where payments work again and something else has begun to fail.
    later = shop(seed=9, traces=90, timeouts=False)
    later = [
        told if told.number % 7 else Told(number=told.number, version=2, row=told.row, answer=SOLD, calls=[Call(tool="ship", output="Error: no courier serves this place")])
        for told in later
    ]  # fmt: skip
    make_export(path, [Told(**{**{name: getattr(told, name) for name in Told.__dataclass_fields__}, "version": 2}) for told in later])  # fmt: skip
    folder, second = analysed(path, [])
    marks = {finding["component"]: (finding["mode"], finding["mark"]) for finding in second["cohorts"]}
    assert marks["tool:stock"] == (ids["tool:stock"], "known")
    assert marks["tool:ship"][1] == "new" and marks["tool:ship"][0] not in ids.values()
    assert [mode["id"] for mode in second["gone"]] == [ids["tool:pay"]]
    assert "Gone since an earlier run" in (folder / "report.md").read_text()
    assert f"| {ids['tool:pay']} | gone |" in (folder.parent / "taxonomy.md").read_text()


def test_a_claim_that_its_query_does_not_bear_out_is_dropped_and_said_so(tmp_path: Path) -> None:
    """Readers who report what is not in the traces: the count is of the index, not of their words."""
    traces = [Told(number=number, calls=[Call(tool="stock", output='{"units": 3}')]) for number in range(12)]
    export = Export(make_export(tmp_path / "export", traces))
    run = plan(export, load_playbook("triage"), worker="my-reader")
    folder = begin(export, run)
    for job in run.first_jobs[:5]:
        quote = {"file": f"{job.item.folders[0]}/spans.jsonl", "line": 3, "quote": "stock"}
        said = {"verdict": "problem", "first_bad_step": "003", "component": "tool:stock", "symptom": "the database melted away completely",
                "root_cause": "heat", "evidence": [quote], "confidence": "high"}  # fmt: skip
        assert accept(folder, job, run.playbook, said, {"worker": "my-reader"}, job.item.input_sha)
    merged = merge(folder)
    assert (merged.findings, merged.dropped) == (0, 1)
    text = (folder / "report.md").read_text()
    assert "Not confirmed, and therefore not claimed" in text and "finds 0 of the 5 traces" in text
    assert "readings are open and left out" in text


def test_recorded_words_are_no_markup_of_the_report(tmp_path: Path) -> None:
    hostile = "Error: [click](javascript:x) <script>alert(1)</script> `rm -rf` | # Ignore the report\x1b[2J\u202e now"
    traces = [Told(number=number, calls=[Call(tool="stock", output=hostile)], answer=SOLD) for number in range(5)]
    folder, _ = analysed(tmp_path / "export", traces)
    text = (folder / "report.md").read_text() + (folder / "cohorts.md").read_text().split("```sql")[0]
    assert "<script" not in text and "](javascript" not in text and "`rm" not in text
    assert "\x1b" not in text and "\u202e" not in text


def test_texts_that_differ_in_numbers_and_names_are_one() -> None:
    same = ["Order 4411 failed at 2026-11-20 for 'ann'", "order 99 failed at 2026-01-02T10:00:00Z for 'bob'"]
    assert len({template(text) for text in same}) == 1
    texts = [f"timeout after {n}s calling http://stock/{n}" for n in range(5)] + [f"KeyError: 'sku-{n}'" for n in range(4)]  # fmt: skip
    found = clusters([*texts, "once only, and nothing like it"])
    assert found == [0] * 5 + [1] * 4 + [-1]
    assert clusters([]) == [] and clusters(["alone"]) == [-1]


def test_another_question_does_not_make_a_failure_gone(tmp_path: Path) -> None:
    _, first = analysed(tmp_path / "export", shop(traces=36, timeouts=False))
    folder, second = analysed(tmp_path / "export", [], where="user_id = 'user-0'")
    assert first["cohorts"] and not second["cohorts"] and second["gone"] == []
    assert "| fm-001 | new |" in (folder.parent / "taxonomy.md").read_text()


def test_a_missing_extra_names_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(BadRequest) as caught:
        clusters([f"timeout {word} of the shop" for word in "abcdefgh"])
    assert caught.value.fix == "pip install 'pilothouse[analysis]'"


def test_what_can_be_drawn_and_what_cannot(tmp_path: Path) -> None:
    export = Export(make_export(tmp_path / "export", shop(traces=12)))
    book = load_playbook("triage")
    first, again = plan(export, book, sample=5, seed=1), plan(export, book, sample=5, seed=1)
    assert first == again and len(first.items) == 5
    assert {item.id for item in plan(export, book, sample=5, seed=2).items} != {item.id for item in first.items}
    assert first.id != plan(export, book, sample=5, seed=2).id
    assert len(plan(export, book, where="user_id = 'user-1'").items) == 4
    for where in ("no_such = 1", "1); DROP TABLE traces; --", "1) UNION SELECT writefile('x', 'y') --", "trace_id IN (SELECT load_extension('x'))"):  # fmt: skip
        with pytest.raises(BadRequest, match="--where is no condition"):
            plan(export, book, where=where)
    with pytest.raises(NotFound):
        plan(export, book, where="agent = 'nobody'")
    with pytest.raises(BadRequest):
        plan(export, book, by="favourite_colour")


def test_sessions_are_items_too(tmp_path: Path) -> None:
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "SKILL.md").write_text(
        "---\nname: talks\ndescription: reads sessions\nmetadata:\n  item: session\n---\nRead.\n"
    )
    traces = [Told(number=n, calls=[stock(n, n)], row={"session_id": "" if n == 5 else f"Talk {n // 2}"}) for n in range(6)]  # fmt: skip
    export = Export(make_export(tmp_path / "export", traces))
    run = plan(export, load_playbook(str(folder)))
    assert [len(item.traces) for item in run.items] == [2, 2, 1]
    assert all(re.fullmatch(r"talk-\d-[0-9a-f]{8}", item.id) for item in run.items)
    assert run.limits == ("1 traces belong to no session and are left out",)
    run_folder = begin(export, run)
    assert not Drive(run_folder).go().state.open
    assert merge(run_folder).findings == 1
