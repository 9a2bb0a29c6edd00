"""The way of one call that may need a person: asked, waited for or paused, run once as approved, and told to the model.

Framework-free: an adapter says how a call is run and whether a run can pause. Every doubt is a no, which the model is told
in words, so that it plans anew.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.approvals import LEASE_S_DEFAULT, Ask, canonical
from pilothouse.records import NeedsApproval, NotApproved, PilothouseError, Unreachable, command

from .approval_desk import ApprovalDesk, Leave, Waiting

LOG = logging.getLogger("pilothouse")
OUTCOME_CHARS_MAX: Final = 2_000
TASK_PREFIX: Final = "approval:"
"""A paused run names the approval it waits for by a task of this beginning."""

Execute = Callable[[Mapping[str, Any] | None], Awaitable[Any]]
"""Runs the call: with the arguments that a reviewer wrote, or as it was made where they are None."""
ExecuteOther = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Runs another tool, the declared fallback; raises :class:`KeyError` where the agent has none of this name."""
Happened = Callable[[], Any]
"""Whether the call did happen: None where it did not, else its result. May be asynchronous."""
Answerer = Callable[[Waiting], Any]
"""Answers a reviewer's question with a text; None: nobody can. May be asynchronous."""


class ApprovalPending(NeedsApproval):
    """The run pauses: a person decides first. Run it again once that is done, and it goes on from here."""

    def __init__(self, waiting: Waiting, question: str) -> None:
        super().__init__(
            question, got=waiting.approval_id, fix=command("approvals", "approve", waiting.approval_id) or None
        )
        self.waiting = waiting
        self.question = question


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The call did not run; the model is told so."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How calls of one agent are approved."""

    desk: ApprovalDesk
    wait_s: float = 300.0
    """So long at most a call waits where the run cannot pause; then it is called off."""
    pause: bool = False
    """The run pauses instead of waiting: :class:`ApprovalPending` is raised."""
    lease_s: int = LEASE_S_DEFAULT
    """A call that takes longer is taken for one of which nobody knows whether it happened."""
    answer: Answerer | None = None

    async def run(
        self,
        ask: Ask,
        execute: Execute,
        *,
        holder: str,
        happened: Happened | None = None,
        repeated: bool = False,
        execute_other: ExecuteOther | None = None,
    ) -> Any:
        """The result of the call, or a :class:`Refusal`; whatever the call itself raises.

        ``repeated``: an attempt before this one may have begun it.

        Raises:
            ApprovalPending: where the run can pause.
        """
        try:
            found = await asyncio.to_thread(self.desk.ask, ask)
        except Exception as error:
            return _refused(ask, error)
        if found is None:
            known = await _known(happened) if repeated else None
            return await execute(None) if known is None else known
        until = time.monotonic() + self.wait_s
        answered: set[str] = set()
        while True:
            if found.state == "pending":
                if found.question and found.question not in answered:
                    answered.add(found.question)
                    await self._answered(found)
                elif self.pause:
                    raise ApprovalPending(found, found.sentence)
                elif time.monotonic() >= until:
                    return await self._given_up(found)
                found = await self._look(found, until)
            elif found.state == "approved":
                leave = await self._leave(found, holder)
                if isinstance(leave, Refusal):
                    return leave
                if leave is not None:
                    return await self._run(ask, leave, execute)
                found = await self._look(found, 0)
            elif found.state in ("reserved", "unknown"):
                known = await self._recovered(found, holder, happened)
                if known is not None:
                    return known.value
                found = await self._look(found, 0)
                if found.state in ("reserved", "unknown"):
                    return self._nobody_knows(found)
            elif found.state == "fallback":
                return await self._instead(found, holder, execute_other)
            else:
                return _over(found)

    async def _look(self, found: Waiting, until: float) -> Waiting:
        wait_s = 0.0 if self.pause else min(30.0, max(0.0, until - time.monotonic()))
        try:
            return await asyncio.to_thread(self.desk.find, found.approval_id, wait_s=wait_s)
        except Unreachable:
            # A server that is started again is asked again, as long as there is time.
            if time.monotonic() >= until:
                raise
            await asyncio.sleep(min(1.0, wait_s))
            return found

    async def _answered(self, found: Waiting) -> None:
        if self.answer is None:
            return
        try:
            said = self.answer(found)
            if inspect.isawaitable(said):
                said = await said
            if said:
                await asyncio.to_thread(self.desk.answer, found.approval_id, str(said)[:4_000])
        except Exception as error:
            # It stays open: a person answers it, or decides without.
            LOG.warning("a reviewer's question about %s was not answered: %s", found.approval_id, type(error).__name__)

    async def _given_up(self, found: Waiting) -> Refusal:
        why = f"the agent waited {self.wait_s:.0f} s"
        try:
            # A yes that comes later must not run anything: nobody waits for it any more.
            await asyncio.to_thread(self.desk.cancel, found.approval_id, why)
        except PilothouseError as error:
            LOG.warning("%s could not be called off: %s", found.approval_id, error.message)
        return Refusal(
            text=f"This call needs a person's approval, and nobody decided within {self.wait_s:.0f} s. It did not run. "
            "Do something else, or say that it waits for a person."
        )

    async def _leave(self, found: Waiting, holder: str) -> Leave | Refusal | None:
        try:
            return await asyncio.to_thread(
                self.desk.reserve, found.approval_id, found.digest, holder=holder, lease_s=self.lease_s
            )
        except (NotApproved, NeedsApproval) as error:
            now = await self._look(found, 0)
            return None if now.state != found.state or now.digest != found.digest else _refusal(error.message)
        except Exception as error:
            return _refusal(f"the approvals do not answer ({type(error).__name__})")

    async def _run(self, ask: Ask, leave: Leave, execute: Execute) -> Any:
        asked = ask.action
        if leave.tool != asked.tool:
            await self._done(leave, "failed", "another tool was approved")
            return _refusal("another tool was approved than the one that was called")
        same = canonical(leave.arguments) == canonical(asked.arguments)
        try:
            result = await execute(None if same else leave.arguments)
        except Exception as error:
            await self._done(leave, "failed", f"{type(error).__name__}: {error}")
            raise
        # Cancelled or killed in the middle: the reservation stays, and its lease says that nobody knows.
        await self._done(leave, "executed", _text(result))
        return result

    async def _done(self, leave: Leave, outcome: Any, text: str) -> None:
        try:
            await asyncio.to_thread(self.desk.done, leave, outcome, text[:OUTCOME_CHARS_MAX])
        except PilothouseError as error:
            # It has run, and its result is good: what is not noted is noted as not known when the lease is over.
            LOG.warning("how %s went could not be noted: %s", leave.approval_id, error.message)

    async def _recovered(self, found: Waiting, holder: str, happened: Happened | None) -> _Known | None:
        """What is known of a call that was begun by a process that is gone; None: look again."""
        try:
            if found.state == "reserved":
                await asyncio.to_thread(self.desk.lost, found.approval_id, holder=holder)
            if happened is None:
                return None
            result = await _known(happened)
            did = result is not None
            text = _text(result)[:OUTCOME_CHARS_MAX] if did else "the tool says that it did not happen"
            await asyncio.to_thread(self.desk.settle, found.approval_id, happened=did, holder=holder, text=text)
            return _Known(value=result) if did else None
        except PilothouseError as error:
            LOG.warning("%s: %s", found.approval_id, error.message)
            return None

    def _nobody_knows(self, found: Waiting) -> Refusal:
        if self.pause:
            raise ApprovalPending(found, f"Did it happen? {found.sentence}")
        return _refusal(
            "it was begun before, and nobody knows whether it happened: a person settles that. Do not repeat it"
        )

    async def _instead(self, found: Waiting, holder: str, execute_other: ExecuteOther | None) -> Any:
        try:
            other = await asyncio.to_thread(self.desk.find, found.instead)
            if execute_other is None or other.state != "approved":
                return _refusal(found.feedback or "nobody decided in time")
            leave = await asyncio.to_thread(
                self.desk.reserve, other.approval_id, other.digest, holder=holder, lease_s=self.lease_s
            )
        except PilothouseError as error:
            return _refusal(error.message)
        try:
            result = await execute_other(leave.tool, leave.arguments)
        except KeyError:
            await self._done(leave, "failed", "the agent has no such tool")
            return _refusal(f"nobody decided in time, and there is no tool {leave.tool} to use instead")
        except Exception as error:
            await self._done(leave, "failed", f"{type(error).__name__}: {error}")
            raise
        await self._done(leave, "executed", _text(result))
        return Refusal(
            text=f"Nobody decided about this call in time, and it did not run. {leave.tool} was done instead: "
            f"{_text(result)[:OUTCOME_CHARS_MAX]}"
        )


