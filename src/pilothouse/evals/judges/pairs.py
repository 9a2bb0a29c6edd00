"""Which of two attempts a judge prefers: asked in both orders, so that a taste for a place decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pilothouse.records import PilothouseError

from .asking import OUTPUT_TOKENS_MAX, Purse
from .labels import Preference
from .model import ask, price_of, told
from .prompt import pair_question, read_choice, repair
from .settings import Judge
from .transcript import BYTES_PER_TOKEN, Transcript, fit

Choice = Literal["first", "second", "tie"]
_PROMPT_TOKENS = 500
_PARALLEL = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a judge prefers of two attempts at a case."""

    case: str
    criterion: str
    better: Literal["first", "second", "tie", "unscored"]
    why: str = ""
    preference: Preference | None = None
    """The places it chose, where it was asked in both orders and could be read."""
    usd: float = 0.0


async def prefer(
    judge: Judge,
    criterion: str,
    first: Transcript,
    second: Transcript,
    *,
    items: tuple[str, str],
    purse: Purse | None = None,
) -> Chosen:
    """Ask which is better. Where the orders disagree, the place decided and not the answer: a tie."""
    around = len((judge.rubric.text + criterion).encode()) // BYTES_PER_TOKEN + _PROMPT_TOKENS
    room = (judge.max_input_tokens - around) // 2
    texts = [fit(first, room), fit(second, room)]
    too_long = next((one.too_long for one in texts if one.too_long), "")
    if too_long:
        return Chosen(
            case=first.case, criterion=criterion, better="unscored", why=f"too long for the judge: {too_long}"
        )
    a, b = (f"{one.text}\n[not shown: {one.cut}]" if one.cut else one.text for one in texts)
    orders = [(a, b), (b, a)] if judge.both_orders else [(a, b)]
    answers = await asyncio.gather(*(_ask(judge, criterion, left, right, purse) for left, right in orders))
    usd = sum(one[2] for one in answers)
    if any(choice is None for choice, _, _ in answers):
        why = next(why for choice, why, _ in answers if choice is None)
        return Chosen(case=first.case, criterion=criterion, better="unscored", why=why, usd=usd)
    given = answers[0][0] or "tie"
    if len(answers) == 1:
        return Chosen(case=first.case, criterion=criterion, better=given, usd=usd)
    swapped = answers[1][0] or "tie"
    preference = Preference(pair=items, judge=judge.id, as_given=given, swapped=swapped)
    meant: Choice = {"first": "second", "second": "first", "tie": "tie"}[swapped]  # type: ignore[assignment]
    better: Choice = given if given == meant else "tie"
    why = "" if given == meant else "the two orders disagree"
    return Chosen(case=first.case, criterion=criterion, better=better, why=why, preference=preference, usd=usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Two attempts to hold against each other."""

    criterion: str
    first: Transcript
    second: Transcript
    items: tuple[str, str]


async def prefer_all(judge: Judge, matches: Sequence[Match]) -> list[Chosen]:
    """Ask about many pairs, a few at once, within the judge's money."""
    purse = Purse(usd_max=judge.max_usd)
    free = asyncio.Semaphore(_PARALLEL)

    async def one(match: Match) -> Chosen:
        async with free:
            return await prefer(judge, match.criterion, match.first, match.second, items=match.items, purse=purse)

    return list(await asyncio.gather(*(one(match) for match in matches)))


async def _ask(
    judge: Judge, criterion: str, first: str, second: str, purse: Purse | None
) -> tuple[Choice | None, str, float]:
    asked = pair_question(judge, criterion, first, second)
    spent = 0.0
    for _ in range(2):
        size = sum(len(one["content"].encode("utf-8", "replace")) for one in asked) // BYTES_PER_TOKEN
        worst = price_of(judge, size, OUTPUT_TOKENS_MAX)
        if purse is not None and purse.usd_max and worst is None:
            return None, f"the price of {judge.model} is not known, so max_usd cannot be kept", spent
        if purse is not None and not purse.take(worst or 0.0):
            return None, f"the judge's money is spent: {purse.spent:.4f} of {purse.usd_max:g} USD", spent
        cost = 0.0
        try:
            said = await ask(judge, asked)
            cost = said.usd or 0.0
        except PilothouseError as error:
            return None, told(error), spent
        finally:
            spent += cost
            if purse is not None:
                purse.give_back(worst or 0.0, spent=cost)
        choice = read_choice(said.text)
        if choice is not None:
            return choice, "", spent
        asked = repair(asked, said.text)
    return None, "the judge's answer names none of the two", spent
