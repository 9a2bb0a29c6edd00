"""Putting skills into an agent's folder, bringing them up to date and taking them away; what people edited stays.

Beside an installed ``SKILL.md`` lies ``.pilothouse-skill.json`` with the version and the hash of every file as it was
written. From it the state of a copy is told: ``current``, ``old`` (as we wrote it, and there is a newer one), ``edited``
(not as we wrote it), ``foreign`` (a folder of this name that we did not write), ``absent``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pilothouse.records import BadRequest

from .catalogue import Skill

State = Literal["current", "old", "edited", "foreign", "absent"]
MANIFEST = ".pilothouse-skill.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done with one skill in one folder, or would be."""

    skill: str
    folder: str
    action: Literal["written", "updated", "unchanged", "removed", "absent", "kept"]
    why: str
    """Where it was kept: why, and what to do."""


def installed(skill: Skill, folder: Path) -> State:
    """How a skill stands in an agent's folder."""
    place = folder / skill.name
    if not place.exists() and not place.is_symlink():
        return "absent"
    manifest = _manifest(place)
    if place.is_symlink() or manifest is None:
        return "foreign"
    hashes: dict[str, str] = manifest["files"]
    if any(_hash(place / path) != hash for path, hash in hashes.items()):
        return "edited"
    return "current" if manifest.get("version") == skill.version else "old"


def install(
    skills: Sequence[Skill], folders: Iterable[Path], *, dry_run: bool = False, force: bool = False
) -> list[Outcome]:
    """Write skills into folders. Running it again changes nothing; ``force`` replaces what was edited too.

    Raises:
        BadRequest: a folder cannot be written.
    """
    found: list[Outcome] = []
    for folder in folders:
        for skill in skills:
            state = installed(skill, folder)
            if state == "current":
                found.append(_outcome(skill, folder, "unchanged"))
            elif state in ("edited", "foreign") and not force:
                why = "edited by hand" if state == "edited" else "not written by us"
                found.append(_outcome(skill, folder, "kept", f"{why}; --force replaces it"))
            elif state == "foreign" and (folder / skill.name).is_symlink():
                found.append(_outcome(skill, folder, "kept", "a link to another place; remove it first"))
            else:
                if not dry_run:
                    _write(skill, folder / skill.name)
                found.append(_outcome(skill, folder, "written" if state == "absent" else "updated"))
    return found


def uninstall(
    skills: Sequence[Skill], folders: Iterable[Path], *, dry_run: bool = False, force: bool = False
) -> list[Outcome]:
    """Take away what :func:`install` wrote; what was edited stays unless ``force``, what others wrote always."""
    found: list[Outcome] = []
    for folder in folders:
        for skill in skills:
            state = installed(skill, folder)
            if state == "absent":
                found.append(_outcome(skill, folder, "absent"))
            elif state == "foreign":
                found.append(_outcome(skill, folder, "kept", "not written by us"))
            elif state == "edited" and not force:
                found.append(_outcome(skill, folder, "kept", "edited by hand; --force removes it"))
            else:
                if not dry_run:
                    _remove(folder / skill.name)
                found.append(_outcome(skill, folder, "removed"))
    return found


def _outcome(skill: Skill, folder: Path, action: Any, why: str = "") -> Outcome:
    return Outcome(skill=skill.name, folder=str(folder), action=action, why=why)


def _write(skill: Skill, place: Path) -> None:
    before = _manifest(place)
    try:
        # What the version before had and this one has not must not stay and mislead.
        for path in set(before["files"] if before else ()) - set(skill.files):
            (place / path).unlink(missing_ok=True)
        for path, text in skill.files.items():
            _replace(place / path, text)
        hashes = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in skill.files.items()}
        # Last: a copy that was broken off is nobody's, so that the next run asks rather than trusts it.
        _replace(place / MANIFEST, json.dumps({"version": skill.version, "files": hashes}, indent=1) + "\n")
    except OSError as error:
        raise BadRequest(
            f"the skill cannot be written: {error.strerror}", got=str(place), fix="pilothouse skills install --user"
        ) from error


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8", newline="\n")
    beside.replace(path)


def _remove(place: Path) -> None:
    manifest = _manifest(place) or {"files": {}}
    for path in [*manifest["files"], MANIFEST]:
        (place / path).unlink(missing_ok=True)
    # Files that somebody put beside ours stay, and with them their folders.
    for folder in sorted({(place / path).parent for path in manifest["files"]} | {place}, key=str, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _manifest(place: Path) -> dict[str, Any] | None:
    try:
        found: object = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    files: object = cast("dict[str, Any]", found).get("files")
    if not isinstance(files, dict):
        return None
    names = cast("dict[str, Any]", files)
    # A file of the manifest is below its folder, whatever somebody wrote into it.
    inside = all(path and not Path(path).is_absolute() and ".." not in Path(path).parts for path in names)
    return {**cast("dict[str, Any]", found), "files": names} if inside else None


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
