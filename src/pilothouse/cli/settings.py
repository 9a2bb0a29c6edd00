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

MODES = ("read", "annotate", "write", "admin")

AGENT_VARIABLES = {
    "PILOTHOUSE_AGENT": "",
    "AI_AGENT": "",
    "CLAUDECODE": "claude-code",
    "CLAUDE_CODE": "claude-code",
    "CURSOR_AGENT": "cursor",
    "CODEX_SANDBOX": "codex",
    "CODEX_THREAD_ID": "codex",
    "CODEX_CI": "codex",
    "GEMINI_CLI": "gemini-cli",
    "COPILOT_CLI": "copilot",
    "OPENCODE": "opencode",
    "OPENCODE_CLIENT": "opencode",
    "AUGMENT_AGENT": "augment",
    "ANTIGRAVITY_AGENT": "antigravity",
    "GOOSE_TERMINAL": "goose",
    "AMP_CURRENT_THREAD_ID": "amp",
}
"""Set by coding agents that run commands on a terminal of their own, and the agent's name where the variable does not
say it. They get what a pipe would get, and on the server's own machine they only read unless they are told otherwise.
Variables that an editor also sets in the terminal it gives to people are left out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CliSettings:
    """The global flags, and what the environment says where they are silent."""

    json: bool
    """Answer as one line of JSON; else as text for people."""
    json_asked: bool = False
    """True where ``--json`` was written, rather than inferred."""
    human_asked: bool = False
    """True where ``--human`` was written."""
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
    mode: str = ""
    """The most the command may do; empty: what the key may. ``PILOTHOUSE_MODE``, or ``read`` for an agent without a key."""
    actor: str = ""
    """Who runs the command: ``person NAME`` or ``agent NAME``."""
    run: str = ""
    """The run that writes belong to, from ``PILOTHOUSE_RUN``; empty: the server makes one."""
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
    agent = any(environment.get(name) for name in AGENT_VARIABLES)
    return CliSettings(
        json="--json" in found or ((agent or not terminal) and "--human" not in found),
        errors_json="--json" in found or ((agent or not error_terminal) and "--human" not in found),
        json_asked="--json" in found,
        human_asked="--human" in found,
        terminal=terminal,
        budget=_budget(found.get("--budget") or environment.get("PILOTHOUSE_BUDGET", "")),
        fields=tuple(field.strip() for field in found.get("--fields", "").split(",") if field.strip()),
        out=Path(found["--out"]) if found.get("--out") else None,
        url=environment.get("PILOTHOUSE_URL", "").rstrip("/"),
        key=environment.get("PILOTHOUSE_API_KEY", ""),
        data=data_folder(environment),
        mode=_mode(environment, agent=agent),
        actor=_actor(environment, terminal=terminal or error_terminal),
        run=environment.get("PILOTHOUSE_RUN", ""),
        words=tuple(rest),
    ), rest


def _mode(environment: Mapping[str, str], *, agent: bool) -> str:
    mode = environment.get("PILOTHOUSE_MODE", "")
    if mode and mode not in MODES:
        raise BadRequest("PILOTHOUSE_MODE names no mode", got=mode, allowed=list(MODES), fix="PILOTHOUSE_MODE=annotate")
    # A key says itself what it may do; the local token may do everything.
    return mode or ("read" if agent and not environment.get("PILOTHOUSE_API_KEY") else "")


def _actor(environment: Mapping[str, str], *, terminal: bool) -> str:
    for variable, known in AGENT_VARIABLES.items():
        if said := environment.get(variable, ""):
            # A variable that is only switched on names nobody.
            name = known or ("" if said.lower() in ("1", "true", "yes", "on") else said)
            return f"agent {_plain(name)}".strip()
    user = _plain(environment.get("USER") or environment.get("LOGNAME") or "")
    # No terminal, no person: a script is taken for an agent, but for one that says whose it is.
    person = terminal or environment.get("PILOTHOUSE_PERSON") == "1"
    return f"{'person' if person else 'agent'} {user}".strip()


def _plain(name: str) -> str:
    # It travels in a header of HTTP.
    return "".join(character for character in name if " " <= character <= "~")[:100]


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
