"""Labels of a queue of the server, held beside a suite: once, whoever asks again, and taken back where they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pilothouse.evals.judges.asking import evidence_of, item_id
from pilothouse.evals.judges.calibration import unjudged
from pilothouse.evals.judges.from_queue import TakenOver, Word, take_over, words_of
from pilothouse.evals.judges.judge_table import calibration_markdown
from pilothouse.evals.judges.labels import read_labels
from pilothouse.evals.judges.settings import Judge
from pilothouse.evals.recording import Recording
from pilothouse.records import NotFound

from .asked import judge as a_judge

ROW: dict[str, Any] = {
    "trace_id": "a" * 32, "session_id": "", "span_id": "", "choice": "pass", "who": "ada", "who_kind": "person",
    "time": "2026-11-29T10:00:00Z", "note": "", "how": "random",
}  # fmt: skip


def fetch(place: str, span: str) -> Recording:
    """What was recorded, of any place but one."""
    if place.startswith("gone"):
        raise NotFound("no such trace", got=place)
    return Recording(
        given=[{"role": "user", "content": f"Refund {place[:4]}"}],
        later=[{"role": "assistant", "content": "It is done."}],
    )


def taken(folder: Path, words: list[Word], *, whole: bool = True) -> TakenOver:
    """Take words over."""
    return take_over(folder, "refunds", words, criterion="It is right", runs=(), fetch=fetch, whole=whole)


def rows(*changes: dict[str, Any]) -> list[Word]:
    """Words of rows that differ from the usual one."""
    return words_of([ROW | change for change in changes])[0]


def test_words_become_labels_with_what_was_judged_beside_them(tmp_path: Path) -> None:
    words = rows({}, {"trace_id": "b" * 32, "choice": "fail", "note": "too late"}, {"who": "bob"})
    first, again = taken(tmp_path, words), taken(tmp_path, words)
    assert (first.labels, first.fresh, again.fresh, again.taken_back) == (3, 3, 0, 0)
    labels = read_labels(tmp_path)
    assert [(one.outcome, one.who, one.how, one.why) for one in labels] == [
        ("pass", "ada", "random", ""),
        ("fail", "ada", "random", "too late"),
        ("pass", "bob", "random", ""),
    ]
    found = evidence_of(tmp_path, labels[1].item)
    assert found.answer == "It is done." and found.steps[-1].text == "Refund bbbb"
    assert labels[1].item == item_id(found.id, "It is right")
    judge: Judge = a_judge("http://127.0.0.1:9", tmp_path)
    assert {one.item for one in unjudged(judge, tmp_path)} == {one.item for one in labels}


def test_what_was_taken_back_or_changed_on_the_server_is_so_here(tmp_path: Path) -> None:
    taken(tmp_path, rows({}, {"who": "bob"}))
    assert taken(tmp_path, rows({"choice": "fail"}), whole=False).fresh == 1
    assert [(one.who, one.outcome) for one in read_labels(tmp_path)] == [("ada", "fail"), ("bob", "pass")]
    assert taken(tmp_path, rows({"choice": "fail"})).taken_back == 1
    assert [one.who for one in read_labels(tmp_path)] == ["ada"]
    assert taken(tmp_path, rows({"choice": "fail"}, {"who": "bob"})).fresh == 1


def test_words_of_programs_and_those_that_are_no_verdict_are_left_out(tmp_path: Path) -> None:
    words, left = words_of([ROW, ROW | {"choice": "cannot-tell"}, ROW | {"who_kind": "agent"}])
    assert len(words) == 1 and left == {"neither pass nor fail: cannot-tell": 1, "a program's word": 1}
    gone = taken(tmp_path, rows({"trace_id": "gone"}))
    assert gone.unread == (("gone", "no such trace"),) and read_labels(tmp_path) == []


def test_a_calibration_is_a_table_for_a_pull_request() -> None:
    data: dict[str, Any] = {
        "judge": "care|ful@1", "may_gate": False, "why_not": ["too <few> labels"],
        "labels": {"items": 40, "counted": 38, "random": 38},
        "agreement": {"observed": 0.9, "observed_interval": [0.8, 0.95], "kappa": 0.7, "kappa_interval": [0.5, 0.9], "items": 38},
        "sensitivity": {"rate": 0.95, "interval": [0.8, 0.99], "hits": 19, "of": 20},
        "specificity": {"rate": None, "interval": [0, 1], "hits": 0, "of": 0},
        "people": {"names": ["ada", "bob"], "labelled_twice": 10, "alpha": 0.81},
    }  # fmt: skip
    runs = [{"run": "run-0001", "version": "v1", "raw": 0.8, "passed": 80, "scored": 100, "corrected": 0.75, "interval": [0.6, 0.9]}]  # fmt: skip
    text = calibration_markdown(data, runs)
    assert "### Judge `care\\|ful@1` may not gate" in text and "- too &lt;few> labels" in text
    assert "| sensitivity | 0.950 | 0.800 to 0.990 | 19 of 20 |" in text
    assert "| specificity | unknown |" in text and "| Krippendorff's alpha of people | 0.810 |" in text
    assert "| run-0001 v1 | 80.0% (80 of 100) | 75.0% | 0.600 to 0.900 |" in text
