"""Commands and their ``--help``: plain text of at most 1.5 kB, the same facts in the same order for each."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import click

from pilothouse.records import BadRequest

EXIT_CODES = {
    0: "ok",
    1: "a defect of ours",
    2: "the call is wrong",
    3: "not found",
    4: "key missing, wrong or without the right",
    5: "the server does not answer",
    6: "it ran, but could not verify",
    7: "a gate failed",
    8: "needs approval",
    9: "some items failed",
}

GLOBAL_FLAGS = "--json --human --budget N --fields a,b --out FILE"

_CLIENT_EXITS = (0, 2, 3, 4, 5)


class PlainCommand(click.Command):
    """A command with examples, the keys of its answer and its exit codes."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        keys: str = "",
        exits: Sequence[int] = _CLIENT_EXITS,
        takes_all: bool = False,
        **more: Any,
    ) -> None:
        """``takes_all``: words that begin with dashes are arguments too."""
        if takes_all:
            more["context_settings"] = {"ignore_unknown_options": True}
        super().__init__(*args, **more)
        self.examples = tuple(examples)
        self.keys = keys
        self.exits = tuple(exits)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [self.help or "", "", f"usage: {ctx.command_path} {' '.join(self.collect_usage_pieces(ctx))}", ""]
        lines += _options(self, ctx)
        lines += ["examples:", *(f"  {example}" for example in self.examples), ""]
        if self.keys:
            lines += [f"answer: {self.keys}"]
        lines += [
            f"also: {GLOBAL_FLAGS}",
            "exit: " + ", ".join(f"{code} {EXIT_CODES[code]}" for code in self.exits),
        ]
        formatter.write("\n".join(lines) + "\n")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _no_option(self, ctx, error) from error


class PlainGroup(click.Group):
    """A command with commands below it."""

    command_class = PlainCommand

    def __init__(self, *args: Any, keys: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.keys = keys

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        width = max((len(name) for name, _ in commands), default=0)
        lines = [self.help or "", "", f"usage: {ctx.command_path} COMMAND", ""]
        lines += [f"  {name:<{width}}  {(command.help or '').splitlines()[0]}" for name, command in commands if command]
        told = [command.examples for _, command in commands if isinstance(command, PlainCommand)]
        # The first of each command, then the second of each: also a group of one command shows three.
        examples = list(dict.fromkeys(one for row in zip_longest(*told) for one in row if one))[:3]
        exits = sorted({code for _, command in commands if isinstance(command, PlainCommand) for code in command.exits})
        lines += ["", "examples:", *(f"  {example}" for example in examples), ""]
        lines += [f"answer: {self.keys or f'{ctx.command_path} COMMAND --help says'}", f"also: {GLOBAL_FLAGS}"]
        lines += ["exit: " + ", ".join(f"{code} {EXIT_CODES[code]}" for code in exits)]
        lines += ["", f"more: {ctx.command_path} COMMAND --help"]
        formatter.write("\n".join(lines) + "\n")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _no_option(self, ctx, error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if self.get_command(ctx, name) is None:
            raise unknown("command", name, self.list_commands(ctx), f"{ctx.command_path} --help")
        return super().resolve_command(ctx, args)


def command(
    name: str,
    *,
    examples: Sequence[str],
    keys: str,
    exits: Sequence[int] = _CLIENT_EXITS,
    group: click.Group | None = None,
    takes_all: bool = False,
) -> Callable[[Callable[..., Any]], PlainCommand]:
    """Declare a command, of a group where one is given. The function's docstring is its first line of help."""

    def declare(function: Callable[..., Any]) -> PlainCommand:
        made = click.command(name, cls=PlainCommand, examples=examples, keys=keys, exits=exits, takes_all=takes_all)(
            function
        )
        if group is not None:
            group.add_command(made)
        return made

    return declare


def unknown(what: str, got: str, known: Sequence[str], see: str) -> BadRequest:
    """The error for a mistyped word, with the words that are close."""
    close = difflib.get_close_matches(got, known, n=3, cutoff=0.5)
    # A prefix is what people type when they are in a hurry.
    close = close or [word for word in known if got and word.startswith(got)][:3]
    words = see.removesuffix(" --help")
    fix = f"{words} {close[0]}" if close and what == "command" else see
    return BadRequest(f"there is no {what} '{got}'", got=got, allowed=close or sorted(known), fix=fix)


def _no_option(command: click.Command, ctx: click.Context, error: click.NoSuchOption) -> BadRequest:
    own = [name for option in command.params if isinstance(option, click.Option) for name in option.opts]
    everywhere = [word for word in GLOBAL_FLAGS.split() if word.startswith("--")]
    return unknown("option", error.option_name, [*own, *everywhere, "--help"], f"{ctx.command_path} --help")


def _options(command: click.Command, ctx: click.Context) -> list[str]:
    rows: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record is not None and record[0] != "--help":
            rows.append(record)
    if not rows:
        return []
    width = min(24, max(len(name) for name, _ in rows))
    return [f"  {name:<{width}}  {text}" for name, text in rows] + [""]
