"""Steps of an agent's run that are done once: asked of the record first, done where it has none, then recorded.

    await steps.once("3 tool refund call_7", do)     in a durable run
    await observed("plan at the answer", read)       anywhere: recorded where the run is durable, just done where not
    step_key()                                       in a tool: the same key at every attempt of this step

Asynchronous, over a ledger that blocks: while a step is done in the caller's own task, a thread stands in the ledger for
it, so that what is in flight side by side is found again by its key and not by who was first. Framework-free.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hashlib
import inspect
import json
import os
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from pilothouse.records import NotFound, new_id

from .budget import Purse

T = TypeVar("T")
Json = Any

AT_ONCE_MAX = 64
"""So many steps of one run are in flight at once; more wait."""
INLINE_CHARS_MAX = 1_000_000
"""A longer result is kept in a file beside the database, by its hash, and the record holds the name."""

_FILE = "$file"
_SAME = {"same": True}
_KEY: contextvars.ContextVar[str] = contextvars.ContextVar("pilothouse_step_key", default="")
_STEPS: contextvars.ContextVar[Steps | None] = contextvars.ContextVar("pilothouse_steps", default=None)


class StepContextLike(Protocol):
    """What a ledger tells a step about itself."""

    @property
    def key(self) -> str:
        """Its idempotency key."""
        ...


class KeptLike(Protocol):
    """What a ledger has under a key."""

    @property
    def value(self) -> Any:
        """The result."""
        ...

    @property
    def error(self) -> Exception | None:
        """The error instead."""
        ...


class LedgerLike(Protocol):
    """:class:`pilothouse.jobs.Ledger`, and :class:`MemoryLedger`."""

    def find(self, key: str) -> KeptLike | None:
        """What is kept under a key."""
        ...

    def keep(self, key: str, do: Callable[[Any], T]) -> T:
        """Do a step once and keep its result. MUST be safe to call from several threads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryKept:
    """What :class:`MemoryLedger` has under a key."""

    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStep:
    """What :class:`MemoryLedger` tells a step."""

    key: str


@dataclass
class MemoryLedger:
    """A ledger that lives as long as it is held: for tests, and for replaying what was recorded."""

    origin: str = "run"
    kept: dict[str, MemoryKept] = field(default_factory=dict[str, MemoryKept])

    def find(self, key: str) -> MemoryKept | None:
        """What is kept under a key."""
        return self.kept.get(key)

    def keep(self, key: str, do: Callable[[Any], T]) -> T:
        """Do a step and keep its result."""
        value = do(MemoryStep(key=f"{self.origin}/{key}"))
        # As a database would: what comes back has gone through JSON.
        self.kept[key] = MemoryKept(value=json.loads(json.dumps(value)))
        return value


class _Abandoned(BaseException):
    """The step ended without a result to record: it is done again when the run is gone on with."""