async def _known(happened: Happened | None) -> Any:
    found = None if happened is None else happened()
    return await found if inspect.isawaitable(found) else found


@dataclass(frozen=True, slots=True)
class _Known:
    value: Any


def _over(found: Waiting) -> Refusal:
    if found.state == "executed":
        return Refusal(text=f"This was done before, with a person's approval. {found.outcome}".strip())
    if found.state == "failed":
        return Refusal(text=f"This was tried before, with a person's approval, and failed. {found.outcome}".strip())
    if found.state == "rejected":
        return Refusal(
            text=f"A person rejected this call, and it did not run. They say: {found.feedback}\n"
            "Do not try it again as it is: plan anew with what they say."
        )
    return _refusal(found.feedback or f"it is {found.state}")


def _refused(ask: Ask, error: Exception) -> Refusal:
    if isinstance(error, NotApproved):
        return _refusal(f"{error.message} ({error.got})" if error.got else error.message)
    LOG.warning("%s did not run: approvals could not be asked (%s)", ask.action.tool, error)
    return _refusal(f"whether it needs a person's approval could not be found out ({type(error).__name__})")


def _refusal(why: str) -> Refusal:
    return Refusal(text=f"This call did not run: {why}.")


def _text(result: Any) -> str:
    return result if isinstance(result, str) else repr(result)
