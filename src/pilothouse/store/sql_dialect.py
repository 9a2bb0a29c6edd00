"""ClickHouse SQL read and written without interpretation: what comes out says what went in.

sqlglot translates between databases, so by default it rewrites what it knows (``toStartOfHour(x)`` becomes
``dateTrunc('HOUR', x)``, ``median`` becomes ``quantile``, …). A user's question must not change on its way. Here every
function stays the name it was called by, and every leaf (name, number, text) is written in one plain form that no
engine can read in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.generators.clickhouse import ClickHouseGenerator
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokenizer_core import TokenType

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_QUOTED_NAME = re.compile(r"[^\\`\"\x00-\x1f\x7f]{1,200}\Z")
_NUMBER = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_(), ]*\Z")
_HEX = re.compile(r"[0-9A-Fa-f]{1,64}\Z")

_ESCAPES = {
    ord("\\"): "\\\\",
    ord("'"): "\\'",
    **{code: f"\\x{code:02x}" for code in (*range(32), 127)},
    ord("\n"): "\\n",
    ord("\t"): "\\t",
    ord("\r"): "\\r",
}

# Function calls with a grammar of their own, such as `extract(DAY FROM x)`; all others are a name and arguments.
_SPECIAL_CALLS = ("CAST", "COLUMNS", "EXTRACT", "POSITION", "SUBSTRING", "TRIM")


class Unwritable(ValueError):
    """A name, number or construct that has no plain form."""


# sqlglot's tables of parsers have no complete types.
_PARSER: Any = ClickHouseParser


def _only(parsers: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: parsers[name] for name in names}


def _date_call(_parser: object, text: exp.Expr, _kind: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="toDate", expressions=[text])


def _time_call(_parser: object, text: exp.Expr, _kind: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this="toDateTime", expressions=[text])


def _limit(parser: PlainParser) -> tuple[str, exp.Expr | None]:
    limit = parser._parse_limit()  # pyright: ignore[reportPrivateUsage]  # the seam sqlglot gives its dialects
    # `LIMIT 1 BY x` and `LIMIT 10` may stand side by side: to sqlglot they are one clause.
    return ("limit_by" if limit is not None and limit.expressions else "limit"), limit


def _behind(this: exp.Expr | None) -> exp.Expr | None:
    """Mark a NOT that stands behind its operand: ``x NOT IN y`` rather than ``NOT x IN y``."""
    if isinstance(this, exp.Not):
        this.meta["behind"] = True
    return this


def _is_behind(this: exp.Expr | None) -> bool:
    return isinstance(this, exp.Not) and bool(this.meta.get("behind"))


class PlainParser(ClickHouseParser):
    """Reads ClickHouse SQL; functions stay as they were written."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = _only(_PARSER.FUNCTION_PARSERS, *_SPECIAL_CALLS)
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = _only(_PARSER.NO_PAREN_FUNCTION_PARSERS, "CASE")
    # DATE '2026-01-01' is a call in the engine, not a cast.
    TYPE_LITERAL_PARSERS: ClassVar[dict[exp.DType, Any]] = {
        exp.DType.DATE: _date_call,
        exp.DType.TIMESTAMP: _time_call,
    }

    QUERY_MODIFIER_PARSERS: ClassVar[dict[TokenType, Any]] = {
        **_PARSER.QUERY_MODIFIER_PARSERS,
        TokenType.LIMIT: _limit,
    }

    @classmethod
    def _resolve_clickhouse_agg(cls, name: str) -> tuple[str, Sequence[str]] | None:
        # Any function may have parameters before its arguments: `name(1, 2)(x)`, also those sqlglot never heard of.
        return name, ()

    def _warn_unsupported(self) -> None:
        """Say nothing: what cannot be read is refused to its writer, not logged."""

    def _parse_interval_span(self, this: exp.Expr, parse_function_unit: bool = True) -> exp.Interval:
        interval = super()._parse_interval_span(this, parse_function_unit=parse_function_unit)
        if isinstance(this, exp.Literal) and not this.is_string:
            interval.set("this", this)  # 1 DAY, not '1' DAY
        return interval

    def _parse_types(
        self,
        check_func: bool = False,
        schema: bool = False,
        allow_identifiers: bool = True,
        with_collation: bool = False,
    ) -> exp.Expr | None:
        start = self._index
        kind = super()._parse_types(check_func, schema, allow_identifiers, with_collation)
        if isinstance(kind, exp.DataType) and self._index > start:
            # The engine knows more names for a type than sqlglot writes: the user's own is kept.
            text = self._find_sql(self._tokens[start], self._tokens[self._index - 1])
            if _TYPE.match(text):
                kind.meta["text"] = text
        return kind

    def _negate_range(self, this: exp.Expr | None = None) -> exp.Expr | None:
        return _behind(super()._negate_range(this))

    def _parse_is(self, this: exp.Expr | None) -> exp.Expr | None:
        return _behind(super()._parse_is(this))

    def _parse_global_in(self, this: exp.Expr | None) -> exp.Not | exp.In | None:
        found = super()._parse_global_in(this)
        _behind(found)
        return found


