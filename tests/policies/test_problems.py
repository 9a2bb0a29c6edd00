"""Everything that is wrong with a policy, at once, each with its place and line."""

from __future__ import annotations

import pytest

from pilothouse.policy import problems, refusal
from pilothouse.server.policies import READERS

WRONG = """gaurds: {}
guards:
  input:
    - injectoin
    - {check: secrets, action: blok}
    - links
  checks:
    links:
      kind: links
      allow: 3
  caps:
    - {tool: send}
  switches: {agnets: [a]}
budgets:
  a: {level: galaxy, usd: 1}
  b: {level: user, usd: -1}
survival:
  retries: {tries: lots}
limits:
  x: 3
"""


def test_all_of_it_is_named_by_path_and_line() -> None:
    found = {(one.path, one.line) for one in problems(WRONG, READERS)}
    assert found == {
        ("gaurds", 1),
        ("guards.input[0]", 4),
        ("guards.input[1].action", 5),
        ("guards.checks.links.allow", 10),
        ("guards.caps[0]", 12),
        ("guards.switches.agnets", 13),
        ("budgets.a.level", 15),
        ("budgets.b.usd", 16),
        ("survival.retries.tries", 18),
        ("limits.x", 20),
    }


def test_the_refusal_names_them_all() -> None:
    error = refusal(problems(WRONG, READERS))
    assert error.message.startswith("the policy has 10 errors: line 1: ")
    assert "line 16: budgets.b.usd is out of range (got -1)" in error.message
    assert [one["path"] for one in error.got][:2] == ["gaurds", "guards.input[0]"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("guards: [1", 1, "is no YAML"),
        ("guards:\n  input: [injection]\n  input: []\n", 3, "twice"),
        ("- 1\n", 0, "not a mapping of sections"),
        ("guards:\n  a: &x 1\n  b: [*x, *x]\n", 2, "has no such setting"),
        ("guards: 3\n", 1, "a mapping of names to values"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_problem(text: str, line: int, says: str) -> None:
    first = problems(text, READERS)[0]
    assert (first.line, says in first.message) == (line, True), first


@pytest.mark.parametrize("text", ["", "# nothing\n", "guards:\n", "guards: {input: [injection]}\nbudgets: {}\n"])
def test_nothing_is_wrong_with_a_good_one(text: str) -> None:
    assert problems(text, READERS) == ()


def test_many_wrong_items_of_a_list_keep_their_numbers() -> None:
    text = "guards:\n  input:\n" + "".join(f"    - wrong{number}\n" for number in range(5))
    assert [(one.path, one.line) for one in problems(text, READERS)] == [
        (f"guards.input[{number}]", 3 + number) for number in range(5)
    ]
