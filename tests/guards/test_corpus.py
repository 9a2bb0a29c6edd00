"""What the report measures on our own texts, as a floor: harmless texts pass, attacks in every disguise do not."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.guard_corpus import Sample, own

from pilothouse.guards import Guard, read_guards

GUARD = Guard(read_guards({gate: ["injection", "secrets", "personal"] for gate in ("input", "output", "tool_results")}))


def caught(sample: Sample) -> bool:
    verdict = GUARD.check(sample.gate, sample.text)  # type: ignore[arg-type]  # the corpus names gates
    return any(found.check == sample.check and found.action != "flag" for found in verdict.findings)


def test_no_harmless_text_is_held_up() -> None:
    assert [sample.text for sample in own() if not sample.bad and caught(sample)] == []


def test_attacks_keys_and_people_are_found_in_every_disguise() -> None:
    groups: dict[str, list[bool]] = defaultdict(list)
    for sample in own():
        if sample.bad:
            groups[sample.source].append(caught(sample))
    shares = {source: sum(group) / len(group) for source, group in groups.items()}
    assert {source: share for source, share in shares.items() if share < 0.85} == {}
    assert min(shares["ours, as it is"], shares["ours, keys"], shares["ours, people"]) == 1.0
