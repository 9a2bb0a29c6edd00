"""Every command that a message, an answer or a page tells people to run can be run."""

from __future__ import annotations

import re
import shlex

import click

from pilothouse.cli.root import root
from pilothouse.cli.settings import read_settings
from pilothouse.records import BadRequest

from .sources import SOURCE, files, strings

NO_COMMANDS: dict[str, str] = {
    "pilothouse key": "the name of a masking rule",
}

_COMMAND = re.compile(r"(?:^|[\s`'\"(|>])(?:pilothouse|ph) ((?:[a-z-]|\{)[^`\n|;)]*)")


def commands_in(text: str) -> list[str]:
    return [found[1].strip() for found in _COMMAND.finditer(text)]


def every_hint() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in files():
        if path.parts[-2] == "cli" and path.name in ("help.py", "root.py"):
            continue  # prose about commands, no commands
        for line, text in strings(path):
            if " " in text and "usage:" not in text and text not in NO_COMMANDS:
                found += [(f"{path.relative_to(SOURCE)}:{line}", command) for command in commands_in(text)]
    for path in sorted((SOURCE / "web/templates").rglob("*.html")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            line = re.sub(r"</?(code|kbd|b|em|p|a)\b[^>]*>", "`", line)
            found += [(f"{path.relative_to(SOURCE)}:{number}", command) for command in commands_in(line)]
    return found


def test_every_hint_is_a_command_line() -> None:
    hints = every_hint()
    assert len(hints) > 400
    wrong: list[str] = []
    for place, command in hints:
        try:
            check(place, command)
        except (AssertionError, click.ClickException) as error:
            wrong.append(f"{place} {command[:40]}: {error}")
    assert wrong == []


def check(place: str, command: str) -> None:
    """One hint names a command there is, with options it has."""
    text = re.sub(r"\{\{?[^}]+\}?\}", "x1", command.replace("{}", " x1"))
    text = re.sub(r"[.,:…]+$", "", text.strip()).strip()
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.replace("'", "").replace('"', "").split()
    words = [word.rstrip(",.:") for word in words]
    try:
        read_settings(words, {})
    except BadRequest:
        words = words[:2]
    first = [*words, ""][0]
    if first.startswith("--"):
        return  # pilothouse --help
    context = click.Context(root, info_name="pilothouse")
    found = root.get_command(context, first)
    assert found is not None, f"{place}: pilothouse {text}"
    rest = words[1:]
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        _, found, rest = found.resolve_command(click.Context(found, parent=context), rest)
    assert found is not None
    known = {name for option in found.params for name in (*option.opts, *option.secondary_opts)}
    known |= {"--json", "--human", "--budget", "--fields", "--out", "--help"}
    flags = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}
    assert flags <= known, f"{place}: pilothouse {text}"
