"""Where a decorated function stands in the code: read once when it is decorated, so that a call costs nothing."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, Final, cast

from .jsons import readable

_WRAPPERS_MAX: Final = 20
_CHARS: Final = 500


def code_of(function: Any) -> dict[str, Any]:
    """``code.*`` attributes of a callable as OpenTelemetry names them; empty where it has no code of its own.

    The file is named from the working directory, or from where Python found the module: the same on every machine, and
    without the name of anybody's home.
    """
    try:
        code = _inner(function).__code__
        file = _short(code.co_filename)
        if not file:
            return {}
        return {
            "code.file.path": readable(file)[:_CHARS],
            "code.line.number": int(code.co_firstlineno),
            "code.function.name": readable(str(code.co_qualname))[:_CHARS],
        }
    except Exception:
        # A stranger's callable: without a place it is recorded all the same.
        return {}


def _inner(function: Any) -> Any:
    """The function behind wrappers, partials and bound methods."""
    inner: Any
    for _ in range(_WRAPPERS_MAX):
        inner = getattr(function, "__wrapped__", None) or getattr(function, "__func__", None)
        if inner is None and _is_partial(function):
            inner = function.func
        if inner is None and not hasattr(function, "__code__"):
            # An object that is called: its class says where.
            inner = getattr(cast("Any", type(function)), "__call__", None)  # noqa: B004
        if inner is None:
            break
        function = inner
    return function


def _is_partial(function: object) -> bool:
    return isinstance(function, functools.partial)


def _short(file: str) -> str:
    if file.startswith("<"):
        return ""
    whole = os.path.abspath(file)  # noqa: PTH100  # a decorator runs at import, before pathlib is paid for
    roots = sorted({os.getcwd(), *map(os.path.abspath, filter(None, sys.path))}, key=len, reverse=True)  # noqa: PTH109
    for root in (os.getcwd(), *roots):  # noqa: PTH109
        if whole.startswith(root.rstrip(os.sep) + os.sep):
            return whole[len(root.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
    return whole.replace(os.sep, "/")
