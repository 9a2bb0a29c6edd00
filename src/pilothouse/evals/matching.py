"""Whether a value is as expected, and where it is not: exactly, in part, or as a reader would see it.

``exact``: the same JSON. ``subset``: what is expected is there, more may be, in mappings and in lists. ``tolerant``: more may
be in mappings, lists have their length, and scalars are compared by what they mean: ``2 s`` is ``2000 ms``, ``1,000.0`` is ``1e3``, ``$5`` is ``5 USD``, ``29 Nov 2026`` is
``2026-11-29``, ``True`` is ``"true"``; case and spaces do not count, and null is as good as absent.

In every mode a mapping with one of these keys asks for more than one value: ``$any`` (one of a list), ``$set`` (the list in
any order), ``$not``, ``$contains``, ``$matches`` (a regular expression, searched), ``$number`` with ``within`` or
``within_share``, ``$between`` (``[low, high]``), ``$type``, ``$present`` (true or false), ``$exact`` (this one exactly).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, cast, get_args

from pilothouse.records import BadRequest

from .quantities import moment, quantity

Mode = Literal["exact", "subset", "tolerant"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
SHARE: Final = Decimal("1e-9")
"""Two numbers that differ by less than this share of themselves are equal where not both are whole."""
_DEPTH_MAX: Final = 60
_MISMATCHES_MAX: Final = 50
_SET_MAX: Final = 500
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list, tuple),
    "mapping": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One place where a value is not as expected."""

    path: str
    """As in ``arguments.items[0].price``; empty for the whole."""
    why: str
    """One sentence."""
    expected: Any = None
    actual: Any = None


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()
"""Stands for a value that is not there."""


def match(expected: Any, actual: Any, *, mode: Mode = "tolerant", path: str = "") -> tuple[Mismatch, ...]:
    """Where ``actual`` is not as expected; empty where it is.

    Raises:
        BadRequest: what is expected cannot be understood (see :func:`check_expected`).
    """
    found: list[Mismatch] = []
    _compare(expected, actual, mode, path, found, 0)
    return tuple(found[:_MISMATCHES_MAX])


def check_expected(expected: Any, path: str = "", depth: int = 0) -> None:
    """Look at all of an expectation, so that a wrong one is found before anything runs.

    Raises:
        BadRequest: an operator that is not known or has a wrong operand, or a value nested too deeply.
    """
    if depth > _DEPTH_MAX:
        raise BadRequest(f"{path} is nested too deeply", allowed=f"{_DEPTH_MAX} levels")
    if isinstance(expected, Mapping):
        found = cast("Mapping[str, Any]", expected)
        operator = _operator(found, path)
        if operator:
            _check_operand(operator, found, path)
        for key, value in found.items():
            check_expected(value, f"{path}.{key}".lstrip("."), depth + 1)
    elif isinstance(expected, list | tuple):
        for number, value in enumerate(cast("Sequence[Any]", expected)):
            check_expected(value, f"{path}[{number}]", depth + 1)


def _operator(expected: Mapping[str, Any], path: str) -> str:
    names = [key for key in expected if key.startswith("$") and key != "$file"]
    if not names:
        return ""
    with_it = {"$number": {"within", "within_share"}}
    allowed = {names[0], *with_it.get(names[0], set())}
    if names[0] not in _OPERATORS or set(expected) - allowed:
        raise BadRequest(
            f"{path}: an operator that is not known, or beside other keys",
            got=sorted(expected),
            allowed=list(_OPERATORS),
        )
    return names[0]


def _check_operand(operator: str, expected: Mapping[str, Any], path: str) -> None:
    operand: Any = expected[operator]
    wrong = ""
    if operator in ("$any", "$set") and not (isinstance(operand, list | tuple) and operand):
        wrong = "takes a list of values"
    elif operator == "$set" and len(cast("Sequence[Any]", operand)) > _SET_MAX:
        wrong = f"takes at most {_SET_MAX} values"
    elif operator == "$matches":
        wrong = _wrong_pattern(operand)
    elif operator == "$number" and (
        quantity(operand) is None or any(_tolerance(expected, name) is None for name in ("within", "within_share"))
    ):
        wrong = "takes a number, and within or within_share a number of at least 0"
    elif operator == "$between" and not _is_range(operand):
        wrong = "takes two numbers, the smaller first"
    elif operator == "$type" and operand not in _TYPES:
        wrong = f"takes one of {', '.join(_TYPES)}"
    elif operator == "$present" and not isinstance(operand, bool):
        wrong = "takes true or false"
    if wrong:
        raise BadRequest(f"{path}: {operator} {wrong}", got=repr(cast("Any", operand))[:200])


def _wrong_pattern(operand: Any) -> str:
    if not isinstance(operand, str) or len(operand) > 2_000:
        return "takes a regular expression of at most 2,000 characters"
    try:
        re.compile(operand)
    except re.error as error:
        return f"takes a regular expression: {error}"
    return ""


