"""The configuration file, ``pilothouse.toml``: what may be set, with defaults, units and reasons.

Everything has a default: no file is needed. An unknown or ill-typed setting stops the start with its name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pilothouse.intake.forward import Upstream, read_upstreams
from pilothouse.records import BadRequest
from pilothouse.signals import Rulebook, read_rulebook


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskConfig:
    """What is masked before anything is stored. ``[mask]``, and ``[mask.PROJECT]`` for one project."""

    groups: tuple[str, ...] = ("secrets",)
    """Rule groups that apply: ``secrets``, ``personal``."""
    rules: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further expressions (RE2 syntax) by name: a hit becomes ``[masked: name]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    """Masking for every project without rules of its own."""
    mask_by_project: Mapping[str, MaskConfig] = field(default_factory=dict[str, MaskConfig])
    """Masking by project name or id."""
    prices: tuple[Mapping[str, Any], ...] = ()
    """Price rows that come before the built-in price book: ``[[prices]]``."""
    store_memory_mb: int = 1_000
    """Memory the embedded store may use, in MB; a query above it fails alone."""
    journal_keep_mb: int = 256
    """Journal kept after it was stored, in MB, for looking into; 0 keeps none, as personal data may ask."""
    journal_backlog_mb: int = 4_096
    """Journal that may wait to be stored, in MB; beyond, senders are told to come back (503)."""
    forward: tuple[Upstream, ...] = ()
    """Other OTLP backends that get what arrives here too, masked: ``[[forward]]``, one table for each."""
    forward_backlog_mb: int = 1_024
    """Journal kept for a forward backend that is down, in MB; further behind, the rest is passed over and counted."""
    signals: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """When signals speak: thresholds by name, ``off`` with the rules that are switched off, ``agents`` with the same for one agent."""
    analysis_models: tuple[str, ...] = ()
    """Models that analyses on the server may ask, such as ``openai:gpt-5-mini``: ``[analysis] models``. Empty: none, since whoever has a key of mode write could spend on them; the built-in analyst needs no model."""
    online_code: tuple[str, ...] = ()
    """Functions that online evals may run, such as ``shop.scorers:polite``: ``[online] code``. Empty: none; what is scored, and whoever may write the policy, never adds to it."""
    disk_free_mb: int = 256
    """Free disk below which writes are refused, in MB."""
    body_mb: int = 16
    """Largest request body as sent, in MB."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names the page answers to besides the address it listens on; guards against DNS rebinding."""

    @property
    def rulebook(self) -> Rulebook:
        """The thresholds of every agent."""
        return read_rulebook(self.signals)


_TABLES = {"analysis", "online", "signals", "mask", "prices", "forward", "limits", "server"}
_LIMITS = {"store_memory_mb", "journal_keep_mb", "journal_backlog_mb", "forward_backlog_mb", "disk_free_mb", "body_mb"}


def read_config(path: Path | None) -> Config:
    """Read a configuration file; None gives the defaults.

    Raises:
        BadRequest: the file is missing, is no TOML, or has a setting that is not known or not of its type.
    """
    if path is None:
        return Config()
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise BadRequest("the configuration file is not there", got=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the configuration file is no TOML: {error}", got=str(path)) from error
    _known(data, _TABLES, "the file")
    limits = _table(data.get("limits", {}), "limits")
    _known(limits, _LIMITS, "[limits]")
    for name, value in limits.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadRequest(f"limits.{name} is a whole number of MB", got=repr(value))
    server = _table(data.get("server", {}), "server")
    _known(server, {"allowed_hosts"}, "[server]")
    analysis = _table(data.get("analysis", {}), "analysis")
    _known(analysis, {"models"}, "[analysis]")
    online = _table(data.get("online", {}), "online")
    _known(online, {"code"}, "[online]")
    signals = _table(data.get("signals", {}), "signals")
    read_rulebook(signals)
    mask = _table(data.get("mask", {}), "mask")
    own = {name: value for name, value in mask.items() if name not in ("groups", "rules")}
    prices = data.get("prices", [])
    if not isinstance(prices, list):
        raise BadRequest("prices are [[prices]] tables, one for each row", got=repr(prices)[:100])
    return Config(
        mask=_mask({name: mask[name] for name in ("groups", "rules") if name in mask}, "mask"),
        mask_by_project={name: _mask(_table(value, f"mask.{name}"), f"mask.{name}") for name, value in own.items()},
        forward=tuple(read_upstreams(data.get("forward", []))),
        prices=tuple(cast("list[Mapping[str, Any]]", prices)),
        signals=signals,
        analysis_models=_texts(analysis.get("models", []), "analysis.models"),
        online_code=_texts(online.get("code", []), "online.code"),
        allowed_hosts=_texts(server.get("allowed_hosts", []), "server.allowed_hosts"),
        **cast("dict[str, Any]", limits),
    )


def _mask(table: Mapping[str, Any], place: str) -> MaskConfig:
    _known(table, {"groups", "rules"}, f"[{place}]")
    rules = _table(table.get("rules", {}), f"{place}.rules")
    for name, expression in rules.items():
        if not isinstance(expression, str):
            raise BadRequest(f"{place}.rules.{name} is an expression in quotes", got=repr(expression)[:100])
    groups = _texts(table.get("groups", ["secrets"]), f"{place}.groups")
    return MaskConfig(groups=groups, rules=cast("Mapping[str, str]", rules))


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRequest(f"{place} is a table", got=repr(value)[:100])
    return cast("Mapping[str, Any]", value)


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[Any]", value)):
        raise BadRequest(f"{place} is a list of texts", got=repr(cast("object", value))[:100])
    return tuple(cast("list[str]", value))


def _known(table: Mapping[str, Any], names: set[str], place: str) -> None:
    unknown = sorted(set(table) - names)
    if unknown:
        raise BadRequest(f"no such setting in {place}", got=unknown[0], allowed=sorted(names))
