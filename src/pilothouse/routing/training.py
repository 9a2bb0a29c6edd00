"""Learns from a project's own calls what its cheap model does badly, and says how well that can be told beforehand."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Final

from pilothouse.records import BadRequest, Message, decode_message, iso
from pilothouse.records.statistics import wilson
from pilothouse.store import TraceStore
from pilothouse.store.content_reads import contents
from pilothouse.store.routing_reads import RoutedCall, outcome_scores, routed_calls, trace_outcomes

from .difficulty import DifficultyModel, Weights
from .features import CLASSES, NUMBERS, WORDS, Features, Request, features_of, task_class
from .fitting import calibrated, fit
from .model import Bin, Evaluation, Threshold, Trained
from .outcomes import Outcome, outcomes_of

CALLS_MIN: Final = 200
EACH_MIN: Final = 30
"""Good and bad calls each, of which a third is held out."""
SESSIONS_MIN: Final = 20
CALLS_MAX: Final = 6_000
_READ_MAX: Final = 20_000
_REFS_MAX: Final = 200
_HASHES_AT_ONCE: Final = 500
_FIT, _CALIBRATE = 0.5, 0.65
_SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_BINS: Final = 5
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be learned."""

    since_ns: int
    until_ns: int
    cheap: str = ""
    """The cheap model; empty: the one with the lowest cost a token of those with enough calls."""
    score: str = ""
    """The scores that count, by name; empty: all of them."""
    quiet: bool = True
    """Whether calls that nobody scored and nothing is wrong with count as gone well."""
    made_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    call: RoutedCall
    features: Features
    bad: bool


def train(
    store: TraceStore, project: str, wanted: Wanted, *, progress: Progress = lambda _w, _d, _t: None
) -> tuple[DifficultyModel, Trained]:
    """Learn from a window. The model that is returned is the one that was evaluated: it is not fitted again to all.

    Raises:
        BadRequest: there is too little to learn from; it says what is there and how much is needed.
    """
    progress("reading calls", 0, 0)
    # The newest where there are too many: they are the likeliest to be like those to come.
    calls, total = routed_calls(store, project, wanted.since_ns, wanted.until_ns, limit=_READ_MAX)
    cheap = wanted.cheap or _cheapest(calls)
    mine = [call for call in calls if call.model == cheap]
    ids = list(dict.fromkeys(call.trace_id for call in mine))
    sessions = list(dict.fromkeys(call.session for call in mine if call.session))
    known = outcomes_of(
        mine,
        trace_outcomes(store, project, ids),
        outcome_scores(store, project, ids, sessions, name=wanted.score),
        quiet=wanted.quiet,
    )
    told = [call for call in mine if call.span_id in known]
    _enough(told, known, cheap, calls)
    learned = told[-CALLS_MAX:]
    features = features_by_span(store, project, [*learned, *_window_sample(calls)], progress)
    samples = [
        _Sample(call=call, features=features[call.span_id], bad=known[call.span_id].bad)
        for call in learned
        if call.span_id in features
    ]
    first, second, held = _parts(samples)
    _enough_held(first, second, held)
    progress("learning", 0, 0)
    weights = fit([one.features for one in first], [one.bad for one in first])
    weights = calibrated(weights, [one.features for one in second], [one.bad for one in second])
    evaluation = _evaluated(weights, held)
    traffic = [weights.difficulty(features[call.span_id]) for call in _window_sample(calls) if call.span_id in features]
    trained = Trained(
        version="",
        made=iso(time.time_ns()),
        made_by=wanted.made_by,
        since=iso(wanted.since_ns),
        until=iso(wanted.until_ns),
        cheap=cheap,
        outcomes=dict(Counter(known[one.call.span_id].by for one in samples)),
        calls=len(samples),
        bad=sum(one.bad for one in samples),
        sessions=len({_group(one.call) for one in samples}),
        unknown=len(mine) - len(told),
        truncated=total > len(calls),
        evaluation=evaluation,
        useful=evaluation.auc_low > 0.5 and evaluation.brier < evaluation.brier_of_share,
        thresholds=thresholds(weights, held, traffic),
        words=_weighty(weights, samples),
    )
    report = asdict(trained)
    digest = hashlib.sha256(json.dumps([asdict(weights), report], sort_keys=True, default=str).encode()).hexdigest()[
        :12
    ]
    trained = replace(trained, version=digest)
    return DifficultyModel(version=digest, weights=weights, report=asdict(trained)), trained


