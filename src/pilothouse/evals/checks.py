"""Checks: what must be true of what an agent did. Each is a mapping with one key that names its kind.

| check | holds where |
| --- | --- |
| ``tool: NAME``, with ``arguments``, ``mode``, ``times``, ``first`` | it was called so |
| ``no_tool: NAME``, with ``arguments``; ``*`` for any tool | it was not called so |
| ``tools: [NAME, …]``, with ``order: exact, in_order, any`` and ``extra: allow, forbid`` | these were called |
| ``text: TEXT`` or an operator, with ``mode`` | the answer is this |
| ``contains: TEXT or [TEXT, …]``, ``contains_any: [TEXT, …]``, ``excludes: TEXT or [TEXT, …]`` | the answer has these words |
| ``number: N``, with ``within``, ``within_share`` | the answer has this number in it |
| ``output: VALUE``, with ``mode`` | the answer as data is this |
| ``label: NAME``, with ``of: [NAME, …]`` | the answer names this class, and none of the others |
| ``at_most: {model_calls, tool_calls, tokens, cost_usd, duration_s}`` | it took no more than that |
| ``no_error: true`` | neither the agent nor a tool failed |
| ``code: MODULE:FUNCTION``, with ``at_least``; ``level: tool_call`` and ``of: [NAME, …]`` | the function says so; of each call |

``when`` in any of them names a capability or severity for the report; ``id`` names the check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pilothouse.records import BadRequest

from .code_checks import LEVELS, CallScore, ask_code
from .matching import MODES, Mode, check_expected, match, reading
from .observed import Observed, ToolUse
from .plain import is_texts, list_of, mapping_of
from .quantities import quantity

_NUMBERS_MAX: Final = 1_000
_SHOWN_CHARS: Final = 300
_NUMBER_IN_TEXT = re.compile(
    r"(?:[$€£¥₹]\s?)?[+\-−]?\d(?:[\d,.'’_]*\d)?(?:e[+\-]?\d+)?(?:\s?(?:%|[A-Za-zµμ]{1,12}))?", re.IGNORECASE
)

Outcome = Literal["pass", "fail", "unscored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check says of one attempt."""

    name: str
    outcome: Outcome
    """``unscored``: it could not be looked at; never the same as fail."""
    why: str = ""
    """One sentence; empty where it passes."""
    score: float | None = None
    """From 0 to 1, where the check grades."""
    calls: tuple[CallScore, ...] = ()
    """Of each tool call, where the check is asked of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be true, as it stands in the case."""

    kind: str
    wanted: Any
    options: Mapping[str, Any]
    name: str

    def as_data(self) -> dict[str, Any]:
        """As it is written in a case."""
        return {self.kind: self.wanted, **self.options}


CodeScorer = Callable[..., "bool | float | tuple[bool | float, str] | CheckResult | None"]


def read_check(data: Any, place: str) -> Check:
    """A check from plain data.

    Raises:
        BadRequest: it is of no kind that is known, or has a wrong operand or option.
    """
    if not isinstance(data, Mapping):
        raise BadRequest(f"{place} is a mapping with one kind of check", got=repr(data)[:100], allowed=list(_KINDS))
    found = cast("Mapping[str, Any]", data)
    kinds = [key for key in found if key in _KINDS]
    if len(kinds) != 1:
        raise BadRequest(f"{place} has one kind of check", got=sorted(map(str, found)), allowed=list(_KINDS))
    kind = kinds[0]
    options = {key: value for key, value in found.items() if key != kind}
    allowed = {"id", "when", *_OPTIONS[kind]}
    if set(options) - allowed:
        raise BadRequest(
            f"{place}.{kind} has no such option", got=sorted(set(options) - allowed), allowed=sorted(allowed)
        )
    _look_at(kind, found[kind], options, f"{place}.{kind}")
    name = str(options.get("id") or _name(kind, found[kind], options))
    return Check(kind=kind, wanted=found[kind], options=options, name=name)


