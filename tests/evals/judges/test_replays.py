"""A judge's word on a replayed session: told always, decisive only where the judge is calibrated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.evals import runs
from pilothouse.evals.judges.labels import items_of
from pilothouse.evals.judges.rubrics import TEMPLATES, find_rubric
from pilothouse.evals.judges.settings import Judge, read_judge
from pilothouse.evals.judges.trajectory import (
    Judged,
    check_judge,
    decides,
    holds,
    judge_replay,
    keep_judged,
    replay_data,
    transcript_of_replay,
)
from pilothouse.evals.pytest_plugin import replay as replayed
from pilothouse.evals.recording import Recording, recorded
from pilothouse.evals.targets.resolve import resolve
from pilothouse.evals.trajectory import Replayed, replay
from pilothouse.guards.mask import Numbered, masker
from pilothouse.records import BadRequest
from tests.evals.test_trajectory import CONVERSATION, SESSION, THEN, agent

from .asked import JudgeServer, said

OTHER_WAY: list[Any] = [THEN[0], ("get_order", {"id": 8}), "You get 5 dollars back"]
WRONG_ANSWER: list[Any] = [*THEN[:2], "You get nothing"]


class Spoken:
    """What the judge's model says next, and what it was asked."""

    text = ""
    asked = ""
    inside = ""

    def __call__(self, outside: str, inside: str) -> str:
        self.asked, self.inside = outside, inside
        return self.text


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[JudgeServer, Spoken]]:
    spoken = Spoken()
    server = JudgeServer(spoken)
    server.start()
    yield server, spoken
    server.close()


def made(decisions: list[Any], mode: Any = "in_order", **more: Any) -> Replayed:
    return asyncio.run(replay(SESSION, resolve(agent(lambda n: decisions[n], **more)), mode=mode))


def judge_at(serving: tuple[JudgeServer, Spoken], folder: Path, **more: Any) -> Judge:
    row = {"model": "gpt-4.1", "url": serving[0].openai_url, "rubric": "trajectory", **more}
    return read_judge("careful", row, folder)


def asked(
    serving: tuple[JudgeServer, Spoken], folder: Path, found: Replayed, text: str, *, mask: Any = None, **more: Any
) -> Judged:
    serving[1].text = text
    return asyncio.run(judge_replay(found, SESSION, judge_at(serving, folder, **more), folder, mask=mask))


@pytest.mark.parametrize("verdict", ["same_outcome", "right_next_steps", "different_but_valid", "wrong"])
def test_a_judge_says_what_became_of_a_session(serving: Any, tmp_path: Path, verdict: str) -> None:
    one = asked(serving, tmp_path, made(OTHER_WAY), said(verdict, "the order was looked at twice"))
    assert (one.verdict, one.why) == (verdict, "the order was looked at twice")
    assert (one.outcome, one.score) == (("fail", 0.0) if verdict == "wrong" else ("pass", 1.0))


def test_an_uncalibrated_judge_turns_nothing_and_says_why(serving: Any, tmp_path: Path) -> None:
    red, green = made(OTHER_WAY), made(THEN)
    kind = asked(serving, tmp_path, red, said("different_but_valid"))
    strict = asked(serving, tmp_path, green, said("wrong"))
    assert (kind.counts, decides(kind), holds(red, kind), holds(green, strict)) == (False, False, False, True)
    data = replay_data(red, kind)
    assert (data["holds"], data["decided_by"]) == (False, "mode")
    assert "30 are needed" in " ".join(data["judged"]["why_not"])
    assert "judged" not in replay_data(red, None)