def features_by_span(
    store: TraceStore, project: str, calls: Sequence[RoutedCall], progress: Progress = lambda _w, _d, _t: None
) -> dict[str, Features]:
    """What the model weighs of stored calls, as the gateway would have seen them; without prompts, none."""
    found: dict[str, Features] = {}
    wanted = list({call.span_id: call for call in calls}.values())
    for at in range(0, len(wanted), _HASHES_AT_ONCE):
        progress("reading prompts", at, len(wanted))
        part = wanted[at : at + _HASHES_AT_ONCE]
        for call, messages in messages_of(store, project, part):
            if messages:
                task = task_class(call.task, call.feature, call.agent)
                found[call.span_id] = features_of(Request(messages=messages, tools=call.tools, task=task))
    return found


def messages_of(store: TraceStore, project: str, calls: Sequence[RoutedCall]) -> list[tuple[RoutedCall, list[Message]]]:
    """The prompts of stored calls; empty where one is not stored, or not whole."""
    hashes = [hash for call in calls for hash in call.input_refs[:_REFS_MAX]]
    stored = contents(store, project, {call.scope for call in calls}, hashes)
    found: list[tuple[RoutedCall, list[Message]]] = []
    for call in calls:
        whole = len(call.input_refs) <= _REFS_MAX and all(hash in stored for hash in call.input_refs)
        rows = [stored[hash] for hash in call.input_refs] if whole else []
        found.append((call, [decode_message(row.role, row.content, row.envelope) for row in rows]))
    return found


def thresholds(weights: Weights, held: Sequence[_Sample], traffic: Sequence[float]) -> tuple[Threshold, ...]:
    """For each share of strong calls on the window's own traffic: the difficulty, and what is known below it."""
    if not traffic:
        return ()
    ranked = sorted(traffic)
    scored = [(weights.difficulty(one.features), one.bad) for one in held]
    found: list[Threshold] = []
    for share in _SHARES:
        below = ranked[min(int(len(ranked) * (1 - share)), len(ranked) - 1)]
        under = [bad for difficulty, bad in scored if difficulty < below]
        good = len(under) - sum(under)
        interval = wilson(good, len(under))
        found.append(
            Threshold(
                below=round(below, 4),
                strong_share=round(sum(one >= below for one in ranked) / len(ranked), 4),
                calls=len(under),
                good=good,
                good_share=round(good / len(under), 4) if under else None,
                good_low=round(interval.low, 4),
                good_high=round(interval.high, 4),
            )
        )
    return tuple(found)


def _cheapest(calls: Sequence[RoutedCall]) -> str:
    spent: dict[str, tuple[float, int, int]] = {}
    for call in calls:
        if call.cost_usd and sum(call.tokens):
            usd, tokens, count = spent.get(call.model, (0.0, 0, 0))
            spent[call.model] = (usd + float(call.cost_usd), tokens + sum(call.tokens), count + 1)
    rates = {model: usd / tokens for model, (usd, tokens, count) in spent.items() if count >= CALLS_MIN and usd > 0}
    if not rates:
        counted = Counter(call.model for call in calls)
        raise BadRequest(
            "no model has enough calls with a known cost to be told the cheap one",
            got=", ".join(f"{model} {count}" for model, count in counted.most_common(5)) or "no calls",
            allowed=f"{CALLS_MIN} calls of a model",
            fix="name it: --cheap gpt-5-mini; or take a longer window: --since 90d",
        )
    return min(rates, key=lambda model: rates[model])


def _enough(told: Sequence[RoutedCall], known: Mapping[str, Outcome], cheap: str, calls: Sequence[RoutedCall]) -> None:
    bad = sum(known[call.span_id].bad for call in told)
    sessions = len({_group(call) for call in told})
    short: list[str] = []
    if len(told) < CALLS_MIN:
        short.append(f"{CALLS_MIN - len(told)} more calls with an outcome")
    if bad < EACH_MIN:
        short.append(f"{EACH_MIN - bad} more that went badly")
    if len(told) - bad < EACH_MIN:
        short.append(f"{EACH_MIN - (len(told) - bad)} more that went well")
    if sessions < SESSIONS_MIN:
        short.append(f"{SESSIONS_MIN - sessions} more sessions")
    if short:
        models = ", ".join(f"{model} {count}" for model, count in Counter(one.model for one in calls).most_common(5))
        raise BadRequest(
            f"too little is known of {cheap} to learn from: it needs {', '.join(short)}",
            got=f"{len(told)} calls with an outcome, {bad} of them bad, in {sessions} sessions; calls by model: {models}"[
                :400
            ],
            allowed=f"{CALLS_MIN} calls, {EACH_MIN} good and {EACH_MIN} bad, {SESSIONS_MIN} sessions",
            fix="score calls (pilothouse score TRACE NAME 0|1), take a longer window (--since 90d), or another --cheap",
        )


