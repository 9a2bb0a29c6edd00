"""From the store's rows to the records of :mod:`model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pilothouse.records import iso
from pilothouse.store.schema import TOKEN_BUCKETS

from .model import Tokens, TraceRow

BUCKET_COLUMNS = tuple(f"{bucket}_tokens" for bucket in TOKEN_BUCKETS)


def money(text: str | None) -> Decimal | None:
    """Money as the store gives it, without idle zeros."""
    if text is None:
        return None
    amount = Decimal(text).normalize()
    # normalize() writes 100 as 1E+2; quantizing brings the plain form back.
    return amount.quantize(Decimal(1)) if amount == amount.to_integral() else amount


def milliseconds(ns: int) -> float:
    """Nanoseconds as milliseconds, to the microsecond."""
    return round(ns / 1e6, 3)


def tokens(row: Mapping[str, Any]) -> Tokens:
    """The tokens of a row with the nine bucket columns."""
    return bucket_tokens([row[column] for column in BUCKET_COLUMNS])


def bucket_tokens(buckets: Sequence[int]) -> Tokens:
    """Tokens from the nine buckets in store order."""
    uncached, read, write_5m, write_1h, write_other, audio_in, text, reasoning, audio_out = buckets
    write = write_5m + write_1h + write_other
    return Tokens(
        input_uncached=uncached,
        cache_read=read,
        cache_write=write,
        audio_input=audio_in,
        output=text,
        reasoning=reasoning,
        audio_output=audio_out,
        total=uncached + read + write + audio_in + text + reasoning + audio_out,
    )


def trace_row(row: Mapping[str, Any]) -> TraceRow:
    """A trace's row."""
    return TraceRow(
        trace_id=row["trace_id"],
        root_name=row["root_name"],
        agent=row["agent"],
        agent_version=row["agent_version"],
        agents=tuple(row["agents"]),
        models=tuple(row["models"]),
        tools=tuple(row["tools"]),
        dialects=tuple(row["dialects"]),
        status=row["status_now"],
        start_time=iso(row["start_ns"]),
        duration_ms=milliseconds(row["duration_ns"]),
        spans=row["spans"],
        model_calls=row["model_calls"],
        tool_calls=row["tool_calls"],
        errors=row["errors"],
        tokens=tokens(row),
        cost_usd=money(row["cost_usd"]),
        cost_unknown=row["cost_unknown"],
        session_id=row["session_id"],
        user_id=row["user_id"],
        environment=row["environment"],
        service=row["service"],
        feature=row["feature"],
        tags=tuple(row["tags"]),
        signals=tuple(row["signals"]),
        input_text=row["input_text"],
        output_text=row["output_text"],
        first_error=row["first_error"],
        root_span_id=row["root_span_id"],
        duplicates=row["duplicates"],
        orphans=row["orphans"],
        usage_gap=row["usage_gap"],
    )
