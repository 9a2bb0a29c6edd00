"""A judge as ``suite.yaml`` has it, and its version: a hash over all that its verdict depends on.

judges:
  careful:
    model: gpt-4.1
    rubric: correctness              # a template, or a file below the suite
    url: https://api.openai.com/v1   # left out: the gateway of the running server
    key: env:OPENAI_API_KEY
    samples: 3
    max_usd: 2
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pilothouse.evals.plain import mapping_of
from pilothouse.records import BadRequest, canonical_json

from .rubrics import Rubric, find_rubric

PROMPT_VERSION: Final = 1
"""Of the words around the rubric. It is part of every judge's version: changing the words makes new judges."""
Scale = Literal["pass_fail", "0..1", "1..5"]
Api = Literal["openai", "anthropic"]
Gating = Literal["calibrated", "always", "never"]
INPUT_TOKENS: Final = 32_000
_NAMES: Final = (
    *("model", "url", "api", "key", "rubric", "samples", "scale", "pass_at", "both_orders", "max_input_tokens"),
    *("temperature", "seed", "max_usd", "price", "timeout_s", "reference", "gate", "bar"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a judge must show before it may gate: the low ends of 95 % intervals, over so many labels."""

    labels: int = 30
    """Of what truly passes, and as many of what truly fails."""
    sensitivity: float = 0.7
    specificity: float = 0.7
    kappa: float = 0.4
    count: Literal["random", "all"] = "random"
    """Which labels count. Those that were picked because the judge was unsure make it look worse than it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """One judge of a suite."""

    name: str
    model: str
    rubric: Rubric
    url: str = ""
    """Base address, as clients take it; empty: the gateway of the running server."""
    api: Api = "openai"
    key: str = ""
    """``env:NAME``: a key never stands in a file."""
    samples: int = 1
    """How often it is asked about one thing; the majority decides."""
    scale: Scale = "pass_fail"
    pass_at: float = 0.0
    """The score that passes, on the judge's own scale."""
    both_orders: bool = True
    """For pairs: each is asked twice, the answers swapped."""
    max_input_tokens: int = INPUT_TOKENS
    temperature: float | None = 0.0
    """None: not sent; some models refuse it."""
    seed: int | None = None
    max_usd: float = 0.0
    """In one run; 0: no bound of its own."""
    price: tuple[float, float] | None = None
    """USD per million input and output tokens, where the price book does not know the model."""
    timeout_s: float = 60.0
    reference: bool = True
    gate: Gating = "calibrated"
    bar: Bar = field(default_factory=Bar)
    agent: str = ""
    """As whom it asks through the gateway of a server, for the traces there; no part of its version."""

    @property
    def version(self) -> str:
        """12 hex digits. The address is left out: the same model elsewhere is the same judge."""
        counted = {
            "model": self.model, "api": self.api, "rubric": self.rubric.text, "trajectory": self.rubric.trajectory,
            "prompt": PROMPT_VERSION, "samples": self.samples, "scale": self.scale, "pass_at": self.pass_at,
            "both_orders": self.both_orders, "max_input_tokens": self.max_input_tokens,
            "temperature": self.temperature, "seed": self.seed, "reference": self.reference,
        }  # fmt: skip
        return hashlib.sha256(canonical_json(counted).encode()).hexdigest()[:12]

    @property
    def id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


def read_judges(sections: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Judge]:
    """All judges of a suite, by name; the first is the one that criteria without a judge are asked of.

    Raises:
        BadRequest: something in a section is wrong; the message names the place.
        NotFound: there is no such rubric.
    """
    return {name: read_judge(name, row, folder) for name, row in sections.items()}


def read_judge(name: str, row: Mapping[str, Any], folder: Path, *, place: str = "") -> Judge:
    """One judge; as :func:`read_judges`. ``place``: what errors call its section, where that is not in ``suite.yaml``."""
    place = place or f"suite.yaml: judges.{name}"
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 60:
        raise BadRequest("a judge's name is letters, digits, - and _", got=name[:80])
    unknown = sorted(set(row) - set(_NAMES))
    if unknown:
        raise BadRequest(f"{place} has no such name", got=unknown[0], allowed=list(_NAMES))
    model = row.get("model")
    if not isinstance(model, str) or not model.strip():
        raise BadRequest(f"{place}.model is missing", got=str(model), fix="model: gpt-4.1")
    rubric = find_rubric(str(row.get("rubric") or "correctness"), folder)
    scale = _one_of(row.get("scale") or "pass_fail", get_args(Scale), f"{place}.scale")
    if rubric.trajectory and scale != "pass_fail":
        raise BadRequest(
            f"{place}.scale: the trajectory rubric has verdicts of its own", got=scale, fix="take scale away"
        )
    low, high = {"pass_fail": (0.0, 1.0), "0..1": (0.0, 1.0), "1..5": (1.0, 5.0)}[scale]
    key = row.get("key") or ""
    if not isinstance(key, str) or (key and not key.startswith("env:")):
        raise BadRequest(f"{place}.key names a variable, since a key never stands in a file", got="something else", fix="key: env:OPENAI_API_KEY")  # fmt: skip
    url = str(row.get("url") or "").rstrip("/")
    if url and not url.startswith(("http://", "https://")):
        raise BadRequest(f"{place}.url begins with http:// or https://", got=url[:200])
    guess = "anthropic" if "anthropic" in url or (not url and model.startswith("claude")) else "openai"
    return Judge(
        name=name,
        model=model.strip(),
        rubric=rubric,
        url=url,
        api=_one_of(row.get("api") or guess, get_args(Api), f"{place}.api"),
        key=key,
        samples=int(_number(row, "samples", 1, place, 1, 25, whole=True)),
        scale=scale,
        pass_at=_number(row, "pass_at", {"1..5": 4.0}.get(scale, 0.5), place, low, high),
        both_orders=_truth(row, "both_orders", True, place),
        max_input_tokens=int(_number(row, "max_input_tokens", INPUT_TOKENS, place, 500, 10_000_000, whole=True)),
        temperature=None
        if "temperature" in row and row["temperature"] is None
        else _number(row, "temperature", 0.0, place, 0, 2),
        seed=None if row.get("seed") is None else int(_number(row, "seed", 0, place, 0, 2**31 - 1, whole=True)),
        max_usd=_number(row, "max_usd", 0.0, place, 0, 1e6),
        price=_price(row.get("price"), place),
        timeout_s=_number(row, "timeout_s", 60.0, place, 0.01, 3_600),
        reference=_truth(row, "reference", rubric.reference, place),
        gate=_one_of(row.get("gate") or "calibrated", get_args(Gating), f"{place}.gate"),
        bar=_bar(row.get("bar") or {}, f"{place}.bar"),
    )


def _bar(data: Any, place: str) -> Bar:
    row = mapping_of(data)
    allowed = ("labels", "sensitivity", "specificity", "kappa", "count")
    if row is None or set(row) - set(allowed):
        raise BadRequest(f"{place} has names of its own", got=str(data)[:100], allowed=list(allowed))
    return Bar(
        labels=int(_number(row, "labels", 30, place, 1, 100_000, whole=True)),
        sensitivity=_number(row, "sensitivity", 0.7, place, 0.5, 1),
        specificity=_number(row, "specificity", 0.7, place, 0.5, 1),
        kappa=_number(row, "kappa", 0.4, place, 0, 1),
        count=_one_of(row.get("count") or "random", ("random", "all"), f"{place}.count"),
    )


def _price(data: Any, place: str) -> tuple[float, float] | None:
    if data is None:
        return None
    row = mapping_of(data)
    if row is None or set(row) != {"input", "output"}:
        raise BadRequest(f"{place}.price is USD per million tokens", got=str(data)[:100], fix="price: {input: 2, output: 8}")  # fmt: skip
    return _number(row, "input", 0, f"{place}.price", 0, 1e6), _number(row, "output", 0, f"{place}.price", 0, 1e6)


def _one_of(value: Any, allowed: tuple[str, ...], place: str) -> Any:
    if value not in allowed:
        raise BadRequest(f"{place} is not one of these", got=str(value)[:100], allowed=list(allowed))
    return value


def _number(
    row: Mapping[str, Any], name: str, default: float, place: str, least: float, most: float, *, whole: bool = False
) -> float:
    value = row.get(name, default)
    good = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not good or (whole and int(value) != value):
        raise BadRequest(f"{place}.{name} is a number from {least:g} to {most:g}", got=str(value)[:100])
    return value


def _truth(row: Mapping[str, Any], name: str, default: bool, place: str) -> bool:
    value = row.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{place}.{name} is true or false", got=str(value)[:100])
    return value