def _is_range(operand: Any) -> bool:
    if not isinstance(operand, list | tuple) or len(cast("Sequence[Any]", operand)) != 2:
        return False
    low, high = (quantity(one) for one in cast("Sequence[Any]", operand))
    return low is not None and high is not None and low.unit == high.unit and low.number <= high.number


def _tolerance(expected: Mapping[str, Any], name: str) -> Decimal | None:
    found = quantity(expected.get(name, 0))
    return found.number if found is not None and found.number >= 0 else None


# -- comparing -------------------------------------------------------------------------------------------------------


def _compare(expected: Any, actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int) -> None:
    if depth > _DEPTH_MAX or len(found) >= _MISMATCHES_MAX:
        if depth > _DEPTH_MAX:
            found.append(Mismatch(path=path, why=f"nested more than {_DEPTH_MAX} levels deep"))
        return
    if isinstance(expected, Mapping):
        mapping = cast("Mapping[str, Any]", expected)
        operator = _operator(mapping, path)
        if operator:
            _OPERATORS[operator](mapping, actual, mode, path, found, depth)
        else:
            _compare_mapping(mapping, actual, mode, path, found, depth)
    elif isinstance(expected, list | tuple):
        _compare_list(cast("Sequence[Any]", expected), actual, mode, path, found, depth)
    elif actual is ABSENT:
        if not (mode == "tolerant" and expected is None):
            found.append(Mismatch(path=path, why="it is not there", expected=expected))
    elif not same_scalar(expected, actual, mode):
        found.append(Mismatch(path=path, why="it is another value", expected=expected, actual=actual))


