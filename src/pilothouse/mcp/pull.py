"""``pull``: traces as a folder of files on the user's machine; where there is no such folder, the command to run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pilothouse.records import BadRequest, Broken, PilothouseError, answered_error

from .answers import Answer
from .caller import Desk
from .outline import outline

_HEAD_LINES = 40
_SECONDS = 600


def pull(desk: Desk, arguments: Mapping[str, Any]) -> Answer:
    """Write an export and say where it is, with the beginning of its README.

    Raises:
        BadRequest: what to pull is missing, or the folder lies outside of where exports may be written.
    """
    what = str(arguments.get("what") or "").strip()
    if not what:
        raise BadRequest(
            "what is to be pulled?", allowed="an id, last, last-error or a filter", fix="pilothouse pull last"
        )
    if what.startswith("-"):
        raise BadRequest("an id or a filter does not begin so", got=what)
    words = ["pull", what]
    if arguments.get("folder"):
        words.append(_folder(desk, str(arguments["folder"])))
    for name in ("since", "until", "content"):
        if arguments.get(name):
            words += [f"--{name}", str(arguments[name])]
    if desk.folder is None:
        command = shlex.join(["pilothouse", *words])
        text = f"This server writes no files on your machine. In a shell there:\n\n    {command}\n"
        return Answer(text=text, facts={"command": command})
    return _run(desk, desk.folder, words)


def _folder(desk: Desk, folder: str) -> str:
    path = Path(folder)
    if path.is_absolute() or ".." in path.parts or folder.startswith("-"):
        raise BadRequest(
            "a folder lies below where exports are written", got=folder, allowed=f"a name below {desk.folder or '.'}"
        )
    return folder


def _run(desk: Desk, base: Path, words: list[str]) -> Answer:
    # A process of its own: an export may take minutes, and what it prints must not reach the protocol.
    command = [sys.executable, "-m", "pilothouse.cli", "--json", *words]
    try:
        done = subprocess.run(
            command, cwd=base, env=dict(desk.environment or {}), capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Broken(
            f"the export took more than {_SECONDS} s; run it again and it goes on",
            fix=shlex.join(["pilothouse", *words]),
        ) from error
    if done.returncode:
        raise _failure(done.stderr)
    answer = cast("dict[str, Any]", json.loads(done.stdout))["data"]
    folder = (base / str(answer["folder"])).resolve()
    lines = [f"# {folder}", *outline(answer), ""]
    readme = folder / "README.md"
    if readme.is_file():
        lines += readme.read_text(encoding="utf-8", errors="replace").splitlines()[:_HEAD_LINES]
    return Answer(text="\n".join(lines), facts={"folder": str(folder)})


def _failure(stderr: bytes) -> PilothouseError:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return answered_error(500, lines[-1].encode() if lines else b"", None)
