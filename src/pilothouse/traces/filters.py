"""The filter language, the same on every surface.

Terms are separated by spaces and all must hold: ``field:value``, ``field:>1.5`` (or ``field>1.5``, ``<``, ``>=``,
``<=``, ``!=``), ``-term`` for not, bare words and ``"quoted phrases"`` for text in messages and tool values. A value
may be several (``a,b``: any of them), may hold ``*``, and is quoted where it has spaces.
"""

from __future__ import annotations

import difflib
import re
from decimal import Decimal, InvalidOperation

from pilothouse.records import BadRequest
from pilothouse.store import TraceStore
from pilothouse.store.annotation_rows import score_names
from pilothouse.store.conditions import (
    ANNOTATED,
    NUMBER_FIELDS,
    SCORE_PREFIX,
    TEXT_FIELDS,
    Condition,
    Operator,
    as_number,
)

FIELDS = (*TEXT_FIELDS, *NUMBER_FIELDS, "attr.KEY", "resource.KEY", "score.NAME")
"""Every field one can filter on."""

_TEXT_MAX = 2_000
_TERMS_MAX = 20
_VALUES_MAX = 50
_STATUSES = ("ok", "error", "running")
_HELP = 'status:error agent:refunds cost>0.1 -tag:test "card declined"'

_TERM = re.compile(r'-?(?:[^\s"]|"(?:[^"\\]|\\.)*")+|"', re.DOTALL)
_FIELD = re.compile(
    r"((?:attr|resource|score)\.[^:<>=!\"\s]+|[A-Za-z_][\w.-]*)(:>=|:<=|:!=|:>|:<|:=|:|>=|<=|!=|>|<|=)(.*)", re.DOTALL
)
_VALUE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', re.DOTALL)


def parse_filter(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter text, in order.

    Raises:
        BadRequest: a field is unknown, a value does not fit its field, a quote is open, or a bound is passed.
    """
    check_text(text, "the filter", _TEXT_MAX)
    conditions: list[Condition] = []
    for term in _TERM.findall(text):
        if term == '"':
            raise BadRequest("a quote is opened and not closed", got=text[:200], fix=_example(_HELP))
        conditions.append(_condition(term))
    if len(conditions) > _TERMS_MAX:
        raise BadRequest(f"a filter has at most {_TERMS_MAX} terms", got=len(conditions))
    return tuple(conditions)


def conditions_of(store: TraceStore, project: str, text: str) -> tuple[Condition, ...]:
    """The conditions of a filter text, where its scores exist.

    Raises:
        BadRequest: as :func:`parse_filter`, or a score has a name that none has.
    """
    conditions = parse_filter(text)
    asked = [one for one in conditions if one.field.startswith(SCORE_PREFIX)]
    if asked:
        known = score_names(store, project)
        for one in asked:
            name = one.field.removeprefix(SCORE_PREFIX)
            if name not in known:
                raise _no_score(name, known, one.term)
    return conditions


def _no_score(name: str, known: list[str], term: str) -> BadRequest:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    fix = _example(term.replace(name, close[0], 1)) if close else "pilothouse score ID helpful 0.8"
    listed = [*close, *(one for one in known if one not in close)][:20]
    return BadRequest(f"no score has the name {name!r}", got=term, allowed=listed or "no score yet", fix=fix)


def check_text(text: str, what: str, chars_max: int) -> None:
    """Refuse text that is too long, or holds control characters or half characters."""
    if len(text) > chars_max:
        raise BadRequest(f"{what} is longer than {chars_max} characters", got=f"{len(text)} characters")
    for character in text:
        if (character < " " and character not in "\t\n\r") or "\ud800" <= character <= "\udfff":
            raise BadRequest(f"{what} holds a control character", got=repr(character))


def _condition(term: str) -> Condition:
    negated = term.startswith("-") and len(term) > 1
    body = term[1:] if negated else term
    matched = None if body.startswith('"') else _FIELD.fullmatch(body)
    if matched is None:
        words = _unquote(body).strip()
        if not any(character.isalnum() for character in words):
            raise BadRequest("there is no word to search for", got=term, fix=_example(_HELP))
        return Condition(field="text", values=(words,), negated=negated, term=term)
    name, operator, rest = matched[1], matched[2].lstrip(":") or "=", matched[3]
    if operator == "!=":
        negated, operator = not negated, "="
    _check_field(name, term)
    values = _values(rest, term)
    if name.startswith(SCORE_PREFIX):
        if operator != "=" and any(as_number(value) is None for value in values):
            raise BadRequest(f"{name} is compared with a number", got=term, fix=_example(f"{name}{operator}0.5"))
    elif name in NUMBER_FIELDS:
        values = tuple(_number(value, name, term) for value in values)
    elif operator != "=":
        raise BadRequest(
            f"{name} is text: it can be equal or not, but not {operator}",
            got=term,
            allowed=list(NUMBER_FIELDS),
            fix=_example(f"{name}:{rest}"),
        )
    if name == "has":
        for value in values:
            if value not in ANNOTATED:
                raise BadRequest("there is no such kind", got=value, allowed=list(ANNOTATED), fix=_example("has:note"))
    if name == "status":
        for value in values:
            if "*" not in value and value not in _STATUSES:
                raise BadRequest("no such status", got=value, allowed=list(_STATUSES), fix=_example("status:error"))
    ordered: Operator = operator  # type: ignore[assignment]  # the pattern yields no other
    return Condition(field=name, op=ordered, values=values, negated=negated, term=term)


def _check_field(name: str, term: str) -> None:
    if name in TEXT_FIELDS or name in NUMBER_FIELDS or name.startswith(("attr.", "resource.", SCORE_PREFIX)):
        return
    close = difflib.get_close_matches(name.lower(), FIELDS, n=3, cutoff=0.5)
    close = close or [field for field in FIELDS if field.startswith(name[:3].lower())]
    fix = _example(term.replace(name, close[0], 1)) if close else _example(f'"{term.strip(chr(34))}"')
    raise BadRequest(f"there is no field {name!r} to filter on", got=term, allowed=close or list(FIELDS), fix=fix)


def _values(text: str, term: str) -> tuple[str, ...]:
    values = tuple(_unquote(piece) for piece in _VALUE.findall(text))
    if not values:
        raise BadRequest("a value is missing", got=term, fix=_example(f'{term}""'))
    if len(values) > _VALUES_MAX:
        raise BadRequest(f"a term has at most {_VALUES_MAX} values", got=len(values))
    return values


def _number(value: str, name: str, term: str) -> str:
    try:
        number = Decimal(value.lstrip("$"))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > 10**18:
        raise BadRequest(f"{name} is a number", got=term, fix=_example(f"{name}>1"))
    return str(float(number))


def _unquote(text: str) -> str:
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: re.sub(r"\\(.)", r"\1", found[1]), text)


def _example(text: str) -> str:
    return "pilothouse ls '" + text.replace("'", "'\\''") + "'"
