"""Playbooks: how a kind of question is asked of many traces, as a folder in the Agent Skills format.

``SKILL.md`` begins with frontmatter: ``name``, ``description`` and ``metadata``, whose values are texts and numbers.
What follows is what a worker is told of each item. The frontmatter is a small part of YAML: keys with a value on the
same line, one level of keys below ``metadata``, and ``>`` or ``|`` for a text over several lines.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pilothouse.records import BadRequest, NotFound

from .schema_check import check_schema

ItemKind = Literal["trace", "session"]
BUILT_IN = Path(__file__).parent / "playbooks"
READING_SCHEMA = BUILT_IN / "reading.schema.json"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_LINE = re.compile(r"([A-Za-z0-9_-]+):(?:\s+(.*))?")
_BYTES_MAX = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """One playbook, read and checked."""

    name: str
    description: str
    instructions: str
    """What a worker is told: everything below the frontmatter."""
    sha: str
    """SHA-256 over its files, 64 hex digits: another text is another run."""
    schema: dict[str, Any]
    """What each answer must fit."""
    item: ItemKind = "trace"
    """What one worker reads."""
    concurrency: int = 25
    """Workers side by side."""
    per_item_tokens: int = 20_000
    """What one reading may take: the size of its prompt follows from it, and what is set aside before it starts."""
    max_tokens: int = 0
    """No item is begun beyond it; 0 sets no bound."""
    max_usd: float = 0.0
    """No item is begun beyond it, as far as costs are known; 0 sets no bound."""
    timeout_s: float = 600.0
    """How long one worker may take."""
    second_reader: float = 0.2
    """The share of items that are read a second time; all of low confidence are, too."""
    worker: str = "builtin"
    """Who reads where nobody is named."""

    @property
    def reads_failures(self) -> bool:
        """True where answers are readings as Pilothouse's own reports understand them."""
        required = cast("list[str]", self.schema.get("required", []))
        return {"verdict", "component", "evidence"} <= set(required)


def built_in_names() -> list[str]:
    """The playbooks that are shipped."""
    return sorted(path.parent.name for path in BUILT_IN.glob("*/SKILL.md"))


def load_playbook(name: str) -> Playbook:
    """A shipped playbook by its name, or one of the user's by its folder or file.

    Raises:
        NotFound: there is none.
        BadRequest: it cannot be understood.
    """
    path = Path(name)
    if _NAME.fullmatch(name) and (BUILT_IN / name / "SKILL.md").is_file() and not (path / "SKILL.md").is_file():
        path = BUILT_IN / name
    file = path / "SKILL.md" if path.is_dir() else path
    if not file.is_file():
        raise NotFound(
            "there is no such playbook",
            got=name,
            allowed=[*built_in_names(), "a folder with SKILL.md"],
            fix="pilothouse analyze new triage DIR",
        )
    return read_playbook(file)


def read_playbook(file: Path) -> Playbook:
    """Read one ``SKILL.md``.

    Raises:
        BadRequest: it cannot be understood; the message names the line.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest("the playbook cannot be read", got=str(file)) from error
    if len(text) > _BYTES_MAX:
        raise BadRequest("the playbook is too long", got=f"{len(text):,} characters", allowed=f"{_BYTES_MAX:,}")
    fields, body = read_frontmatter(text, str(file))
    metadata = cast("dict[str, str]", fields.get("metadata") or {})
    name = str(fields.get("name") or "")
    if not _NAME.fullmatch(name):
        raise BadRequest("a playbook's name is lower case, with digits and hyphens", got=name, fix=f"name: in {file}")
    if not fields.get("description"):
        raise BadRequest("a playbook says what it is for", got=str(file), fix="description: in its frontmatter")
    known = {
        *("item", "concurrency", "per_item_tokens", "max_tokens", "max_usd", "timeout_s", "second_reader", "worker"),
        *("output_schema", "version"),
    }
    unknown = sorted(set(metadata) - known)
    if unknown:
        raise BadRequest("the playbook's metadata has a key that means nothing", got=unknown[0], allowed=sorted(known))
    schema_text = _schema_text(file, metadata.get("output_schema", ""))
    item = metadata.get("item", "trace")
    if item not in ("trace", "session"):
        raise BadRequest("no such kind of item", got=item, allowed=["trace", "session"])
    schema = check_schema(json.loads(schema_text))
    if "run" in schema.get("properties", {}):
        raise BadRequest("an answer's field `run` is ours: it says how the answer came about", got="run")
    numbers = _Numbers(metadata)
    return Playbook(
        name=name,
        description=str(fields["description"]),
        instructions=body.strip(),
        sha=hashlib.sha256(f"{text}\0{schema_text}".encode()).hexdigest(),
        schema=schema,
        item=item,
        concurrency=int(numbers.get("concurrency", 25, 1, 200)),
        per_item_tokens=int(numbers.get("per_item_tokens", 20_000, 500, 1_000_000)),
        max_tokens=int(numbers.get("max_tokens", 0, 0, 10**12)),
        max_usd=numbers.get("max_usd", 0, 0, 10**6),
        timeout_s=numbers.get("timeout_s", 600, 1, 86_400),
        second_reader=numbers.get("second_reader", 0.2, 0, 1),
        worker=metadata.get("worker", "builtin") or "builtin",
    )


class _Numbers:
    def __init__(self, metadata: dict[str, str]) -> None:
        self._metadata = metadata

    def get(self, name: str, default: float, low: float, high: float) -> float:
        text = self._metadata.get(name, "").replace("_", "").rstrip("%")
        if not text:
            return default
        try:
            value = float(text) / (100 if self._metadata[name].endswith("%") else 1)
        except ValueError:
            value = -1.0
        if not low <= value <= high:
            raise BadRequest(f"metadata.{name} does not fit", got=self._metadata[name], allowed=f"{low:g} to {high:g}")
        return value


def _schema_text(file: Path, named: str) -> str:
    if not named:
        return READING_SCHEMA.read_text()
    folder = file.parent.resolve()
    path = (folder / named).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise BadRequest("output_schema is a file beside the playbook", got=named, allowed="a name such as answer.schema.json")  # fmt: skip
    text = path.read_text("utf-8")
    try:
        json.loads(text)
    except ValueError as error:
        raise BadRequest("the output schema is no JSON", got=str(path)) from error
    return text


def read_frontmatter(text: str, name: str) -> tuple[dict[str, Any], str]:
    """The fields above the second ``---``, and the text below it.

    Raises:
        BadRequest: there is none, or a line of it is no ``key: value``.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:]]:
        raise BadRequest("a playbook begins with frontmatter between two lines of ---", got=name)
    last = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == "---")
    fields: dict[str, Any] = {}
    inside: dict[str, Any] = fields
    number = 1
    while number < last:
        line = lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        indented = line[:1] in " \t"
        if found is None or (indented and inside is fields):
            raise BadRequest("the frontmatter has a line that is no `key: value`", got=f"{name}, line {number}: {line}")
        key, value = found[1], (found[2] or "").strip()
        if not indented:
            inside = fields
        if value in (">", "|", ">-", "|-"):
            more: list[str] = []
            width = len(line) - len(line.lstrip())
            while number < last and (not lines[number].strip() or len(lines[number]) - len(lines[number].lstrip()) > width):  # fmt: skip
                more.append(lines[number].strip())
                number += 1
            inside[key] = (" " if value[0] == ">" else "\n").join(more).strip()
        elif not value and not indented:
            inside = fields[key] = {}
        else:
            inside[key] = _plain(value)
    return fields, "\n".join(lines[last + 1 :])


def _plain(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #")[0].rstrip()
