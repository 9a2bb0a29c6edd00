"""``[signals]``: what may be set, and how a mistake is named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from pilothouse.records import BadRequest
from pilothouse.server.config import read_config
from pilothouse.signals import RULES, Rulebook, Thresholds, read_rulebook


def test_one_agent_differs_from_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "pilothouse.toml"
    file.write_text("""
        [signals]
        loop_calls = 6
        off = ["canned_traffic"]
        [signals.agents."night watch"]
        stalled_default_s = 3600
        off = []
    """)
    rules = read_config(file).rulebook
    assert (rules.of("any").loop_calls, rules.of("any").off) == (6, ("canned_traffic",))
    watch = rules.of("night watch")
    assert (watch.loop_calls, watch.stalled_default_s, watch.off) == (6, 3600, ())
    assert read_config(None).rulebook == Rulebook()


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"loop_cals": 3}, "loop_calls"),
        ({"loop_calls": 1}, "1"),
        ({"loop_calls": 2.5}, "2.5"),
        ({"loop_calls": True}, "True"),
        ({"context_share": 1.5}, "1.5"),
        ({"died_min_s": 0}, "0"),
        ({"off": ["loops"]}, "ping_pong"),
        ({"off": "loop"}, "loop"),
        ({"agents": {"x": {"agents": 1}}}, "agents"),
        ({"agents": {"x": 5}}, "5"),
        ({"agents": 5}, "5"),
    ],
)
def test_every_mistake_is_named(table: dict[str, object], named: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read_rulebook(table)
    assert named in f"{raised.value.message} {raised.value.got} {raised.value.allowed}"


def test_every_setting_belongs_to_a_rule() -> None:
    used = {setting for rule in RULES.values() for setting in rule.settings}
    assert used == {field.name for field in fields(Thresholds)} - {"off"}
