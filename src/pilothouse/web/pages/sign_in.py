"""The page of somebody who is not signed in: how to get a one-time link."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilothouse.web.context import told


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """How to sign in."""

    title: str = field(metadata=told("the page's title"))
    problem: str = field(metadata=told("why the link just used did not work; empty where none was"))
    command: str = field(metadata=told("the command that prints a fresh link"))
    server: str = field(metadata=told("this server's address"))

    @classmethod
    def of(cls, server: str, problem: str) -> SignInPage:
        """The page of one server."""
        return cls(title="Sign in", problem=problem, command="pilothouse sign-in", server=server)
