"""Workers: who reads an item. A command, an agent on a configured model, or the built-in analyst."""

from __future__ import annotations

import importlib.util
import shlex
from typing import Protocol

from pilothouse.records import BadRequest

from .answers import Said
from .task import Task


class WorkerFailed(Exception):
    """The worker gave no answer. The message says why, for people; it may quote what the worker said."""

    def __init__(self, why: str, *, tokens: int = 0, usd: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.tokens = tokens
        self.usd = usd


class Worker(Protocol):
    """Reads items, many at once from as many threads.

    1. ``read`` MUST return what was said, or raise :class:`WorkerFailed`; it MUST NOT raise anything else on purpose.
    2. It MUST be over soon after the playbook's ``timeout_s``, and soon after ``stop`` was called.
    3. It MUST NOT write anywhere but below ``task.work``.
    """

    def read(self, task: Task) -> Said:
        """Read one item."""
        ...

    def stop(self) -> None:
        """End what is being read, at once: from another thread."""
        ...


def worker_for(name: str, *, second: bool = False) -> Worker:
    """The worker of a name: ``builtin``, ``agent:MODEL``, or a command line.

    Raises:
        BadRequest: the command line cannot be taken apart, or an extra is missing.
    """
    if name == "builtin":
        from .analyst import Analyst

        return Analyst(second=second)
    if name.startswith("agent:"):
        if importlib.util.find_spec("pydantic_ai") is None:
            raise BadRequest("agents as workers need an extra", got=name, fix="pip install 'pilothouse[runtime]'")
        from .agent_worker import AgentWorker

        return AgentWorker(name.removeprefix("agent:"))
    from .command_worker import CommandWorker

    return CommandWorker(words_of(name))


def words_of(command: str) -> tuple[str, ...]:
    """A command line as words, the way a shell splits them; nothing in it is expanded.

    Raises:
        BadRequest: it is empty, or a quote is not closed.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise BadRequest("the worker is no command line", got=command, fix="--worker 'claude -p'") from error
    if not words:
        raise BadRequest("a worker has no name", got=command, allowed=["builtin", "agent:MODEL", "a command line"], fix="--worker 'claude -p'")  # fmt: skip
    return words
