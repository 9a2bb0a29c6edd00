"""Several verdicts at once: gates that decide together (Holm), and slices that are looked through (Benjamini-Hochberg)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pilothouse.records import BadRequest

from .model import Outcome, Pair, Verdict
from .multiple import benjamini_hochberg, holm
from .verdict import unique, unlikeness


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One of several gates."""

    name: str
    verdict: Verdict
    """After the correction: a fail that does not survive it is not enough data."""
    p_adjusted: float
    """Of the claim that this gate fails, by Holm's over all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What several gates say together."""

    verdict: Outcome
    sentence: str
    gates: tuple[Gate, ...]


def decide_all(verdicts: Mapping[str, Verdict]) -> Decision:
    """One decision from many gates.

    Any gate that fails fails it, so that each one more would add false alarms: a gate must fail by Holm's correction. All
    gates must pass for a pass, so that passes need none. Intervals stay those of each gate alone.

    Raises:
        BadRequest: there is no gate, or they do not share their alpha.
    """
    if not verdicts:
        raise BadRequest("a decision needs at least one gate", got=0, fix="declare a gate")
    alphas = {one.alpha for one in verdicts.values()}
    if len(alphas) > 1:
        raise BadRequest(
            "gates that decide together share their alpha", got=sorted(alphas), fix="use the same alpha for all"
        )
    alpha = alphas.pop()
    adjusted = holm([one.p_regression for one in verdicts.values()])
    gates = tuple(
        Gate(name=name, verdict=_surviving(verdict, p, len(verdicts)), p_adjusted=p)
        for (name, verdict), p in zip(verdicts.items(), adjusted, strict=True)
    )
    outcomes = {gate.verdict.verdict for gate in gates}
    outcome: Outcome = "fail" if "fail" in outcomes else "pass" if outcomes == {"pass"} else "not_enough_data"
    return Decision(verdict=outcome, sentence=_sentence(outcome, gates, alpha), gates=gates)


def _surviving(verdict: Verdict, p_adjusted: float, gates: int) -> Verdict:
    if verdict.verdict != "fail" or p_adjusted < verdict.alpha:
        return verdict
    found = verdict.sentence.removeprefix("Fail: ").removesuffix(".")
    return replace(
        verdict,
        verdict="not_enough_data",
        sentence=f"Not enough data: {found}, but not among {gates} gates (p = {p_adjusted:.4f} by Holm).",
    )


def _sentence(outcome: Outcome, gates: tuple[Gate, ...], alpha: float) -> str:
    def named(wanted: Outcome) -> str:
        return ", ".join(gate.name for gate in gates if gate.verdict.verdict == wanted)

    of = f"{len(gates)} gate{'' if len(gates) == 1 else 's'}"
    if outcome == "fail":
        return f"Fail: a regression is proven in {named('fail')} (Holm over {of}, alpha {alpha:g})."
    if outcome == "pass":
        return f"Pass: {of} passed."
    return f"Not enough data: {named('not_enough_data')} could not be decided; no regression is proven in any of {of}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One part of the cases, looked at by itself: a hint where to look, not a gate."""

    name: str
    compared: int
    regressed: int
    improved: int
    difference: float
    p: float
    p_adjusted: float
    """By Benjamini and Hochberg's over all slices."""
    found: bool
    """It differs, by the adjusted value."""


def compare_slices(slices: Mapping[str, Sequence[Pair]], *, rate: float = 0.05) -> list[Slice]:
    """Each slice by exact McNemar (sign-flip where cases share clusters), the clearest first.

    Of the slices that are found, about ``rate`` are false.
    """
    tested = {name: unlikeness(pairs) for name, pairs in slices.items()}
    for pairs in slices.values():
        unique([pair.case_id for pair in pairs])
    adjusted = benjamini_hochberg([one.p for one in tested.values()])
    rows = [
        Slice(
            name=name,
            compared=one.counts.compared,
            regressed=one.counts.regressed,
            improved=one.counts.improved,
            difference=(one.counts.improved - one.counts.regressed) / max(1, one.counts.compared),
            p=one.p,
            p_adjusted=p,
            found=p < rate,
        )
        for (name, one), p in zip(tested.items(), adjusted, strict=True)
    ]
    return sorted(rows, key=lambda row: (row.p, row.difference, row.name))
