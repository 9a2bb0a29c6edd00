"""Kill switches: written into the policy wherever it has a place for them, by a person, with why; and taken off again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.guards import About, Guards
from pilothouse.policies import Keeper, switch, switched, switches
from pilothouse.policy import plain, watch
from pilothouse.records import Actor, BadRequest, NeedsApproval
from pilothouse.server.policies import READERS
from pilothouse.store.control_store import ControlStore, open_control

ANN = Actor(id="key_1", name="ann", kind="person")
BOT = Actor(id="key_2", name="bot", kind="agent")

LAYOUTS = (
    "",
    "# nothing yet\n",
    "budgets: {a: {level: system, usd: 1, per: day}}\n",
    "guards:\n",
    "guards: {}\n",
    "guards: {input: [injection]}\n",
    "guards:\n  input: [injection]  # kept\nbudgets: {a: {level: system, usd: 1, per: day}}\n",
    "guards:\n  switches: {}\n  input: [injection]\n",
    "guards:\n  switches: {agents: [a, 'b c']}\n",
    "guards:\n  input: [injection]\n  switches:\n    agents:\n      - a  # stopped in May\n      - b\n    tools: [t]\n",
    "guards:\n  switches:\n    tools:\n    - t\n  output: [secrets]\n",
    "guards: {switches: {tools: [t]}, input: [injection]}",
    "guards:\n    switches:\n        everything: false\n",
)


@pytest.mark.parametrize("text", LAYOUTS)
@pytest.mark.parametrize("name", ["refunds", "weiß: [x], {y}", "it's #1", "true"])
def test_a_switch_finds_its_place_in_any_layout_and_nothing_else_changes(text: str, name: str) -> None:
    made = switched(text, "agent", name, off=True)
    before, after = plain(text) or {}, plain(made)
    assert after["guards"]["switches"]["agents"][-1] == name
    assert {k: v for k, v in after.items() if k != "guards"} == {k: v for k, v in before.items() if k != "guards"}
    assert "# kept" in made or "# kept" not in text
    back = plain(switched(made, "agent", name, off=False))
    listed = ((before.get("guards") or {}).get("switches") or {}).get("agents") or []
    assert (back["guards"]["switches"].get("agents") or []) == listed
    with pytest.raises(BadRequest, match="off already"):
        switched(made, "agent", name, off=True)
    with pytest.raises(BadRequest, match="on already"):
        switched(text, "tool", name, off=False)


@pytest.fixture
def control(tmp_path: Path) -> ControlStore:
    made = open_control("", tmp_path)
    made.migrate()
    return made


def test_a_thrown_switch_stops_at_once_and_says_who_when_and_why(control: ControlStore, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "pilothouse.yaml").write_text("# ours\nguards:\n  switches: {tools: [old]}\n")
    watched = watch(data_folder=folder)
    keeper = Keeper(watched, control, READERS, folder=folder, environment={})
    guards = Guards(lambda: (watched.policy.version, watched.policy.section("guards")))
    about = About(agent="refunds")
    assert guards.check("input", "hello", about).allowed
    with pytest.raises(NeedsApproval):
        switch(keeper, "agent", "refunds", off=True, reason="pays twice", actor=BOT)
    switch(keeper, "agent", "refunds", off=True, reason="pays\ntwice", actor=ANN)
    refused = guards.check("input", "hello", about)
    assert (refused.action, refused.reason) == ("block", "switch: agent refunds is switched off")
    found = {one.name: one for one in switches(keeper, watched.policy)}
    assert (found["refunds"].who, found["refunds"].reason) == ("ann", "pays twice") and found["refunds"].since
    assert (found["old"].who, found["old"].reason) == ("", ""), "written by hand"
    made = switch(keeper, "agent", "refunds", off=False, reason="mended", actor=ANN)
    assert made.note == "agent refunds switched on: mended" and guards.check("input", "hello", about).allowed
    assert (folder / "pilothouse.yaml").read_text().startswith("# ours\n")
    assert keeper.undo(actor=ANN).in_force and not guards.check("input", "hello", about).allowed


@pytest.mark.parametrize(
    ("name", "reason"), [("", "why"), ("a\nb", "why"), ("x" * 201, "why"), ("a", " "), ("a", "w" * 1_001)]
)
def test_a_switch_without_a_name_or_a_reason_is_refused(
    control: ControlStore, tmp_path: Path, name: str, reason: str
) -> None:
    keeper = Keeper(watch(data_folder=tmp_path), control, READERS, folder=tmp_path, environment={})
    with pytest.raises(BadRequest):
        switch(keeper, "tool", name, off=True, reason=reason, actor=ANN)
    assert not (tmp_path / "pilothouse.yaml").exists()