def _enough_held(first: Sequence[_Sample], second: Sequence[_Sample], held: Sequence[_Sample]) -> None:
    for name, part, least in (("learn from", first, 10), ("calibrate on", second, 3), ("be held out", held, 8)):
        bad = sum(one.bad for one in part)
        if bad < least or len(part) - bad < least:
            raise BadRequest(
                f"split by session and time, too few good and bad calls remain to {name}",
                got=f"{len(part)} calls, {bad} bad",
                allowed=f"{least} of each",
                fix="take a longer window: --since 90d",
            )


def _group(call: RoutedCall) -> str:
    return call.session or call.trace_id


def _parts(samples: Sequence[_Sample]) -> tuple[list[_Sample], list[_Sample], list[_Sample]]:
    """To fit, to calibrate, held out: whole sessions, in the order in which they began."""
    groups: dict[str, list[_Sample]] = {}
    for one in samples:
        groups.setdefault(_group(one.call), []).append(one)
    first: list[_Sample] = []
    second: list[_Sample] = []
    held: list[_Sample] = []
    done = 0
    for group in groups.values():
        part = first if done < _FIT * len(samples) else second if done < _CALIBRATE * len(samples) else held
        part += group
        done += len(group)
    return first, second, held


def _window_sample(calls: Sequence[RoutedCall]) -> list[RoutedCall]:
    """The newest calls of all models: what thresholds are calibrated on."""
    return list(calls[-2_000:])


def _evaluated(weights: Weights, held: Sequence[_Sample]) -> Evaluation:
    scored = sorted(((weights.difficulty(one.features), one.bad) for one in held), key=lambda pair: pair[0])
    count, bad = len(scored), sum(one.bad for one in held)
    auc = _auc(scored)
    good = count - bad
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (bad - 1) * (q1 - auc * auc) + (good - 1) * (q2 - auc * auc)) / (bad * good)
    half = 1.959964 * sqrt(max(variance, 0.0))
    share = bad / count
    bins: list[Bin] = []
    for number in range(_BINS):
        part = scored[count * number // _BINS : count * (number + 1) // _BINS]
        hits = sum(one for _, one in part)
        interval = wilson(hits, len(part))
        bins.append(
            Bin(
                calls=len(part),
                predicted=round(sum(guess for guess, _ in part) / len(part), 4),
                bad_share=round(hits / len(part), 4),
                bad_low=round(interval.low, 4),
                bad_high=round(interval.high, 4),
            )
        )
    return Evaluation(
        calls=count,
        bad=bad,
        sessions=len({_group(one.call) for one in held}),
        auc=round(auc, 4),
        auc_low=round(max(auc - half, 0.0), 4),
        auc_high=round(min(auc + half, 1.0), 4),
        brier=round(sum((guess - one) ** 2 for guess, one in scored) / count, 4),
        brier_of_share=round(share * (1 - share), 4),
        calibration_error=round(sum(abs(one.predicted - one.bad_share) * one.calls for one in bins) / count, 4),
        bins=tuple(bins),
    )


def _auc(scored: Sequence[tuple[float, bool]]) -> float:
    """By ranks; equal ones share theirs."""
    bad = sum(one for _, one in scored)
    ranks = 0.0
    at = 0
    while at < len(scored):
        end = at
        while end < len(scored) and scored[end][0] == scored[at][0]:
            end += 1
        ranks += (at + 1 + end) / 2 * sum(one for _, one in scored[at:end])
        at = end
    return (ranks - bad * (bad + 1) / 2) / (bad * (len(scored) - bad))


def _weighty(weights: Weights, samples: Sequence[_Sample]) -> tuple[str, ...]:
    """What makes a request hard and easy, the numbers and task classes by name."""
    named = [(weight, name) for name, weight in zip(NUMBERS, weights.numbers, strict=True)]
    for task in sorted({task_class(one.call.task, one.call.feature, one.call.agent) for one in samples} - {""})[
        :CLASSES
    ]:
        at = next((at for at in features_of(Request(messages=(), task=task)).places if at >= WORDS), WORDS)
        named.append((weights.places[at], f"class {task}"[:80]))
    ranked = sorted(named, key=lambda pair: -abs(pair[0]))[:8]
    return tuple(f"{name} {weight:+.2f}" for weight, name in ranked)
