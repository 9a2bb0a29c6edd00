"""What every command can be told: global flags, before or after the command, and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pilothouse.records import BadRequest

BUDGET = 10_000
BUDGET_MIN = 500
BUDGET_MAX = 20_000_000

_AGENT_VARIABLES = ("PILOTHOUSE_AGENT", "AI_AGENT", "CLAUDECODE", "CURSOR_AGENT", "CODEX_SANDBOX", "GEMINI_CLI")
"""Set by coding agents that run commands on a terminal of their own: they get what a pipe would get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CliSettings:
    """The global flags, and what the environment says where they are silent."""

    json: bool
    """Answer as one line of JSON; else as text for people."""
    json_asked: bool = False
    """True where ``--json`` was written, rather than inferred."""
    errors_json: bool = False
    """Errors as one line of JSON; else as text with hints."""
    terminal: bool = False
    """True where the answer goes to a terminal: content is made harmless."""
    budget: int = BUDGET
    """The most characters an answer may have."""
    fields: tuple[str, ...] = ()
    """The only fields to show; empty shows the command's choice."""
    out: Path | None = None
    """Write the whole answer to this file instead."""
    url: str = ""
    """The server; empty: as the runtime file says."""
    key: str = ""
    """The API key; empty: the runtime file's."""
    data: Path = Path("~/.pilothouse")
    """Where the runtime file is looked for."""
    words: tuple[str, ...] = ()
    """The command line without the global flags: what a command to repeat it starts with."""


def read_settings(
    arguments: Sequence[str], environment: Mapping[str, str], *, terminal: bool = False, error_terminal: bool = False
) -> tuple[CliSettings, list[str]]:
    """Take the global flags out of the command line.

    Raises:
        BadRequest: a flag lacks its value, the value does not fit, or two flags contradict each other.
    """
    rest: list[str] = []
    found: dict[str, str] = {}
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if word == "--":
            rest += [word, *queue]
            break
        name, equals, value = word.partition("=")
        if word in ("--json", "--human"):
            found[word] = "yes"
        elif name in ("--budget", "--fields", "--out"):
            if not equals:
                if not queue:
                    raise BadRequest(f"{name} needs a value", got=word, fix="pilothouse --help")
                value = queue.pop(0)
            found[name] = value
        else:
            rest.append(word)
    if "--json" in found and "--human" in found:
        raise BadRequest("--json and --human contradict each other", got="--json --human", allowed="one of them")
    agent = any(environment.get(name) for name in _AGENT_VARIABLES)
    return CliSettings(
        json="--json" in found or ((agent or not terminal) and "--human" not in found),
        errors_json="--json" in found or ((agent or not error_terminal) and "--human" not in found),
        json_asked="--json" in found,
        terminal=terminal,
        budget=_budget(found.get("--budget") or environment.get("PILOTHOUSE_BUDGET", "")),
        fields=tuple(field.strip() for field in found.get("--fields", "").split(",") if field.strip()),
        out=Path(found["--out"]) if found.get("--out") else None,
        url=environment.get("PILOTHOUSE_URL", "").rstrip("/"),
        key=environment.get("PILOTHOUSE_API_KEY", ""),
        data=data_folder(environment),
        words=tuple(rest),
    ), rest


def data_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The data folder where none is named: ``PILOTHOUSE_DATA``, else ``~/.pilothouse``."""
    known = os.environ if environment is None else environment
    return Path(known.get("PILOTHOUSE_DATA") or "~/.pilothouse").expanduser()


def _budget(text: str) -> int:
    if not text:
        return BUDGET
    digits = text.replace("_", "").replace(",", "")
    if not digits.isdigit() or not BUDGET_MIN <= int(digits) <= BUDGET_MAX:
        raise BadRequest(
            "a budget is a number of characters",
            got=text,
            allowed=f"{BUDGET_MIN} to {BUDGET_MAX}",
            fix="--budget 10000",
        )
    return int(digits)
