"""The skills in the package: folders in the Agent Skills format, ``SKILL.md`` with a head of two names in front."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pilothouse.records import BadRequest

PREFIX = "pilothouse-"
"""Every skill's name begins so: an agent has skills of others too, and ``eval`` would be anybody's."""
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One skill as it ships."""

    name: str
    """The name of its folder: ``pilothouse-debug-trace``."""
    description: str
    """When to use it: what an agent decides by."""
    files: dict[str, str]
    """Text by path within the folder; ``SKILL.md`` first."""

    @property
    def version(self) -> str:
        """Changes when any of its files does."""
        digest = hashlib.sha256()
        for path, text in self.files.items():
            digest.update(f"{path}\0{text}\0".encode())
        return digest.hexdigest()[:10]


def read_skills() -> tuple[Skill, ...]:
    """All skills, in the order in which they are needed: record, look, sort out, judge, change."""
    folders = [path for path in sorted(_FOLDER.glob(f"{PREFIX}*")) if (path / "SKILL.md").is_file()]
    return tuple(sorted((_read(path) for path in folders), key=lambda skill: (_place(skill.name), skill.name)))


def find(name: str) -> Skill:
    """A skill by its name, with or without the prefix.

    Raises:
        BadRequest: there is none; those with a name like it are named.
    """
    skills = {skill.name.removeprefix(PREFIX): skill for skill in read_skills()}
    wanted = name.removeprefix(PREFIX)
    if wanted not in skills:
        close = difflib.get_close_matches(wanted, skills, n=3, cutoff=0.5)
        raise BadRequest(
            f"there is no skill '{name}'",
            got=name,
            allowed=close or list(skills),
            fix=f"pilothouse skills get {close[0]}" if close else "pilothouse skills",
        )
    return skills[wanted]


def _read(folder: Path) -> Skill:
    paths = [folder / "SKILL.md", *sorted(path for path in folder.rglob("*.md") if path.name != "SKILL.md")]
    files = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    head = _head(files["SKILL.md"])
    return Skill(name=head["name"], description=head["description"], files=files)


def _head(text: str) -> dict[str, str]:
    """The lines between the dashes; values stand on one line, as no skill of ours needs more."""
    _, _, rest = text.partition("---\n")
    lines = rest.partition("\n---")[0].splitlines()
    pairs = (line.partition(": ") for line in lines if ": " in line)
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


_ORDER = ("instrument", "debug-trace", "triage", "correlate", "eval", "experiment", "backtest", "judge", "guard")


def _place(name: str) -> int:
    wanted = name.removeprefix(PREFIX)
    return _ORDER.index(wanted) if wanted in _ORDER else len(_ORDER)
