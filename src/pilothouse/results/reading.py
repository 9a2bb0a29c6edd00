"""Cases as a client sends them, checked, masked, folded, and made ready to be kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pilothouse.evals.folding import folded, reason
from pilothouse.evals.grouping import KEYS_MAX, VALUE_CHARS_MAX, is_group_key
from pilothouse.evals.runs import Result
from pilothouse.evals.sending import attempts_of
from pilothouse.guards import Masker
from pilothouse.records import BadRequest
from pilothouse.store.result_store import CaseBody, CaseRow

TRACES_MAX: Final = 10
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_LOST: Final = re.compile("[\x00\ud800-\udfff]")
"""What no database takes as text."""


def read_cases(cases: Sequence[Mapping[str, Any]], masker: Masker) -> list[CaseBody]:
    """The cases of a batch.

    Raises:
        BadRequest: one has no attempt that can be read, or comes twice.
    """
    found = [read_case(one, masker) for one in cases]
    ids = [one.row.case_id for one in found]
    if len(set(ids)) < len(ids):
        raise BadRequest("a case comes twice in one batch", got=max(ids, key=ids.count), fix="pilothouse eval push")
    return found


def read_case(sent: Mapping[str, Any], masker: Masker) -> CaseBody:
    """One case.

    Raises:
        BadRequest: as :func:`read_cases`.
    """
    case = str(sent["case"])
    sent = fit_to_keep(sent, masker)
    attempts: list[Mapping[str, Any]] = sent["attempts"]
    results = attempts_of(case, sent)
    if not results or len(results) < len(attempts):
        raise BadRequest("an attempt of this case cannot be read", got=case, fix="pilothouse eval push")
    fresh = [one for one in results if not one.taken_from]
    return CaseBody(
        row=CaseRow(
            case_id=case,
            folded=folded(results),
            sha256=_text(sent, "sha256"),
            capability=_text(sent, "capability"),
            cluster=_text(sent, "cluster"),
            severity=_text(sent, "severity"),
            quarantined=_text(sent, "quarantined"),
            groups=_groups(sent.get("groups") or {}),
            attempts=len(results),
            passed=sum(one.outcome == "pass" for one in results),
            taken_over=len(results) - len(fresh),
            why=reason(results)[:500],
            traces=_traces(results),
            cost_usd=sum(one.cost_usd or 0.0 for one in fresh),
            judge_usd=sum(one.judge_usd for one in fresh),
            seconds=sum(one.duration_s for one in fresh),
        ),
        attempts=attempts,
    )


def fit_to_keep(sent: Mapping[str, Any], masker: Masker) -> Mapping[str, Any]:
    """The same, masked, and without what no database takes."""
    # One look at all texts: hardly any has something in it that must not be kept.
    texts = list(_texts(sent))
    if any(map(_LOST.search, texts)):
        sent = _kept(sent)
    return masker.mask_data(sent) if masker.touches(texts) else sent


def _traces(results: Sequence[Result]) -> tuple[str, ...]:
    """Of attempts that do not pass, then of the others; what is no trace's id is left out."""
    ordered = sorted(results, key=lambda one: one.outcome == "pass")
    return tuple(dict.fromkeys(one.trace_id for one in ordered if _TRACE.fullmatch(one.trace_id)))[:TRACES_MAX]


def _groups(sent: Mapping[str, Any]) -> dict[str, str]:
    found = {key: str(value)[:VALUE_CHARS_MAX] for key, value in sent.items() if is_group_key(str(key))}
    return dict(list(found.items())[:KEYS_MAX])


def _text(sent: Mapping[str, Any], name: str) -> str:
    return str(sent.get(name) or "")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield str(key)  # pyright: ignore[reportUnknownArgumentType]
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(one)


def _clean(text: str) -> str:
    return _LOST.sub("\ufffd", text)


def _kept(value: Any) -> Any:
    """The same without what no database takes."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {_clean(str(key)): _kept(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [_kept(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value
