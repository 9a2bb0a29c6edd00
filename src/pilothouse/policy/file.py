"""Finding and reading the policy file.

YAML is read with the safe loader, and strictly: a key that stands twice is an error instead of a silent loss, and
aliases are refused, since a few nested ones make gigabytes. The version is a hash of what the file says, not of how it
is laid out: a changed comment is no new policy.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pilothouse.records import BadRequest, NotFound
from pilothouse.records.plain_yaml import plain_yaml

from .sections import SECTIONS

DEFAULT_NAME = "pilothouse.yaml"
VARIABLE = "PILOTHOUSE_POLICY"
BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one policy file says."""

    version: str
    """The first twelve hex digits of the hash of its content; ``none`` where there is no file."""
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Plain data by section name; a section that is not there or empty is an empty mapping."""
    path: str = ""
    """Where it was read; empty where there is no file."""

    def section(self, name: str) -> Mapping[str, Any]:
        """One section; empty where the file does not have it."""
        return self.sections.get(name, {})


def empty() -> Policy:
    """The policy of who has no file: nothing is said."""
    return Policy(version="none")


def find(data_folder: Path | None = None, *, environment: Mapping[str, str] | None = None) -> Path | None:
    """Where the policy file is: what PILOTHOUSE_POLICY names, else in the data folder, else in the working folder.

    Raises:
        NotFound: PILOTHOUSE_POLICY names a file that is not there. Going on without would switch every rule off.
    """
    named = (os.environ if environment is None else environment).get(VARIABLE, "")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise NotFound(f"the policy file that {VARIABLE} names is not there", got=named, fix=f"unset {VARIABLE}")
        return path
    places = [folder / DEFAULT_NAME for folder in (data_folder, Path()) if folder is not None]
    return next((place.resolve() for place in places if place.is_file()), None)


def load(path: Path | str | None) -> Policy:
    """Read a policy file; None gives the empty policy.

    Raises:
        NotFound: the file is not there.
        BadRequest: it cannot be read, is no YAML, or has a section that is not known or no mapping.
    """
    if path is None:
        return empty()
    place = Path(path)
    try:
        with place.open("rb") as file:
            body = file.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFound("the policy file is not there", got=str(place), fix=f"write it, or unset {VARIABLE}") from error
    except OSError as error:
        raise BadRequest(f"the policy file cannot be read: {error.strerror}", got=str(place)) from error
    return read(body, path=str(place))


def read(body: bytes | str, *, path: str = "") -> Policy:
    """A policy from the text of a file.

    Raises:
        BadRequest: as :func:`load`.
    """
    shown = path or DEFAULT_NAME
    sections: dict[str, Mapping[str, Any]] = {}
    for name, value in plain(body, path=path).items():
        if name not in {section.name for section in SECTIONS}:
            raise BadRequest(f"{shown} has no such section", got=name, allowed=[section.name for section in SECTIONS])
        if value is None:
            continue
        if not isinstance(value, dict):
            raise BadRequest(f"{shown}: {name} is a mapping of names to values", got=repr(value)[:100])
        sections[name] = cast("dict[str, Any]", value)
    return Policy(version=_version(sections), sections=sections, path=path)


def plain(body: bytes | str, *, path: str = "") -> dict[str, Any]:
    """What a file says as plain data, its sections not looked at.

    Raises:
        BadRequest: it is no YAML, no mapping, or uses what is refused here.
    """
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    shown = path or DEFAULT_NAME
    if len(raw) > BYTES_MAX:
        raise BadRequest(f"{shown} is larger than {BYTES_MAX >> 10} KB", got=f"{len(raw):,} bytes", fix="shorten it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"{shown} is not UTF-8", got=f"byte {error.start}", fix="save it as UTF-8") from error
    data = plain_yaml(text, shown)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise BadRequest(
            f"{shown} is not a mapping of sections",
            got=type(data).__name__,
            allowed=[section.name for section in SECTIONS],
            fix="begin a line with e.g. guards:",
        )
    return cast("dict[str, Any]", data)


def _version(sections: Mapping[str, Any]) -> str:
    text = json.dumps(sections, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
