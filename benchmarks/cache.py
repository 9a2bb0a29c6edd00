"""The response cache: hits and false hits by meaning on near-misses and paraphrases, and what a look-up takes.

Three ways beside each other: the offline vectors alone at a threshold, with the facts that must be equal, and with the
words that must be equal too, which is what the policy's default is.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from operator import mul
from pathlib import Path

from pilothouse.cache import Asker, CacheRule, asked_of, content_of, embed_offline, facts_of, key_of, nearest
from pilothouse.records.statistics import wilson
from pilothouse.store.cache_store import KeptAnswer, Question, cache_of

from .cache_corpus import Pair, corpus

_THRESHOLD = 0.8
_TAU_QUESTIONS = 600

Hits = Callable[[str, str], bool]


def report(folder: Path) -> Iterator[str]:
    """Measure, line by line."""
    pairs = corpus()
    yield f"cache by meaning, offline embedder, threshold {_THRESHOLD}, {len(pairs)} pairs made here (seed 7)"
    ways: dict[str, Hits] = {"vectors alone": _alike, "with facts": _facts, "with facts and words (default)": _strict}
    yield f"  {'':32} {'false hits':>12} {'95 % interval':>16} {'hits of paraphrases':>22}"
    for name, hits in ways.items():
        false, wrong = _count(pairs, hits, same=False)
        found, right = _count(pairs, hits, same=True)
        interval = wilson(false, wrong)
        low, high = interval.low, interval.high
        yield f"  {name:32} {false:5}/{wrong:<6} {low:7.1%} – {high:5.1%} {found:14}/{right} = {found / right:.0%}"
    yield "  by kind, with facts and words:"
    by_kind: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_kind[pair.kind].append(pair)
    for kind, some in sorted(by_kind.items(), key=lambda item: (item[1][0].same, item[0])):
        count = sum(_strict(pair.one, pair.other) for pair in some)
        alone = sum(_alike(pair.one, pair.other) for pair in some)
        yield f"    {kind:12} {'may hit' if some[0].same else 'must not':9} {count:4}/{len(some):<4} (vectors alone {alone})"
    yield from _tau(
        Path(os.environ.get("PILOTHOUSE_FIXTURES", Path(__file__).parents[2] / "shared/fixtures")) / "tau_bench"
    )
    yield from _times(folder)


def _tau(folder: Path) -> Iterator[str]:
    """Every pair of real user messages: any hit is shown, since none is the same text."""
    questions = sorted(_messages(folder))[:_TAU_QUESTIONS]
    if not questions:
        yield "  tau-bench: not there (PILOTHOUSE_FIXTURES names the folder of fixtures)"
        return
    groups: dict[tuple[tuple[str, ...], frozenset[str]], list[str]] = defaultdict(list)
    by_facts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for text in questions:
        groups[facts_of(text), content_of(text)].append(text)
        by_facts[facts_of(text)].append(text)
    pairs = len(questions) * (len(questions) - 1) // 2
    vectors = {text: embed_offline(text) for text in questions}
    alone = sum(
        sum(map(mul, vectors[one], vectors[other])) >= _THRESHOLD
        for place, one in enumerate(questions)
        for other in questions[place + 1 :]
    )
    found = [
        (one, other)
        for group in groups.values()
        for i, one in enumerate(group)
        for other in group[i + 1 :]
        if _alike(one, other)
    ]
    facts = sum(
        _alike(one, other) for group in by_facts.values() for i, one in enumerate(group) for other in group[i + 1 :]
    )
    yield f"  tau-bench: {len(questions)} different user messages, {pairs:,} pairs: vectors alone {alone} hits, with facts {facts}, with words too {len(found)}"
    for one, other in found[:8]:
        yield f"    {one[:70]!r} ~ {other[:70]!r}"


def _messages(folder: Path) -> set[str]:
    found: set[str] = set()
    for file in sorted(folder.glob("**/*.json*")) if folder.exists() else []:
        for row in _rows(file):
            turns = row.get("traj") or row.get("messages") or []
            for turn in turns if isinstance(turns, list) else []:
                content = turn.get("content") if isinstance(turn, dict) and turn.get("role") == "user" else None
                if isinstance(content, str) and 8 < len(content) < 400:
                    found.add(" ".join(content.split()))
        if len(found) > 5_000:
            break
    return found


def _rows(file: Path) -> Iterator[dict[str, object]]:
    text = file.read_text(errors="replace")
    try:
        data = json.loads(text)
        yield from (row for row in (data if isinstance(data, list) else [data]) if isinstance(row, dict))
    except ValueError:
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                return
            if isinstance(row, dict):
                yield row


def _times(folder: Path) -> Iterator[str]:
    rule = CacheRule(ttl_s=3_600)
    asker = Asker(project_id="p", wire="openai", path="/chat/completions", model="u/m")
    turns = [{"role": "user", "content": "word " * 80} for _ in range(5)]
    body = {"model": "m", "temperature": 0, "messages": turns}
    store = cache_of("", folder)
    yield "  µs each, the median of 300:"
    yield f"    key of a 2 kB request                       {_us(lambda: key_of(body, asker, rule, asked=False)):8.0f}"
    for count in (1_000, 20_000):
        for number in range(count):
            store.keep(_kept(number), bytes_max=10**9)
        yield f"    exact look-up among {count:6,} answers: hit       {_us(lambda: store.find(f'{5:064d}', now_ns=1)):8.0f}"
    yield f"    exact look-up: miss                          {_us(lambda: store.find('none', now_ns=1)):8.0f}"
    yield f"    keep an answer of 1 kB                       {_us(lambda: store.keep(_kept(5), bytes_max=10**9)):8.0f}"
    question = "How do I get a refund for the 3 shirts that I bought in Oslo on Monday?"
    yield f"    facts and words of a question                {_us(lambda: asked_of({'input': question}, (), same_words=True)):8.0f}"
    yield f"    its offline vector                           {_us(lambda: embed_offline(question)):8.0f}"
    vector = embed_offline(question)
    for count in (10, 200, 2_000):
        rows = [_question(number, vector.tobytes()) for number in range(count)]
        took = _us(partial(nearest, vector, rows, at_least=0.8), 30)
        yield f"    nearest of {count:5,} questions, 512 numbers each   {took:8.0f}"
    store.close()


def _us(work: Callable[[], object], rounds: int = 300) -> float:
    taken: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(taken)


def _kept(number: int) -> KeptAnswer:
    return KeptAnswer(
        key=f"{number:064d}",
        form="whole",
        project_id="p",
        route="r",
        model="m",
        content_type="application/json",
        body=b"x" * 1_000,
        made_ns=number + 1,
        expires_ns=10**18,
    )


def _question(number: int, vector: bytes) -> Question:
    return Question(key=str(number), together="t", question="q", vector=vector, expires_ns=10**18, made_ns=number)


def _count(pairs: list[Pair], hits: Hits, *, same: bool) -> tuple[int, int]:
    some = [pair for pair in pairs if pair.same is same]
    return sum(hits(pair.one, pair.other) for pair in some), len(some)


def _alike(one: str, other: str) -> bool:
    return sum(map(mul, embed_offline(one), embed_offline(other))) >= _THRESHOLD


def _facts(one: str, other: str) -> bool:
    return facts_of(one) == facts_of(other) and _alike(one, other)


def _strict(one: str, other: str) -> bool:
    return content_of(one) == content_of(other) and _facts(one, other)
