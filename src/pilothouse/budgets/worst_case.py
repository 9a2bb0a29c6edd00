"""What a call may cost at worst: every input token at its dearest price, every output token used."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Final, Protocol

from pilothouse.costs import Cost
from pilothouse.records import BadRequest, Usage

from .model import NANO

OUTPUT_TOKENS_DEFAULT: Final = 16_384
"""Held back for a call that sets no bound and meets none: its caller holds the model to it."""


class Prices(Protocol):
    """A price book; :class:`pilothouse.costs.PriceBook` is one."""

    def price(self, usage: Usage | None, *, model: str, provider: str, at_ns: int) -> Cost:
        """What the usage cost at that time."""
        ...


def worst_case(
    prices: Prices, *, model: str, provider: str, input_tokens: int, output_tokens: int, at_ns: int
) -> Decimal:
    """The most such a call may cost, in US dollars.

    Raises:
        BadRequest: no price is known. A budget in dollars cannot hold for a model without a price.
    """

    def usd(usage: Usage) -> Decimal | None:
        return prices.price(usage, model=model, provider=provider, at_ns=at_ns).usd

    # A prompt that is written to a cache costs more than one that is only read; nobody knows beforehand which it is.
    # Input and output are priced together, since a long input raises the price of the output too.
    kinds = [
        Usage(**{into: input_tokens, out: output_tokens})  # type: ignore[arg-type]  # names of token buckets
        for into in ("input_uncached", "cache_write_5m", "cache_write_1h")
        for out in ("output_text", "reasoning")
    ]
    known = [amount for amount in map(usd, kinds) if amount is not None]
    if usd(Usage(input_uncached=input_tokens, output_text=output_tokens)) is None or not known:
        reason = prices.price(kinds[0], model=model, provider=provider, at_ns=at_ns).reason
        raise BadRequest(
            f"no price is known for this model, so no budget in dollars can hold: {reason}",
            got=f"{provider}/{model}" if provider else model or "no model",
            fix="add a [[prices]] row to pilothouse.toml (0 where it costs nothing), or give usd",
        )
    return max(known)


def nano(usd: Decimal) -> int:
    """Billionths of a dollar, rounded up: what is held back is never too little."""
    return int((usd * NANO).to_integral_value(rounding=ROUND_CEILING))
