"""Puts a project's views in the place of their names, in SQL that was checked. No I/O."""

from __future__ import annotations

import difflib

from sqlglot import exp

from pilothouse.records import BadRequest

from .sql_dialect import Plain, call_name, shown
from .views import BY_NAME

NUMBERS_MAX = 10_000_000
"""The largest ``numbers(n)``."""

_SCHEMA = "pilothouse sql --schema"


def bind(tree: exp.Expr, database: str) -> tuple[set[str], list[str]]:
    """Put the project's views in the place of their names, and give WITH queries names that no table has."""
    views: set[str] = set()
    notes: list[str] = []
    references: list[tuple[exp.Table, exp.CTE | None]] = []
    in_references: list[tuple[exp.Column, exp.CTE]] = []
    for node in tree.find_all(exp.Table, exp.In):
        if isinstance(node, exp.Table):
            references.append((node, cte_in_scope(node, node.name)))
        else:
            field = node.args.get("field")
            for right in [field] if field is not None else node.expressions:
                bare = right.unnest()
                if isinstance(bare, exp.Column) and not bare.table and (cte := cte_in_scope(bare, bare.name)):
                    in_references.append((bare, cte))
    for table, cte in references:
        if isinstance(table.this, exp.Identifier):
            name = table.this.name
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=table.this.quoted)))
            if cte is not None:
                table.set("this", exp.to_identifier(_cte_name(name), quoted=True))
            else:
                view = _view(name)
                views.add(view)
                argument = exp.EQ(this=exp.column("project"), expression=exp.Placeholder(this="project", kind="String"))
                table.set("this", exp.Anonymous(this=f"{view}_of", expressions=[argument]))
                table.set("db", exp.to_identifier(database))
        else:
            _check_numbers(table.this)
        final = table.parent
        if isinstance(final, exp.Final):
            final.replace(table)
            notes.append("FINAL left out: the views always give the newest version of a row")
    for select in tree.find_all(exp.Select):
        prewhere = select.args.get("prewhere")
        if isinstance(prewhere, exp.PreWhere):
            # The engine refuses it on views, and moves conditions there by itself.
            select.set("prewhere", None)
            select.where(prewhere.this, copy=False, dialect=Plain)
            notes.append("PREWHERE read as WHERE: the engine moves conditions forward by itself")
    for column, _ in in_references:
        column.set("this", exp.to_identifier(_cte_name(column.name), quoted=True))
    for cte in tree.find_all(exp.CTE):
        if not cte.args.get("scalar"):
            cte.args["alias"].set("this", exp.to_identifier(_cte_name(cte.alias), quoted=True))
    return views, list(dict.fromkeys(notes))


def _view(name: str) -> str:
    lower = name.lower()
    if lower in BY_NAME:
        return lower
    close = difflib.get_close_matches(lower, BY_NAME, n=3, cutoff=0.5)
    raise BadRequest(
        f"there is no view '{name[:60]}'",
        got=name[:60],
        allowed=close or sorted(BY_NAME),
        fix=f"pilothouse sql --schema {close[0]}" if close else _SCHEMA,
    )


def _check_numbers(call: exp.Expr) -> None:
    if not isinstance(call, exp.Anonymous | exp.AnonymousAggFunc) or call_name(call).lower() != "numbers":
        got = shown(call)
        raise BadRequest(
            "this table function is not open to users' SQL", got=got, allowed=["numbers(n)", *sorted(BY_NAME)]
        )
    for argument in call.expressions:
        number = isinstance(argument, exp.Literal) and not argument.is_string and str(argument.this).isdigit()
        if not number or int(str(argument.this)) > NUMBERS_MAX:
            raise BadRequest("numbers(n) takes whole numbers", got=shown(argument), allowed=f"0 to {NUMBERS_MAX}")


def cte_in_scope(node: exp.Expr, name: str) -> exp.CTE | None:
    """The WITH query that a table name means here: the nearest one around, of those written before it."""
    child: exp.Expr = node
    parent = node.parent
    while parent is not None:
        if isinstance(parent, exp.With):
            # Inside a WITH query only the earlier ones are visible, and itself where it is recursive.
            for cte in parent.expressions:
                if cte is child and not parent.recursive:
                    break
                if _is_table_cte(cte, name):
                    return cte
                if cte is child:
                    break
            # The query that owns this WITH is not around it: go on with what is around that.
            child = parent.parent or parent
            parent = child.parent
            continue
        with_ = parent.args.get("with_")
        if isinstance(with_, exp.With):
            for cte in with_.expressions:
                if _is_table_cte(cte, name):
                    return cte
        child, parent = parent, parent.parent
    return None


def _is_table_cte(cte: exp.Expr, name: str) -> bool:
    return isinstance(cte, exp.CTE) and not cte.args.get("scalar") and cte.alias == name


def _cte_name(name: str) -> str:
    # Were a name left to the engine that it does not take for the WITH query, it would look for a table: none has this.
    return f"with {name}"