class PlainGenerator(ClickHouseGenerator):
    """Writes a tree in one plain form.

    Raises:
        Unwritable: a leaf has a character that could be read in two ways.
    """

    def literal_sql(self, expression: exp.Literal) -> str:
        text = str(expression.this or "")
        if expression.is_string:
            return f"'{text.translate(_ESCAPES)}'"
        if not _NUMBER.match(text):
            raise Unwritable(f"the number {text[:40]!r}")
        return text

    def hexstring_sql(self, expression: exp.HexString, binary_function_repr: str | None = None) -> str:
        text = str(expression.this)
        if not _HEX.match(text):
            raise Unwritable(f"the number 0x{text[:40]}")
        return f"0x{text}"

    def identifier_sql(self, expression: exp.Identifier) -> str:
        name = expression.name
        if not expression.quoted and _NAME.match(name):
            return name
        if not _QUOTED_NAME.match(name):
            raise Unwritable(f"the name {name[:60]!r}")
        return f"`{name}`"

    def var_sql(self, expression: exp.Var) -> str:
        name = str(expression.this)
        if not _NAME.match(name):
            raise Unwritable(f"the word {name[:60]!r}")
        return name

    def datatype_sql(self, expression: exp.DataType) -> str:
        return str(expression.meta.get("text") or super().datatype_sql(expression))

    def if_sql(self, expression: exp.If) -> str:
        # Only `a ? b : c` makes this node outside of CASE.
        parts = (self.sql(expression, part) for part in ("this", "true", "false"))
        return f"if({', '.join(parts)})"

    def offset_limit_modifiers(
        self, expression: exp.Expr, fetch: bool, limit: exp.Fetch | exp.Limit | None
    ) -> list[str]:
        return [self.sql(expression, "limit_by"), *super().offset_limit_modifiers(expression, fetch, limit)]

    def tuple_sql(self, expression: exp.Tuple) -> str:
        # In parentheses a tuple of one would be that one.
        arguments = self.expressions(expression, flat=True)
        if len(expression.expressions) > 1 or isinstance(expression.parent, exp.Distinct):
            return f"({arguments})"
        return f"tuple({arguments})"

    def in_sql(self, expression: exp.In) -> str:
        word = "NOT IN" if _is_behind(expression.parent) else "IN"
        if expression.args.get("is_global"):
            word = f"GLOBAL {word}"
        if expression.args.get("query"):
            right = self.sql(expression, "query")
        elif expression.args.get("field"):
            right = self.sql(expression, "field")
        else:
            right = f"({self.expressions(expression, flat=True)})"
        return f"{self.sql(expression, 'this')} {word} {right}"

    def is_sql(self, expression: exp.Is) -> str:
        word = "IS NOT" if _is_behind(expression.parent) else "IS"
        return f"{self.sql(expression, 'this')} {word} {self.sql(expression, 'expression')}"

    def between_sql(self, expression: exp.Between) -> str:
        word = "NOT BETWEEN" if _is_behind(expression.parent) else "BETWEEN"
        low, high = self.sql(expression, "low"), self.sql(expression, "high")
        return f"{self.sql(expression, 'this')} {word} {low} AND {high}"

    def not_sql(self, expression: exp.Not) -> str:
        inner = self.sql(expression, "this")
        if _is_behind(expression) and isinstance(expression.this, exp.In | exp.Is | exp.Between):
            return inner
        return f"NOT {inner}"


class Plain(ClickHouse):
    """The dialect users write."""

    Parser = PlainParser
    Generator = PlainGenerator


def write(tree: exp.Expr) -> str:
    """The tree as SQL, without comments.

    Raises:
        Unwritable: a leaf has no plain form.
    """
    return tree.sql(dialect=Plain, comments=False, pretty=False)


def call_name(call: exp.Expr) -> str:
    """The name a function is called by."""
    return str(call.this) if isinstance(call.this, str) else call.name


def shown(node: exp.Expr | None) -> str:
    """A piece of SQL for a message, short."""
    if node is None:
        return ""
    try:
        return head(write(node))
    except (Unwritable, RecursionError):
        return type(node).__name__


def head(text: str) -> str:
    """The beginning of a statement on one line, for a message."""
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:119] + "…"
