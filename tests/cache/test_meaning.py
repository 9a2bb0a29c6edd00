"""Questions in other words: what must not be taken for the same, and what may."""

from __future__ import annotations

from operator import mul
from typing import Any

import pytest

from pilothouse.cache import asked_of, compare, embed_offline, facts_of, nearest
from pilothouse.store.cache_store import Question

OPPOSITES = [
    ("Can I cancel within 3 days?", "Can I cancel within 30 days?"),
    ("Is aspirin safe with alcohol?", "Is aspirin not safe with alcohol?"),
    ("How do I pause my plan?", "How do I cancel my plan?"),
    ("What is the weather in Paris?", "What is the weather in London?"),
    ("what is the weather in paris?", "what is the weather in london?"),
    ("Fly from Oslo to Rome", "Fly from Rome to Oslo"),
    ("convert miles to kilometers", "convert kilometers to miles"),
    ("Is Python faster than Ruby?", "Is Ruby faster than Python?"),
    ("translate this from german to french", "translate this from french to german"),
    ("Delete the file `a.txt`", "Delete the file `b.txt`"),
    ('Say "yes"', 'Say "no"'),
    ("Open order A-1001", "Open order A-1002"),
    ("Refund for 1,000 dollars", "Refund for 1,000 euros"),
    ("Does it work on Monday?", "Does it work on Tuesday?"),
    ("Why doesn't it start?", "Why does it start?"),
    ("enable two factor login", "disable two factor login"),
    ("What is 15% of 80?", "What is 15 of 80?"),
    ("Mail ann@example.com", "Mail bob@example.com"),
    ("Is the store open at 5 pm?", "Is the store open at 5 am?"),
    ("the cheapest flight", "the fastest flight"),
]
SAME = [
    ("How do I reset my password?", "Please, how do I reset my password?"),
    ("How do I reset my password?", "how can I reset my password"),
    ("What is the capital of France?", "What's the capital of France?"),
    ("Can I return shoes within 30 days?", "Could I return the shoes within 30 days?"),
    ("I bought two shirts", "I bought 2 shirts"),
]


@pytest.mark.parametrize(("one", "other"), OPPOSITES)
def test_what_says_something_else_has_other_facts(one: str, other: str) -> None:
    assert facts_of(one) != facts_of(other)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_says_the_same_has_the_same_facts(one: str, other: str) -> None:
    assert facts_of(one) == facts_of(other)


def body(text: Any, **more: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": text}],
        **more,
    }


def test_everything_but_the_last_question_has_to_be_equal() -> None:
    first = asked_of(body("How do I reset my password?"), ("t",), same_words=True)
    assert first is not None
    again = asked_of(body([{"type": "text", "text": "how can I reset my password"}]), ("t",), same_words=True)
    assert again is not None and again.together == first.together
    for other in (
        asked_of(body("How do I reset my password?", temperature=1), ("t",), same_words=True),
        asked_of(body("How do I reset my password?", tools=[{"x": 1}]), ("t",), same_words=True),
        asked_of(body("How do I reset my password?"), ("u",), same_words=True),
        asked_of(body("How do I reset my router?"), ("t",), same_words=True),
    ):
        assert other is not None and other.together != first.together


@pytest.mark.parametrize(
    "given",
    [
        body([{"type": "image_url", "image_url": {"url": "x"}}]),
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": []},
        {"input": [1, 2]},
        body("x" * 5_000),
    ],
)
def test_what_does_not_end_with_a_plain_question_is_not_compared(given: dict[str, Any]) -> None:
    assert asked_of(given, ("t",), same_words=False) is None


def test_the_nearest_is_found_and_other_embedders_vectors_are_passed_over() -> None:
    def question(text: str, vector: bytes) -> Question:
        return Question(key=text, together="t", question=text, vector=vector, expires_ns=1, made_ns=1)

    texts = ["how do I reset my password", "what is the weather", "where is my order"]
    rows = [question(text, embed_offline(text).tobytes()) for text in texts] + [question("short", b"\0" * 8)]
    found = nearest(embed_offline("how can I reset my password?"), rows, at_least=0.8)
    assert found is not None and found.question.question == texts[0]
    assert nearest(embed_offline("tell me a story"), rows, at_least=0.8) is None
    one = embed_offline("anything at all")
    assert abs(sum(map(mul, one, one)) - 1) < 1e-5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It takes 3 days.", "It takes  3 days.", True),
        ("It takes 3 days to arrive.", "It takes 5 days to arrive.", False),
        ("Yes, you can return it.", "No, you cannot return it.", False),
        ("The capital is Paris.", "Paris is the capital.", True),
        ("The capital is Paris.", "Try turning the router off and on again.", False),
    ],
)
def test_answers_are_compared_by_numbers_negations_and_words(one: str, other: str, same: bool) -> None:
    assert compare(one, other).same is same
