"""A prompt is improved only where cases prove it; what is not proven, quoted or too dear changes nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilothouse.evals.judges.settings import read_judge
from pilothouse.evals.suite import Suite
from pilothouse.optimize.journal import Journal, begin
from pilothouse.optimize.loop import Bounds, Work, optimize
from pilothouse.optimize.parts import part
from pilothouse.optimize.proposing import objection, sentences
from pilothouse.optimize.trial import VARIABLE, Runs, Trial, Tried, in_process
from pilothouse.records import BadRequest
from tests.evals.judges.asked import JudgeServer

from .conftest import BETTER, PROMPT, project, proposal

Serving = Callable[[Callable[[str, str], str]], JudgeServer]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose agent is imported anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "shop_agent", raising=False)
    importlib.invalidate_caches()
    return tmp_path


def work(
    suite: Path,
    url: str,
    *,
    rounds: int = 2,
    usd_max: float = 0.0,
    runs: Runs = in_process,
    journal: Journal | None = None,
) -> Work:
    found = Suite(suite)
    return Work(
        suite=found, journal=journal or begin(suite, {}), parts=part([(id, "") for id in found.places()], seed=0),
        bounds=Bounds(rounds=rounds, usd_max=usd_max), target="shop_agent:agent", code="v",
        optimizer=read_judge("optimizer", {"model": "gpt-4.1", "url": url}, suite), runs=runs, told=lambda line: None,
    )  # fmt: skip


def test_a_better_prompt_is_proven_simplified_and_answered_for(serving: Serving, here: Path) -> None:
    server = serving(lambda asked, inside: proposal(BETTER))
    suite = project(here, server.openai_url)
    made = work(suite, server.openai_url)
    found = optimize(made, PROMPT)
    assert [(one["outcome"], one["reason"]) for one in found["rounds"]] == [("accepted", "the term is missing")]
    # What does not matter to any case is gone again; the placeholder stays.
    assert found["prompt"].split() == [
        "You",
        "answer",
        "customers",
        "of",
        "{shop}.",
        "Greet",
        "them.",
        "Name",
        "the",
        "term.",
    ]
    assert found["final"]["outcome"] == "pass"
    assert found["final"]["counts"]["improved"] > 10
    asked = str(server.requests[0].body)
    for id in (*made.parts.validation, *made.parts.held_out):
        number = id[1:]
        assert f"order {number}?" not in asked, "only training cases are shown"
        assert f"item {number}?" not in asked
    again = optimize(work(suite, server.openai_url, journal=Journal(made.journal.folder), runs=_no_runs), PROMPT)
    assert (again["prompt"], again["final"]) == (found["prompt"], found["final"]), "known steps are not made again"
    assert len(server.requests) == 1


def _no_runs(trial: Trial) -> Tried:
    raise AssertionError(f"run again: {trial.folder}")


@pytest.mark.parametrize(
    ("prompt", "outcome", "why"),
    [
        (f"{BETTER} SHOUT.", "rejected", "regressed"),
        (f"{PROMPT} Try harder.", "rejected", "no training case improved"),
        ("Greet them. Name the term.", "refused", "placeholder is gone"),
        (f"{PROMPT} Dear {{customer}}", "refused", "new placeholder"),
        (f"{BETTER} x" * 300, "refused", "characters long"),
    ],
)
def test_a_proposal_that_does_not_hold_changes_nothing(
    serving: Serving, here: Path, prompt: str, outcome: str, why: str
) -> None:
    server = serving(lambda asked, inside: proposal(prompt))
    suite = project(here, server.openai_url)
    found = optimize(work(suite, server.openai_url, rounds=1), PROMPT)
    assert (found["changed"], found["final"], found["prompt"]) == (False, None, PROMPT)
    assert [(one["outcome"], why in one["why"]) for one in found["rounds"]] == [(outcome, True)], found["rounds"]


def test_too_few_cases_prove_nothing_and_it_says_how_many_are_missing(serving: Serving, here: Path) -> None:
    server = serving(lambda asked, inside: proposal(BETTER))
    suite = project(here, server.openai_url, cases=12)
    found = optimize(work(suite, server.openai_url, rounds=3), PROMPT)
    assert found["rounds"][0]["outcome"] == "not_enough_data"
    assert "more cases would tell" in found["rounds"][0]["why"]
    assert "proposed before" in found["rounds"][1]["why"]
    assert not found["changed"]


def test_nonsense_and_money_end_it_honestly(serving: Serving, here: Path) -> None:
    server = serving(lambda asked, inside: "Sure! Here is a better prompt.")
    suite = project(here, server.openai_url, cases=12)
    found = optimize(work(suite, server.openai_url, rounds=2), PROMPT)
    assert [one["outcome"] for one in found["rounds"]] == ["refused", "refused"]
    assert len(server.requests) == 4, "each is asked once more"
    found = optimize(work(suite, server.openai_url, usd_max=0.001), PROMPT)
    assert "money is spent" in found["rounds"][0]["why"]

    def dear(trial: Trial) -> Tried:
        return Tried(usd=1.0, stopped="the money is spent: 1.0000 of 0.50 USD")

    found = optimize(work(suite, server.openai_url, usd_max=0.5, runs=dear), PROMPT)
    assert (found["rounds"], found["changed"]) == ([], False)
    assert "money is spent" in found["stopped"]


def test_a_target_that_never_reads_the_prompt_is_named(serving: Serving, here: Path) -> None:
    suite = project(here, "http://127.0.0.1:9/v1", agent="def agent(text):\n    return 'Hello. 9 EUR'\n")
    with pytest.raises(BadRequest, match="never opened") as raised:
        optimize(work(suite, "http://127.0.0.1:9/v1"), PROMPT)
    assert VARIABLE in str(raised.value.fix)


def test_parts_keep_clusters_together_and_are_the_same_for_a_seed() -> None:
    cases = [(f"c{n}", f"s{n // 3}") for n in range(60)]
    found = part(cases, seed=1)
    assert found == part(reversed(cases), seed=1) != part(cases, seed=2)
    assert sorted((*found.training, *found.validation, *found.held_out)) == sorted(id for id, _ in cases)
    assert 15 <= len(found.held_out) <= 21
    clusters: list[set[Any]] = [
        {dict(cases)[id] for id in one} for one in (found.training, found.validation, found.held_out)
    ]
    assert not clusters[0] & clusters[1]
    assert not (clusters[0] | clusters[1]) & clusters[2]
    with pytest.raises(BadRequest, match="at least 10"):
        part([("a", ""), ("b", "")], seed=0)


def test_a_quote_of_a_case_is_refused_and_sentences_make_the_prompt_again() -> None:
    said = "My parcel with the blue lamp came on a Tuesday and it was broken"
    assert "quotes a case" in objection(f"{PROMPT} If {said}, refund.", PROMPT, [said])
    assert objection(f"{PROMPT} Refund broken parcels.", PROMPT, [said]) == ""
    text = "# Head\n\n- one. Two!\n- three\nFour?  Five"
    assert "".join(sentences(text)) == text
    assert len(sentences(text)) >= 5
