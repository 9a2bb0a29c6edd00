"""Long values of cases as files of their own, named by what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pilothouse.records import BadRequest, NotFound, TooLarge

from .plain import list_of, mapping_of

FOLDER: Final = "payloads"
BYTES_MAX: Final = 256 << 20
INLINE_CHARS_MAX: Final = 2_000
"""Longer values are put into files when a case is captured."""
_PART_CHARS_MAX: Final = 300_000
_WHOLE_BELOW: Final = 3
"""Levels of a case that are always written out: the messages and calls, and what each is made of."""
_NAME = re.compile(r"payloads/([0-9a-f]{16})\.(json|txt)")


def load(folder: Path, name: str) -> Any:
    """The content of a payload: data of a ``.json``, the text of a ``.txt``.

    Raises:
        BadRequest: it is no payload's name, or the file is not what its name says.
        NotFound: the file is not there.
        TooLarge: it passes the bound.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise BadRequest("a payload is called payloads/ and its hash", got=name[:200], allowed="payloads/<16 hex>.json")
    path = folder / name
    try:
        if path.stat().st_size > BYTES_MAX:
            raise TooLarge(f"a payload is at most {BYTES_MAX >> 20} MB", got=name)
        body = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound("the payload is not there", got=name, fix="restore the file, or take the case away") from error
    except OSError as error:
        raise BadRequest(f"the payload cannot be read: {error.strerror}", got=name) from error
    if hashlib.sha256(body).hexdigest()[:16] != found[1]:
        raise BadRequest("the payload was changed: it is not what its name says", got=name, fix="restore the file")
    try:
        text = body.decode()
        return text if found[2] == "txt" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the payload is no JSON, or no UTF-8", got=name) from error


def loader(folder: Path) -> Callable[[str], Any]:
    """:func:`load` for one suite."""
    return lambda name: load(folder, name)


def keep(folder: Path, value: Any) -> dict[str, str]:
    """Write a value as a payload; what refers to it. The same value is the same file."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)
    body = text.encode("utf-8", "surrogatepass")
    name = f"{FOLDER}/{hashlib.sha256(body).hexdigest()[:16]}.{'txt' if isinstance(value, str) else 'json'}"
    if not (folder / name).exists():
        write(folder / name, body)
    return {"$file": name}


def keep_long(folder: Path, data: Mapping[str, Any], *, chars_max: int = INLINE_CHARS_MAX) -> dict[str, Any]:
    """A case's data with every long value in a file; the rest stays to be read.

    Where very many short values make it too large for a case, the messages are one file, and so are the recorded calls.
    """
    kept = dict(data)
    for part in ("input", "stubs", "checks"):
        if part in kept:
            kept[part] = _kept(folder, kept[part], chars_max, 0, referring=part == "checks")
    for part, name in (("input", "messages"), ("stubs", "calls")):
        inside = mapping_of(data.get(part)) or {}
        if name in inside and _chars(kept[part]) > _PART_CHARS_MAX:
            kept[part] = {**kept[part], name: keep(folder, inside[name])}
    return kept


def _kept(folder: Path, value: Any, chars_max: int, depth: int, *, referring: bool) -> Any:
    row, listed = mapping_of(value), list_of(value)
    if isinstance(value, str):
        return keep(folder, value) if len(value) > chars_max else value
    # What a tool answered may look like a reference to a file: in a file it is data.
    if row is not None and "$file" in row:
        return value if referring else keep(folder, value)
    if depth >= _WHOLE_BELOW and (row is not None or listed is not None) and _chars(value) > chars_max:
        return keep(folder, value)
    if row is not None:
        return {name: _kept(folder, one, chars_max, depth + 1, referring=referring) for name, one in row.items()}
    if listed is None:
        return value
    return [_kept(folder, one, chars_max, depth + 1, referring=referring) for one in listed]


def _chars(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, default=str))


def named_in(text: str) -> set[str]:
    """The payloads that a case refers to."""
    return {found.group() for found in _NAME.finditer(text)}


def forget(folder: Path, names: set[str], files: Iterable[Path]) -> int:
    """Take away those payloads that none of the suite's files names; how many."""
    for file in files:
        if not names:
            return 0
        with file.open("rb") as lines:
            for line in lines:
                if b"payloads/" in line:
                    names = names - named_in(line.decode("utf-8", "replace"))
    for name in names:
        (folder / name).unlink(missing_ok=True)
    return len(names)


def write(path: Path, body: bytes) -> None:
    """Write a file whole or not at all, also where the machine stops in the middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