def test_a_calibrated_judge_decides_both_ways(serving: Any, tmp_path: Path) -> None:
    one = judge_at(serving, tmp_path)
    rows = [{"item": f"{n:016x}-0", "outcome": "pass" if n % 2 else "fail"} for n in range(80)]
    (tmp_path / "labels.jsonl").write_text(
        "".join(json.dumps({**row, "who": "anna", "how": "random"}) + "\n" for row in rows)
    )
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps({**row, "judge": one.id}) + "\n" for row in rows))
    red, green = made(OTHER_WAY), made(WRONG_ANSWER)
    assert (red.holds, green.holds) == (False, True), "equal calls hold, whatever is said in the end"
    kind = asked(serving, tmp_path, red, said("different_but_valid"))
    strict = asked(serving, tmp_path, green, said("wrong", "the customer is told the opposite"))
    assert (kind.counts, kind.why_not) == (True, ())
    assert (holds(red, kind), holds(green, strict)) == (True, False)
    assert replay_data(red, kind)["decided_by"] == "judge"


def test_no_judge_excuses_a_tool_that_is_gone_or_an_agent_that_fails(serving: Any, tmp_path: Path) -> None:
    renamed = made([THEN[0], ("pay_back", {"order": 7, "amount": 5}), THEN[2]], "nearest", refund_called="pay_back")
    one = asked(serving, tmp_path, renamed, said("same_outcome"), gate="always")
    assert (one.counts, decides(one), holds(renamed, one)) == (True, True, False)


@pytest.mark.parametrize("text", ["It is fine, 0 of 10", said("unclear"), said("pass"), ""])
def test_what_cannot_be_read_is_unscored_and_the_mode_decides(serving: Any, tmp_path: Path, text: str) -> None:
    for found in (made(OTHER_WAY), made(THEN)):
        one = asked(serving, tmp_path, found, text, gate="always")
        assert (one.verdict, one.outcome, one.score, decides(one)) == ("unscored", "unscored", None, False)
        assert one.why
        assert holds(found, one) == found.holds


def test_the_judge_is_shown_what_differs_and_todays_answer(serving: Any, tmp_path: Path) -> None:
    asked(serving, tmp_path, made(OTHER_WAY), said("wrong"))
    _, spoken = serving
    assert 'decision 1, then and today]\ncalls get_order({"id":7})' in spoken.inside
    assert 'decision 2, then]\ncalls refund({"amount":5,"order":7})' in spoken.inside
    assert 'decision 2, today]\ncalls get_order({"id":8})' in spoken.inside
    assert "decision 3, then]\nsays: You get $5 back" in spoken.inside
    assert spoken.inside.endswith("[final answer]\nYou get 5 dollars back")
    assert "today's agent was given what was known then" in spoken.asked


def test_personal_data_is_masked_before_a_model_or_a_file_gets_it(serving: Any, tmp_path: Path) -> None:
    mail = [*CONVERSATION[:1], {"role": "user", "content": "mia@example.org asks: order 7?"}, *CONVERSATION[2:]]
    session = recorded(mail)
    found = asyncio.run(replay(session, resolve(agent(lambda n: THEN[n]))))
    serving[1].text = said("same_outcome")
    mask = masker(("secrets", "personal"), placeholder=Numbered()).mask_data
    one = asyncio.run(judge_replay(found, session, judge_at(serving, tmp_path), tmp_path, mask=mask))
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert one.verdict == "same_outcome"
    assert "mia@example.org" not in serving[1].inside + kept
    assert "[masked: email 1] asks" in serving[1].inside and "[masked: email 1] asks" in kept


def test_a_session_that_is_too_long_keeps_its_decisions(serving: Any, tmp_path: Path) -> None:
    long = [*CONVERSATION[:3], {**CONVERSATION[3], "parts": [{"type": "tool_call_response", "id": "c1", "response": "x" * 90_000}]}, *CONVERSATION[4:]]  # fmt: skip
    session = Recording(given=long[:2], later=long[2:])
    found = asyncio.run(replay(session, resolve(agent(lambda n: OTHER_WAY[n]))))
    serving[1].text = said("wrong", "no refund")
    one = asyncio.run(judge_replay(found, session, judge_at(serving, tmp_path, max_input_tokens=2_000), tmp_path))
    assert (one.verdict, one.why.startswith("no refund [the judge was not shown all: 1 text shortened")) == (
        "wrong",
        True,
    )
    assert 'decision 2, today]\ncalls get_order({"id":8})' in serving[1].inside
    assert transcript_of_replay(found, session).id == one.item.partition("-")[0]


