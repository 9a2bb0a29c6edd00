"""An agent in this process as a worker: any model that pydantic-ai knows, at any compatible address.

The address and the key come from the environment, as the providers read them: ``OPENAI_BASE_URL`` and
``OPENAI_API_KEY``, ``ANTHROPIC_BASE_URL`` and ``ANTHROPIC_API_KEY``. The agent has two tools, and both only read files of
its own item. All agents share one event loop, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future, TimeoutError
from dataclasses import dataclass
from pathlib import Path

from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.usage import RunUsage

from pilothouse.records import BadRequest

from .answers import Said, parsed
from .fence import Fence, one_line
from .task import Task
from .worker import WorkerFailed

REQUESTS_MAX = 12
"""Model calls of one reading."""
_TOOL_CHARS = 8_000
_FOUND_MAX = 20
_ENDED_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """What the tools may read."""

    export: Path
    folders: tuple[str, ...]


class AgentWorker:
    """Reads items with an agent on one model, such as ``openai-chat:gpt-5-mini`` or ``anthropic:claude-haiku-4-5``."""

    def __init__(self, model: str) -> None:
        """Make the agent; the model is not asked anything yet.

        Raises:
            BadRequest: there is no such provider, or it lacks its key.
        """
        self.model = model
        try:
            self._agent: Agent[_Item, str] = Agent(model, deps_type=_Item, retries=1)
        except (UserError, ImportError, ValueError) as error:
            raise BadRequest(
                f"this model cannot be used: {one_line(str(error), 300)}",
                got=f"agent:{model}",
                allowed="PROVIDER:MODEL, such as openai-chat:gpt-5-mini, with its key in the environment",
            ) from error
        self._agent.tool(_read_file)
        self._agent.tool(_search)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="agents", daemon=True)
        self._thread.start()
        self._running: set[Future[Said]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def __repr__(self) -> str:
        return f"AgentWorker({self.model!r})"

    def read(self, task: Task) -> Said:
        """Let the agent read."""
        with self._lock:
            if self._stopped:
                raise WorkerFailed("stopped")
            future = asyncio.run_coroutine_threadsafe(self._read(task), self._loop)
            self._running.add(future)
        try:
            return future.result(task.playbook.timeout_s)
        except TimeoutError as error:
            future.cancel()
            raise WorkerFailed(f"{self.model} had no answer after {task.playbook.timeout_s:g} s") from error
        except CancelledError as error:
            raise WorkerFailed("stopped") from error
        finally:
            with self._lock:
                self._running.discard(future)

    def stop(self) -> None:
        """Cancel what runs, and end the loop."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            running = list(self._running)
        for future in running:
            future.cancel()
        asyncio.run_coroutine_threadsafe(_ended(), self._loop).result(_ENDED_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ENDED_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _read(self, task: Task) -> Said:
        item = _Item(export=task.export, folders=task.folders)
        usage = RunUsage()
        limits = UsageLimits(
            request_limit=REQUESTS_MAX, total_tokens_limit=max(2 * task.playbook.per_item_tokens, 4_000)
        )
        try:
            result = await self._agent.run(task.prompt, deps=item, usage_limits=limits, usage=usage)
        except asyncio.CancelledError:
            raise
        except AgentRunError as error:
            raise WorkerFailed(
                f"{self.model}: {type(error).__name__}: {one_line(str(error), 300)}", tokens=usage.total_tokens
            ) from error
        except OSError as error:
            raise WorkerFailed(f"{self.model}: {one_line(str(error), 300)}", tokens=usage.total_tokens) from error
        said = parsed(result.output)
        return Said(answer=said.answer, tokens=usage.total_tokens, usd=_cost(result.all_messages()))


async def _ended() -> None:
    """Wait until what was cancelled has cleaned up."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def _cost(messages: list[ModelMessage]) -> float | None:
    """What the calls cost; None where the price of one is not known."""
    total = 0.0
    for message in messages:
        if isinstance(message, ModelResponse):
            try:
                total += float(message.cost().total_price)
            except (LookupError, ValueError, AssertionError):
                return None
    return total


async def _read_file(context: RunContext[_Item], file: str, first_line: int = 1) -> str:
    """Read a file of the item from a line on; names are relative to the export's folder.

    Args:
        file: such as traces/2026-11-20/101500-ab12-shop/spans.jsonl
        first_line: from 1
    """
    path = _inside(context.deps, file)
    if path is None:
        return f"{one_line(file, 200)} is no file of this item; its folders: {', '.join(context.deps.folders)}"
    lines: list[str] = []
    room = _TOOL_CHARS
    with open(path, encoding="utf-8", errors="replace") as text:
        for number, line in enumerate(text, 1):
            if number < first_line:
                continue
            shown = f"{number}: {line.rstrip()}"[:room]
            lines.append(shown)
            room -= len(shown) + 1
            if room <= 0:
                lines.append(f"… the rest: first_line={number}")
                break
    return _fenced("\n".join(lines))


async def _search(context: RunContext[_Item], words: str) -> str:
    """Find words in all files of the item: lines that hold them, with file and line number.

    Args:
        words: looked for as they are, without regard to case
    """
    wanted = words.lower().strip()
    found: list[str] = []
    for folder in context.deps.folders:
        for path in sorted((context.deps.export / folder).rglob("*")):
            if not wanted or not path.is_file():
                continue
            with open(path, encoding="utf-8", errors="replace") as text:
                for number, line in enumerate(text, 1):
                    at = line.lower().find(wanted)
                    if at >= 0:
                        shown = line[max(0, at - 80) : at + 200].strip()
                        found.append(f"{path.relative_to(context.deps.export)}:{number}: {shown}")
                    if len(found) >= _FOUND_MAX:
                        return _fenced("\n".join(found))
    return _fenced("\n".join(found)) if found else "nothing holds these words"


def _fenced(text: str) -> str:
    fence = Fence()
    return f"{fence.rule}\n{fence.around(text)}"


def _inside(item: _Item, name: str) -> Path | None:
    path = (item.export / name).resolve()
    inside = any(path.is_relative_to((item.export / folder).resolve()) for folder in item.folders)
    return path if inside and path.is_file() else None
