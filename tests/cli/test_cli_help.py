"""Help: short, plain, the same facts everywhere, and every example is a command line that parses."""

from __future__ import annotations

import shlex

import click
import pytest

from pilothouse.cli.help import PlainCommand, PlainGroup
from pilothouse.cli.root import COMMANDS, root
from pilothouse.cli.settings import read_settings

from .conftest import Cli


def within(name: str, group: click.Group) -> list[tuple[str, click.Command]]:
    """The commands of a group, those of groups within it included."""
    found: list[tuple[str, click.Command]] = []
    for inner, command in sorted(group.commands.items()):
        found.append((f"{name} {inner}", command))
        if isinstance(command, click.Group):
            found += within(f"{name} {inner}", command)
    return found


def every_command() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    context = click.Context(root, info_name="pilothouse")
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None, name
        found.append((name, command))
        if isinstance(command, click.Group):
            found += within(name, command)
    return found


EVERY = every_command()


@pytest.mark.parametrize("name", ["", *(name for name, _ in EVERY)])
def test_help_is_short_and_plain(cli: Cli, name: str) -> None:
    result = cli(*name.split(), "--help")
    assert result.code == 0
    assert 0 < len(result.out) <= 1_500
    assert all(character.isprintable() or character == "\n" for character in result.out)
    assert not set("│─╭╮╯╰┏┓┗┛━┃") & set(result.out)
    assert "usage: pilothouse" in result.out


@pytest.mark.parametrize(("name", "command"), [(n, c) for n, c in EVERY if isinstance(c, PlainCommand)])
def test_a_command_has_three_examples_keys_and_exit_codes(name: str, command: PlainCommand) -> None:
    assert len(command.examples) == 3
    assert command.keys
    assert command.exits[0] == 0
    assert command.help
    assert "\n" not in command.help


def examples() -> list[str]:
    found = [line for _, command in EVERY if isinstance(command, PlainCommand) for line in command.examples]
    context = click.Context(root, info_name="pilothouse")
    for name, command in (("", root), *EVERY):
        if isinstance(command, PlainGroup):
            shown = command.get_help(click.Context(command, info_name=f"pilothouse {name}".strip(), parent=None))
            found += [line.strip() for line in shown.splitlines() if line.startswith("  pilothouse ")]
    assert context
    return found


@pytest.mark.parametrize("line", examples())
def test_every_example_parses(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "pilothouse"
    # What stands behind it is the shell's: where the input comes from.
    parses(words[1 : words.index("<") if "<" in words else None])


def parses(words: list[str]) -> None:
    """Walk down the commands without running any."""
    _, rest = read_settings(words, {})
    command: click.Command = root
    context = click.Context(root, info_name="pilothouse")
    while isinstance(command, click.Group):
        context = command.make_context(command.name or "", list(rest), parent=context, resilient_parsing=False)
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    command.make_context(command.name or "", list(rest), parent=context)


def test_the_table_of_commands_agrees_with_the_commands() -> None:
    for name, (_, line) in COMMANDS.items():
        assert line.endswith(".")
        command = dict(EVERY)[name]
        assert command.name == name


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("shwo",), "show"),
        (("sesions",), "sessions"),
        (("keys", "lst"), "ls"),
        (("ls", "--sicne", "1h"), "--since"),
        (("sql", "--shema"), "--schema"),
        (("--jsn", "ls"), "--json"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(cli: Cli, words: tuple[str, ...], allowed: str) -> None:
    result = cli(*words)
    assert result.code == 2
    assert allowed in result.error["allowed"]


@pytest.mark.parametrize(
    "words", [("show",), ("ls", "--limit", "x"), ("keys", "revoke"), ("search",), ("sql", "a", "b")]
)
def test_a_wrong_call_names_its_help(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert result.code == 2
    assert result.error["fix"].endswith("--help")


def test_the_version_is_said(cli: Cli) -> None:
    from pilothouse import __version__

    assert cli("--version").out == f"pilothouse {__version__}\n"


@pytest.mark.parametrize("name", ["", "ls", "eval run"])
def test_help_may_be_asked_for_by_a_word(cli: Cli, name: str) -> None:
    assert cli("help", *name.split()).out == cli(*name.split(), "--help").out
    assert "eval" in cli("help", "evil").error["allowed"]
