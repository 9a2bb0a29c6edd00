"""Patterns of paths, as ``.gitignore`` writes them: ``*`` within a folder, ``**`` across folders, ``{a,b}`` either."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pilothouse.records import BadRequest

PATTERN_CHARS_MAX: Final = 200


def matches(path: str, pattern: str) -> bool:
    """Whether a path fits a pattern; a pattern without a slash fits the file's name in any folder."""
    return compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1_000)
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern, ready to be matched.

    Raises:
        BadRequest: it is too long, or a brace is left open.
    """
    if not pattern or len(pattern) > PATTERN_CHARS_MAX:
        raise BadRequest(f"a pattern is 1 to {PATTERN_CHARS_MAX} characters", got=pattern[:100])
    whole = pattern.removeprefix("/") if "/" in pattern else f"**/{pattern}"
    whole = f"{whole}**" if whole.endswith("/") else whole
    parts: list[str] = []
    at, braces = 0, 0
    while at < len(whole):
        if whole.startswith("**/", at):
            parts.append("(?:[^/]+/)*")
            at += 3
            continue
        if whole.startswith("**", at):
            parts.append(".*")
            at += 2
            continue
        char = whole[at]
        at += 1
        if char == "{":
            braces += 1
        elif char == "}" and braces:
            braces -= 1
            parts.append(")")
            continue
        parts.append({"*": "[^/]*", "?": "[^/]", "{": "(?:"}.get(char) or ("|" if char == "," and braces else re.escape(char)))  # fmt: skip
    if braces:
        raise BadRequest("a brace of the pattern is left open", got=pattern, fix="**/*.{py,md}")
    return re.compile("".join(parts), re.DOTALL)
