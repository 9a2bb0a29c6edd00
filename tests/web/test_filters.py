"""The filter line as terms, and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.traces import parse_filter
from pilothouse.web.filters import HELP, chosen, term, terms, toggled

VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30).filter(
    str.strip
)


@given(VALUES)
def test_a_facet_term_asks_for_exactly_its_value(value: str) -> None:
    """Whatever the value holds: spaces, quotes, commas, stars."""
    (condition,) = parse_filter(term("agent", value))
    assert condition.field == "agent"
    assert not condition.negated
    if "*" not in value:
        assert condition.values == (value,)


@given(VALUES, st.sampled_from(["", "status:error", '"card declined" -tag:test', "cost>0.1 refund"]))
def test_adding_and_taking_away_leaves_the_line_as_it_was(value: str, line: str) -> None:
    """A second click undoes the first."""
    more = toggled(line, "agent", value)
    assert chosen(more, "agent", value)
    assert toggled(more, "agent", value).split() == line.split()


def test_terms_know_the_line_without_them() -> None:
    """Each chip's address drops its own term only."""
    found = terms('status:error "card declined" agent:"my agent"')
    assert [t.text for t in found] == ["status:error", '"card declined"', 'agent:"my agent"']
    assert found[1].without == 'status:error agent:"my agent"'


def test_every_example_of_the_help_is_understood() -> None:
    """What the page teaches, the language reads."""
    for example, _ in HELP:
        assert parse_filter(example)
