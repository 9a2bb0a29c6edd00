"""Decides whether users' SQL may run, and turns it into the statement that does. No I/O.

Everything is a list of what is allowed: kinds of node, clauses, functions, types and tables. A construct nobody thought
of is refused, not run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from pilothouse.records import BadRequest

from .sql_bind import bind, cte_in_scope
from .sql_dialect import Plain, Unwritable, call_name, head, shown, write
from .sql_functions import AGGREGATE_IN_TEXT, AGGREGATES, FUNCTIONS, TYPE_IN_TEXT, is_aggregate, is_allowed
from .views import BY_NAME

SQL_LENGTH_MAX = 100_000

_SCHEMA = "pilothouse sql --schema"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLAIN_NODES: frozenset[type[exp.Expr]] = frozenset(
    {
        *(exp.Add, exp.Alias, exp.And, exp.Anonymous, exp.AnonymousAggFunc, exp.Array, exp.Between, exp.BitString),
        *(exp.Boolean, exp.Bracket, exp.Case, exp.Cast, exp.CastToStrType, exp.Column, exp.ColumnDef, exp.Columns),
        *(exp.CTE, exp.Cube, exp.DataType, exp.DataTypeParam, exp.Distinct, exp.Div, exp.Dot, exp.DPipe, exp.EQ),
        *(exp.Except, exp.Exists, exp.Extract, exp.Fetch, exp.Filter, exp.Final, exp.From, exp.GT, exp.GTE, exp.Group),
        *(exp.GroupingSets, exp.Having, exp.HexString, exp.Identifier, exp.If, exp.IgnoreNulls, exp.ILike, exp.In),
        *(exp.Intersect, exp.Interval, exp.Is, exp.Join, exp.Lambda, exp.Like, exp.Limit, exp.LimitOptions),
        *(exp.Literal, exp.LT, exp.LTE, exp.Mod, exp.Mul, exp.Neg, exp.NEQ, exp.Not, exp.Null, exp.NullSafeEQ),
        *(exp.NullSafeNEQ, exp.Offset, exp.Or, exp.Order, exp.Ordered, exp.ParameterizedAgg, exp.Paren, exp.PreWhere),
        *(exp.Qualify, exp.RegexpLike, exp.RespectNulls, exp.Rollup, exp.Select, exp.Star, exp.StrPosition, exp.Sub),
        *(exp.Subquery, exp.Substring, exp.Table, exp.TableAlias, exp.Trim, exp.Tuple, exp.Union, exp.Var, exp.Where),
        *(exp.Window, exp.WindowSpec, exp.With, exp.WithFill),
    }
)

# Clauses with settings, formats, files, samples or hints are not in these.
_CLAUSES: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: _words(
        "distinct expressions from_ group having joins limit limit_by offset order prewhere qualify where windows with_"
    ),
    exp.Union: _words("this expression distinct with_ order limit limit_by offset"),
    exp.Except: _words("this expression distinct with_ order limit limit_by offset"),
    exp.Intersect: _words("this expression distinct with_ order limit limit_by offset"),
    exp.Subquery: _words("this alias with_"),
    exp.Table: _words("this alias joins"),
    exp.TableAlias: _words("this"),
    exp.Join: _words("this expressions on using side kind method global_"),
    exp.In: _words("this expressions field query is_global"),
    exp.Column: _words("this table db catalog"),
}

_NAMED_CLAUSES = {
    "settings": "SETTINGS is ours: rows, time and memory have bounds of their own",
    "format": "FORMAT is ours: pilothouse sql --format table|json|csv|md",
    "sample": "SAMPLE has nothing to sample by: filter by time instead",
    "into": "INTO is refused: users' SQL only reads",
}

_TYPES: frozenset[exp.DType] = frozenset(
    getattr(exp.DType, name)
    for name in _words(
        "ARRAY BIGDECIMAL BIGINT BOOLEAN CHAR DATE DATE32 DATETIME DATETIME64 DECIMAL DECIMAL32 DECIMAL64 DECIMAL128"
        " DECIMAL256 DOUBLE ENUM ENUM8 ENUM16 FIXEDSTRING FLOAT INT INT128 INT256 INTERVAL IPV4 IPV6 JSON"
        " LOWCARDINALITY MAP NCHAR NESTED NVARCHAR SMALLINT STRUCT TEXT TIME TIMESTAMP TINYINT UBIGINT UINT"
        " UINT128 UINT256 USMALLINT UTINYINT UUID VARCHAR"
    )
)
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_CALLED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)`?\s*\(")
_HIGHER_ORDER = ("array", "map")
"""How the names of all functions begin that take another function."""
_TYPE_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9_(), =']*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """SQL that may run."""

    asked: str
    """The user's statement as it was understood: written from the tree, before any table was replaced."""
    sql: str
    """What is to run: views read the project in the parameter ``project``."""
    views: tuple[str, ...]
    """The views it reads."""
    notes: tuple[str, ...]
    """What was changed, for the reader."""