def run_check(check: Check, seen: Observed, *, scorers: Callable[[str], CodeScorer] | None = None) -> CheckResult:
    """What a check says of what was seen.

    ``scorers``: finds the function that a ``code`` check names; without it such a check is unscored.
    """
    if check.kind == "code":
        return _code(check, seen, scorers)
    why = _KINDS[check.kind](check.wanted, check.options, seen)
    return CheckResult(name=check.name, outcome="fail" if why else "pass", why=why)


# -- reading ---------------------------------------------------------------------------------------------------------


def _look_at(kind: str, wanted: Any, options: Mapping[str, Any], place: str) -> None:
    if kind in ("tool", "no_tool", "label", "code") and not (isinstance(wanted, str) and wanted.strip()):
        raise BadRequest(f"{place} takes a name", got=repr(wanted)[:100])
    if kind == "code" and not re.fullmatch(r"[\w.]+:[\w.]+", str(wanted)):
        raise BadRequest(f"{place} is module:function", got=wanted)
    if kind in ("tools", "contains_any") and not _is_texts(wanted):
        raise BadRequest(f"{place} takes a list of texts", got=repr(wanted)[:100])
    if kind in ("contains", "excludes") and not _is_texts([wanted] if isinstance(wanted, str) else wanted):
        raise BadRequest(f"{place} takes a text or a list of texts", got=repr(wanted)[:100])
    if kind == "number":
        check_expected({"$number": wanted, **{k: v for k, v in options.items() if k.startswith("within")}}, place)
    if kind in ("text", "output"):
        check_expected(wanted, place)
    if kind == "no_error" and wanted is not True:
        raise BadRequest(f"{place} takes true", got=wanted)
    if kind == "at_most":
        _look_at_bounds(wanted, place)
    if "arguments" in options:
        check_expected(options["arguments"], f"{place}.arguments")
    for name, allowed in (
        ("mode", MODES),
        ("order", ("exact", "in_order", "any")),
        ("extra", ("allow", "forbid")),
        ("level", LEVELS),
    ):
        if name in options and options[name] not in allowed:
            raise BadRequest(f"{place}.{name} is one of these", got=options[name], allowed=list(allowed))
    if "times" in options and not _is_times(options["times"]):
        raise BadRequest(f"{place}.times is a number or [least, most]", got=options["times"])
    if "of" in options and not _is_texts(options["of"]):
        raise BadRequest(f"{place}.of takes a list of texts", got=repr(options["of"])[:100])


def _look_at_bounds(wanted: Any, place: str) -> None:
    allowed = ("model_calls", "tool_calls", "tokens", "cost_usd", "duration_s")
    bounds = mapping_of(wanted) or {}
    if not bounds:
        raise BadRequest(f"{place} takes bounds", got=str(wanted)[:100], allowed=list(allowed))
    for name, bound in bounds.items():
        if name not in allowed:
            raise BadRequest(f"{place} has no such bound", got=name, allowed=list(allowed))
        if isinstance(bound, bool) or not isinstance(bound, int | float) or bound < 0:
            raise BadRequest(f"{place}.{name} is a number of at least 0", got=bound)


def _is_texts(wanted: Any) -> bool:
    return is_texts(wanted) and bool(wanted) and all(wanted)


def _is_times(times: Any) -> bool:
    if isinstance(times, int):
        return not isinstance(times, bool) and times >= 0
    pair = list_of(times) or []
    whole = len(pair) == 2 and all(isinstance(one, int) and not isinstance(one, bool) for one in pair)
    return whole and 0 <= pair[0] <= pair[1]


def _name(kind: str, wanted: Any, options: Mapping[str, Any]) -> str:
    if kind == "no_error":
        return kind
    with_ = f" {_shown(options['arguments'])}" if "arguments" in options else ""
    return f"{kind} {_shown(wanted)}{with_}"[:120]


# -- tools -----------------------------------------------------------------------------------------------------------


def _mode(options: Mapping[str, Any]) -> Mode:
    return options.get("mode", "tolerant")


