"""The price book: usage to money, by local prices first, then by genai-prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from pilothouse.records import Usage

from .cost import Cost, CostLine
from .overrides import PriceRow, find, price_rows, rates_of
from .rates import BUCKETS, Rate, Rates, complete

_ZERO: Final = Decimal(0)
_MILLIONTH: Final = Decimal("0.000001")
_MEMORY_MAX: Final = 20_000
_DAY_NS: Final = 86_400_000_000_000
_MINUTE_NS: Final = 60_000_000_000
_EARLIEST_NS: Final = 946_684_800_000_000_000
_LATEST_NS: Final = 4_102_444_800_000_000_000
_COLUMNS: Final = {
    "input_mtok": "input_uncached",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_5m_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_mtok": "output_text",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_output",
}
_SELF_HOSTED: Final = frozenset(
    {
        "ollama",
        "vllm",
        "llama.cpp",
        "llamacpp",
        "llama-cpp",
        "lmstudio",
        "lm-studio",
        "local",
        "localai",
        "sglang",
        "tgi",
    }
)
_CONTEXT_KEYS: Final = ("service_tier", "processing", "speed")


class PriceBook:
    """Prices usage. Local rows win over genai-prices; what neither knows has no price.

    Prices are remembered per provider, model and day, so a call after the first costs a few microseconds. One book
    may be used from several threads.
    """

    def __init__(self, overrides: str | Iterable[Mapping[str, Any]] | tuple[PriceRow, ...] = ()) -> None:
        """``overrides``: TOML text or rows as :func:`~pilothouse.costs.price_rows` reads them."""
        if isinstance(overrides, tuple) and all(isinstance(row, PriceRow) for row in overrides):
            self._rows: tuple[PriceRow, ...] = overrides  # type: ignore[assignment]
        else:
            self._rows = price_rows(overrides)  # type: ignore[arg-type]
        self._memory: dict[tuple[Any, ...], Rates | str] = {}
        self._by_minute: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"PriceBook({len(self._rows)} local prices)"

    def price(
        self,
        usage: Usage | None,
        *,
        model: str,
        provider: str,
        at_ns: int,
        given_usd: Decimal | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Cost:
        """What the usage cost at that time.

        The book's price is taken where there is one; else the emitter's own figure; else there is no amount and
        ``reason`` says why. ``context`` are request parameters that change the price (``service_tier``, ``batch``).
        An aggregate is priced like any usage: keeping it out of sums is the caller's part.
        """
        if usage is None:
            return _without_price(None, given_usd, "no usage", "the span reports no tokens")
        rates = self._rates(provider, model, at_ns, context)
        if isinstance(rates, str):
            return _without_price(usage, given_usd, "unknown model", rates)
        if len(rates.rates) < len(BUCKETS) and (missing := _unpriced(usage, rates)):
            reason = f"{rates.model} of {rates.provider} has no price per token for {', '.join(missing)}"
            return _without_price(usage, given_usd, "unknown model", reason)
        lines = _lines(usage, rates)
        other = _other_reading(usage)
        return Cost(
            usd=_sum(lines),
            source="price book",
            reason=rates.reason,
            provider=rates.provider,
            model=rates.model,
            book=rates.book,
            lines=lines,
            given_usd=given_usd,
            other_usd=_sum(_lines(other, rates)) if other is not None else None,
        )

    def _rates(self, provider: str, model: str, at_ns: int, context: Mapping[str, Any] | None) -> Rates | str:
        if not model:
            return "the span names no model"
        if not _EARLIEST_NS <= at_ns < _LATEST_NS:
            return f"the time {at_ns} ns is not one that prices are known for"
        period = at_ns // (_MINUTE_NS if (provider, model) in self._by_minute else _DAY_NS)
        wanted = _context(context) if context else ()
        key = (provider, model, period, wanted)
        known = self._memory.get(key)
        if known is None:
            known = self._look_up(provider, model, at_ns, dict(wanted))
            if (provider, model) in self._by_minute:
                key = (provider, model, at_ns // _MINUTE_NS, wanted)
            if len(self._memory) >= _MEMORY_MAX:
                self._memory.clear()
            self._memory[key] = known
        return known

    def _look_up(self, provider: str, model: str, at_ns: int, context: dict[str, str]) -> Rates | str:
        moment = datetime.fromtimestamp(at_ns / 1e9, tz=UTC)
        row = find(self._rows, provider, model, moment.date())
        if row is not None:
            return rates_of(row, provider, model)
        if provider in _SELF_HOSTED:
            return f"{provider} is self-hosted: add a local price for {model} to cost it"
        return self._from_genai_prices(provider, model, moment, context)

    def _from_genai_prices(self, provider: str, model: str, moment: datetime, context: dict[str, str]) -> Rates | str:
        # Imported here: it takes a third of a second and the book may never be needed.
        from genai_prices import __version__ as version
        from genai_prices import data_snapshot, types

        try:
            found_provider, found_model = data_snapshot.get_snapshot().find_provider_model(
                model, None, provider or None, None
            )
        except LookupError:
            named = f"{model} of {provider}" if provider else model
            return f"genai-prices {version} does not know {named}: add a local price to cost it"
        conditions = found_model.prices if isinstance(found_model.prices, list) else []
        if any(isinstance(condition.constraint, types.TimeOfDateConstraint) for condition in conditions):
            self._by_minute.add((provider, model))
        prices = found_model.get_prices(moment, context or None)
        rates: dict[str, Rate] = {}
        request: Decimal | None = None
        for column, value in prices.__dict__.items():
            if value is None:
                continue
            bucket = _COLUMNS.get(column)
            if isinstance(value, types.TieredPrices):
                rate = Rate(base=value.base, tiers=tuple((tier.start, tier.price) for tier in value.tiers))
            else:
                rate = Rate(base=value)
            if bucket is not None:
                rates.setdefault(bucket, rate)
            elif column == "requests_kcount":
                request = rate.base.scaleb(-3)
        return Rates(
            provider=found_provider.id,
            model=found_model.id,
            book=f"genai-prices {version}",
            rates=complete(rates, found_model.id),
            request=request,
            reason="" if provider else f"no provider was named: {found_provider.id} is taken from the model's name",
        )


def _unpriced(usage: Usage, rates: Rates) -> list[str]:
    return [bucket for bucket in BUCKETS if getattr(usage, bucket) and bucket not in rates.rates]


def _lines(usage: Usage, rates: Rates) -> tuple[CostLine, ...]:
    lines: list[CostLine] = []
    input_total = usage.input_total
    for bucket in BUCKETS:
        tokens = getattr(usage, bucket)
        if tokens:
            rate = rates.rates[bucket]
            price = rate.at(input_total) if rate.tiers else rate.base
            lines.append(
                CostLine(
                    bucket=bucket, tokens=tokens, usd_per_million=price, usd=price * tokens * _MILLIONTH, rule=rate.rule
                )
            )
    if rates.request is not None:
        lines.append(CostLine(bucket="requests", tokens=1, usd_per_million=rates.request.scaleb(6), usd=rates.request))
    return tuple(lines)


def _sum(lines: tuple[CostLine, ...]) -> Decimal:
    total = _ZERO
    for line in lines:
        total += line.usd
    return total


def _other_reading(usage: Usage) -> Usage | None:
    """The same numbers with the cached tokens beside the input instead of inside it, where that fits as well."""
    if not usage.ambiguous:
        return None
    return Usage(
        input_uncached=usage.input_uncached + usage.cache_read + usage.cache_write,
        cache_read=usage.cache_read,
        cache_write_5m=usage.cache_write_5m,
        cache_write_1h=usage.cache_write_1h,
        cache_write_other=usage.cache_write_other,
        audio_input=usage.audio_input,
        output_text=usage.output_text,
        reasoning=usage.reasoning,
        audio_output=usage.audio_output,
    )


def _without_price(usage: Usage | None, given_usd: Decimal | None, source: Any, reason: str) -> Cost:
    if given_usd is not None:
        return Cost(usd=given_usd, source="emitter", reason=reason, given_usd=given_usd)
    return Cost(usd=None, source=source, reason=reason)


def _context(parameters: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The request parameters that prices depend on, as genai-prices names them."""
    found = [(key, value) for key in _CONTEXT_KEYS if isinstance(value := parameters.get(key), str)]
    if parameters.get("batch") is True or parameters.get("service_tier") == "batch":
        found.append(("processing", "batch"))
    return tuple(found)
