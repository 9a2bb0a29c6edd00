"""The base of a change: the commit that it began at, checked out beside the work, so that the same cases run on both."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilothouse.records import BadRequest, NotFound

_TIMEOUT_S: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where a change began."""

    commit: str
    """Twelve digits, as versions of runs are called."""
    folder: Path
    """The working directory's like in the checkout; it may not be there."""


@contextlib.contextmanager
def checked_out(named: str, here: Path) -> Generator[Base]:
    """Check out the commit where the work of now parted from a branch, in a folder that goes away again.

    Raises:
        NotFound: git knows no such branch, or both have nothing in common.
        BadRequest: this is no repository, or git fails.
    """
    if not named or named.startswith("-") or not named.isprintable():
        raise BadRequest("a base is a branch or a commit", got=named[:100], fix="--base origin/main")
    top = Path(
        _git(here, "rev-parse", "--show-toplevel", wrong=BadRequest("this is no git repository", got=str(here.name)))
    )
    missing = NotFound(
        "git knows no such commit, or it has nothing in common with HEAD", got=named,
        fix="git fetch --unshallow origin",
    )  # fmt: skip
    commit = _git(here, "merge-base", "--end-of-options", named, "HEAD", wrong=missing)
    with tempfile.TemporaryDirectory(prefix="pilothouse-base-") as place:
        folder = Path(place) / top.name
        refused = BadRequest("the base cannot be checked out", got=commit[:12], fix="git worktree prune")
        # Hooks of the repository have no part in it.
        _git(
            here,
            "-c",
            "core.hooksPath=/dev/null",
            "worktree",
            "add",
            "--detach",
            "--quiet",
            str(folder),
            commit,
            wrong=refused,
        )
        try:
            yield Base(commit=commit[:12], folder=folder / here.resolve().relative_to(top.resolve()))
        finally:
            with contextlib.suppress(BadRequest):
                _git(here, "worktree", "remove", "--force", str(folder), wrong=refused)


def _git(folder: Path, *words: str, wrong: BadRequest | NotFound) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadRequest("git does not answer", got=type(error).__name__, fix="git --version") from error
    if done.returncode:
        raise wrong
    return done.stdout.decode("utf-8", "surrogateescape").strip()
