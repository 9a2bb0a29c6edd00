"""Traffic that goes on: agents that run, wait for a person, are held up, get stuck, and now and then die.

``python -m pilothouse.testing.demo.live`` runs until its stdin closes, so that it ends with whoever started it. It is
recorded by the recorder itself, and sleeps nearly all the time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pilothouse

PACE = 1.0
"""Seconds of the stories below are multiplied by it."""
Story = Callable[[], object]
_stop = threading.Event()
_dice = random.Random()  # noqa: S311  # stories, no secrets


def main(arguments: list[str] | None = None) -> int:
    """Play every story in a thread of its own, again and again, until stdin closes."""
    parser = argparse.ArgumentParser(prog="python -m pilothouse.testing.demo.live", description=__doc__)
    parser.add_argument("--endpoint", default="http://127.0.0.1:4318", help="address of the server")
    parser.add_argument("--key", default=os.environ.get("PILOTHOUSE_API_KEY", ""), help="better in PILOTHOUSE_API_KEY")
    parser.add_argument("--once", default="", help="play this story once in this process, and end as it ends")
    options = parser.parse_args(arguments)
    recorder: dict[str, Any] = {"endpoint": options.endpoint, "key": options.key, "instrument": False}
    pilothouse.init(service="live-demo", environment="production", version="1.0.0", **recorder)
    if options.once:
        STORIES[options.once]()
        return 0
    children = [sys.executable, "-m", "pilothouse.testing.demo.live", "--endpoint", options.endpoint]
    for number, (name, story) in enumerate(STORIES.items()):
        threading.Thread(target=_play, args=(name, story, number, children), daemon=True).start()
    sys.stdin.read()
    _stop.set()
    pilothouse.shutdown()
    return 0


def _play(name: str, story: Story, number: int, children: list[str]) -> None:
    try:
        _sleep(number)
        while True:
            if name in MORTAL:
                # In a process of its own, since it takes that process along.
                subprocess.run([*children, "--once", name], stdin=subprocess.DEVNULL, check=False)
                _sleep(_dice.uniform(150, 300))
            else:
                with contextlib.suppress(RuntimeError):  # part of the story
                    story()
                _sleep(_dice.uniform(5, 20))
    except Interrupted:
        return


class Interrupted(BaseException):
    """The demo ends: a story breaks off where it is."""


def _sleep(seconds: float) -> None:
    if _stop.wait(seconds * PACE):
        raise Interrupted


def _think(question: str, answer: str, seconds: float) -> str:
    messages = [{"role": "user", "content": question}]
    with pilothouse.model_call(model="gpt-5-mini", provider="openai", messages=messages) as call:
        _sleep(seconds)
        usage = {"prompt_tokens": 40 * len(question), "completion_tokens": 3 * len(answer)}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}
        call.response({"model": "gpt-5-mini", "choices": [choice], "usage": usage})
    return answer


@pilothouse.tool(name="lookup_order")
def _lookup_order(order: str) -> dict[str, str]:
    _sleep(_dice.uniform(0.5, 8))
    return {"order": order, "status": "sent"}


@pilothouse.tool(name="export_ledger", effect="write")
def _export_ledger(month: str) -> str:
    _sleep(1_200)
    return f"{month}: 4,210 rows"


@pilothouse.agent(name="order-desk")
def _order_desk(question: str) -> str:
    _think(question, "I look the order up.", _dice.uniform(1, 4))
    for _ in range(_dice.randrange(1, 4)):
        _lookup_order(f"A-{_dice.randrange(1000, 9999)}")
        _think(question, "One more look.", _dice.uniform(1, 3))
    return _think(question, "It arrives on Thursday.", _dice.uniform(1, 3))


@pilothouse.agent(name="refund-desk")
def _refund_desk(question: str) -> str:
    _think(question, "This refund needs an approval.", _dice.uniform(1, 3))
    with pilothouse.waiting("human", reason=f"refund of ${_dice.randrange(200, 900)}: more than the limit of $100"):
        _sleep(_dice.uniform(40, 120))
    return _think(question, "The refund is on its way.", _dice.uniform(1, 3))


@pilothouse.agent(name="summariser")
def _summariser(question: str) -> str:
    for _ in range(4):
        _think(question, "A summary of one page.", _dice.uniform(1, 3))
        with pilothouse.waiting("rate_limit", reason="429: tokens per minute"):
            _sleep(_dice.uniform(10, 25))
    return _think(question, "The summary of all pages.", _dice.uniform(1, 3))


@pilothouse.agent(name="ledger-export")
def _ledger(question: str) -> str:
    _think(question, "I export the ledger.", 2)
    return _export_ledger("2026-10")


@pilothouse.agent(name="crawler")
def _crawler(question: str) -> str:
    _think(question, "I read the page.", _dice.uniform(1, 3))
    _lookup_order("B-1")
    raise RuntimeError("the site refuses robots")


@pilothouse.agent(name="indexer")
def _indexer(question: str) -> str:
    _think(question, "I index the pages.", _dice.uniform(1, 3))
    with pilothouse.span("write index", kind="tool"):
        _sleep(_dice.uniform(8, 15))
        pilothouse.flush()
        # As the kernel does it to a process that takes too much memory.
        os.kill(os.getpid(), signal.SIGKILL)
    return ""


STORIES: dict[str, Story] = {
    "orders": lambda: _order_desk("Where is my order?"),
    "more-orders": lambda: _order_desk("When does it arrive?"),
    "refunds": lambda: _refund_desk("I want my money back."),
    "limited": lambda: _summariser("Summarise the handbook."),
    "stuck": lambda: _ledger("Export October."),
    "failing": lambda: _crawler("Read the competitor's prices."),
    "dying": lambda: _indexer("Index the handbook."),
}
"""What is played, by name."""
MORTAL = ("dying",)
"""The stories in which the process dies, some minutes apart."""


if __name__ == "__main__":
    sys.exit(main())
