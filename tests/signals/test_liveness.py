"""What an open trace is doing, by its last span, its heartbeats and what is usual."""

from __future__ import annotations

import pytest

from pilothouse.signals import Baseline, Pulse, Thresholds, liveness

SECOND = 1_000_000_000
NOW = 10_000 * SECOND


def state(
    silent_s: float, *, beat_s: float | None = None, waits: str = "", goodbye: bool = False, **more: object
) -> str:
    pulse = None
    if beat_s is not None:
        pulse = Pulse(last_ns=NOW - int(beat_s * SECOND), waiting_for=waits, said_goodbye=goodbye)
    return liveness(now_ns=NOW, last_span_ns=NOW - int(silent_s * SECOND), thresholds=Thresholds(), pulse=pulse, **more).state  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    ("silent_s", "more", "expected"),
    [
        (5, {}, "running"),
        (100, {}, "quiet"),
        (301, {}, "stalled"),
        (301, {"beat_s": 2}, "stalled"),
        (1_200, {"beat_s": 2, "waits": "human"}, "waiting_human"),
        (1_200, {"beat_s": 2, "waits": "rate_limit"}, "rate_limited"),
        (1_200, {"beat_s": 2, "waits": "queue"}, "queued"),
        (10, {"beat_s": 2, "waits": "retry"}, "retrying"),
        (1_200, {"beat_s": 2, "waits": "other"}, "stalled"),
        (30, {"beat_s": 25}, "died"),
        (30, {"beat_s": 19}, "running"),
        (3, {"beat_s": 25}, "running"),
        (1_200, {"beat_s": 25, "waits": "human"}, "died"),
        (100, {"beat_s": 90, "goodbye": True}, "quiet"),
        (301, {"beat_s": 290, "goodbye": True}, "stalled"),
        (1_200, {"waiting_for": "human"}, "waiting_human"),
        (500, {"longest_span_s": 400}, "quiet"),
        (200, {"baseline": Baseline(traces=100, gap_s=2)}, "stalled"),
        (200, {"baseline": Baseline(traces=100, gap_s=60)}, "quiet"),
        (200, {"baseline": Baseline(traces=5, gap_s=2)}, "quiet"),
    ],
)
def test_states(silent_s: float, more: dict[str, object], expected: str) -> None:
    assert state(silent_s, **more) == expected  # type: ignore[arg-type]
