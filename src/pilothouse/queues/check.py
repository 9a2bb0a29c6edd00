"""What a queue may be: bounds and forms, refused with the value and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pilothouse.records import BadRequest

from .model import VERDICTS, Queue

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
CHOICES_MAX = 40
PER_ITEM_MAX = 20
ITEMS_MAX = 100_000
ADDED_MAX = 10_000
WHO_MAX = 100
QUESTION_CHARS_MAX = 500
RUBRIC_CHARS_MAX = 4_000
NOTE_CHARS_MAX = 4_000
LEASE_S = (30, 86_400)
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def check_queue(queue: Queue) -> Queue:
    """The queue, where it can be made.

    Raises:
        BadRequest: something of it does not fit.
    """
    if not NAME.fullmatch(queue.name):
        raise BadRequest(
            "a queue's name is up to 60 small letters, digits, - and _: its labels are scores of that name",
            got=queue.name[:100],
            fix="pilothouse queues make refunds --question 'Was the refund right?'",
        )
    if not queue.question.strip():
        raise BadRequest("a queue asks something", got=queue.question[:20], fix="--question 'Is the answer right?'")
    check_words(queue.question, "the question", QUESTION_CHARS_MAX)
    check_words(queue.rubric, "the rubric", RUBRIC_CHARS_MAX)
    if not 1 <= queue.per_item <= PER_ITEM_MAX:
        raise BadRequest("that many people cannot label an item", got=queue.per_item, allowed=f"1 to {PER_ITEM_MAX}")
    if queue.who and queue.per_item > len(queue.who):
        raise BadRequest(
            "each item asks for more people than may label", got=queue.per_item, allowed=f"at most {len(queue.who)}"
        )
    if not LEASE_S[0] <= queue.lease_s <= LEASE_S[1]:
        raise BadRequest(
            "an item is not handed out for so long", got=queue.lease_s, allowed=f"{LEASE_S[0]} to {LEASE_S[1]} seconds"
        )
    if len(queue.who) > WHO_MAX:
        raise BadRequest(f"a queue names at most {WHO_MAX} people", got=len(queue.who))
    for person in queue.who:
        check_words(person, "a person's name", 100)
    if queue.kind == "verdict" and queue.choices != VERDICTS:
        raise BadRequest("a queue of verdicts has its own choices", got=list(queue.choices), allowed=list(VERDICTS))
    check_choices(queue.choices)
    return queue


def check_choices(choices: Sequence[str]) -> None:
    """Refuse choices that cannot be told apart, or not be pressed.

    Raises:
        BadRequest: a choice does not fit.
    """
    if not 2 <= len(choices) <= CHOICES_MAX:
        raise BadRequest("that many choices are none, or too many", got=len(choices), allowed=f"2 to {CHOICES_MAX}")
    for choice in choices:
        check_choice(choice)
    twice = [one for one in choices if choices.count(one) > 1]
    if twice:
        raise BadRequest("two choices have the same name", got=twice[0])


def check_choice(choice: str) -> None:
    """Refuse a choice that could not be searched for as one word.

    Raises:
        BadRequest: it is none.
    """
    if not NAME.fullmatch(choice):
        better = re.sub(r"[^a-z0-9_-]+", "-", choice.lower())[:60].strip("-_")
        raise BadRequest(
            "a choice is up to 60 small letters, digits, - and _",
            got=choice[:100],
            allowed=better or "wrong-tool",
        )


def check_words(text: str, what: str, chars_max: int) -> None:
    """Refuse a text that is too long or holds control characters.

    Raises:
        BadRequest: it does.
    """
    if len(text) > chars_max:
        raise BadRequest(f"{what} is longer than {chars_max:,} characters", got=f"{len(text):,} characters")
    found = _UNWRITABLE.search(text)
    if found:
        raise BadRequest(f"{what} holds a control character", got=repr(found[0]))
