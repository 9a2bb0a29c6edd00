"""What the policy says of keeping answers: ``cache:`` of a route of the gateway, read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pilothouse.records import BadRequest

Scope = Literal["user", "tenant", "global"]
SCOPES: Final[tuple[Scope, ...]] = ("user", "tenant", "global")
When = Literal["temperature_0", "asked", "always"]
WHENS: Final[tuple[When, ...]] = ("temperature_0", "asked", "always")

_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|m|h|d)?")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_TTL_S_MAX: Final = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningRule:
    """How a route finds an answer to the same question in other words. Off unless it is written down."""

    threshold: float
    """Cosine of the two questions' vectors, at least."""
    upstream: str = ""
    """Upstream of the gateway whose ``/embeddings`` is asked; empty: the offline embedder."""
    model: str = ""
    """The embedding model there."""
    same_words: bool = True
    """Whether the words that carry what it is about must be equal too. Without it only a model can tell a synonym."""
    recheck: float = 0.05
    """Share of such hits that are asked again beside the answer, to measure how many are false."""
    questions: int = 200
    """Questions that one is compared with: those whose facts and surroundings are equal; beyond, the oldest goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """How a route keeps answers."""

    ttl_s: float
    """Seconds that an answer is given again."""
    scope: Scope = "tenant"
    """Who may get it: the same user, the same tenant of the same project, or everybody on this server."""
    when: When = "temperature_0"
    """Which calls: those with temperature 0 (and embeddings), those that ask for it by header, or all."""
    tool_calls: bool = False
    """Whether answers that call tools are kept too."""
    mb: float = 256.0
    """Megabytes of answers; beyond, the one used least recently goes."""
    answer_kb: float = 1_024.0
    """Kilobytes of one answer; a longer one is not kept."""
    wait_s: float = 10.0
    """Seconds that a call waits for the very same one that is under way; then it is made as well."""
    meaning: MeaningRule | None = None
    """How the same question in other words is answered; None: it is not."""


def read_cache(value: Any, place: str) -> CacheRule:
    """The rule, read and checked.

    Raises:
        BadRequest: a setting is unknown or wrong.
    """
    if not isinstance(value, Mapping):
        raise BadRequest(f"{place} holds names and values", got=repr(value)[:100], fix="cache: {ttl: 1h}")
    table = cast("Mapping[str, Any]", value)
    names = {"ttl", "scope", "when", "tool_calls", "mb", "answer_kb", "wait_s", "semantic"}
    unknown = sorted({str(name) for name in table} - names)
    if unknown:
        raise BadRequest(f"no such setting in {place}", got=unknown[0][:100], allowed=sorted(names))
    if "ttl" not in table:
        raise BadRequest(f"{place} says not how long an answer holds", fix="ttl: 1h")
    tool_calls = table.get("tool_calls", False)
    if type(tool_calls) is not bool:
        raise BadRequest(f"{place}.tool_calls is true or false", got=repr(tool_calls)[:100])
    return CacheRule(
        ttl_s=seconds_of(table["ttl"], f"{place}.ttl", most=_TTL_S_MAX),
        scope=_one_of(table.get("scope", "tenant"), SCOPES, f"{place}.scope"),
        when=_one_of(table.get("when", "temperature_0"), WHENS, f"{place}.when"),
        tool_calls=tool_calls,
        mb=_number(table.get("mb", 256.0), f"{place}.mb", 0.01, 100_000),
        answer_kb=_number(table.get("answer_kb", 1_024.0), f"{place}.answer_kb", 0.1, 4_096),
        wait_s=_number(table.get("wait_s", 10.0), f"{place}.wait_s", 0, 600),
        meaning=_meaning(table["semantic"], f"{place}.semantic") if table.get("semantic") is not None else None,
    )


def _meaning(value: Any, place: str) -> MeaningRule:
    if not isinstance(value, Mapping):
        raise BadRequest(f"{place} holds names and values", got=repr(value)[:100], fix="semantic: {threshold: 0.95}")
    table = cast("Mapping[str, Any]", value)
    names = {"threshold", "upstream", "model", "same_words", "recheck", "questions"}
    unknown = sorted({str(name) for name in table} - names)
    if unknown:
        raise BadRequest(f"no such setting in {place}", got=unknown[0][:100], allowed=sorted(names))
    upstream, model = table.get("upstream", ""), table.get("model", "")
    if not isinstance(upstream, str) or not isinstance(model, str) or bool(upstream) != bool(model):
        raise BadRequest(
            f"{place} names an upstream and a model, or neither",
            got=f"{upstream!r} and {model!r}"[:100],
            fix="upstream: openai, model: text-embedding-3-small",
        )
    same_words = table.get("same_words", not upstream)
    if type(same_words) is not bool:
        raise BadRequest(f"{place}.same_words is true or false", got=repr(same_words)[:100])
    return MeaningRule(
        threshold=_number(table.get("threshold", 0.95 if upstream else 0.8), f"{place}.threshold", 0.5, 1.0),
        upstream=upstream,
        model=model,
        same_words=same_words,
        recheck=_number(table.get("recheck", 0.05), f"{place}.recheck", 0, 1),
        questions=int(_number(table.get("questions", 200), f"{place}.questions", 1, 2_000)),
    )


def seconds_of(value: Any, place: str, *, most: float) -> float:
    """A length of time: seconds, or a number with s, m, h or d.

    Raises:
        BadRequest: it is none, or out of bounds.
    """
    found = _SPAN.fullmatch(str(value).strip()) if type(value) in (int, float, str) else None
    seconds = float(found[1]) * _SECONDS[found[2] or "s"] if found is not None else -1.0
    if not 0 < seconds <= most:
        raise BadRequest(
            f"{place} is a length of time",
            got=repr(value)[:100],
            allowed=f"above 0, at most {most / 86_400:g}d",
            fix="1h",
        )
    return seconds


def _one_of(value: Any, allowed: tuple[Any, ...], place: str) -> Any:
    if value not in allowed:
        raise BadRequest(f"{place} is one of these", got=repr(value)[:100], allowed=list(allowed))
    return value


def _number(value: Any, place: str, least: float, most: float) -> float:
    if type(value) not in (int, float) or not least <= value <= most:
        raise BadRequest(f"{place} is a number", got=repr(value)[:100], allowed=f"{least:g} to {most:g}")
    return float(value)
