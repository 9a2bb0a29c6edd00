"""The folder of one optimization: every step as soon as it is known, so that whoever is killed goes on with the next.

.pilothouse/optimize/opt-0003/
  about.json       the prompt, its parts, the bounds: what equal steps follow from
  steps.jsonl      proposals, results, decisions, in order
  prompts/         every candidate, by its hash
  trials/          results by candidate and part, in the form of runs
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Final

from pilothouse.evals import payloads
from pilothouse.records import BadRequest, NotFound

FOLDER: Final = ".pilothouse/optimize"


class Journal:
    """What is known of one optimization."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, dict[str, Any]] = {}
        for line in self._lines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row: Any = json.loads(line)
                self._known[row["step"]] = row["said"]

    @property
    def about(self) -> Mapping[str, Any]:
        """What it is of."""
        try:
            found: Mapping[str, Any] = json.loads((self.folder / "about.json").read_bytes())
            return found
        except (OSError, ValueError) as error:
            raise BadRequest("the optimization's about.json cannot be read", got=self.folder.name) from error

    def step(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a step came to: as it is known, else made now and written down before anything follows from it."""
        if name not in self._known:
            said = make()
            with (self.folder / "steps.jsonl").open("ab") as file:
                file.write(
                    json.dumps({"step": name, "said": said}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
                )
                file.flush()
                os.fsync(file.fileno())
            self._known[name] = said
        return self._known[name]

    @property
    def steps(self) -> Mapping[str, dict[str, Any]]:
        """Every step that is known, in order."""
        return self._known

    def keep(self, prompt: str) -> Path:
        """The file of a candidate, named by its content."""
        body = prompt.encode("utf-8", "replace")
        path = self.folder / "prompts" / f"{hashlib.sha256(body).hexdigest()[:12]}.md"
        if not path.exists():
            payloads.write(path, body)
        return path

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Work on it in one process at a time.

        Raises:
            BadRequest: another process does.
        """
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadRequest("this optimization is under way in another process", got=self.folder.name) from error
            self._drop_torn()
            yield

    def _lines(self) -> list[bytes]:
        try:
            return (self.folder / "steps.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []

    def _drop_torn(self) -> None:
        path = self.folder / "steps.jsonl"
        if path.exists():
            body = path.read_bytes()
            if body and not body.endswith(b"\n"):
                payloads.write(path, body[: body.rfind(b"\n") + 1])


def begin(suite: Path, about: Mapping[str, Any]) -> Journal:
    """Make the folder of a new optimization."""
    root = suite / FOLDER
    root.mkdir(parents=True, exist_ok=True)
    ignore = root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "utf-8")
    number = max((int(one.name[4:]) for one in root.glob("opt-*") if one.name[4:].isdigit()), default=0)
    while True:
        number += 1
        folder = root / f"opt-{number:04d}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    payloads.write(folder / "about.json", json.dumps(about, indent=1, ensure_ascii=False).encode())
    return Journal(folder)


def find(suite: Path, name: str) -> Journal:
    """An optimization by its name; ``last`` is the newest.

    Raises:
        NotFound: there is none.
    """
    known = sorted(one.name for one in (suite / FOLDER).glob("opt-*") if (one / "about.json").exists())
    if known and (name == "last" or name in known):
        return Journal(suite / FOLDER / (known[-1] if name == "last" else name))
    raise NotFound(
        "there is no such optimization", got=name, allowed=known[-5:] or None, fix="pilothouse optimize --help"
    )
