"""No answer of any tool passes its limit, whatever is asked of whatever; what is hostile ends; what is too much teaches."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.runtime.data_tools import Answer, DataTools
from pilothouse.runtime.handles import HandleStore
from pilothouse.runtime.query import QueryLimits
from tests.runtime.some_queries import Asked, queries, values

SEED = 20261129
LIMITS = (500, 777, 2_000, 10_000, 40_000)
Kept = dict[str, str]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> DataTools:
    limits = QueryLimits(time_s=10, memory_bytes=1 << 30, spill_bytes=8 << 20)
    return DataTools(store=HandleStore(tmp_path_factory.mktemp("values")), limits=limits)


@pytest.fixture(scope="module")
def kept(tools: DataTools) -> Kept:
    return {name: tools.store.put(value, label=f"a tool of {name}").id for name, value in values(SEED).items()}


def held(answer: Answer, limit: int, *told: object) -> Answer:
    assert 0 < len(answer.text) <= limit, (limit, len(answer.text), *told, answer.text[:300])
    answer.text.encode("utf-8")
    if answer.handle is not None:
        assert answer.handle.id in answer.text, told
    return answer


def ask_all(tools: DataTools, kept: Kept, asked: list[Asked], seed: int) -> int:
    """Ask each of one value, at one limit; and of what it became, where it became one."""
    chance = random.Random(seed)
    names, errors = sorted(kept), 0
    for one in asked:
        name, limit = chance.choice(names), chance.choice(LIMITS)
        narrow = replace(tools, chars=limit)
        answer = held(one.of(narrow, kept[name]), limit, name, one)
        errors += answer.is_error
        if answer.handle is not None and one.tool == "jq":
            held(narrow.show(answer.handle.id), limit, name, one, "shown again")
    return errors


def test_no_answer_in_process_passes_its_limit(tools: DataTools, kept: Kept) -> None:
    print(f"seed {SEED}")
    ask_all(tools, kept, queries(SEED, 250, tools=("slice", "schema", "show")), SEED)


def test_no_answer_of_a_query_passes_its_limit(tools: DataTools, kept: Kept) -> None:
    print(f"seed {SEED}")
    errors = ask_all(tools, kept, queries(SEED + 1, 30, tools=("jq", "grep_json")), SEED)
    assert 0 < errors < 30, "a generator whose queries all fail, or none, shows little"


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(4))
def test_thousands_of_queries_stay_within_their_limit(tools: DataTools, kept: Kept, part: int) -> None:
    seed = SEED * 10 + part
    print(f"seed {seed}")
    ask_all(tools, kept, queries(seed, int(os.environ.get("PILOTHOUSE_QUERIES", "500"))), seed)


@given(
    id=st.text(max_size=50) | st.just("f" * 20_000),
    program=st.text(max_size=200),
    path=st.text(max_size=200),
    start=st.integers(),
    count=st.integers(),
    limit=st.sampled_from(LIMITS),
)
@settings(deadline=None, max_examples=60)
def test_what_is_not_there_is_said_within_the_limit(
    tools: DataTools, id: str, program: str, path: str, start: int, count: int, limit: int
) -> None:
    narrow = replace(tools, chars=limit)
    held(narrow.jq("no " + id, program), limit)
    held(narrow.grep_json("no " + id, program), limit)
    held(narrow.slice("no " + id, path, start, count), limit)
    held(narrow.schema("no " + id, path), limit)


@given(path=st.text(max_size=60), start=st.integers(), count=st.integers(), limit=st.sampled_from(LIMITS))
@settings(deadline=None, max_examples=100)
def test_any_path_and_any_numbers_stay_within_the_limit(
    tools: DataTools, kept: Kept, path: str, start: int, count: int, limit: int
) -> None:
    narrow = replace(tools, chars=limit)
    held(narrow.slice(kept["mixed"], path, start, count), limit)
    held(narrow.schema(kept["mixed"], path), limit)


# -- hostile programs --------------------------------------------------------------------------------------------------

ENDLESS = (
    "range(1e12)", "[limit(1e9; repeat(0))]", "def f: [f]; f", "def f(x): x | f(x); f(.)", "[recurse(1)]",
    'reduce range(1e12) as $i (""; . + "x" * 1e5)', '"x" * 1e9 | . + .', "[range(1e9)]", "last(range(1e12))",
)  # fmt: skip
AT_ONCE = (
    ("input", "no other input"), ("[inputs]", "[]"), ("env", "{}"), ("$ENV.PATH", "null"), ("$__loc__", "file"),
    ('"***" | @base64d', "not valid base64"), (".a | @base32d", "not a valid format"), ("getpath([range(1e5)])", "error: jq stopped"),
    ('null | .[536870911] = 1', "memory"), ("reduce range(2e4) as $i (null; [.]) | tojson | length", ""),
    ('("[" * 100000) | fromjson', "depth"), ('("a" * 30 + "!") | test("(a+)+$")', "retry-limit"), ("halt_error", "no results"),
    ("(" * 12_000, "not jq"), ("[.[]?] | ltrimstr(1)", ""), ("import \"/etc/passwd\" as $x; $x", "not jq"),
    ('"/etc/passwd" | input_filename', "null"), ("modulemeta", "jq stopped"), ("1 / 0", "divisor is zero"),
    ("", "the program is empty"), (" # nothing", "the program is empty"), (".a\x00", "a character that no text has"),
)  # fmt: skip


@pytest.mark.parametrize("program", ENDLESS[:3])
def test_a_program_without_end_ends(tools: DataTools, kept: Kept, program: str) -> None:
    stopped(tools, kept, program)


@pytest.mark.slow
@pytest.mark.parametrize("program", ENDLESS[3:])
def test_every_program_without_end_ends(tools: DataTools, kept: Kept, program: str) -> None:
    stopped(tools, kept, program)


def stopped(tools: DataTools, kept: Kept, program: str) -> None:
    bounded = replace(tools, limits=QueryLimits(time_s=1.0, memory_bytes=512 << 20, spill_bytes=1 << 20))
    answer = held(bounded.jq(kept["one key"], program), 10_000, program)
    assert answer.is_error and "try: " in answer.text
    assert re.search(r"longer than 1 s|memory|were stopped|jq stopped", answer.text), answer.text


@pytest.mark.parametrize(("program", "says"), AT_ONCE, ids=[program[:30] for program, _ in AT_ONCE])
def test_a_hostile_program_gets_a_plain_answer(tools: DataTools, kept: Kept, program: str, says: str) -> None:
    answer = held(tools.jq(kept["one key"], program), 10_000, program)
    assert says in answer.text
    # What the program is wrapped in is ours, and nothing the model wrote.
    assert "| tojson\n" not in answer.text and "<top-level>, " not in answer.text


def test_an_error_names_the_column_that_the_model_wrote(tools: DataTools, kept: Kept) -> None:
    assert "foo/0 is not defined line 1, column 6" in tools.jq(kept["one key"], ".a | foo").text


# -- what is too much teaches ------------------------------------------------------------------------------------------


def smaller(answer: Answer) -> Iterator[tuple[str, str]]:
    """The queries that an overflow answer itself proposes: of each size it tells, the path; of a slice, the count."""
    for path, size in re.findall(
        r"(\.[\w.\"\[\] ]+?) ([\d,]+)(?:, |$)", answer.text.split("characters: ")[-1].split("\n")[0]
    ):
        if int(size.replace(",", "")) > 0:
            yield path, size


@pytest.mark.parametrize("limit", [500, 2_000, 10_000])
@pytest.mark.parametrize("name", ["mixed", "array of arrays", "lines", "csv", "text", "numbers"])
def test_asking_again_as_the_answer_says_comes_to_fit(tools: DataTools, kept: Kept, name: str, limit: int) -> None:
    narrow = replace(tools, chars=limit)
    path, count = (".rows" if name == "mixed" else "."), 10**6
    for _ in range(6):
        answer = held(narrow.slice(kept[name], path, 0, count), limit)
        assert not answer.is_error
        told = re.search(r"count=(\d+)\)$", answer.text) or re.search(r"fit: (\d+) of", answer.text)
        inside = re.search(r"not one fits whole: slice\(id, (.+)\)\)$", answer.text)
        if told is not None:
            assert int(told.group(1)) < count, "each piece is smaller than the one before"
            count = int(told.group(1))
        elif inside is not None:
            assert len(inside.group(1)) > len(path), "it goes further in"
            path, count = inside.group(1), 10**6
        else:
            return
    pytest.fail(f"six answers, and none fits: {answer.text[-200:]}")


def test_an_overflow_tells_sizes_and_the_next_query_fits(tools: DataTools, kept: Kept) -> None:
    first = held(tools.jq(kept["mixed"], "{rows, wide, small: .rows[0].id}"), 10_000)
    assert first.handle is not None and "characters: .wide" in first.text
    sizes = dict(smaller(first))
    assert int(sizes[".rows"].replace(",", "")) > 10_000 and ".small" in sizes
    assert tools.jq(first.handle.id, ".small").text == "0"
    rows = held(tools.jq(first.handle.id, ".rows"), 10_000)
    assert rows.handle is not None
    assert held(tools.jq(rows.handle.id, ".[0:3] | map(.id)"), 10_000).text == "[0,1,2]"
