"""One question whose answer must be read: money put aside first, one repair, and a reason where nothing can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pilothouse.records import PilothouseError

from .asking import Purse
from .model import OUTPUT_TOKENS_MAX, ask, price_of, told
from .prompt import repair
from .settings import Judge
from .transcript import BYTES_PER_TOKEN

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Generic[T]):
    """What came of a question."""

    value: T | None
    """None where there is no answer that can be read."""
    why: str = ""
    """Why there is none."""
    usd: float = 0.0


async def answered(
    judge: Judge,
    messages: list[dict[str, str]],
    read: Callable[[str], T | None],
    purse: Purse,
    *,
    price_at: str,
    output_tokens_max: int = OUTPUT_TOKENS_MAX,
) -> Answered[T]:
    """Ask, and once more where ``read`` makes nothing of the answer. Never raises.

    ``price_at``: the setting that says the price of a model the price book does not know.
    """
    spent = 0.0
    asked = messages
    for _ in range(2):
        size = sum(len(one["content"].encode("utf-8", "replace")) for one in asked) // BYTES_PER_TOKEN
        worst = price_of(judge, size, output_tokens_max)
        if purse.usd_max and worst is None:
            why = f"the price of {judge.model} is not known, so the money cannot be capped: set {price_at}"
            return Answered(value=None, why=why, usd=spent)
        if not purse.take(worst or 0.0):
            why = f"the money is spent: {purse.spent:.4f} of {purse.usd_max:g} USD"
            return Answered(value=None, why=why, usd=spent)
        cost = 0.0
        try:
            said = await ask(judge, asked, output_tokens_max=output_tokens_max)
            cost = said.usd or 0.0
        except PilothouseError as error:
            return Answered(value=None, why=told(error), usd=spent)
        finally:
            spent += cost
            purse.give_back(worst or 0.0, spent=cost)
        value = read(said.text)
        if value is not None:
            return Answered(value=value, usd=spent)
        asked = repair(messages, said.text)
    return Answered(value=None, why="the model's answer is not of the form that was asked for", usd=spent)