def check(sql: str, database: str, refused_functions: Collection[str] = frozenset()) -> Checked:
    """Read a statement, refuse what is not a plain question over the views, and write the statement that answers it.

    ``refused_functions`` are the engine's functions, in lower case, that may not be called: some places take a
    function by its bare name.

    Raises:
        BadRequest: the statement is not one query over the views, or cannot be read.
    """
    tree = _read(sql)
    try:
        for node in tree.walk():
            _check_node(node, refused_functions)
        asked = write(tree)
        views, notes = bind(tree, database)
        bound = write(tree)
    except Unwritable as error:
        raise BadRequest(
            f"{error} cannot be used in this SQL", fix="use letters, digits and underscores in names"
        ) from error
    except RecursionError as error:
        raise _too_deep() from error
    if isinstance(tree, exp.SetOperation | exp.Subquery):
        # Settings behind a query that ends in brackets are silently ignored by the engine, and with them every bound.
        bound = f"SELECT * FROM ({bound})"
    _look_again(bound, refused_functions)
    return Checked(asked=asked, sql=bound, views=tuple(sorted(views)), notes=tuple(notes))


def _read(sql: str) -> exp.Expr:
    if len(sql) > SQL_LENGTH_MAX:
        raise BadRequest("the SQL is too long", got=f"{len(sql)} characters", allowed=f"{SQL_LENGTH_MAX} characters")
    try:
        statements = [statement for statement in sqlglot.parse(sql, dialect=Plain) if statement is not None]
    except RecursionError as error:
        raise _too_deep() from error
    except (SqlglotError, ValueError) as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split("\n")[0][:200]
        raise BadRequest(f"this SQL cannot be read: {message}", got=head(sql), fix=_SCHEMA) from error
    if len(statements) != 1:
        count = "nothing" if not statements else f"{len(statements)} statements"
        raise BadRequest("give one SELECT", got=count, allowed="SELECT, WITH … SELECT, UNION", fix=_SCHEMA)
    tree = statements[0]
    if not isinstance(tree, exp.Query):
        word = (sql.split() or [""])[0].upper()[:40]
        raise BadRequest("users' SQL only reads", got=word, allowed="SELECT, WITH … SELECT, UNION", fix=_SCHEMA)
    return tree


def _check_node(node: exp.Expr, refused_functions: Collection[str]) -> None:
    kind = type(node)
    clauses = _CLAUSES.get(kind)
    if clauses is not None:
        for name, value in node.args.items():
            if value and name not in clauses:
                _refuse_clause(name, node)
    if kind not in _PLAIN_NODES:
        if isinstance(node, exp.Placeholder | exp.Parameter):
            raise BadRequest("write the value itself: this SQL takes no parameters", got=shown(node))
        word = kind.__name__
        for name, message in _NAMED_CLAUSES.items():
            if word.lower().endswith(name):
                raise BadRequest(message, got=name.upper())
        raise BadRequest("this form of SQL is not supported here", got=f"{shown(node)} ({word})", fix=_SCHEMA)
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg):
        if not isinstance(node.parent, exp.Table):
            _check_call(node, refused_functions)
    elif isinstance(node, exp.DataType):
        if node.this not in _TYPES:
            _refuse_type(shown(node))
    elif isinstance(node, exp.CastToStrType):
        _check_type_text(node.args.get("to"))
    elif isinstance(node, exp.In):
        _check_in(node)
    elif isinstance(node, exp.Column):
        _check_column(node, refused_functions)
    elif isinstance(node, exp.Select) and not node.expressions:
        raise BadRequest("say what to select", got=shown(node), fix=_SCHEMA)
    elif isinstance(node, exp.Group) and node.args.get("totals"):
        raise BadRequest(
            "WITH TOTALS gives its line outside of the rows: it would be lost",
            got="WITH TOTALS",
            fix="GROUP BY … WITH ROLLUP gives the total as a row",
        )


def _look_again(sql: str, refused_functions: Collection[str]) -> None:
    """Refuse what is about to run where a word before a bracket names a refused function, whatever the tree said."""
    for word in _CALLED.findall(_TEXT.sub("''", sql)):
        if (
            word.lower() in refused_functions and word != "IN"
        ):  # the operator; the function of that name is refused above
            _refuse_function(word)


