"""What a cheap model does badly is learned from stored calls, measured on later sessions, and refused where little is known."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pilothouse.records import BadRequest, NotFound, text_message
from pilothouse.routing import DifficultyModel, Request, Routing, Wanted, features_of, model_from, train
from pilothouse.routing.difficulty import Weights
from pilothouse.routing.features import CLASSES, NUMBERS, WORDS
from pilothouse.store import TraceStore
from pilothouse.store.routing_store import routing_of
from tests.traces.support import MINUTE_NS, NOW_NS, PROJECT, TraceBuilder, store_rows, trace_id

HOUR_NS = 60 * MINUTE_NS
EASY = ("what time is it in", "say hello to", "translate good morning for", "spell the name of")
HARD = ("prove the bound of", "refactor the scheduler of", "derive the integral over", "debug the deadlock in")
PLACES = ("lyon", "oslo", "quito", "the parser", "a queue", "the cluster", "turin", "the ledger")


def traffic(store: TraceStore, count: int, *, seed: int = 11, telling: float = 0.9, start: int = 0) -> None:
    """Calls of two models; the cheap one does badly on hard questions, as often as ``telling`` says."""
    dice = random.Random(seed)
    print(f"seed {seed}")
    rows: list[dict[str, list[list[object]]]] = []
    for number in range(start, start + count):
        hard = dice.random() < 0.4
        question = f"{dice.choice(HARD if hard else EASY)} {dice.choice(PLACES)} {dice.randrange(1000)}?"
        bad = hard if dice.random() < telling else dice.random() < 0.4
        cheap = dice.random() < 0.8
        trace = TraceBuilder(
            trace_id(number + 1), start_ns=NOW_NS - HOUR_NS + number * 1_000_000_000, session=f"session-{number // 4}"
        )
        trace.span(
            number + 1, "model", model="small" if cheap else "large", provider="openai", agent="helper",
            input=[text_message("system", "Be kind."), text_message("user", question)],
            output=[text_message("assistant", "Well.")], tokens={"input_uncached": 100, "output_text": 10},
            cost="0.0001" if cheap else "0.002",
        )  # fmt: skip
        trace.score("helpful", 0.0 if bad else 1.0, number=number + 1)
        rows.append(trace.rows())
    store_rows(store, rows)


WINDOW = Wanted(since_ns=NOW_NS - 2 * HOUR_NS, until_ns=NOW_NS + HOUR_NS, made_by="ann")


def test_it_tells_hard_from_easy_on_sessions_it_has_not_seen(store: TraceStore) -> None:
    traffic(store, 700)
    model, trained = train(store, PROJECT, WINDOW)
    assert trained.cheap == "small" and trained.outcomes == {"score": trained.calls} and trained.calls > 400
    told = trained.evaluation
    assert trained.useful and told.auc_low > 0.7 and told.brier < told.brier_of_share, told
    assert told.calibration_error < 0.15
    kind = text_message("system", "Be kind.")
    hard, easy = (
        model.difficulty(Request(messages=[kind, text_message("user", text)], task="helper"))
        for text in ("prove the bound of lyon 7?", "say hello to lyon 7?")
    )
    assert hard > 0.6 > 0.3 > easy
    alone = model.difficulty(Request(messages=[text_message("user", "say hello to lyon 7?")]))
    assert alone < 0.5, "what lies outside of all that was seen does not decide"
    shares = [one.strong_share for one in trained.thresholds]
    assert shares == sorted(shares) and abs(shares[4] - 0.5) < 0.06, "half of the calls are strong at the fifth"
    middle = trained.thresholds[4]
    assert middle.good_share is not None and middle.good_low <= middle.good_share <= middle.good_high
    assert middle.good_share > 1 - told.bad / told.calls, "below the threshold it does better than on all"


def test_noise_is_not_learned_and_does_not_come_into_force(store: TraceStore, tmp_path: Path) -> None:
    traffic(store, 500, telling=0.0)
    desk = Routing(store, routing_of("", tmp_path))
    trained = desk.train(PROJECT, WINDOW)
    assert not trained.useful and not trained.in_force
    assert not desk.knows(PROJECT) and desk.difficulty(PROJECT, [text_message("user", "hello")]) is None
    with pytest.raises(NotFound, match="no model of difficulty in force"):
        desk.score(PROJECT, "hello")
    desk.close()


def test_too_little_is_refused_with_how_much_is_needed(store: TraceStore) -> None:
    traffic(store, 60)
    with pytest.raises(BadRequest, match="no model has enough calls") as caught:
        train(store, PROJECT, WINDOW)
    assert "small" in str(caught.value.got)
    named = Wanted(since_ns=WINDOW.since_ns, until_ns=WINDOW.until_ns, cheap="small")
    with pytest.raises(BadRequest, match=r"too little is known of small to learn from: it needs \d+ more calls") as why:
        train(store, PROJECT, named)
    assert "200 calls" in str(why.value.allowed)


def test_what_was_learned_stays_and_is_found_by_another_process(store: TraceStore, tmp_path: Path) -> None:
    traffic(store, 500)
    desk, other = Routing(store, routing_of("", tmp_path)), Routing(store, routing_of("", tmp_path))
    dry = desk.train(PROJECT, WINDOW, keep=False)
    assert not dry.in_force and desk.models(PROJECT) == []
    trained = desk.train(PROJECT, WINDOW)
    assert trained.in_force and desk.models(PROJECT) == [trained]
    assert not other.knows(PROJECT)
    other.refresh()
    asked = [text_message("user", "debug the deadlock in oslo 3?")]
    assert other.difficulty(PROJECT, asked) == desk.difficulty(PROJECT, asked)
    hard, easy = (
        other.score(PROJECT, text).difficulty for text in ("debug the deadlock in oslo 3?", "say hello to oslo")
    )
    assert hard > easy + 0.1
    assert not other.knows("prj_another")
    desk.close()
    other.close()


def test_a_stored_model_is_plain_json_and_another_form_is_refused() -> None:
    weights = Weights(
        bias=0.1, middles=(0.0,) * len(NUMBERS), scales=(1.0,) * len(NUMBERS), numbers=(0.01,) * len(NUMBERS),
        places=(0.5,) * (WORDS + CLASSES),
    )  # fmt: skip
    model = DifficultyModel(version="v", weights=weights, report={})
    again = model_from(json.loads(json.dumps(model.as_dict())))
    request = Request(messages=[text_message("user", "Why {x} = 3?")], tools=2, task="triage")
    assert again.difficulty(request) == model.difficulty(request)
    for wrong in ({**model.as_dict(), "form": 2}, {**model.as_dict(), "weights": {"places": []}}, {}):
        with pytest.raises(BadRequest, match="another version"):
            model_from(wrong)


@pytest.mark.parametrize("text", ["", "\ud800 lone", "数字 123", "x" * 100_000, "a\x00b"])
def test_any_text_has_features(text: str) -> None:
    found = features_of(Request(messages=[text_message("user", text)] if text else []))
    assert len(found.numbers) == len(NUMBERS) and all(0 <= at < WORDS + CLASSES for at in found.places)
