"""From a step to its code, whoever sent it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse import traces
from pilothouse.store import TraceStore
from pilothouse.traces.code_places import above, code_place, places, short_path

from .support import PROJECT, TraceBuilder, said, span_id, trace_id


@pytest.mark.parametrize(
    ("path", "root", "shown"),
    [
        ("/srv/app/agents/desk.py", "/srv/app", "agents/desk.py"),
        ("/srv/apple/agents/desk.py", "/srv/app", "srv/apple/agents/desk.py"),
        ("/data/al/v/lib/python3.12/site-packages/httpx/_client.py", "", "httpx/_client.py"),
        ("/a/b/c/d/e/f.py", "", "c/d/e/f.py"),
        ("C:\\Users\\al\\shop\\pay.py", "", "Users/al/shop/pay.py"),
        ("file:///app/dist/index.js", "", "app/dist/index.js"),
        ("../../etc/passwd", "", "etc/passwd"),
        ("src/a.py", "", "src/a.py"),
        ("<stdin>", "", ""),
    ],
)
def test_paths_are_short_and_never_absolute(path: str, root: str, shown: str) -> None:
    assert short_path(path, root) == shown


@given(st.text(max_size=80), st.text(max_size=20))
def test_no_path_is_absolute_or_leads_out(path: str, root: str) -> None:
    shown = short_path(path, root)
    assert not shown.startswith(("/", "\\")) and ".." not in shown.split("/") and shown.isprintable()


def test_where_an_error_was_raised_is_read_from_stacks() -> None:
    node = "Error: no\n    at fetch (file:///app/src/net.js:12:5)\n    at node:internal/x:1:1\n"
    found = code_place({}, {}, node)
    assert found is not None and (found.text, found.function) == ("app/src/net.js:12", "fetch")
    python = (
        'Traceback (most recent call last):\n  File "/app/till.py", line 3, in pay\n    x()\n'
        '  File "/usr/lib/python3.12/json/decoder.py", line 9, in decode\n    y()\nValueError'
    )
    found = code_place({}, {}, python)
    assert found is not None and (found.text, found.function, found.found) == ("app/till.py:3", "pay", "stack")
    assert code_place({}, {}, "no stack at all") is None
    assert code_place({"code.file.path": "a.py", "code.line.number": "many"}, {}) is not None


def test_steps_around_a_step_in_a_circle_end() -> None:
    assert above("a", {"a": "b", "b": "c", "c": "b"}) == ["b", "c"]


def test_show_and_decision_name_the_code_of_the_step_or_of_the_one_around_it(any_store: TraceStore) -> None:
    trace = TraceBuilder(trace_id(1))
    code = {"code.file.path": "desk.py", "code.line.number": "4", "code.function.name": "desk"}
    trace.span(1, "agent", attributes=code)
    trace.span(2, "model", parent=1, at_ms=1, input=[said("user", "hi")], output=[said("assistant", "ho")])
    trace.span(3, "tool", parent=1, at_ms=2, attributes={"code.filepath": "/x/y/tools/pay.py", "code.lineno": "9"})
    trace.span(4, "tool", at_ms=3)
    id = trace.store(any_store)
    shown = {step: traces.span(any_store, PROJECT, id, step).code for step in (1, 2, 3, 4)}
    assert {step: (place.text, place.step) for step, place in shown.items() if place} == {
        1: ("desk.py:4", 0),
        2: ("desk.py:4", 1),
        3: ("x/y/tools/pay.py:9", 0),
    }
    assert traces.decision(any_store, PROJECT, id, 2).code == shown[2]
    stretch = traces.head(any_store, PROJECT, id).stretch
    found = places(any_store, PROJECT, id, stretch, [span_id(number) for number in (1, 2, 3, 9)])
    assert sorted(place.text for place in found.values()) == ["desk.py:4", "x/y/tools/pay.py:9"]