def _check_call(call: exp.Expr, refused_functions: Collection[str]) -> None:
    name = call_name(call)
    if isinstance(call, exp.ParameterizedAgg) and not is_aggregate(name):
        _refuse_function(name)
    if not is_allowed(name):
        _refuse_function(name)
    arguments: list[exp.Expr] = call.expressions
    if name.lower() in TYPE_IN_TEXT:
        _check_type_text(arguments[-1] if arguments else None)
    if name.lower() in AGGREGATE_IN_TEXT:
        first = arguments[0] if arguments else None
        if not (isinstance(first, exp.Literal) and first.is_string and is_aggregate(str(first.this).split("(")[0])):
            raise BadRequest(f"{name} takes the name of an aggregate function, written out", got=shown(first))
    if not name.lower().startswith(_HIGHER_ORDER):
        return
    for argument in arguments:
        bare = argument.unnest()
        while isinstance(bare, exp.Alias):
            bare = bare.this.unnest()
        # arrayMap(file, paths) would call the function `file`: here the engine takes a function by its bare name.
        if isinstance(bare, exp.Column) and bare.name.lower() in refused_functions:
            _refuse_shared_name(bare.name)


def _check_column(column: exp.Column, refused_functions: Collection[str]) -> None:
    # `user` without brackets is a call too, unless the query itself gives that name to something.
    if not column.table and column.name.lower() in refused_functions and not _is_made(column):
        _refuse_shared_name(column.name)


def _is_made(column: exp.Column) -> bool:
    """True where the query around a column gives its name to something: an alias, or what a subquery hands out."""
    name = column.name
    node: exp.Expr | None = column
    while node is not None:
        if isinstance(node, exp.Alias) and node.alias == name:
            return False  # `user AS user`
        if isinstance(node, exp.Lambda) and any(parameter.name == name for parameter in node.expressions):
            return True
        if isinstance(node, exp.Select):
            sources: list[exp.Expr] = [*node.expressions, *(node.args.get("joins") or [])]
            sources += [part for key in ("from_", "with_") if (part := node.args.get(key)) is not None]
            if any(alias.alias == name for source in sources for alias in source.find_all(exp.Alias, exp.CTE)):
                return True
        node = node.parent
    return False


def _check_in(node: exp.In) -> None:
    field = node.args.get("field")
    right: list[exp.Expr] = [field] if field is not None else node.expressions
    if len(right) != 1:
        return
    only = right[0].unnest()
    # The engine reads a bare name on the right of IN as a table.
    if isinstance(only, exp.Column) and not (only.table == "" and cte_in_scope(only, only.name)):
        raise BadRequest(
            "IN takes a list, a subquery or the name of a WITH query",
            got=shown(node),
            fix=f"for an array: has({shown(only)}, {shown(node.this)})",
        )


def _check_type_text(node: exp.Expr | None) -> None:
    text = str(node.this) if isinstance(node, exp.Literal) and node.is_string else ""
    if not _TYPE_TEXT.match(text) or "aggregatefunction" in text.lower():
        _refuse_type(shown(node))


def _refuse_clause(name: str, node: exp.Expr) -> NoReturn:
    if isinstance(node, exp.Table) and name in ("db", "catalog"):
        # The part before the dot is named, not the whole: nobody needs to learn what exists there.
        raise BadRequest(
            "name a view alone, without a database",
            got=head(f"{node.args['db'].name}.{node.name}"),
            allowed=sorted(BY_NAME),
            fix=_SCHEMA,
        )
    word = name.rstrip("_").upper()
    raise BadRequest(_NAMED_CLAUSES.get(name, f"{word} is not supported here"), got=word, fix=_SCHEMA)


def _refuse_function(name: str) -> NoReturn:
    close = difflib.get_close_matches(name.lower(), FUNCTIONS | AGGREGATES, n=3, cutoff=0.75)
    raise BadRequest(
        f"the function '{name[:60]}' is not open to users' SQL", got=name[:60], allowed=close or None, fix=_SCHEMA
    )


def _refuse_shared_name(name: str) -> NoReturn:
    raise BadRequest(
        f"'{name}' is also the name of a function that is not open to users' SQL",
        got=name,
        fix=f"give the column another name where it is made: … AS {name}_",
    )


def _refuse_type(text: str) -> NoReturn:
    raise BadRequest("this type cannot be cast to here", got=text, allowed="String, Float64, Int64, DateTime64(3), …")


def _too_deep() -> BadRequest:
    return BadRequest("the SQL is nested too deeply", fix="break it up with WITH name AS (SELECT …)")
