"""Why an upstream gave no answer, or no whole one.

Unreachable
└── UpstreamFailed       the caller may try again
    ├── Unanswered       no byte of an answer came
    ├── AnswerSlow       it did not come in time
    └── AnswerBroken     it is no HTTP, or broke off
"""

from __future__ import annotations

from pilothouse.records import Unreachable


class UpstreamFailed(Unreachable):
    """The upstream did not answer as it should."""

    kind = "upstream_failed"
    http_status = 502


class Unanswered(UpstreamFailed):
    """No byte of an answer came."""

    kind = "upstream_unreachable"


class AnswerSlow(UpstreamFailed):
    """The answer, or its next piece, did not come in time."""

    kind = "upstream_slow"
    http_status = 504


class AnswerBroken(UpstreamFailed):
    """The answer is no HTTP, or broke off."""

    kind = "upstream_broken"


class CallerLeft(UpstreamFailed):
    """The caller closed its connection: nobody waits for the answer any more."""

    kind = "caller_left"
    http_status = 499
