"""The stream of events: told once, in order, to whoever listens; gone on after a break; nobody holds up the rest."""

from __future__ import annotations

import random
import threading
import time

import httpx
import pytest

from pilothouse import traces
from pilothouse.api import live as live_routes
from pilothouse.api import live_feed
from tests.watch.conftest import WAIT_S, Watch
from tests.watch.process import SECOND, Agent


def agent_at_work(watch: Watch, name: str = "refunds") -> Agent:
    agent = Agent(name=name, start_ns=time.time_ns() - 2 * SECOND)
    root, tool = agent.begin("agent", name), agent.begin("tool", "get_order", at_s=0.5)
    watch.send(agent.spans(root, tool), agent.beat())
    return agent


def until(condition: object, what: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_spans_traces_and_counts_arrive_as_they_come(watch: Watch) -> None:
    ear = watch.listening()
    agent = agent_at_work(watch)
    first = ear.next("span")
    assert (first.data["name"], first.data["status"], first.data["kind"]) == ("refunds", "running", "agent")
    second = ear.next("span")
    assert (second.data["name"], second.data["status"]) == ("get_order", "running")
    assert first.id == first.data["cursor"]
    row = ear.next("trace").data
    assert (row["trace_id"], row["state"], row["doing"]["name"]) == (agent.trace_id, "running", "get_order")
    assert ear.next("counts").data["counts"] == {"running": 1}
    tool, root = agent.steps[1], agent.steps[0]
    watch.send(agent.spans(agent.end(tool, at_s=1, error="no such order")))
    assert ear.next("span").data["error"] == "no such order"
    assert ear.next("signal", signal="error").data["agent"] == "refunds"
    watch.send(agent.spans(agent.end(root, at_s=2)))
    assert ear.next("span").data["duration_ms"] == 2000
    assert ear.next("trace", state="ended").data["status"] == "ok"
    assert ear.response is not None
    assert ear.response.headers["content-type"].startswith("text/event-stream")
    assert ear.response.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in ear.response.headers


def test_a_state_changes_though_nothing_arrives(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed sends nothing any more: that is the news."""
    monkeypatch.setattr(live_feed, "PICTURE_S", 0.2)
    ear = watch.listening()
    agent = Agent(start_ns=time.time_ns() - 60 * SECOND)
    clock = watch.ingest._clock  # pyright: ignore[reportPrivateUsage]
    watch.ingest._clock = _Earlier(12)  # pyright: ignore[reportPrivateUsage]
    watch.send(agent.spans(agent.begin("agent", "refunds")), agent.beat())
    watch.ingest._clock = clock  # pyright: ignore[reportPrivateUsage]
    assert ear.next("trace").data["state"] == "running"
    died = ear.next("trace", state="died").data
    assert died["attention"] is True
    assert ear.next("counts").data == {"counts": {"died": 1}, "attention": 1, "total": 1}


class _Earlier:
    """A worker whose clock is some seconds behind: what it stores arrived so long ago."""

    def __init__(self, seconds: float) -> None:
        self.behind_ns = int(seconds * SECOND)

    def now_ns(self) -> int:
        return time.time_ns() - self.behind_ns


def test_going_on_after_a_break_misses_nothing_and_repeats_no_span(watch: Watch) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    agent = agent_at_work(watch)
    heard: list[str] = []
    ear = watch.listening()
    total, cursor = 60, ""
    done = threading.Event()

    def work() -> None:
        for number in range(total):
            step = agent.begin("tool", f"call {number}", at_s=3 + number)
            agent.end(step, at_s=3.5 + number)
            watch.send(agent.spans(step))
            time.sleep(dice.random() * 0.05)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    while len(heard) < total:
        event = ear.next("span")
        if event.data["status"] == "running":
            continue
        heard.append(event.data["name"])
        cursor = event.id
        if dice.random() < 0.1:
            ear.hang_up()
            time.sleep(dice.random() * 0.3)
            ear = watch.ear(headers={"Last-Event-ID": cursor})
    worker.join()
    assert heard == [f"call {number}" for number in range(total)], f"seed {seed}"


def test_a_picture_and_its_cursor_leave_no_gap(watch: Watch) -> None:
    """What is stored between the picture and the stream is told by the stream."""
    first = agent_at_work(watch, "first")
    picture = watch.calling.get("/live")
    assert [row["trace_id"] for row in picture["rows"]] == [first.trace_id]
    second = agent_at_work(watch, "second")
    ear = watch.ear(cursor=picture["cursor"])
    assert ear.next("span").data["trace_id"] == second.trace_id
    assert ear.next("trace", trace_id=second.trace_id).data["agent"] == "second"


def test_only_what_was_asked_for(watch: Watch) -> None:
    one = agent_at_work(watch, "one")
    mine, filtered, everything = (
        watch.listening(trace=one.trace_id[:20]),
        watch.listening(filter="agent:two"),
        watch.listening(),
    )
    two = agent_at_work(watch, "two")
    watch.send(one.spans(one.end(one.steps[1], at_s=1)))
    assert {everything.next("span").data["trace_id"] for _ in range(3)} == {one.trace_id, two.trace_id}
    assert {filtered.next("span").data["trace_id"] for _ in range(2)} == {two.trace_id}
    assert mine.next("span").data["trace_id"] == one.trace_id
    time.sleep(2 * live_feed.POLL_S)
    assert not [
        event for event in list(mine.events.queue) if event.name != "trace" or event.data["trace_id"] != one.trace_id
    ]
    assert not [event for event in list(filtered.events.queue) if event.name == "span"]


def test_one_poller_for_all_and_none_for_nobody(watch: Watch) -> None:
    feeds = watch.calling.app.state.feeds
    assert feeds._feeds == {}
    ears = [watch.listening() for _ in range(5)]
    assert len(feeds._feeds) == 1
    assert feeds.listeners == 5
    (feed,) = feeds._feeds.values()
    for ear in ears:
        ear.hang_up()
    until(lambda: feeds._feeds == {}, "the poller goes on")
    until(feed._task.done, "its task goes on")


def test_a_slow_listener_is_told_where_to_go_on(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "WAITING_MAX", 3)
    agent = agent_at_work(watch)
    ear = watch.listening()
    steps = [agent.end(agent.begin("tool", f"call {n}", at_s=1), at_s=2 + n) for n in range(20)]
    watch.send(agent.spans(*steps))
    lag = ear.next("lag")
    assert lag.data["skipped"] >= 4
    assert ear.ended.wait(WAIT_S)
    # The cursor is behind what was delivered: going on from it brings the rest.
    again = watch.calling.get("/live/changes", cursor=lag.id, limit=1000)
    assert again["more"] is False


def test_a_cursor_from_too_long_ago_is_taken_to_the_present(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilothouse.traces.live_changes.TRACES_MAX", 2)
    before = watch.calling.get("/live")["cursor"]
    for _ in range(3):
        agent_at_work(watch)
    ear = watch.ear(cursor=before)
    lag = ear.next()
    assert (lag.name, lag.data["skipped"]) == ("lag", 2)
    assert ear.next().name == "counts"


def test_pages_of_changes_meet_without_a_gap(watch: Watch) -> None:
    start = traces.changes(watch.calling.server.store, watch.calling.project).cursor
    agents = [agent_at_work(watch) for _ in range(4)]
    steps = [agent.end(agent.begin("tool", f"t{n}", at_s=1), at_s=2) for agent in agents for n in range(7)]
    watch.send(*(agents[n // 7].spans(step) for n, step in enumerate(steps)))
    found: list[tuple[str, str]] = []
    cursor, more, pages = start, True, 0
    while more:
        page = watch.calling.get("/live/changes", cursor=cursor, limit=5)
        found += [(span["span_id"], span["status"]) for span in page["spans"]]
        cursor, more, pages = page["cursor"], page["more"], pages + 1
    assert pages == 8
    assert len(found) == len(set(found)) == 4 * 2 + 28
    assert watch.calling.get("/live/changes", cursor=cursor)["spans"] == []
    last = watch.calling.get("/live/changes", limit=3)
    assert [span["span_id"] for span in last["spans"]] == [span_id for span_id, _ in found[-3:]]


def test_correcting_a_span_is_no_news(watch: Watch) -> None:
    """A late parent renumbers the steps: the spans that were there are written again, but did not arrive again."""
    agent = Agent(start_ns=time.time_ns() - 9 * SECOND)
    root = agent.begin("agent", "refunds")
    tool = agent.end(agent.begin("tool", "get_order", at_s=1), at_s=2)
    watch.send(agent.spans(tool))
    cursor = watch.calling.get("/live/changes")["cursor"]
    watch.send(agent.spans(agent.end(root, at_s=3)))
    assert [span["name"] for span in watch.calling.get("/live/changes", cursor=cursor)["spans"]] == ["refunds"]


def test_silence_is_filled_with_comments(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_routes, "KEEP_ALIVE_S", 0.1)
    ear = watch.listening()
    until(lambda: len(ear.comments) >= 2, "no comment came")


def test_who_may_listen_no_more_is_cut_off(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_routes, "KEEP_ALIVE_S", 0.1)
    ear = watch.listening()
    control = watch.calling.server.control
    for row in control.keys(watch.calling.project):
        control.revoke_key(watch.calling.project, row["key_id"])
    watch.calling.server.keys_changed()
    assert ear.ended.wait(WAIT_S)


def test_as_many_as_may_and_not_one_more(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "LISTENERS_MAX", 2)
    for _ in range(2):
        watch.listening()
    headers = {"Authorization": f"Bearer {watch.calling.keys['read']}"}
    refused = httpx.get(watch.url + "/api/v1/live/events", headers=headers)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "10"
    assert refused.json()["error"]["fix"].startswith("GET /api/v1/live/changes")


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/live/events", {"cursor": "yesterday"}, 400),
        ("/live/events", {"filter": "agnt:x"}, 400),
        ("/live/events", {"trace": "ffff"}, 404),
        ("/live/changes", {"cursor": "1.2"}, 400),
        ("/live/changes", {"trace": "ffff"}, 404),
        ("/live", {"state": "asleep"}, 400),
    ],
)
def test_what_does_not_exist_is_refused_before_the_stream(
    path: str, params: dict[str, str], status: int, watch: Watch
) -> None:
    headers = {"Authorization": f"Bearer {watch.calling.keys['read']}"}
    answer = httpx.get(f"{watch.url}/api/v1{path}", params=params, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert httpx.get(f"{watch.url}/api/v1{path}").status_code == 401


def test_a_stream_ends_when_it_was_told_to(watch: Watch) -> None:
    ear = watch.listening(seconds="1")
    assert ear.ended.wait(WAIT_S)


def test_the_server_stops_though_somebody_listens(watch: Watch) -> None:
    ear = watch.listening()
    watch.calling.app.state.feeds.close()
    assert ear.ended.wait(WAIT_S)
