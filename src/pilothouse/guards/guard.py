"""The gates: checks in their order, each with a deadline, and what happens when one is down.

A text goes on only where every check of its gate has decided, itself or by the one named in its place. That is kept
in one spot, :meth:`Guard._decide`: whoever is to look for a way past the checks looks there.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .containment import Counts, MemoryCounts, contain
from .endpoint import CheckFailed
from .injection import VERSION
from .links import BeaconCheck
from .pattern_checks import InjectionCheck, PatternCheck
from .patterns import Pattern
from .rewriting import rewrite
from .scan import Hit, Scanner
from .settings import GuardSettings, Planned, read_guards
from .subject import About, Subject
from .verdict import Action, Finding, Gate, Ran, Verdict, stricter

Fault = Callable[[], Any]
"""Stands in for a check that is down: raises, waits, or gives nonsense. Of drills and tests."""

_SLOW_MAX = 64
"""Slow checks under way at once; more wait within their deadline."""
_BY_HITS = (PatternCheck, InjectionCheck, BeaconCheck)
"""Checks that say nothing where no rule hit, or no image stands."""
_QUEUE_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Guard:
    """The four gates under one policy. Safe to share between threads; make a new one for a new policy."""

    def __init__(
        self,
        settings: GuardSettings | None = None,
        *,
        version: str = "none",
        counts: Counts | None = None,
        faults: Mapping[str, Fault] | None = None,
        clock: Callable[[], float] = time.time,
        plain_engine: bool = False,
    ) -> None:
        self.settings = settings or read_guards({})
        self.version = f"{version}+{VERSION}"
        self._counts = counts or MemoryCounts()
        self._faults = faults or {}
        self._clock = clock
        self._scanners: dict[Gate, Scanner] = {
            gate: _scanner(tuple(rules), plain_engine) for gate, rules in self.settings.rules.items()
        }
        self.kinds: Mapping[str, str] = {
            one.check.name: one.kind for planned in self.settings.gates.values() for one in planned
        }
        """The kind of each check by its name."""
        self._places = threading.BoundedSemaphore(_SLOW_MAX)
        # Gates whose checks say nothing where no rule hit: most texts are through with the one pass over them.
        self._quiet: dict[Gate, tuple[Ran, ...]] = {
            gate: tuple(Ran(check=one.check.name, outcome="ok") for one in planned)
            for gate, planned in self.settings.gates.items()
            if not self._faults and all(isinstance(one.check, _BY_HITS) for one in planned)
        }

    @property
    def engine(self) -> str:
        """What searches: ``re2``, or ``re`` where it is not installed."""
        return self._scanners["input"].engine

    def waits(self, gate: Gate) -> bool:
        """Whether a check of the gate asks somebody else, and so may wait."""
        return any(one.check.slow or one.on_failure == "queue" for one in self.settings.gates[gate])

    def check(self, gate: Gate, text: str, about: About | None = None) -> Verdict:
        """Decide about a text. Never raises for what the text is."""
        begun = time.perf_counter()
        about = about or _NOTHING_KNOWN
        refused = self._contained(gate, text, about)
        if refused is not None:
            return self._verdict(gate, text, [refused], [], begun)
        hits_of = _Hits(self._scanners[gate], text, about.before)
        quiet = self._quiet.get(gate)
        if quiet is not None and "![" not in text and hits_of.nothing():
            took = (time.perf_counter() - begun) * 1e6
            return Verdict(gate=gate, action="allow", text=text, ran=quiet, policy_version=self.version, took_us=took)
        subject = Subject(gate=gate, text=text, about=about, hits={}, rewritten=lambda: text)
        subject.rewritten = lambda: rewrite(text, subject.findings, self.kinds)
        ran = self._decide(self.settings.gates[gate], subject, hits_of)
        return self._verdict(gate, text, subject.findings, ran, begun)

    async def acheck(self, gate: Gate, text: str, about: About | None = None) -> Verdict:
        """The same, without holding up the event loop where a check waits."""
        if not self.waits(gate):
            return self.check(gate, text, about)
        import asyncio  # only where there is an event loop, and it is loaded then

        return await asyncio.to_thread(self.check, gate, text, about)

    def _contained(self, gate: Gate, text: str, about: About) -> Finding | None:
        off = self.settings.switches.off(about)
        if off:
            return Finding(check="switch", rule=off, action="block", message=f"{off} is switched off")
        if len(text) > self.settings.chars_max:
            message = f"{len(text):,} characters, more than the {self.settings.chars_max:,} that a gate reads"
            return Finding(check="length", rule="too long to read", action="block", message=message)
        if gate == "tool_arguments" and self.settings.caps:
            try:
                return contain(self.settings.caps, self._counts, about, self._clock())
            except Exception as error:
                message = f"the counts cannot be read: {type(error).__name__}"
                return Finding(check="cap", rule="counts are down", action="block", message=message)
        return None

    def _decide(self, planned: Sequence[Planned], subject: Subject, hits_of: _Hits) -> list[Ran]:
        """Run the checks; findings go to the subject. A check that did not decide leaves a finding that blocks."""
        ran: list[Ran] = []
        passed: set[str] = set()
        blocked = False
        waiting: list[tuple[Planned, Ran]] = []
        for one in planned:
            name = one.check.name
            if blocked:
                ran.append(Ran(check=name, outcome="skipped"))
                continue
            begun = time.perf_counter()
            try:
                found = self._run(one, subject, hits_of)
                outcome = "found" if found else "ok"
                passed.add(name)
                error = ""
            except Exception as failure:
                found, outcome = [], "late" if isinstance(failure, _Late) else "failed"
                error = str(failure) if isinstance(failure, CheckFailed) else type(failure).__name__
            took = (time.perf_counter() - begun) * 1e6
            subject.findings += found
            went = Ran(check=name, outcome=outcome, took_us=took, error=error, instead=one.instead if error else "")
            ran.append(went)
            if error and not one.instead:
                subject.findings.append(_down(name, error))
                blocked = True
            elif error:
                waiting.append((one, went))
            blocked = blocked or any(finding.action == "block" for finding in found)
        for one, went in waiting:
            # Its stand-in may come later in the order: by now it has decided, or has not run.
            if one.instead in passed:
                message = f"{one.check.name} is down: {one.instead} decided in its place"
                subject.findings.append(Finding(check=one.check.name, rule="degraded", action="flag", message=message))
            elif not blocked:
                subject.findings.append(_down(one.check.name, went.error))
        return ran

    def _run(self, one: Planned, subject: Subject, hits_of: _Hits) -> list[Finding]:
        if one.on_failure != "queue":
            return self._run_once(one, subject, hits_of)
        until = time.monotonic() + one.queue_s
        tries = 0
        while True:
            try:
                return self._run_once(one, subject, hits_of)
            except Exception:
                pause = _QUEUE_PAUSES_S[min(tries, len(_QUEUE_PAUSES_S) - 1)]
                tries += 1
                if time.monotonic() + pause >= until:
                    raise
                time.sleep(pause)

    def _run_once(self, one: Planned, subject: Subject, hits_of: _Hits) -> list[Finding]:
        fault = self._faults.get(one.check.name)

        def work() -> list[Finding]:
            found: Any = fault() if fault is not None else one.check.run(hits_of.known(subject))
            if not isinstance(found, list) or not all(isinstance(item, Finding) for item in found):  # pyright: ignore[reportUnknownVariableType]
                raise CheckFailed("the check gave no list of findings")
            return found  # pyright: ignore[reportUnknownVariableType]

        if not one.check.slow and fault is None:
            # Linear in a text of bounded length: it needs no thread, which would take longer than the check.
            return work()
        return _within(one.deadline_s, work, self._places)

    def _verdict(self, gate: Gate, text: str, findings: Sequence[Finding], ran: Sequence[Ran], begun: float) -> Verdict:
        action: Action = "allow"
        for finding in findings:
            action = stricter(action, finding.action)
        out = text
        if action in ("block", "ask"):
            out = "" if action == "block" else text
        elif action == "rewrite":
            out = rewrite(text, findings, self.kinds)
        return Verdict(
            gate=gate,
            action=action,
            text=out,
            findings=tuple(findings),
            ran=tuple(ran),
            policy_version=self.version,
            took_us=(time.perf_counter() - begun) * 1e6,
        )


_NOTHING_KNOWN = About()


@lru_cache(maxsize=16)
def _scanner(rules: tuple[Pattern, ...], plain_engine: bool) -> Scanner:
    """Shared by gates, policies and drills with the same rules: compiling takes longer than all else here."""
    return Scanner(rules, plain_engine=plain_engine)


class _Late(Exception):
    """A check missed its deadline."""


class _Hits:
    """The one pass of all rules, made when the first check asks for it."""

    def __init__(self, scanner: Scanner, text: str, before: str) -> None:
        self._scanner, self._text, self._before = scanner, text, before
        self._found: list[Hit] | None = None
        self._given = False

    def nothing(self) -> bool:
        """Whether no rule hit; False too where the pass failed: then the checks fail, one by one."""
        try:
            self._found = self._scanner.hits(self._text, self._before)
        except Exception:
            return False
        return not self._found

    def known(self, subject: Subject) -> Subject:
        """The subject with its hits."""
        if not self._given:
            if self._found is None:
                self._found = self._scanner.hits(self._text, self._before)
            groups: dict[str, list[Hit]] = {}
            for hit in self._found:
                groups.setdefault(hit.rule.group, []).append(hit)
            subject.hits, self._given = groups, True
        return subject


def _down(check: str, error: str) -> Finding:
    message = f"the check is down ({error}): nothing goes on without it"
    return Finding(check=check, rule="check is down", action="block", message=message)


def _within(deadline_s: float, work: Callable[[], list[Finding]], places: threading.BoundedSemaphore) -> list[Finding]:
    """Do work in a thread of its own, for so long and no longer. The thread is left to end by itself.

    Raises:
        _Late: it was not done by then, or no place was free by then.
    """
    begun = time.monotonic()
    if not places.acquire(timeout=deadline_s):
        raise _Late
    done: queue.SimpleQueue[tuple[list[Finding] | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except Exception as error:
            done.put((None, error))
        finally:
            places.release()

    # A daemon: a check that hangs does not keep the process from ending.
    threading.Thread(target=run, name="guard check", daemon=True).start()
    try:
        found, error = done.get(timeout=max(deadline_s - (time.monotonic() - begun), 0.001))
    except queue.Empty:
        raise _Late from None
    if error is not None:
        raise error
    return found or []
