"""The section of the policy file: what it may say, and that each mistake names its place and its remedy."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.online import chosen, place, read_online
from pilothouse.policy import json_schema, problems
from pilothouse.records import BadRequest

JUDGE = {"judge": {"model": "gpt-4.1-mini"}, "criterion": "It helps"}


def test_a_section_is_read_with_its_defaults() -> None:
    done, talk = read_online({"done": {"check": "finished"}, "talk": {**JUDGE, "level": "session", "sample": 0.1}})
    assert (done.kind, done.level, done.sample, done.quiet_s, done.finished) == ("check", "trace", 1.0, 30.0, True)
    assert (talk.kind, talk.level, talk.sample, talk.quiet_s, talk.usd_per_day) == ("judge", "session", 0.1, 600.0, 1.0)
    assert read_online(None) == () and "online" in json_schema()["properties"]


@pytest.mark.parametrize(
    ("section", "path", "told"),
    [
        ({"a b": {}}, "online:", "one word"),
        ({"a": {}}, "online.a ", "judge, code and check"),
        ({"a": {"check": "finished", "code": "m:f"}}, "online.a ", "check"),
        ({"a": {"check": "nice"}}, "online.a.check", "nice"),
        ({"a": {"check": "cost"}}, "online.a.at_most", "at_most: 0.25"),
        ({"a": {"check": "finished", "smaple": 1}}, "online.a ", "smaple"),
        ({"a": {"check": "finished", "sample": 5}}, "online.a.sample", "5"),
        ({"a": {"check": "finished", "sample": True}}, "online.a.sample", "True"),
        ({"a": {"check": "finished", "level": "span"}}, "online.a.level", "span"),
        ({"a": {"check": "finished", "filter": "agnt:x"}}, "online.a.filter", "agent"),
        ({"a": {"judge": {"model": "m"}}}, "online.a.criterion", "criterion:"),
        ({"a": {"judge": "careful", "criterion": "c"}}, "online.a.judge", "suite:"),
        ({"a": {"judge": {"modle": "m"}, "criterion": "c"}}, "online.a.judge", "modle"),
        ({"a": {"judge": {"model": "m", "key": "sk-secret"}, "criterion": "c"}}, "online.a.judge.key", "env:"),
        ({"a": {"judge": {"model": "m", "max_usd": 2}, "criterion": "c"}}, "online.a.judge.max_usd", "usd_per_day"),
        ({"a": {"code": "os.system"}}, "online.a.code", "module:function"),
        ({"a": {"code": "m:f; rm"}}, "online.a.code", "module:function"),
    ],
)
def test_a_mistake_names_its_place_and_remedy(section: dict[str, Any], path: str, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_online(section)
    error = caught.value
    assert error.message.startswith(path)
    assert told in f"{error.message} {error.got} {error.allowed} {error.fix}"
    assert "sk-secret" not in f"{error.message} {error.got} {error.fix}"


def test_all_mistakes_of_a_file_are_found_with_their_lines() -> None:
    text = "online:\n  a: {check: nice}\n  b:\n    check: finished\n    sample: 7\n"
    found = problems(text, [("online", read_online)])
    assert [(one.path, one.line) for one in found] == [("online.a.check", 2), ("online.b.sample", 5)]


def test_a_version_is_of_what_is_asked_and_not_of_whom() -> None:
    row = {**JUDGE, "sample": 0.1, "filter": "agent:a", "usd_per_day": 5}
    one, other, stricter = read_online({"a": JUDGE, "b": row, "c": {**JUDGE, "criterion": "It helps fast"}})
    assert one.version("j") == other.version("j") != stricter.version("j")
    assert one.version("j") != one.version("another judge")


def test_the_sample_is_the_same_at_every_moment_and_sessions_are_whole() -> None:
    ids = [f"{number:032x}" for number in range(4_000)]
    tenth = {id for id in ids if chosen("", id, 0.1)}
    assert tenth == {id for id in ids if chosen("", id, 0.1)}
    assert tenth < {id for id in ids if chosen("", id, 0.2)}
    # Four standard deviations around 400.
    assert 324 < len(tenth) < 476
    assert not any(chosen("", id, 0.0) for id in ids) and all(chosen("", id, 1.0) for id in ids)
    assert len({place("session-7", id) for id in ids}) == 1
