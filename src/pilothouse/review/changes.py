"""Where a diff comes from: a file, standard input, or a range of commits that git is asked about, without a shell."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import IO, Final

from pilothouse.records import BadRequest, NotFound, TooLarge

from .diff import DIFF_BYTES_MAX

CONTEXT_LINES: Final = 10
"""Around each change: a rule often depends on what stands near."""
_TIMEOUT_S: Final = 60
_SETTINGS: Final = ("-c", "core.quotePath=false", "-c", "diff.suppressBlankEmpty=false")
_FORM: Final = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/"),
    *(f"--unified={CONTEXT_LINES}", "--find-renames"),
)


def text_of(named: str, folder: Path, stdin: IO[bytes]) -> str:
    """The text of a diff: ``-`` is standard input, else a file of this name, else a range as git takes it.

    Raises:
        NotFound: there is neither such a file nor such a range.
        BadRequest: git is not there, or fails.
        TooLarge: it passes the bound.
    """
    if named == "-":
        return _decoded(stdin.read(DIFF_BYTES_MAX + 1))
    path = Path(named)
    try:
        if path.is_file():
            with path.open("rb") as file:
                return _decoded(file.read(DIFF_BYTES_MAX + 1))
    except OSError as error:
        raise BadRequest(f"the file cannot be read: {error.strerror}", got=named) from error
    if not named or named.startswith("-") or not named.isprintable() or any(char.isspace() for char in named):
        raise BadRequest("a diff is a file, - or a range of commits", got=named[:100], fix="pilothouse review main...HEAD")  # fmt: skip
    # Behind --end-of-options nothing of it can be an option of git's.
    return _decoded(_git(folder, *_SETTINGS, "diff", *_FORM, "--end-of-options", named, "--", named=named))


def tracked(folder: Path) -> list[str] | None:
    """Every file that git knows below a folder; None where there is no repository."""
    try:
        said = _git(folder, "-c", "core.quotePath=false", "ls-files", "-z", "--full-name", ":/", named="")
    except (BadRequest, NotFound, TooLarge):
        return None
    return [one for one in said.decode("utf-8", "replace").split("\0") if one]


def _git(folder: Path, *words: str, named: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise BadRequest("there is no such file, and git is not installed", got=named[:200], fix="git diff main...HEAD | pilothouse review -") from error  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BadRequest(f"git did not answer within {_TIMEOUT_S} s", got=named[:200]) from error
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotFound(
            "there is no such file, and git knows no such range",
            got=f"{named}: {told[0][:200] if told else f'git exit {done.returncode}'}",
            fix="git fetch --unshallow" if "..." in named else "pilothouse review main...HEAD",
        )
    return done.stdout


def _decoded(body: bytes) -> str:
    if len(body) > DIFF_BYTES_MAX:
        raise TooLarge(f"a diff is at most {DIFF_BYTES_MAX >> 20} MB", got="more", fix="pilothouse review main...HEAD")
    return body.decode("utf-8", "replace").removeprefix("\ufeff")
