"""What a call cost, to the last digit, and why."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as GenaiUsage
from genai_prices import calc_price, data_snapshot

from pilothouse.costs import PriceBook, explain, price
from pilothouse.records import BadRequest, Usage

AT = int(datetime(2026, 10, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_every_bucket_is_priced_and_the_lines_add_up() -> None:
    usage = Usage(
        input_uncached=1000, cache_read=2000, cache_write_5m=300, cache_write_1h=40, output_text=500, reasoning=5
    )

    cost = price(usage, model="claude-sonnet-4-5-20250929", provider="anthropic", at_ns=AT)

    assert {line.bucket: line.usd_per_million for line in cost.lines} == {
        "input_uncached": Decimal(3),
        "cache_read": Decimal("0.3"),
        "cache_write_5m": Decimal("3.75"),
        "cache_write_1h": Decimal(6),
        "output_text": Decimal(15),
        "reasoning": Decimal(15),
    }
    assert cost.usd == sum((line.usd for line in cost.lines), Decimal(0)) == Decimal("0.01254")
    assert (cost.source, cost.model, cost.provider) == ("price book", "claude-sonnet-4-5", "anthropic")
    assert cost.book.startswith("genai-prices ")


@pytest.mark.parametrize(
    "provider_id", ["openai", "anthropic", "google", "azure", "mistral", "deepseek", "groq", "x-ai"]
)
def test_amounts_agree_with_the_price_book_for_every_model(provider_id: str) -> None:
    provider = next(p for p in data_snapshot.get_snapshot().providers if p.id == provider_id)
    usage = Usage(input_uncached=300_000, cache_read=7_001, output_text=12_345)
    same = GenaiUsage(
        input_tokens=usage.input_total, cache_read_tokens=usage.cache_read, output_tokens=usage.output_total
    )
    compared = 0
    for model in provider.models:
        ours = price(usage, model=model.id, provider=provider_id, at_ns=AT)
        if ours.usd is None:
            assert "no price per token" in ours.reason or "does not know" in ours.reason
            continue
        moment = datetime.fromtimestamp(AT / 1e9, tz=UTC)
        theirs = calc_price(same, model.id, provider_id=provider_id, genai_request_timestamp=moment)
        if ours.lines[-1].bucket == "requests":
            continue
        assert ours.usd == theirs.total_price, model.id
        compared += 1
    assert compared >= 3


def test_a_long_prompt_is_priced_by_its_tier() -> None:
    short = price(Usage(input_uncached=200_000), model="gemini-2.5-pro", provider="google", at_ns=AT)
    long = price(Usage(input_uncached=200_000, cache_read=1), model="gemini-2.5-pro", provider="google", at_ns=AT)

    assert short.lines[0].usd_per_million == Decimal("1.25")
    assert long.lines[0].usd_per_million == Decimal("2.5")


def test_prices_are_those_of_the_day() -> None:
    book = PriceBook(
        [
            {"model": "house-*", "from": date(2026, 1, 1), "input": "1", "output": "2"},
            {"model": "house-*", "from": "2026-06-01", "input": "0.5", "output": "1"},
        ]
    )
    usage = Usage(input_uncached=1_000_000)

    def on(day: datetime) -> Decimal | None:
        return book.price(usage, model="house-7b", provider="vllm", at_ns=int(day.timestamp() * 1e9)).usd

    assert on(datetime(2026, 5, 31, 23, tzinfo=UTC)) == Decimal(1)
    assert on(datetime(2026, 6, 1, tzinfo=UTC)) == Decimal("0.5")
    assert on(datetime(2025, 6, 1, tzinfo=UTC)) is None


def test_an_off_peak_price_follows_the_hour() -> None:
    models = [
        (provider.id, model.id)
        for provider in data_snapshot.get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        and any(type(one.constraint).__name__ == "TimeOfDateConstraint" for one in model.prices)
    ]
    provider, model = models[0]
    usage = Usage(input_uncached=1000, output_text=1000)
    for hour in (1, 8, 13, 18, 23):
        moment = datetime(2026, 10, 1, hour, 45, tzinfo=UTC)
        same = GenaiUsage(input_tokens=1000, output_tokens=1000)
        theirs = calc_price(same, model, provider_id=provider, genai_request_timestamp=moment).total_price
        assert price(usage, model=model, provider=provider, at_ns=int(moment.timestamp() * 1e9)).usd == theirs


def test_an_unknown_model_has_no_price_and_never_zero() -> None:
    usage = Usage(input_uncached=10, output_text=10)
    for model, provider in (("llama3:8b", "ollama"), ("my-finetune", "openai"), ("gpt-4o", "vllm"), ("", "openai")):
        cost = price(usage, model=model, provider=provider, at_ns=AT)
        assert cost.usd is None
        assert cost.source == "unknown model"
        assert cost.reason


def test_no_usage_is_no_cost_unless_the_emitter_states_one() -> None:
    assert price(None, model="gpt-4o", provider="openai", at_ns=AT).source == "no usage"
    stated = price(None, model="gpt-4o", provider="openai", at_ns=AT, given_usd=Decimal("0.5"))
    assert (stated.usd, stated.source) == (Decimal("0.5"), "emitter")


def test_the_book_goes_before_the_emitter_and_the_difference_is_told() -> None:
    usage = Usage(input_uncached=1_000_000, rule="r", reported=(("gen_ai.usage.input_tokens", 1_000_000),))
    cost = price(usage, model="gpt-4o", provider="openai", at_ns=AT, given_usd=Decimal("2.6"))

    assert cost.usd == Decimal("2.5")
    said = [line.text for line in explain(cost, usage)]
    assert "the emitter states $2.6 (+$0.1)" in said
    assert "gen_ai.usage.input_tokens = 1,000,000" in said
    assert "input, uncached: 1,000,000 tokens x $2.5 a million = $2.5" in said


def test_an_ambiguous_usage_shows_the_other_reading() -> None:
    usage = Usage(input_uncached=100, cache_read=900, output_text=10, ambiguous=True)
    cost = price(usage, model="claude-sonnet-4-5", provider="anthropic", at_ns=AT)

    assert cost.usd == Decimal("0.00072")
    assert cost.other_usd == Decimal("0.00342")
    assert cost.gap_usd == Decimal("0.0027")
    assert any("does not include the cached tokens" in line.text for line in explain(cost, usage))


def test_a_missing_cache_price_follows_a_rule_that_is_named() -> None:
    book = PriceBook(
        [{"model": "claude-house", "input": 2, "output": 4}, {"model": "plain-house", "input": 2, "output": 4}]
    )
    usage = Usage(cache_write_5m=1_000_000, cache_write_1h=1_000_000, cache_read=1_000_000)

    claude = book.price(usage, model="claude-house", provider="x", at_ns=AT)
    plain = book.price(usage, model="plain-house", provider="x", at_ns=AT)

    assert [line.usd for line in claude.lines] == [Decimal(2), Decimal("2.5"), Decimal(4)]
    assert [line.usd for line in plain.lines] == [Decimal(2)] * 3
    assert all(line.rule for line in claude.lines)


def test_a_service_tier_changes_the_price() -> None:
    at = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1e9)
    usage = Usage(input_uncached=1_000_000)
    usual = price(usage, model="gpt-4o", provider="openai", at_ns=at)
    fast = price(usage, model="gpt-4o", provider="openai", at_ns=at, context={"service_tier": "priority", "n": 1})
    batch = price(usage, model="gpt-4o", provider="openai", at_ns=at, context={"batch": True})

    assert (usual.usd, fast.usd, batch.usd) == (Decimal("2.5"), Decimal("4.25"), Decimal("1.25"))


def test_local_prices_are_read_from_toml_exactly() -> None:
    book = PriceBook(
        """
        [[price]]
        provider = "vllm"
        model = "llama-3*"
        from = 2026-01-01
        input = 0.1
        output = 0.3
        """
    )
    cost = book.price(Usage(input_uncached=3, output_text=1), model="Llama-3-70B", provider="vllm", at_ns=AT)

    assert cost.usd == Decimal("0.0000006")
    assert cost.book == "local prices"


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"input": 1}, "names no model"),
        ({"model": "x"}, "has no price"),
        ({"model": "x", "input": -1}, "not a price"),
        ({"model": "x", "input": 1, "from": "soon"}, "not a date"),
        ({"model": "x", "inptu": 1}, "unknown columns"),
    ],
)
def test_a_wrong_row_is_named(row: dict[str, object], word: str) -> None:
    with pytest.raises(BadRequest, match=f"price row 1.*{word}"):
        PriceBook([row])


def test_a_time_without_prices_is_refused_with_a_reason() -> None:
    for at in (0, -5, 1 << 63):
        assert price(Usage(input_uncached=1), model="gpt-4o", provider="openai", at_ns=at).usd is None


def test_a_table_that_is_no_toml_is_refused_with_a_remedy() -> None:
    with pytest.raises(BadRequest, match="not TOML") as caught:
        PriceBook("[[price]\nmodel = 1")
    assert caught.value.fix is not None


def test_importing_prices_does_not_load_the_book() -> None:
    code = "import sys, pilothouse.costs; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