def _tool(wanted: str, options: Mapping[str, Any], seen: Observed) -> str:
    calls = [one for one in seen.tools if one.name == wanted]
    arguments = options.get("arguments")
    fitting = [one for one in calls if arguments is None or not match(arguments, one.arguments, mode=_mode(options))]
    if options.get("first") and (not seen.tools or seen.tools[0] not in fitting):
        return f"the first call was {_call(seen.tools[0])}" if seen.tools else f"no tool was called; {_said(seen)}"
    least, most = _times(options.get("times"))
    if least <= len(fitting) <= most:
        return ""
    if fitting or least == 0:
        return f"{wanted} was called so {len(fitting)} times, not {least if least == most else f'{least} to {most}'}"
    if calls:
        place = match(arguments, calls[0].arguments, mode=_mode(options), path="arguments")[0]
        got = f", not {_shown(place.actual)}" if place.actual is not None else ""
        return f"{wanted} was called, but {place.path or 'arguments'}: {place.why} ({_shown(place.expected)}{got})"
    called = ", ".join(dict.fromkeys(one.name for one in seen.tools))
    return f"{wanted} was not called; {f'called: {called}' if called else 'no tool was'}; {_said(seen)}"


def _times(times: Any) -> tuple[int, float]:
    if times is None:
        return 1, float("inf")
    return (times, times) if isinstance(times, int) else (times[0], times[1])


def _no_tool(wanted: str, options: Mapping[str, Any], seen: Observed) -> str:
    for one in seen.tools:
        if wanted not in ("*", one.name):
            continue
        arguments = options.get("arguments")
        if arguments is None or not match(arguments, one.arguments, mode=_mode(options)):
            return f"{_call(one)} was called"
    return ""


def _tools(wanted: Sequence[str], options: Mapping[str, Any], seen: Observed) -> str:
    called = [one.name for one in seen.tools]
    order, extra = options.get("order", "in_order"), options.get("extra", "allow")
    said = f"called: {', '.join(called) or 'none'}"
    if order == "exact":
        return "" if called == list(wanted) else f"not exactly {', '.join(wanted)}; {said}"
    left, at = list(called), 0
    for name in wanted:
        try:
            at = called.index(name, at) + 1 if order == "in_order" else at
            left.remove(name)
        except ValueError:
            return f"{name} is missing{' in this order' if order == 'in_order' and name in called else ''}; {said}"
    return f"more was called: {', '.join(left)}" if left and extra == "forbid" else ""


# -- the answer ------------------------------------------------------------------------------------------------------


def _text(wanted: Any, options: Mapping[str, Any], seen: Observed) -> str:
    found = match(wanted, seen.text, mode=_mode(options))
    return f"{found[0].why}: {_said(seen)}" if found else ""


def _contains(wanted: Any, options: Mapping[str, Any], seen: Observed) -> str:
    text = reading(seen.text)
    missing = [one for one in _listed(wanted) if reading(one) not in text]
    return f"the answer lacks {_shown(missing[0])}; {_said(seen)}" if missing else ""


def _contains_any(wanted: Sequence[str], options: Mapping[str, Any], seen: Observed) -> str:
    text = reading(seen.text)
    return "" if any(reading(one) in text for one in wanted) else f"the answer has none of these; {_said(seen)}"


def _excludes(wanted: Any, options: Mapping[str, Any], seen: Observed) -> str:
    text = reading(seen.text)
    there = [one for one in _listed(wanted) if reading(one) in text]
    return f"the answer has {_shown(there[0])}; {_said(seen)}" if there else ""


def _listed(wanted: Any) -> list[str]:
    return [wanted] if isinstance(wanted, str) else list(wanted)


def _number(wanted: Any, options: Mapping[str, Any], seen: Observed) -> str:
    expected = {"$number": wanted, **{name: options[name] for name in ("within", "within_share") if name in options}}
    near: list[str] = []
    for found in _NUMBER_IN_TEXT.finditer(seen.text[:200_000]):
        if len(near) >= _NUMBERS_MAX:
            break
        # With its unit, where that is one; "5 items" is the number 5.
        whole = found.group()
        said = whole if quantity(whole) is not None else re.sub(r"\s?[A-Za-zµμ]+$", "", whole)
        near.append(said)
        if not match(expected, said):
            return ""
    return f"the number is not in the answer; its numbers: {', '.join(near[:8]) or 'none'}"


