"""An answer that is streamed, checked as it comes: what has been looked at goes on, the last few characters wait.

A window at the end is held back, longer than what most rules match, and looked at with what was already let go before
it. What a rule finds never lies wholly in what has gone: at worst the beginning of a very long match has.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .guard import Guard
from .rewriting import rewrite
from .subject import About
from .verdict import Gate, Verdict

WINDOW_CHARS = 160
"""Held back at the end of the stream."""
_HELD_MAX = 16_384
"""A token longer than this is let go in pieces."""
_KEY_END = re.compile(r"-----END [A-Z ]{0,30}-----")
_RUN = re.compile(r"[!-~]+$")
BEHIND_CHARS = 400
"""Of what has gone, looked at again for the beginnings of matches."""


class StreamGuard:
    """One streamed text at one gate. Not to be shared between threads.

    1. MUST be given each piece in order, by :meth:`feed`; what it gives back goes on.
    2. MUST be asked for the rest by :meth:`finish` when the stream has ended well; then the whole is checked once more,
       by checks that need all of it too.
    3. Once :attr:`stopped` is a verdict, nothing more goes on: both give an empty text.
    """

    def __init__(self, guard: Guard, gate: Gate = "output", about: About | None = None) -> None:
        self._guard, self._about = guard, about or About()
        self._text = ""
        self._gone = 0
        self.stopped: Verdict | None = None
        """The verdict that ended it; None while it may go on."""
        self.verdict: Verdict | None = None
        """The verdict on the whole, after :meth:`finish`."""
        self._gate: Gate = gate
        # What only a whole text can be asked is asked at the end; until then it would refuse each beginning.
        self._whole_only = any(one.kind in ("schema", "grounding", "endpoint") for one in guard.settings.gates[gate])
        self._live = guard if not self._whole_only else _by_rules(guard, gate)

    @property
    def holds_all(self) -> bool:
        """Whether nothing goes on before the end: a check of the whole that blocks or asks is among them."""
        return any(
            one.kind in ("schema", "grounding", "endpoint") and one.check.action != "flag"
            for one in self._guard.settings.gates[self._gate]
        )

    def feed(self, piece: str) -> str:
        """Take a piece; gives what may go on now."""
        if self.stopped is not None:
            return ""
        self._text += piece
        if self.holds_all:
            return ""
        return self._upto(len(self._text) - WINDOW_CHARS)

    def finish(self) -> str:
        """The stream has ended: gives the rest, after a look at the whole."""
        if self.stopped is not None:
            return ""
        self.verdict = self._guard.check(self._gate, self._text, self._about)
        if not self.verdict.allowed:
            self.stopped = self.verdict
            return ""
        if self._gone == 0:
            return self.verdict.text
        return self._cut(self.verdict, 0, len(self._text))

    def _upto(self, end: int) -> str:
        end = self._between_words(end)
        if end <= self._gone:
            return ""
        start = max(self._gone - BEHIND_CHARS, 0)
        verdict = self._live.check(self._gate, self._text[start:], self._about)
        if not verdict.allowed:
            self.stopped = verdict
            return ""
        # A match that reaches into the window is not cut in two: all of it waits.
        for found in verdict.findings:
            if found.end > found.start and found.start + start < end < found.end + start:
                end = found.start + start
        return self._cut(verdict, start, end)

    def _between_words(self, end: int) -> int:
        """An end that cuts no token in two: keys, addresses and encoded texts are longer than any window.

        Nor a private key in its lines: all from its beginning waits, up to a bound.
        """
        if end <= self._gone:
            return end
        text = self._text[self._gone : end + 1]
        run = _RUN.search(text)
        if run is not None and len(run[0]) < _HELD_MAX:
            end = self._gone + run.start()
        begun = self._text.rfind("-----BEGIN", self._gone, end)
        if begun >= 0 and not _KEY_END.search(self._text, begun) and len(self._text) - begun < _HELD_MAX:
            end = begun
        return end

    def _cut(self, verdict: Verdict, start: int, end: int) -> str:
        """The text from what has gone up to an end, with what the verdict rewrites in it."""
        if end <= self._gone:
            return ""
        inside = [
            replace(
                found,
                start=max(found.start + start, self._gone) - self._gone,
                end=min(found.end + start, end) - self._gone,
            )
            for found in verdict.findings
            if found.action == "rewrite" and found.end + start > self._gone and found.start + start < end
        ]
        text = rewrite(self._text[self._gone : end], inside, self._guard.kinds)
        self._gone = end
        return text


def _by_rules(guard: Guard, gate: Gate) -> Guard:
    kept = [one for one in guard.settings.gates[gate] if one.kind not in ("schema", "grounding", "endpoint")]
    return Guard(replace(guard.settings, gates={**guard.settings.gates, gate: kept}), version=guard.version)
