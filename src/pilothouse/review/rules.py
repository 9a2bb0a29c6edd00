"""Rules in natural language, as files beside the code: read with every mistake named by its place.

.pilothouse/rules/no-secrets.md          one rule: its head between --- lines, its text below
.pilothouse/rules/tools.yaml             a list of rules: id, text, severity, paths, examples
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pilothouse.evals.plain import is_texts, list_of, mapping_of
from pilothouse.records import BadRequest, NotFound, canonical_json
from pilothouse.records.plain_yaml import plain_yaml

from .paths import compiled, matches

FOLDER: Final = ".pilothouse/rules"
RULES_MAX: Final = 200
TEXT_CHARS_MAX: Final = 4_000
_FILE_BYTES_MAX: Final = 256 << 10
_EXAMPLES_MAX: Final = 10
_NAMES: Final = ("id", "text", "severity", "paths", "examples")
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule that a change must keep."""

    id: str
    text: str
    severity: Severity = "warning"
    paths: Sequence[str] = ()
    """Patterns of the files that it is about; none: of every file."""
    bad: Sequence[str] = ()
    """What breaks it, as it may stand in a file."""
    good: Sequence[str] = ()
    """What keeps it."""
    file: str = ""
    """Where the rule stands, below the folder of rules."""

    @property
    def version(self) -> str:
        """12 hex digits over all that a verdict depends on; severity and paths do not change one."""
        counted = {"id": self.id, "text": self.text, "bad": list(self.bad), "good": list(self.good)}
        return hashlib.sha256(canonical_json(counted).encode()).hexdigest()[:12]

    def about(self, path: str) -> bool:
        """Whether the rule is about a file."""
        return not self.paths or any(matches(path, one) for one in self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A file of rules that cannot be read, and why."""

    file: str
    message: str


def load_rules(folder: Path) -> list[Rule]:
    """Every rule of a folder, by id.

    Raises:
        NotFound: the folder is not there, or holds no rule.
        BadRequest: a rule is wrong; the message names the place.
    """
    rules, problems = read_folder(folder)
    if problems:
        raise BadRequest(f"{problems[0].file}: {problems[0].message}", got=f"{len(problems)} in all", fix="pilothouse review lint")  # fmt: skip
    if not rules:
        raise NotFound("there are no rules here", got=str(folder), fix="pilothouse review init")
    return rules


def read_folder(folder: Path) -> tuple[list[Rule], list[Problem]]:
    """The rules of a folder that can be read, by id, and what is wrong with the others."""
    rules: dict[str, Rule] = {}
    problems: list[Problem] = []
    files = sorted(one for one in folder.rglob("*") if one.suffix in (".md", ".yaml", ".yml") and one.is_file())
    for path in files:
        shown = path.relative_to(folder).as_posix()
        try:
            found = _read_file(path, shown)
        except BadRequest as error:
            problems.append(Problem(file=shown, message=_told(error)))
            continue
        for rule in found:
            if rule.id in rules:
                problems.append(Problem(file=shown, message=f"{rule.id} is there twice: also in {rules[rule.id].file}"))
            rules.setdefault(rule.id, rule)
    if len(rules) > RULES_MAX:
        problems.append(Problem(file=str(folder), message=f"{len(rules)} rules, and at most {RULES_MAX} are asked"))
    return [rules[id] for id in sorted(rules)], problems


def _told(error: BadRequest) -> str:
    told = error.message if error.got is None else f"{error.message} (got {error.got})"
    allowed = list_of(error.allowed)
    return f"{told}; one of {', '.join(map(str, allowed))}" if allowed else told


def _read_file(path: Path, shown: str) -> list[Rule]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BadRequest(f"cannot be read: {error.strerror}") from error
    if len(body) > _FILE_BYTES_MAX:
        raise BadRequest(f"is larger than {_FILE_BYTES_MAX >> 10} kB", got=f"{len(body):,} bytes")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("is no UTF-8") from error
    if path.suffix == ".md":
        head, below = _parted(text)
        row = mapping_of(plain_yaml(head, shown) or {})
        if row is None:
            raise BadRequest("the head between the --- lines is names and values", got=head[:80])
        if "text" in row:
            raise BadRequest("the text of a rule stands below its head", got="text", allowed=[*_NAMES[:1], *_NAMES[2:]])
        return [read_rule({"id": path.stem, **row, "text": below}, file=shown)]
    data = plain_yaml(text, shown)
    row = mapping_of(data)
    listed = list_of(row.get("rules")) if row is not None and set(row) == {"rules"} else list_of(data)
    if listed is None:
        listed = [] if data is None else [data]
    return [read_rule(one, file=shown) for one in listed]


def _parted(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return "", text.strip()
    for number, line in enumerate(lines[1:], start=1):
        if line.strip() == "---":
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]).strip()
    raise BadRequest("the head has no second line of ---")


def read_rule(data: Any, *, file: str = "") -> Rule:
    """A rule from plain data.

    Raises:
        BadRequest: something in it is wrong.
    """
    row = mapping_of(data)
    if row is None:
        raise BadRequest("a rule is names and values", got=str(data)[:80], allowed=list(_NAMES))
    unknown = sorted(set(row) - set(_NAMES))
    if unknown:
        raise BadRequest("a rule has no such name", got=unknown[0], allowed=list(_NAMES))
    id, text = row.get("id"), row.get("text")
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise BadRequest("a rule's id is up to 60 small letters, digits and -", got=str(id)[:80])
    if not isinstance(text, str) or not text.strip():
        raise BadRequest(f"{id} has no text")
    if len(text) > TEXT_CHARS_MAX:
        raise BadRequest(f"{id}: a rule is at most {TEXT_CHARS_MAX:,} characters", got=f"{len(text):,}")
    severity = row.get("severity") or "warning"
    if severity not in SEVERITIES:
        raise BadRequest(f"{id}: severity is not one of these", got=str(severity)[:80], allowed=list(SEVERITIES))
    paths: Any = row.get("paths") or []
    paths = [paths] if isinstance(paths, str) else paths
    if not is_texts(paths):
        raise BadRequest(f"{id}: paths is a list of patterns", got=str(paths)[:80])
    for one in paths:
        compiled(one)
    examples = _examples(row.get("examples") or {}, id)
    return Rule(
        id=id, text=text.strip(), severity=severity, paths=tuple(paths), file=file,
        bad=tuple(examples["bad"]), good=tuple(examples["good"]),
    )  # fmt: skip


def _examples(data: Any, id: str) -> Mapping[str, Sequence[str]]:
    row = mapping_of(data)
    if row is None or set(row) - {"bad", "good"}:
        raise BadRequest(f"{id}: examples are bad and good ones", got=str(data)[:80], allowed=["bad", "good"])
    found: dict[str, Sequence[str]] = {}
    for name in ("bad", "good"):
        listed: Any = row.get(name) or []
        listed = [listed] if isinstance(listed, str) else listed
        if not is_texts(listed) or len(listed) > _EXAMPLES_MAX or any(len(one) > TEXT_CHARS_MAX for one in listed):
            raise BadRequest(f"{id}: examples.{name} is a list of at most {_EXAMPLES_MAX} texts", got=str(listed)[:80])
        found[name] = listed
    return found
