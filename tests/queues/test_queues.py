"""Queues as people use them: different items at once, labels that are annotations, undo, and what stays hidden."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from pilothouse.annotations import Change, of_traces, undo, write
from pilothouse.queues import FoundTargets, Queue, Wanted, find_targets, record_of, record_text
from pilothouse.records import BadRequest, Forbidden, NotFound, Target
from pilothouse.store.control_store import ControlStore
from pilothouse.traces import TraceQuery, search
from tests.queues.conftest import BOT, Room, person
from tests.traces.support import span_id, trace_id


def test_a_label_is_a_score_of_the_queues_name_that_shows_on_the_trace_and_is_found(room: Room) -> None:
    ada = room.queue("refunds")
    handed = ada.next("refunds")
    assert handed.item is not None and handed.item.number == 1 and handed.record is not None
    assert "money back" in record_text(handed.record, 10_000)
    given = ada.label("refunds", 1, "fail", note="the limit was passed")
    assert (given.outcome, given.shown) == ("added", True)
    (found,) = of_traces(room.store, room.project, [trace_id(1)])
    assert (found.name, found.label, found.value, found.text, found.actor) == (
        "refunds",
        "fail",
        0.0,
        "the limit was passed",
        "ada",
    )
    page = search(room.store, room.project, TraceQuery(text="score.refunds:fail", since_ns=0))
    assert [row.trace_id for row in page.items] == [trace_id(1)]
    assert ada.label("refunds", 1, "fail", note="the limit was passed").outcome == "unchanged"


def test_two_people_at_once_are_handed_different_items_until_a_lease_ends(room: Room) -> None:
    ada = room.queue("refunds", lease_s=60)
    bob = room.of("bob")
    first, again, other = ada.next("refunds"), ada.next("refunds"), bob.next("refunds")
    assert [one.item.number for one in (first, again, other) if one.item] == [1, 1, 2]
    assert room.of("eve").next("refunds").item.number == 3  # type: ignore[union-attr]
    assert room.of("fay").next("refunds").item is None
    room.clock.sleep(61)
    assert room.of("fay").next("refunds").item.number == 1  # type: ignore[union-attr]


def test_threads_that_ask_at_once_never_get_the_same_item(room: Room) -> None:
    room.queue("refunds")
    numbers: list[int] = []

    def ask(name: str) -> None:
        handed = room.of(name).next("refunds")
        if handed.item is not None:
            numbers.append(handed.item.number)

    threads = [threading.Thread(target=ask, args=(f"person {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [1, 2, 3]


def test_each_item_gets_as_many_people_as_are_wanted_and_nobody_twice(room: Room) -> None:
    room.queue("refunds", items=2, per_item=2)
    for name in ("ada", "bob", "eve"):
        queues = room.of(name)
        while (item := queues.next("refunds").item) is not None:
            queues.label("refunds", item.number, "pass" if name == "ada" or item.number == 1 else "fail")
    progress = room.of("ada").show("refunds").progress
    assert (progress.items, progress.done, progress.labels) == (2, 2, 4)
    assert progress.people == {"ada": 2, "bob": 2} and (progress.twice, progress.agreed) == (2, 1)


def test_the_same_person_on_the_page_and_on_a_command_line_is_one(room: Room) -> None:
    room.queue("refunds", items=1)
    room.of(person("Ada", id="page")).label("refunds", 1, "pass")
    changed = room.of(person("ada", id="local:ada")).label("refunds", 1, "fail")
    assert (changed.outcome, changed.before) == ("changed", "pass")
    assert [one.label for one in of_traces(room.store, room.project, [trace_id(1)])] == ["fail"]


def test_undo_takes_back_the_last_act_and_the_one_before_it(room: Room) -> None:
    ada = room.queue("refunds")
    ada.label("refunds", 1, "pass")
    ada.skip("refunds", 2)
    assert ada.undo("refunds").number == 2
    undone = ada.undo("refunds")
    assert (undone.number, undone.before) == (1, "pass")
    assert of_traces(room.store, room.project, [trace_id(1)]) == []
    assert ada.next("refunds").item.number == 1  # type: ignore[union-attr]
    with pytest.raises(NotFound, match="nothing to take back"):
        ada.undo("refunds")
    ada.label("refunds", 1, "fail")
    assert ada.show("refunds").progress.labels == 1


def test_a_label_that_is_taken_back_elsewhere_is_no_label(room: Room) -> None:
    ada = room.queue("refunds")
    ada.label("refunds", 1, "pass")
    (run,) = {one.run for one in of_traces(room.store, room.project, [trace_id(1)])}
    undo(room.store, room.control, room.project, run, actor=person("ada"), now_ns=room.clock.now_ns())
    assert ada.show("refunds").progress.labels == 0 and ada.labels("refunds").labels == ()
    assert ada.next("refunds").item.number == 1  # type: ignore[union-attr]


def test_what_others_said_is_held_back_until_one_has_spoken(room: Room) -> None:
    room.queue("refunds", per_item=2, items=2)
    room.of("bob").label("refunds", 1, "fail")
    before = room.of("ada").labels("refunds")
    assert (before.labels, before.held_back) == ((), 1)
    assert room.of("ada").taxonomy("refunds").held_back == 1
    room.of("ada").label("refunds", 1, "pass")
    assert [(one.who, one.choice) for one in room.of("ada").labels("refunds").labels] == [
        ("bob", "fail"),
        ("ada", "pass"),
    ]
    # Who will not be asked sees all of it.
    room.of("bob").label("refunds", 2, "pass")
    assert room.of(BOT).labels("refunds").held_back == 0


def test_a_record_shows_no_score_and_no_label(room: Room) -> None:
    judged = Change(
        kind="score", target=Target(trace_id=trace_id(1)), name="careful", label="fail", text="judge's reason"
    )
    write(room.store, room.control, room.project, [judged], actor=BOT, now_ns=room.clock.now_ns())
    record = record_of(room.store, room.project, Target(trace_id=trace_id(1)))
    text = record_text(record, 20_000)
    assert "money back" in text and "over the limit" in text
    assert "careful" not in text and "judge's reason" not in text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(trace_id=trace_id(1), span_id=span_id(102)), "Let me look that order up"),
        (Target(session_id="chat 1"), "order 4403"),
        (Target(trace_id=trace_id(999)), "not stored any more"),
    ],
)
def test_a_step_a_session_and_what_is_gone_have_records(room: Room, target: Target, words: str) -> None:
    record = record_of(room.store, room.project, target)
    assert words in record_text(record, 10_000)
    assert record.gone == (target.trace_id == trace_id(999))


def test_only_people_label_unless_the_queue_names_a_program(room: Room) -> None:
    ada = room.queue("refunds")
    with pytest.raises(Forbidden, match="a person's word"):
        room.of(BOT).label("refunds", 1, "pass")
    ada.make(replace(ada.find("refunds"), who=("bot", "ada")))
    assert room.of(BOT).label("refunds", 1, "pass").outcome == "added"
    with pytest.raises(Forbidden, match="names others"):
        room.of("bob").next("refunds")
    ada.close("refunds", closed=True)
    with pytest.raises(Forbidden, match="closed"):
        ada.next("refunds")


def test_making_and_adding_twice_changes_nothing(room: Room) -> None:
    ada = room.queue("refunds")
    assert ada.make(ada.find("refunds"))[1] is False
    again = ada.add(
        "refunds",
        FoundTargets(
            targets=(Target(trace_id=trace_id(3)), Target(session_id="chat 1")), how="chosen", reason="", pool=2
        ),
    )
    assert (again.added, again.already, again.items) == (1, 1, 4)
    assert [one.how for one in ada.items("refunds")] == ["random"] * 3 + ["chosen"]


def test_a_sample_is_the_same_again_and_a_greater_one_holds_it(room: Room) -> None:
    def draw(count: int, seed: int = 7, level: str = "trace") -> FoundTargets:
        wanted = Wanted(sample=count, seed=seed, since_ns=0, until_ns=None, level=level)  # type: ignore[arg-type]
        return find_targets(room.store, room.project, wanted)

    two, three = draw(2), draw(3)
    assert two.targets == draw(2).targets == three.targets[:2]
    assert (two.how, two.pool, len(three.targets)) == ("random", 3, 3)
    assert {draw(1, seed).targets for seed in range(20)} == {(one,) for one in three.targets}
    assert draw(5, level="session").targets == (Target(session_id="chat 1"),)


def test_what_judges_leave_in_doubt_is_found_and_peoples_scores_are_not_asked(room: Room) -> None:
    def score(number: int, name: str, value: float | None, label: str, *, by_person: bool = False) -> None:
        change = Change(
            kind="score", target=Target(trace_id=trace_id(number)), name=name, value=value, label=label,
            identifier=f"{name} {label} {value}",
        )  # fmt: skip
        actor = person("ada") if by_person else BOT
        write(room.store, room.control, room.project, [change], actor=actor, now_ns=room.clock.now_ns())

    score(1, "careful", None, "pass")
    score(1, "strict", None, "fail")
    score(2, "careful", 0.55, "")
    score(2, "strict", 0.9, "")
    score(3, "careful", None, "pass")
    score(3, "careful", None, "fail", by_person=True)

    def numbers(doubt: str, *names: str) -> list[str]:
        wanted = Wanted(doubt=doubt, names=names, since_ns=0, until_ns=room.clock.ns + 10**9)  # type: ignore[arg-type]
        found = find_targets(room.store, room.project, wanted)
        assert found.how == "informative"
        return [one.trace_id for one in found.targets]

    assert numbers("disagree", "careful", "strict") == [trace_id(1)]
    assert numbers("disagree", "careful") == []
    assert numbers("unsure", "careful", "strict") == [trace_id(2)]
    with pytest.raises(BadRequest, match="name the scores"):
        numbers("unsure")


def test_categories_are_renamed_and_merged_with_their_history(room: Room) -> None:
    ada = room.queue("failures", choices=("wrong-tool", "wrong-args", "lost"))
    ada.label("failures", 1, "wrong-args", note="wrong amount")
    ada.label("failures", 2, "lost")
    ada.rename_choice("failures", "lost", "forgot")
    ada.merge_choice("failures", "wrong-args", "wrong-tool")
    ada.add_choice("failures", "lost")
    ada.label("failures", 3, "lost")
    found = ada.taxonomy("failures")
    by_name = {one.name: one for one in found.categories}
    assert {name: one.items for name, one in by_name.items()} == {"wrong-tool": 1, "forgot": 1, "lost": 1}
    assert by_name["wrong-tool"].words == ("wrong-tool", "wrong-args")
    assert [(one.number, one.note) for one in by_name["wrong-tool"].examples] == [(1, "wrong amount")]
    assert sum(by_name["forgot"].by_day.values()) == 1 and by_name["lost"].words == ("lost",)
    assert [(one.verb, one.before, one.after) for one in found.changes] == [
        ("rename", "lost", "forgot"),
        ("merge", "wrong-args", "wrong-tool"),
        ("add", "", "lost"),
    ]
    # The word of a person stays what it was.
    (kept,) = of_traces(room.store, room.project, [trace_id(1)])
    assert kept.label == "wrong-args"
    with pytest.raises(BadRequest, match="no such choice"):
        ada.label("failures", 1, "wrong-args")
    with pytest.raises(BadRequest, match="such a choice already"):
        ada.rename_choice("failures", "lost", "forgot")


@pytest.mark.parametrize(
    ("fields", "choices", "message"),
    [
        ({"name": "Big Name"}, (), "small letters"),
        ({"question": " "}, (), "asks something"),
        ({"per_item": 0}, (), "that many people"),
        ({"per_item": 2, "who": ("ada",)}, (), "more people than"),
        ({"lease_s": 1}, (), "handed out for so long"),
        ({}, ("one",), "choices"),
        ({}, ("one", "one"), "same name"),
        ({}, ("one", "Two Words"), "a choice is"),
    ],
)
def test_what_cannot_be_a_queue_is_refused(
    room: Room, fields: dict[str, object], choices: tuple[str, ...], message: str
) -> None:
    queue = replace(Queue(name="refunds", question="Right?"), **fields)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match=message):
        room.of("ada").make(queue, choices=choices)


def test_an_unknown_queue_names_those_there_are(room: Room) -> None:
    room.queue("refunds")
    with pytest.raises(NotFound) as caught:
        room.of("ada").next("refund")
    assert caught.value.allowed == ["refunds"]


def test_a_database_of_before_gets_the_tables(room: Room, tmp_path: object) -> None:
    assert isinstance(room.control, ControlStore)
    room.control.migrate()
    assert room.of("ada").list() == []


def test_what_is_behind_somebody_is_not_looked_through_again_and_comes_back_when_it_opens(room: Room) -> None:
    """The next item is found from where one is, and exactly the same one as by looking through all."""
    ada, bob = room.queue("floor"), room.of("bob")
    for number in (1, 2):
        handed = ada.next("floor")
        assert handed.item is not None and (handed.item.number, handed.left) == (number, 4 - number)
        ada.label("floor", number, "pass")
    assert ada.left("floor") == bob.left("floor") == 1
    third = bob.next("floor")
    assert third.item is not None and third.item.number == 3 and not third.may_undo
    bob.skip("floor", 3)
    # Taken back by another command: it is before both again, though they were past it.
    (run,) = {one.run for one in of_traces(room.store, room.project, [trace_id(1)])}
    undo(room.store, room.control, room.project, run, actor=person("ada"), now_ns=room.clock.now_ns())
    again = bob.next("floor")
    assert again.item is not None and (again.item.number, again.left) == (1, 2)
    assert bob.left("floor") == bob.show("floor").progress.left == 2
    assert ada.left("floor") == ada.show("floor").progress.left == 3
    bob.label("floor", 1, "fail")
    beside = ada.next("floor")
    assert beside.item is not None and (beside.item.number, beside.left) == (2, 2)
    # More people are wanted: what was done is open to those who have not spoken.
    ada.make(Queue(name="floor", question="Was it right?", per_item=2))
    ada.label("floor", 2, "pass")
    first = ada.next("floor")
    assert first.item is not None and (first.item.number, first.left) == (1, 2)
    # One's own word taken back is before one again.
    assert bob.undo("floor", 1).number == 1 and bob.undo("floor").number == 3
    assert bob.left("floor") == bob.show("floor").progress.left == 3