def test_replays_of_one_judge_are_one_run_that_people_label(serving: Any, tmp_path: Path) -> None:
    one = asked(serving, tmp_path, made(OTHER_WAY), said("different_but_valid"))
    two = asked(serving, tmp_path, made(THEN), said("same_outcome"))
    about = {"target": "shop:agent", "version": "v1"}
    first = keep_judged(tmp_path, made(OTHER_WAY), one, session="aa", **about)
    again = keep_judged(tmp_path, made(THEN), two, session="bb", **about)
    other = keep_judged(tmp_path, made(THEN), two, session="bb", target="shop:agent", version="v2")
    assert (first.about.run, again.about.run, other.about.run) == ("run-0001", "run-0001", "run-0002")
    assert [(item.case, item.known.outcome) for item in items_of(again)] == [("aa", "pass"), ("bb", "pass")]
    with pytest.raises(Exception, match="no such run"):
        runs.find(tmp_path, "last")


def test_a_judge_must_have_the_verdicts(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="does not say what became of a session"):
        check_judge(read_judge("kind", {"model": "gpt-4.1", "rubric": "style"}, tmp_path), "kind")
    with pytest.raises(BadRequest, match="does not say what became of a session"):
        check_judge(None, "shop:scorer")
    (tmp_path / "mine.md").write_text(TEMPLATES["trajectory"].text + "\nA refund without a lookup is wrong.")
    (tmp_path / "plain.md").write_text("Pass: it is right. Fail: it is wrong.")
    assert (find_rubric("mine.md", tmp_path).trajectory, find_rubric("plain.md", tmp_path).trajectory) == (True, False)


# -- in pytest -------------------------------------------------------------------------------------------------------


def test_the_fixture_replays_a_conversation_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"messages": CONVERSATION}))
    for session in (CONVERSATION, path, str(path), SESSION):
        assert replayed(agent(lambda n: THEN[n]), session, mode="strict").holds().verdicts == ["same"] * 3
    with pytest.raises(pytest.fail.Exception, match=r"002 other_tool: get_order.*\n    then: refund"):
        replayed(agent(lambda n: OTHER_WAY[n]), CONVERSATION).holds()
    path.write_text('"nothing"')
    with pytest.raises(ValueError, match="no list of messages"):
        replayed(agent(lambda n: THEN[n]), path)


def test_the_fixture_asks_a_judge_of_the_suite(serving: Any, tmp_path: Path) -> None:
    server, spoken = serving
    settings = f"judges:\n  careful: {{model: gpt-4.1, url: {server.openai_url}, rubric: trajectory, gate: GATE}}\n"

    def outcome(gate: str, text: str, decisions: list[Any], unscored: Any = "fail") -> None:
        (tmp_path / "suite.yaml").write_text(settings.replace("GATE", gate))
        spoken.text = text
        found = replayed(agent(lambda n: decisions[n]), CONVERSATION)
        found.holds(judge="careful", suite=tmp_path, unscored=unscored)

    outcome("always", said("different_but_valid"), OTHER_WAY)
    outcome("calibrated", said("wrong"), THEN)
    with pytest.raises(pytest.fail.Exception, match="may not gate, so the mode decides: 0 labelled"):
        outcome("calibrated", said("different_but_valid"), OTHER_WAY)
    with pytest.raises(pytest.fail.Exception, match="wrong: because"):
        outcome("always", said("wrong"), THEN)
    with pytest.raises(pytest.fail.Exception, match="unscored"):
        outcome("always", "well", THEN)
    with pytest.raises(pytest.skip.Exception, match="unscored"):
        outcome("always", "well", THEN, "skip")