def _output(wanted: Any, options: Mapping[str, Any], seen: Observed) -> str:
    output = seen.output
    if output is None:
        try:
            output = json.loads(_fenced(seen.text))
        except ValueError:
            return f"the answer is no JSON; {_said(seen)}"
    found = match(wanted, output, mode=_mode(options))
    return (
        f"{found[0].path or 'the answer'}: {found[0].why} ({_shown(found[0].expected)}, not {_shown(found[0].actual)})"
        if found
        else ""
    )


def _fenced(text: str) -> str:
    found = re.search(r"```(?:json)?\s*\n(.*?)\n\s*```", text[:1_000_000], re.DOTALL)
    return found[1] if found else text


def _label(wanted: str, options: Mapping[str, Any], seen: Observed) -> str:
    said = label_of(seen, (wanted, *options.get("of", ())))
    if said == wanted:
        return ""
    return f"the answer says {said}" if said else f"the answer names no class, or several; {_said(seen)}"


def label_of(seen: Observed, labels: Sequence[str]) -> str:
    """The one of these classes that an answer names; empty where it names none, or several."""
    text = reading(seen.text)
    for label in labels:
        if text == reading(label):
            return label
    named = {label for label in labels if re.search(rf"(?<!\w){re.escape(reading(label))}(?!\w)", text)}
    return named.pop() if len(named) == 1 else ""


# -- effort, errors, code --------------------------------------------------------------------------------------------


def _at_most(wanted: Mapping[str, float], options: Mapping[str, Any], seen: Observed) -> str:
    for name, bound in wanted.items():
        got = len(seen.tools) if name == "tool_calls" else getattr(seen, name)
        if got is None:
            return f"{name} is not known: the target does not tell it"
        if got > bound:
            return f"{name} is {got:g}, more than {bound:g}"
    return ""


def _no_error(wanted: bool, options: Mapping[str, Any], seen: Observed) -> str:
    if seen.error:
        return f"the agent failed: {_shown(seen.error)}"
    failed = next((one for one in seen.tools if one.error), None)
    return f"{failed.name} failed: {_shown(failed.error)}" if failed else ""


def _code(check: Check, seen: Observed, scorers: Callable[[str], CodeScorer] | None) -> CheckResult:
    if scorers is None:
        return CheckResult(name=check.name, outcome="unscored", why="code is not run here")
    try:
        function = scorers(check.wanted)
    except Exception as error:
        return CheckResult(name=check.name, outcome="unscored", why=f"{type(error).__name__}: {_shown(str(error))}")
    said = ask_code(function, seen, check.options)
    return CheckResult(name=check.name, outcome=said.outcome, why=said.why, score=said.score, calls=said.calls)


# -- words -----------------------------------------------------------------------------------------------------------


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _call(one: ToolUse) -> str:
    return f"{one.name}({_shown(one.arguments)[:120]})"


def _said(seen: Observed) -> str:
    if seen.error:
        return f"it failed: {_shown(seen.error)}"
    return f"it said {_shown(seen.text)!r}" if seen.text else "it said nothing"


_KINDS: Final[dict[str, Callable[[Any, Mapping[str, Any], Observed], str]]] = {
    "tool": _tool,
    "no_tool": _no_tool,
    "tools": _tools,
    "text": _text,
    "contains": _contains,
    "contains_any": _contains_any,
    "excludes": _excludes,
    "number": _number,
    "output": _output,
    "label": _label,
    "at_most": _at_most,
    "no_error": _no_error,
    "code": lambda wanted, options, seen: "",
}
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "tool": ("arguments", "mode", "times", "first"),
    "no_tool": ("arguments", "mode"),
    "tools": ("order", "extra"),
    "text": ("mode",),
    "contains": (),
    "contains_any": (),
    "excludes": (),
    "number": ("within", "within_share"),
    "output": ("mode",),
    "label": ("of",),
    "at_most": (),
    "no_error": (),
    "code": ("at_least", "level", "of"),
}
CHECK_KINDS: Final = tuple(_KINDS)
CHECK_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = _OPTIONS