def _compare_mapping(
    expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    if not isinstance(actual, Mapping):
        if actual is ABSENT and mode == "tolerant" and not expected:
            return
        why = "it is not there" if actual is ABSENT else "it is no mapping"
        found.append(Mismatch(path=path, why=why, expected=expected, actual=None if actual is ABSENT else actual))
        return
    values = cast("Mapping[str, Any]", actual)
    for key, value in expected.items():
        _compare(value, values.get(key, ABSENT), mode, f"{path}.{key}".lstrip("."), found, depth + 1)
    if mode == "exact":
        found.extend(
            Mismatch(path=f"{path}.{key}".lstrip("."), why="nothing was expected here", actual=values[key])
            for key in values
            if key not in expected
        )


def _compare_list(
    expected: Sequence[Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    if not isinstance(actual, list | tuple):
        why = "it is not there" if actual is ABSENT else "it is no list"
        found.append(Mismatch(path=path, why=why, expected=expected, actual=None if actual is ABSENT else actual))
        return
    values = cast("Sequence[Any]", actual)
    if mode == "subset" and len(values) > len(expected):
        _in_order(expected, values, mode, path, found, depth)
        return
    if len(values) != len(expected):
        why = f"it has {len(values)} entries, not {len(expected)}"
        found.append(Mismatch(path=path, why=why, expected=expected, actual=values))
        return
    for number, (one, other) in enumerate(zip(expected, values, strict=True)):
        _compare(one, other, mode, f"{path}[{number}]", found, depth + 1)


def _in_order(
    expected: Sequence[Any], actual: Sequence[Any], mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    waiting = iter(actual)
    for number, one in enumerate(expected):
        # The first that fits is always the best one to take where only the order counts.
        if not any(_fits(one, other, mode, depth) for other in waiting):
            found.append(Mismatch(path=f"{path}[{number}]", why="it is not among the entries, in order", expected=one))
            return


def _fits(expected: Any, actual: Any, mode: Mode, depth: int) -> bool:
    tried: list[Mismatch] = []
    _compare(expected, actual, mode, "", tried, depth + 1)
    return not tried


def same_scalar(expected: Any, actual: Any, mode: Mode) -> bool:
    """Whether two values that are no mappings and no lists are the same in this mode."""
    if mode != "tolerant":
        return _plainly_same(expected, actual)
    if expected is None or actual is None:
        return expected in (None, "") and actual in (None, "")
    if isinstance(expected, bool) or isinstance(actual, bool):
        return str(expected).strip().casefold() == str(actual).strip().casefold()
    if isinstance(actual, Mapping | list | tuple):
        return False
    one, other = quantity(expected), quantity(actual)
    if one is not None and other is not None:
        return one.unit == other.unit and _near(one.number, other.number)
    first, second = moment(expected), moment(actual)
    if first is not None and second is not None:
        return first.at == second.at and first.zoned == second.zoned
    return reading(str(expected)) == reading(str(actual))


def _plainly_same(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        # JSON knows one kind of number: 1 and 1.0 are the same.
        return expected == actual or (math.isnan(expected) and math.isnan(actual))
    return type(expected) is type(actual) and expected == actual


def _near(one: Decimal, other: Decimal) -> bool:
    if one == other:
        return True
    whole = one == one.to_integral_value() and other == other.to_integral_value()
    # Whole numbers are counts and ids: those that differ are not the same, however long.
    return not whole and abs(one - other) <= SHARE * max(abs(one), abs(other))


def reading(text: str) -> str:
    """A text as two readers would agree on: compatibility forms, case, spaces, and a last full stop do not count."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(plain.split()).rstrip(".").rstrip()


# -- operators -------------------------------------------------------------------------------------------------------


def _any(expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int) -> None:
    if not any(_fits(one, actual, mode, depth) for one in expected["$any"]):
        found.append(_other(path, "it is none of these", expected["$any"], actual))


def _not(expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int) -> None:
    if _fits(expected["$not"], actual, mode, depth):
        found.append(_other(path, "it is what it must not be", expected["$not"], actual))


def _set(expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int) -> None:
    wanted: Sequence[Any] = expected["$set"]
    if not isinstance(actual, list | tuple):
        found.append(_other(path, "it is no list", wanted, actual))
        return
    values = cast("Sequence[Any]", actual)
    if len(values) > _SET_MAX:
        found.append(_other(path, f"it has more than {_SET_MAX} entries", wanted, len(values)))
        return
    unpaired = _unpaired(wanted, values, mode, depth)
    if unpaired:
        found.append(_other(path, "these are not among the entries", [wanted[one] for one in unpaired], actual))
    elif mode == "exact" and len(values) > len(wanted):
        found.append(_other(path, f"it has {len(values)} entries, not {len(wanted)}", wanted, actual))


def _unpaired(wanted: Sequence[Any], values: Sequence[Any], mode: Mode, depth: int) -> list[int]:
    """Which of what is wanted find no entry of their own, by augmenting paths: the first that fits may be another's."""
    fits = [[n for n, value in enumerate(values) if _fits(one, value, mode, depth)] for one in wanted]
    taken: dict[int, int] = {}

    def place(one: int, seen: set[int]) -> bool:
        for entry in fits[one]:
            if entry in seen:
                continue
            seen.add(entry)
            if entry not in taken or place(taken[entry], seen):
                taken[entry] = one
                return True
        return False

    return [one for one in range(len(wanted)) if not place(one, set())]


def _contains(
    expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    wanted = expected["$contains"]
    if isinstance(actual, list | tuple):
        if not any(_fits(wanted, one, mode, depth) for one in cast("Sequence[Any]", actual)):
            found.append(_other(path, "no entry is this", wanted, actual))
        return
    text, part = ("" if actual is ABSENT or actual is None else str(actual)), str(wanted)
    inside = part in text if mode == "exact" else reading(part) in reading(text)
    if not inside:
        found.append(_other(path, "it does not contain this", wanted, actual))


def _matches(
    expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    if not isinstance(actual, str | int | float) or not re.search(expected["$matches"], str(actual)):
        found.append(_other(path, "the pattern is not found in it", expected["$matches"], actual))


def _numbers(
    expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    wanted, got = quantity(expected["$number"]), quantity(actual) if actual is not ABSENT else None
    within, share = _tolerance(expected, "within") or 0, _tolerance(expected, "within_share") or 0
    if wanted is None or got is None or wanted.unit != got.unit:
        found.append(_other(path, "it is no such number", expected["$number"], actual))
        return
    if abs(wanted.number - got.number) > max(Decimal(within), abs(wanted.number) * share, abs(wanted.number) * SHARE):
        found.append(_other(path, "the number is too far away", dict(expected), actual))


def _between(
    expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    low, high = (quantity(one) for one in expected["$between"])
    got = quantity(actual) if actual is not ABSENT else None
    if (
        got is None
        or low is None
        or high is None
        or got.unit != low.unit
        or not low.number <= got.number <= high.number
    ):
        found.append(_other(path, "it is not between these", expected["$between"], actual))


def _type(expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int) -> None:
    wanted = expected["$type"]
    is_one = isinstance(actual, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(actual, bool))
    if not is_one:
        found.append(_other(path, f"it is no {wanted}", wanted, actual))


def _present(
    expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int
) -> None:
    if (actual is not ABSENT) != expected["$present"]:
        found.append(_other(path, "it is there" if actual is not ABSENT else "it is not there", None, actual))


def _exact(expected: Mapping[str, Any], actual: Any, mode: Mode, path: str, found: list[Mismatch], depth: int) -> None:
    _compare(expected["$exact"], actual, "exact", path, found, depth + 1)


def _other(path: str, why: str, expected: Any, actual: Any) -> Mismatch:
    return Mismatch(path=path, why=why, expected=expected, actual=None if actual is ABSENT else actual)


_OPERATORS: Final = {
    "$any": _any,
    "$set": _set,
    "$not": _not,
    "$contains": _contains,
    "$matches": _matches,
    "$number": _numbers,
    "$between": _between,
    "$type": _type,
    "$present": _present,
    "$exact": _exact,
}