@dataclass
class Steps:
    """The steps of one attempt at a run."""

    ledger: LedgerLike
    run_id: str
    """The run's own id, as its user knows it."""
    folder: Path | None = None
    """Where results that are too long for the record are kept; None: all are recorded."""
    purse: Purse | None = None
    run_child: Callable[..., Awaitable[Any]] | None = None
    """Starts another agent's run and waits for it: :meth:`pilothouse.runtime.durable_runs.DurableRuns.run_child`."""
    observations: dict[str, Json] = field(default_factory=dict[str, Json], init=False)
    """What was last observed, by name."""
    stopped: BaseException | None = field(default=None, init=False)
    """What the ledger said when it would record no more: the run was cancelled, or is another worker's."""
    repeated: bool = field(default=False, init=False)
    """True while what is done may have been begun by an attempt before this one."""
    turn: int = field(default=0, init=False)
    segment: int = field(default=1, init=False)
    _seen: Counter[str] = field(default_factory=Counter[str], init=False)
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE_MAX), init=False)

    def next_segment(self) -> None:
        """A person has said something: what follows is counted anew."""
        self.segment += 1
        self.turn = 0

    def next_turn(self) -> str:
        """The key of the next request to a model."""
        self.turn += 1
        return f"{self.segment}.{self.turn} model"

    def key_in_turn(self, name: str) -> str:
        """The key of something in the turn that began with the last response; the second of a name is told from the
        first."""
        key = f"{self.segment}.{self.turn} {name}"
        self._seen[key] += 1
        return key if self._seen[key] == 1 else f"{key} #{self._seen[key]}"

    def recorded(self, key: str) -> KeptLike | None:
        """What the record has under a key."""
        return self.ledger.find(key)

    async def once(self, key: str, do: Callable[[], Awaitable[Json]]) -> Json:
        """The recorded result of a step, or that of doing it now, which must be JSON.

        ``do`` runs in the caller's task. Where it raises, nothing is recorded.
        """
        kept = self.recorded(key)
        if kept is not None:
            return self.value_of(kept)
        async with self.open(key) as opened:
            opened.value = await do()
        return opened.value

    def value_of(self, kept: KeptLike) -> Json:
        """A recorded result; a long one is read from its file.

        Raises:
            NotFound: the file is gone.
        """
        if kept.error is not None:
            raise kept.error
        value: Json = kept.value
        if isinstance(value, dict) and list(cast("dict[str, Any]", value)) == [_FILE]:
            return self._read(str(cast("dict[str, Any]", value)[_FILE]))
        return value  # pyright: ignore[reportUnknownVariableType]  # JSON

    @contextlib.asynccontextmanager
    async def open(self, key: str) -> AsyncGenerator[Opened]:
        """A step that is done by what is inside the ``with``; its result is recorded where that ends well.

        Raises:
            Stopped: the run is cancelled, is no longer this worker's, or its record cannot be written.
        """
        async with self._free:
            loop = asyncio.get_running_loop()
            begun: asyncio.Future[str] = loop.create_future()
            ended: asyncio.Future[None] = loop.create_future()
            result: Future[Json] = Future()

            def stand(step: StepContextLike) -> Json:
                loop.call_soon_threadsafe(_settle, begun, step.key, None)
                return result.result()

            def keep() -> None:
                problem: BaseException | None = None
                try:
                    self.ledger.keep(key, stand)
                except BaseException as error:
                    problem = error
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(_settle, ended, None, problem)

            # Daemons: a program that ends with a step in flight must not wait for it.
            threading.Thread(target=keep, name=f"step-{key[:40]}", daemon=True).start()
            # Whichever is first: the ledger lets it begin, or says why not.
            await asyncio.wait([begun, ended], return_when=asyncio.FIRST_COMPLETED)
            if not begun.done():
                await self._through(ended)
            opened = Opened(key=begun.result())
            token = _KEY.set(opened.key)
            try:
                yield opened
                result.set_result(self._kept(opened.value))
            except BaseException:
                if not result.done():
                    result.set_exception(_Abandoned())
                with contextlib.suppress(_Abandoned, Stopped):
                    await asyncio.shield(self._through(ended))
                raise
            finally:
                _KEY.reset(token)
            try:
                await asyncio.shield(self._through(ended))
            except asyncio.CancelledError:
                # It is done and about to be recorded: who goes on next must find it.
                await asyncio.wait([ended])
                raise

    async def _through(self, ended: asyncio.Future[None]) -> None:
        try:
            await ended
        except (asyncio.CancelledError, _Abandoned):
            raise
        except BaseException as error:
            # Of the ledger itself: what is done in a step never reaches it as an error.
            self.stopped = error
            raise Stopped(str(error)) from error

    def _kept(self, value: Json) -> Json:
        if self.folder is None:
            return value
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if len(text) <= INLINE_CHARS_MAX:
            return value
        raw = text.encode()
        name = hashlib.sha256(raw).hexdigest()
        _write_once(self.folder / name, raw)
        return {_FILE: name}

    def _read(self, name: str) -> Json:
        path = (self.folder or Path()) / Path(name).name
        try:
            return json.loads(path.read_bytes())
        except OSError as error:
            raise NotFound(
                "the file of a recorded result is gone", got=str(path), fix="workers of one database share this folder"
            ) from error


class Stopped(Exception):
    """The run goes no further here: it was cancelled, or its worker stops. Nothing is recorded of it."""


@dataclass
class Opened:
    """A step in flight."""

    key: str
    """Its idempotency key."""
    value: Json = None
    """Set it: what is recorded."""


def current_steps() -> Steps | None:
    """The steps of the durable run that is running here; None in any other, and inside a step."""
    return _STEPS.get()


@contextlib.contextmanager
def running(steps: Steps | None) -> Generator[None]:
    """Make a run's steps the current ones, or none: what is inside a step is no step itself."""
    token = _STEPS.set(steps)
    try:
        yield
    finally:
        _STEPS.reset(token)


async def observed(name: str, read: Callable[[], Json | Awaitable[Json]]) -> Json:
    """What ``read`` gives, which must be JSON; in a durable run, what it gave the first time.

    For decisions about a run that hang on something outside it: replayed, they must be made as they were. What is the
    same as the last time under this name is not recorded again.
    """
    steps = current_steps()
    if steps is None:
        return await _awaited(read())

    async def do() -> Json:
        value = await _awaited(read())
        return _SAME if name in steps.observations and steps.observations[name] == value else {"value": value}

    found = await steps.once(steps.key_in_turn(name), do)
    if found != _SAME:
        steps.observations[name] = found["value"]
    return steps.observations[name]


async def _awaited(value: Json | Awaitable[Json]) -> Json:
    return await value if inspect.isawaitable(value) else value


def step_key() -> str:
    """An idempotency key for the tool that is running: the same at every attempt of this call, and no other call's.

    Outside of a durable run there is one attempt: each call has a key of its own.
    """
    return _KEY.get() or new_id("step")


def shown_error(error: BaseException) -> Mapping[str, Any]:
    """What is recorded of an error."""
    message = str(error)[:10_000] or type(error).__name__
    return {"type": type(error).__name__, "message": message}


def _settle(future: asyncio.Future[Any], value: Any, problem: BaseException | None) -> None:
    if future.done():
        return
    if problem is None:
        future.set_result(value)
    else:
        future.set_exception(problem)


def _write_once(path: Path, raw: bytes) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{new_id('part')}")
    with partial.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
