"""Judges held against people: numbers worked out by hand, what may gate, and what a comparison makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pilothouse.cli.root import run as run_command
from pilothouse.evals import runs
from pilothouse.evals.compare import compare
from pilothouse.evals.judges.asking import item_id, keep_evidence
from pilothouse.evals.judges.calibration import calibrate, judged_rates, standing
from pilothouse.evals.judges.gating import hearing
from pilothouse.evals.judges.labels import (
    Item,
    Known,
    Label,
    Preference,
    add_known,
    add_labels,
    add_preferences,
    items_of,
    read_labels,
    truth_of,
)
from pilothouse.evals.judges.queue import queue
from pilothouse.evals.judges.settings import Judge, read_judge
from pilothouse.evals.judges.transcript import Transcript
from pilothouse.evals.runs import About, Result, Run, Said
from pilothouse.evals.settings import Gate
from pilothouse.records import BadRequest, NotFound

from .asked import JudgeServer, said

SHOWS_30_DAYS = "It says 30 days"


def a_judge(folder: Path, **more: Any) -> Judge:
    return read_judge("careful", {"model": "gpt-4.1", **more}, folder)


def transcript(case: str, words: int = 5) -> Transcript:
    return Transcript(case=case, steps=(), answer="word " * words)


def judged(
    folder: Path, one: Judge, verdicts: Sequence[str], *, samples: Sequence[Sequence[float]] = (), **more: Any
) -> Run:
    """A run in which a judge said so of one case after the other."""
    about = About(run="", suite="s", suite_version="", target="t", version="", judges={one.name: one.version})
    run = runs.begin(folder, about)
    with run.writing() as writer:
        for n, outcome in enumerate(verdicts):
            found = transcript(f"c{n}", n + 1)
            keep_evidence(folder, found)
            checks = [Said(name="contains", outcome=more["checks"][n])] if "checks" in more else []
            told = Said(
                name=SHOWS_30_DAYS, outcome=outcome, judge=one.id, item=item_id(found.id, SHOWS_30_DAYS),
                score=None if outcome == "unscored" else float(outcome == "pass"), samples=samples[n] if samples else (),
            )  # fmt: skip
            every = [*checks, told]
            worst = next((it.outcome for it in every if it.outcome != "pass"), "pass")
            writer.add(
                Result(case=f"c{n}", sha256="x", repeat=1, outcome=worst, said=every, why="", **more.get("result", {}))
            )
    run.finish({})
    return run


def label(folder: Path, run: Run, outcomes: Sequence[str], *, who: str = "anna", how: Any = "random") -> None:
    items = {one.case: one for one in items_of(run)}
    rows = [
        Label(item=items[f"c{n}"].id, outcome=outcome, who=who, how=how, case=f"c{n}", criterion=SHOWS_30_DAYS)  # type: ignore[arg-type]
        for n, outcome in enumerate(outcomes)
        if outcome
    ]
    add_labels(folder, rows, {one.id: one for one in items.values()})


PASS, FAIL = "pass", "fail"
# 20 both pass, 5 where the judge alone passes, 10 where people alone do, 15 both fail: Cohen's kappa is 0.4.
TABLE = [(PASS, PASS)] * 20 + [(PASS, FAIL)] * 5 + [(FAIL, PASS)] * 10 + [(FAIL, FAIL)] * 15


def test_agreement_and_errors_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    one = a_judge(tmp_path)
    run = judged(tmp_path, one, [it for it, _ in TABLE])
    label(tmp_path, run, [it for _, it in TABLE])
    data = calibrate(one, tmp_path)
    both = data["agreement"]
    assert (both["items"], both["observed"], both["kappa"]) == (50, 0.7, 0.4)
    # The large-sample error of kappa for this table is 0.12709: 0.4 ± 1.96 × 0.12709.
    assert both["kappa_interval"] == pytest.approx([0.1509, 0.6491], abs=0.002)
    assert (data["sensitivity"]["hits"], data["sensitivity"]["of"]) == (20, 30)
    assert data["sensitivity"]["rate"] == round(20 / 30, 4)
    assert (data["specificity"]["hits"], data["specificity"]["of"]) == (15, 20)
    # Wilson's interval of 15 of 20.
    assert data["specificity"]["interval"] == pytest.approx([0.5313, 0.8881], abs=1e-4)
    assert data["may_gate"] is False
    assert any("20 labelled items truly fail; 30 are needed" in why for why in data["why_not"])
    assert any("kappa may be as low as 0.15" in why for why in data["why_not"])
    rates = judged_rates(run, tmp_path, {"careful": one})[0]
    # (0.5 + 0.75 − 1) / (20/30 + 0.75 − 1) = 0.25 / 0.41667.
    assert (rates["raw"], rates["corrected"]) == (0.5, 0.6)
    low, high = rates["interval"]
    assert low < 0.6 < high


def test_people_are_held_against_each_other(tmp_path: Path) -> None:
    one = a_judge(tmp_path)
    run = judged(tmp_path, one, [PASS] * 4)
    # Krippendorff's alpha of [[1,1,1],[0,0,0],[1,1,1],[0,0,1]] is 0.685714.
    for who, said_ in (("a", "1010"), ("b", "1010"), ("c", "1011")):
        label(tmp_path, run, [PASS if it == "1" else FAIL for it in said_], who=who)
    data = calibrate(one, tmp_path)["people"]
    assert data == {"names": ["a", "b", "c"], "labelled_twice": 4, "split": 1, "alpha": 0.6857}
    items = {it.case: it.id for it in items_of(run)}
    truth = truth_of(read_labels(tmp_path))
    assert [truth[items[f"c{n}"]] for n in range(4)] == [True, False, True, False]


def test_a_person_may_think_again_and_a_torn_line_is_cut(tmp_path: Path) -> None:
    run = judged(tmp_path, a_judge(tmp_path), [PASS])
    label(tmp_path, run, [FAIL])
    with (tmp_path / "labels.jsonl").open("a") as file:
        file.write('{"item": "torn')
    label(tmp_path, run, [PASS])
    assert [it.outcome for it in read_labels(tmp_path)] == [PASS]
    (tmp_path / "labels.jsonl").write_text('{"item": "x", "outcome": "maybe", "who": "me"}\n')
    with pytest.raises(BadRequest, match="line 1 is no label"):
        read_labels(tmp_path)


def test_position_and_verbosity_and_drift(tmp_path: Path) -> None:
    old, new = a_judge(tmp_path), a_judge(tmp_path, temperature=1)
    # People pass the even ones; the old judge is right, the new one passes whatever is long.
    run = judged(tmp_path, old, [PASS if n % 2 == 0 else FAIL for n in range(40)])
    label(tmp_path, run, [PASS if n % 2 == 0 else FAIL for n in range(40)])
    items = {it.case: it.id for it in items_of(run)}
    verdicts = [PASS if n >= 20 else FAIL for n in range(40)]
    add_known(tmp_path, [Known(item=items[f"c{n}"], judge=new.id, outcome=it) for n, it in enumerate(verdicts)])  # type: ignore[arg-type]
    add_preferences(
        tmp_path,
        [Preference(pair=(f"a{n}", f"b{n}"), judge=new.id, as_given="first", swapped="first" if n < 8 else "second") for n in range(10)],
    )  # fmt: skip
    data = calibrate(new, tmp_path)
    assert data["position_bias"] | {} == {
        "pairs": 10, "consistency": 0.2, "consistency_interval": data["position_bias"]["consistency_interval"],
        "chose_first": 8, "chose_second": 0, "p": round(2 * 0.5**8, 6), "prefers": "first",
    }  # fmt: skip
    assert data["verbosity_bias"]["excess"] > 0.2
    assert calibrate(old, tmp_path)["verbosity_bias"]["excess"] == 0
    (drift,) = data["drift"]
    # 10 even short ones became fails, 10 odd long ones passes.
    assert (drift["before"], drift["items"], drift["changed"], drift["stricter"]) == (old.id, 40, 20, 10)
    assert (drift["right_before"], drift["right_after"]) == (40, 20)
    assert drift["p_right"] == pytest.approx(2 * 0.5**20, abs=1e-5)


def test_the_noise_is_split_into_agent_judge_and_case(tmp_path: Path) -> None:
    one = a_judge(tmp_path, samples=2)
    about = About(run="", suite="s", suite_version="", target="t", version="", judges={one.name: one.version})
    run = runs.begin(tmp_path, about)
    with run.writing() as writer:
        for case, attempts in (("a", [(1, 0), (1, 0)]), ("b", [(1, 0), (0, 1)])):
            for n, samples in enumerate(attempts, start=1):
                told = Said(
                    name="x", outcome=PASS, judge=one.id, item=f"{case}{n}-1", samples=[float(it) for it in samples]
                )
                writer.add(Result(case=case, sha256="x", repeat=n, outcome=PASS, said=[told]))
    found = calibrate(one, tmp_path, [run])["variance"]
    assert (found["judge"], found["agent"], found["case"]) == (1.0, 0.0, 0.0)
    assert found["total"] == 0.5
    assert "missing" in calibrate(one, tmp_path)["variance"]


# -- the queue -------------------------------------------------------------------------------------------------------


def test_the_queue_takes_turns_and_says_which_items_are_the_random_sample(tmp_path: Path) -> None:
    one = a_judge(tmp_path, samples=3)
    samples = [[1.0, 1.0, 0.0] if n == 7 else [1.0, 1.0, 1.0] for n in range(30)]
    run = judged(tmp_path, one, [PASS] * 30, samples=samples)
    items = items_of(run)
    labels: list[Label] = []
    seen: list[tuple[str, str]] = []
    for _ in range(12):
        waiting = queue(items, labels, {}, who="anna", sample=10)
        assert waiting.next is not None
        id = waiting.next.item.id
        assert waiting.hows([id]) == {id: waiting.next.how}
        seen.append((waiting.next.how, waiting.next.item.case))
        labels.append(Label(item=id, outcome=PASS, who="anna", how=waiting.next.how))
    assert [how for how, _ in seen] == ["random", "informative"] * 6
    sampled = [it.item.case for it in queue(items, [], {}, who="anna", sample=10).random]
    assert [case for how, case in seen if how == "random"] == sampled[:6]
    if "c7" not in sampled:
        assert seen[1] == ("informative", "c7"), "the unsure one comes first"
    assert queue(items, labels, {}, who="ben", sample=10).labelled == 0
    # What is taken out of turn is no random sample; a batch without a gap is one.
    drawn = [it.item.id for it in queue(items, [], {}, who="ben", sample=10).random]
    assert queue(items, [], {}, who="ben", sample=10).hows([drawn[5]]) == {drawn[5]: "chosen"}
    batch = queue(items, [], {}, who="ben", sample=10).hows([drawn[1], drawn[0], drawn[3]])
    assert batch == {drawn[0]: "random", drawn[1]: "random", drawn[3]: "chosen"}
    verdicts = {it.id: FAIL for it in items}
    changed: list[Item] = [Item(**{**{f: getattr(it, f) for f in Item.__slots__}, "known": Known(item=it.id, judge=one.id, outcome=verdicts[it.id])}) for it in items]  # type: ignore[arg-type]  # fmt: skip
    again = [it.item.case for it in queue(changed, [], {}, who="anna", sample=10).random]
    assert again == sampled, "the sample must not know the verdict"


# -- the gate --------------------------------------------------------------------------------------------------------


def good(n: int = 60) -> list[tuple[str, str]]:
    """A judge that is nearly always right."""
    return [(PASS, PASS)] * n + [(FAIL, FAIL)] * n + [(PASS, FAIL)] + [(FAIL, PASS)]


def calibrated(tmp_path: Path, one: Judge, rows: Sequence[tuple[str, str]], how: Any = "random") -> None:
    run = judged(tmp_path, one, [it for it, _ in rows])
    label(tmp_path, run, [it for _, it in rows], how=how)


def test_a_judge_below_the_bar_decides_nothing_and_the_report_says_why(tmp_path: Path) -> None:
    one = a_judge(tmp_path)
    checks = [PASS] * 20 + [PASS] * 60
    before = judged(tmp_path, one, [PASS] * 80, checks=checks)
    after = judged(tmp_path, one, [FAIL] * 80, checks=checks)
    raw = compare(before, after, gate=Gate(margin=0.02))
    assert raw.outcome == "fail"
    heard = compare(before, after, gate=Gate(margin=0.02), hearing=hearing(tmp_path, {"careful": one}, before, after))
    assert heard.counts["passed"] == 80
    assert heard.outcome != "fail"
    assert any(f"judge {one.id} may not gate: 0 labelled items truly pass; 30 are needed" in it for it in heard.reasons)
    # Where only the judge speaks, nothing is left to decide.
    before, after = judged(tmp_path, one, [PASS] * 80), judged(tmp_path, one, [FAIL] * 80)
    heard = compare(before, after, hearing=hearing(tmp_path, {"careful": one}, before, after))
    assert (heard.outcome, heard.counts["undetermined"]) == ("not_enough_data", 80)


def test_a_check_that_fails_is_heard_beside_a_judge_that_may_not_gate(tmp_path: Path) -> None:
    one = a_judge(tmp_path)
    before = judged(tmp_path, one, [PASS] * 30, checks=[PASS] * 30)
    after = judged(tmp_path, one, [PASS] * 30, checks=[FAIL] * 20 + [PASS] * 10)
    heard = compare(before, after, hearing=hearing(tmp_path, {"careful": one}, before, after))
    assert (heard.outcome, heard.counts["regressed"]) == ("fail", 20)


def test_a_judge_above_the_bar_gates_with_its_errors_taken_out(tmp_path: Path) -> None:
    one = a_judge(tmp_path)
    calibrated(tmp_path, one, good())
    assert standing(one, tmp_path).may_gate
    before, after = judged(tmp_path, one, [PASS] * 90), judged(tmp_path, one, [FAIL] * 40 + [PASS] * 50)
    heard = compare(before, after, hearing=hearing(tmp_path, {"careful": one}, before, after))
    assert heard.outcome == "fail"
    assert "errors are taken out" in heard.reasons[0]
    (verdict,) = heard.judged.values()
    # 40 of 90 as judged; divided by sensitivity + specificity − 1 = 60/61 + 60/61 − 1.
    assert verdict.difference == pytest.approx(-(40 / 90) / (120 / 61 - 1))
    # Another version has shown nothing yet.
    other = a_judge(tmp_path, temperature=1)
    assert not standing(other, tmp_path).may_gate
    assert not standing(other, tmp_path, version="0" * 12).may_gate


def test_a_judge_that_was_changed_between_the_runs_is_not_heard(tmp_path: Path) -> None:
    old, new = a_judge(tmp_path), a_judge(tmp_path, temperature=1)
    calibrated(tmp_path, old, good())
    calibrated(tmp_path, new, good())
    before, after = judged(tmp_path, old, [PASS] * 90), judged(tmp_path, new, [FAIL] * 90)
    heard = compare(before, after, hearing=hearing(tmp_path, {"careful": new}, before, after))
    assert heard.outcome == "not_enough_data"
    assert any("the judge may be the change" in it for it in heard.reasons)


def test_labels_that_were_picked_do_not_count_unless_the_suite_says_so(tmp_path: Path) -> None:
    one = a_judge(tmp_path)
    calibrated(tmp_path, one, good(), how="informative")
    held = standing(one, tmp_path)
    assert not held.may_gate
    assert "122 labels more are no random sample and do not count" in held.why_not
    assert standing(a_judge(tmp_path, bar={"count": "all"}), tmp_path).may_gate


@pytest.mark.parametrize(("gate", "outcome"), [("always", "fail"), ("never", "not_enough_data")])
def test_the_suite_may_overrule(tmp_path: Path, gate: str, outcome: str) -> None:
    one = a_judge(tmp_path, gate=gate)
    if gate == "never":
        calibrated(tmp_path, one, good())
    before, after = judged(tmp_path, one, [PASS] * 90), judged(tmp_path, one, [FAIL] * 40 + [PASS] * 50)
    heard = compare(before, after, hearing=hearing(tmp_path, {"careful": one}, before, after))
    assert heard.outcome == outcome


def test_a_rate_is_also_told_by_labels_of_the_run_itself(tmp_path: Path) -> None:
    one = a_judge(tmp_path)
    run = judged(tmp_path, one, [PASS, FAIL] * 100)
    label(tmp_path, run, [PASS, FAIL, PASS, PASS] * 10)
    powered = judged_rates(run, tmp_path, {"careful": one})[0]["powered"]
    # People pass 30 of these 40, the judge 20, and half of the rest: with the weight w, w × 0.5 + (0.75 − w × 0.5) = 0.75.
    assert powered["rate"] == 0.75
    assert powered["labels"] == 40
    assert powered["interval"][0] < 0.75 < powered["interval"][1]


# -- as it is used ---------------------------------------------------------------------------------------------------

Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PILOTHOUSE_SUITE", raising=False)

    def call(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = run_command(["eval", *words, "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out)["data"] if out else json.loads(err)["error"]

    return call


def test_from_criteria_to_a_gate(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTHOUSE_PERSON", raising=False)
    module = f"judged_agent_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(
        "BAD = set()\ndef agent(text):\n    n = int(text.split()[-1])\n"
        "    return f'{n}: soon' if n % 2 or n in BAD else f'{n}: within 30 days'\n"
    )
    assert call("init", "shop", "--target", f"{module}:agent")[0] == 0
    call("rm", "first")
    rows = [{"id": f"c-{n:02}", "input": f"case {n}", "criteria": [SHOWS_30_DAYS]} for n in range(70)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert call("add", "cases.jsonl")[0] == 0
    with JudgeServer(lambda asked, inside: said("pass" if "30 days" in inside else "fail")) as server:
        assert call("judge", "new", "careful", "--from-criteria", "--model", "gpt-4.1")[1]["written"]
        suite = tmp_path / "evals/shop/suite.yaml"
        suite.write_text(
            suite.read_text().replace("careful: {", f"careful: {{url: {server.openai_url}, bar: {{labels: 20}}, ")
        )
        assert "It says 30 days" in (tmp_path / "evals/shop/rubrics/careful.md").read_text()
        code, data = call("run", "--version", "v1")
        assert (code, data["passed"], data["failed"], len(data["judges"])) == (9, 35, 35, 1)
        assert data["judge_usd"] > 0
        assert data["judged"][0]["may_gate"] is False
        code, again = call("run", "--version", "v1")
        assert (again["taken_over"], len(server.requests)) == (70, 70), (
            "what a judge said of a version is not asked again"
        )
        # An agent is no person.
        code, error = call("judge", "label", "last", "--set", "c-00", "pass")
        assert (code, "person's word" in error["message"]) == (2, True)
        code, data = call("judge", "label", "last", "--next", "--by", "anna")
        assert "pass" not in str({k: v for k, v in data["item"].items() if k != "file"}), "the verdict is not shown"
        # Anna labels all that comes next, as it comes.
        for _ in range(70):
            _, data = call("judge", "label", "last", "--next", "--by", "anna")
            verdict = "pass" if "30 days" in data["item"]["record"].rpartition("[final answer]")[2] else "fail"
            code, data = call("judge", "label", "last", "--set", data["item"]["item"], verdict, "--by", "anna")
            assert (code, data["labelled"][0]["how"]) == (0, "random")
        code, data = call("judge", "calibrate", "--gate")
        assert (code, data["may_gate"], data["agreement"]["kappa"]) == (0, True, 1.0)
        __import__(module).BAD = set(range(0, 60, 2))
        call("run", "--version", "v2")
        code, data = call("gate", "v1", "v2")
        assert (code, data["outcome"]) == (7, "fail")
        assert "errors are taken out" in data["reasons"][0]
        # A new version of the judge begins without a standing, and gets one by judging what is labelled.
        suite.write_text(suite.read_text().replace("bar:", "temperature: 1, bar:"))
        code, data = call("judge", "calibrate", "--gate")
        assert (code, data["labels"]["not_judged_by_this_version"]) == (7, 70)
        code, data = call("judge", "calibrate", "--ask", "--gate")
        assert (code, data["drift"][0]["changed"], data["drift"][0]["items"]) == (0, 0, 70)
        server_asks = len(server.requests)
        code, data = call("judge", "prefer", "v1", "v2", "--limit", "4")
        assert (code, data["pairs"], data["unscored"], len(server.requests) - server_asks) == (0, 4, 4, 16)
    assert call("judge", "show", "safety")[1]["rubric"].startswith("Judge whether the agent kept")
    assert len(call("judge", "ls")[1]["templates"]) == 7
    assert call("judge", "label", "last", "--set", "none", "pass", "--by", "anna")[0] == 2


def test_pairs_are_asked_in_both_orders_and_a_taste_for_a_place_decides_nothing(tmp_path: Path) -> None:
    import asyncio

    from pilothouse.evals.judges.pairs import Match, prefer_all

    matches = [
        Match(criterion="kinder", first=transcript("good", 3), second=transcript("bad", 9), items=(f"a{n}", f"b{n}"))
        for n in range(8)
    ]

    def always_first(asked: str, inside: str) -> str:
        return json.dumps({"reason": "it stands first", "better": "first"})

    def longer(asked: str, inside: str) -> str:
        left, _, right = inside.partition("[final answer]")[2].partition("[final answer]")
        return json.dumps({"reason": "more words", "better": "first" if len(left) > len(right) else "second"})

    for decides, better, prefers in ((always_first, "tie", "first"), (longer, "second", None)):
        with JudgeServer(decides) as server:
            one = read_judge("careful", {"model": "m", "url": server.openai_url, "seed": len(better)}, tmp_path)
            chosen = asyncio.run(prefer_all(one, matches))
            assert {it.better for it in chosen} == {better}
            assert len(server.requests) == 16
        add_preferences(tmp_path, [it.preference for it in chosen if it.preference])
        assert calibrate(one, tmp_path)["position_bias"]["prefers"] == prefers


def test_a_label_needs_what_was_judged(tmp_path: Path) -> None:
    run = judged(tmp_path, a_judge(tmp_path), [PASS])
    for path in (tmp_path / ".pilothouse/judged").glob("*.json"):
        path.unlink()
    with pytest.raises(NotFound):
        label(tmp_path, run, [PASS])
    assert read_labels(tmp_path) == []
