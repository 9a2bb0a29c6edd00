"""Making the way out of an error a command line: this very command, with what was wrong put right."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any, cast

from pilothouse.records import BadRequest, PilothouseError

_PARAMETER = re.compile(r"(?:([a-z][a-z_]*)=|--([a-z][a-z-]*)[= ])(\S+)")
"""A fix of the API, ``since=24h``, or of a command, ``--grpc-port 4317``."""
_NO_CURSOR = "start again without a cursor"
_EXAMPLES = ("pilothouse ls ", "pilothouse show ")
"""Fixes that show what would be right by the commonest command, whichever was called and with which options."""


def mend(error: PilothouseError, words: Sequence[str], path: str) -> None:
    """Replace a fix that is no command line, or one of another command, by this command with the fix applied.

    What is no error of the call, or cannot be told, stays as it is. ``path`` is the command without its arguments.
    """
    if not isinstance(error, BadRequest) or not words:
        return
    fix = error.fix or ""
    parameter = _PARAMETER.fullmatch(fix)
    if parameter is not None:
        error.fix = _line(_with_option(words, "--" + (parameter[1] or parameter[2]).replace("_", "-"), parameter[3]))
    elif fix == _NO_CURSOR:
        error.fix = _line(without_option(words, "--cursor"))
    elif fix.startswith("GET ") or not fix:
        error.fix = _replaced(error, words) or f"{path} --help"
    elif fix.startswith(_EXAMPLES):
        error.fix = _replaced(error, words) or fix


def _replaced(error: PilothouseError, words: Sequence[str]) -> str:
    """This command with the wrong value replaced by the closest that is allowed; nothing where there is none."""
    got, allowed = error.got, error.allowed
    if not isinstance(got, str) or not got:
        return ""
    better = ""
    if error.fix and error.fix.startswith("pilothouse ls "):
        better = shlex.split(error.fix)[-1]
    elif isinstance(allowed, list | tuple):
        known = [one for one in cast("Sequence[Any]", allowed) if isinstance(one, str)]
        better = next(iter(difflib.get_close_matches(got, known, n=1, cutoff=0.5)), known[0] if known else "")
    places = [place for place, word in enumerate(words) if place and got in word]
    if not better or not places:
        return ""
    # The whole word where there is one: `ls` must not be found inside `skills`.
    place = next((place for place in places if words[place] == got), places[0])
    return _line([*words[:place], words[place].replace(got, better, 1), *words[place + 1 :]])


def _with_option(words: Sequence[str], option: str, value: str) -> list[str]:
    return [*without_option(words, option), option, value]


def without_option(words: Sequence[str], option: str) -> list[str]:
    """The words without an option and its value, in either way of writing it."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == option:
            skip = True
        elif not word.startswith(option + "="):
            kept.append(word)
    return kept


def _line(words: Sequence[str]) -> str:
    return shlex.join(["pilothouse", *words])
