"""Following logs: nothing is lost and nothing is sent twice, whatever happens to the file, the server or us."""

from __future__ import annotations

import gzip
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilothouse.otlp.destination import Destination
from pilothouse.otlp.sender import Answer, judge
from pilothouse.records import BadRequest, NotAllowed
from pilothouse.sdk import log_follow, log_ship, log_sources
from pilothouse.sdk.log_follow import Follower, FollowSettings, Tally, place_of, state_file
from pilothouse.testing import OtlpSink


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, in shorter units."""
    for module, name, value in (
        (log_follow, "_POLL_S", 0.01),
        (log_follow, "_DISCOVER_S", 0.03),
        (log_follow, "_LINGER_S", 0.02),
        (log_follow, "_PATIENCE_S", 0.3),
        (log_sources, "IDLE_S", 0.15),
        (log_ship, "_WAIT_MAX_S", 0.1),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as running:
        yield running


class Running:
    """A follower in a thread."""

    def __init__(self, settings: FollowSettings, address: str) -> None:
        self.stop = threading.Event()
        self.said: list[str] = []
        self.error: BaseException | None = None
        self.tally = Tally()
        destination = Destination(endpoint=address, key="k")
        self._follower = Follower(settings, destination, stop=self.stop, notify=self.said.append)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.tally = self._follower.run()
        except BaseException as error:
            self.error = error

    def end(self, *, ask: bool = True) -> Tally:
        if ask:
            self.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.tally


Follow = Callable[..., Running]


@pytest.fixture
def follow(sink: OtlpSink, tmp_path: Path) -> Iterator[Follow]:
    started: list[Running] = []

    def start(*paths: str, **options: Any) -> Running:
        settings = FollowSettings(paths=tuple(paths), state=tmp_path / "state" / "follow.json")
        started.append(Running(replace(settings, **options), sink.address))
        return started[-1]

    yield start
    for running in started:
        running.stop.set()


def records(sink: OtlpSink) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for resource in sink.as_json("logs").get("resourceLogs", []):
        about = {pair["key"]: next(iter(pair["value"].values())) for pair in resource["resource"]["attributes"]}
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                attributes = {pair["key"]: next(iter(pair["value"].values())) for pair in record["attributes"]}
                found.append({**record, "attributes": attributes, "resource": about})
    return found


def bodies(sink: OtlpSink) -> list[str]:
    return [record["body"]["stringValue"] for record in records(sink)]


def wait_for(sink: OtlpSink, count: int, seconds: float = 15) -> list[str]:
    deadline = time.monotonic() + seconds
    while len(found := bodies(sink)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def wait_until_begun(folder: Path) -> None:
    """Until it has looked at the files: what is there later, was written later."""
    while not (folder / "state/follow.json").exists():
        time.sleep(0.01)


def line(number: int) -> str:
    return json.dumps({"time": 1_795_230_000_000 + number, "level": "info", "msg": f"line {number}"}) + "\n"


def test_what_is_written_is_sent_once_and_what_was_there_only_when_asked(
    follow: Follow, sink: OtlpSink, tmp_path: Path
) -> None:
    log = tmp_path / "shop.log"
    log.write_text(line(1))
    running = follow(str(log))
    wait_until_begun(tmp_path)
    with log.open("a") as file:
        file.write(line(2) + line(3))
    assert wait_for(sink, 2) == ["line 2", "line 3"]
    assert running.end().records == 2
    (first, _) = records(sink)
    assert first["resource"]["service.name"] == "shop"
    assert first["resource"]["host.name"]
    assert first["attributes"]["log.file.path"] == str(log)
    assert first["timeUnixNano"] == str((1_795_230_000_000 + 2) * 1_000_000)
    everything = follow(str(log), from_start=True, state=tmp_path / "other.json", service="named")
    assert wait_for(sink, 5)[2:] == ["line 1", "line 2", "line 3"]
    everything.end()
    assert records(sink)[-1]["resource"]["service.name"] == "named"


def test_restarts_neither_lose_nor_repeat(follow: Follow, sink: OtlpSink, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("")
    for start in range(0, 30, 10):
        running = follow(str(log), from_start=True)
        with log.open("a") as file:
            for number in range(start, start + 10):
                file.write(line(number))
                file.flush()
        wait_for(sink, start + 10)
        running.end()
    assert bodies(sink) == [f"line {number}" for number in range(30)]


def test_a_rotated_file_is_read_to_its_end(follow: Follow, sink: OtlpSink, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(line(0))
    running = follow(str(log), from_start=True)
    wait_for(sink, 1)
    old = log.open("a")
    log.rename(tmp_path / "a.log.1")
    log.write_text(line(2))
    # The program has the old file open still and writes on.
    old.write(line(1))
    old.close()
    assert sorted(wait_for(sink, 3)) == ["line 0", "line 1", "line 2"]
    running.end()
    with log.open("a") as file:
        file.write(line(3))
    again = follow(str(log), from_start=True)
    wait_for(sink, 4)
    again.end()
    assert sorted(bodies(sink)) == [f"line {number}" for number in range(4)]


def test_what_was_rotated_away_while_nobody_looked_is_sent_too(follow: Follow, sink: OtlpSink, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(line(0))
    running = follow(str(log), from_start=True)
    wait_for(sink, 1)
    running.end()
    with log.open("a") as file:
        file.write(line(1))
    log.rename(tmp_path / "a.log.1")
    log.write_text(line(2))
    again = follow(str(log))
    assert sorted(wait_for(sink, 3)) == ["line 0", "line 1", "line 2"]
    again.end()


@pytest.mark.parametrize("longer", [False, True], ids=["shorter", "longer than before"])
def test_a_truncated_file_is_read_anew(follow: Follow, sink: OtlpSink, tmp_path: Path, longer: bool) -> None:
    log = tmp_path / "a.log"
    log.write_text(line(0) + line(1))
    running = follow(str(log), from_start=True)
    wait_for(sink, 2)
    with log.open("r+") as file:
        file.truncate(0)
        file.write("".join(line(number) for number in range(10, 20 if longer else 11)))
    expected = [f"line {number}" for number in (0, 1, *range(10, 20 if longer else 11))]
    assert wait_for(sink, len(expected)) == expected
    running.end()


def test_new_files_of_a_pattern_are_found(follow: Follow, sink: OtlpSink, tmp_path: Path) -> None:
    running = follow(str(tmp_path / "logs" / "*.log"))
    wait_until_begun(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").write_text(line(1))
    wait_for(sink, 1)
    (tmp_path / "logs/b.log").write_text(line(2))
    (tmp_path / "logs/c.txt").write_text(line(3))
    assert wait_for(sink, 2) == ["line 1", "line 2"]
    assert running.end().files == 2


def test_a_line_is_sent_when_it_has_ended_and_a_traceback_when_it_is_whole(
    follow: Follow, sink: OtlpSink, tmp_path: Path
) -> None:
    log = tmp_path / "a.log"
    log.write_text("")
    running = follow(str(log), from_start=True)
    with log.open("a") as file:
        file.write(line(1)[:20])
        file.flush()
        time.sleep(0.1)
        file.write(line(1)[20:])
        file.write('2026-11-21 03:00:00 ERROR oops\nTraceback (most recent call last):\n  File "a"\n')
        file.flush()
        time.sleep(0.02)
        file.write("ValueError: bad\n")
    found = wait_for(sink, 2)
    assert found[0] == "line 1"
    assert found[1].endswith("ValueError: bad")
    assert records(sink)[1]["attributes"]["exception.type"] == "ValueError"
    running.end()


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_full_is_waited_for(follow: Follow, sink: OtlpSink, tmp_path: Path, status: int) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(line(number) for number in range(2_500)))
    sink.status = status
    running = follow(str(log), from_start=True)
    deadline = time.monotonic() + 30
    while not running.said:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert bodies(sink) == []
    sink.status = 200
    assert wait_for(sink, 2_500) == [f"line {number}" for number in range(2_500)]
    assert running.end().records == 2_500
    assert "is sent later" in running.said[0]
    assert running.said[-1] == "the server is back"


def test_stopping_while_the_server_is_away_loses_nothing(follow: Follow, sink: OtlpSink, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(line(1))
    sink.status = 503
    running = follow(str(log), from_start=True)
    while not running.said:
        time.sleep(0.01)
    running.end()
    assert "read again at the next start" in running.said[-1]
    sink.status = 200
    again = follow(str(log))
    assert wait_for(sink, 1) == ["line 1"]
    again.end()


def test_a_batch_in_doubt_is_made_again_exactly(
    follow: Follow, sink: OtlpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash between the server's answer and our note of it, the copy has the same times, so it is no second."""
    log = tmp_path / "a.log"
    log.write_text("no time here\n  and more\nanother\n")

    def crash(self: Follower) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Follower, "_moved_on", crash)
        running = follow(str(log), from_start=True)
        wait_for(sink, 1)
        with pytest.raises(MemoryError):
            running.end(ask=False)
    again = follow(str(log))
    wait_for(sink, 3)
    again.end()
    first, copy, second = records(sink)
    assert first == copy
    assert second["body"]["stringValue"] == "another"


def test_one_bad_record_does_not_hold_up_the_rest(follow: Follow, sink: OtlpSink, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(line(number) for number in range(8)))
    shipper = log_ship.Shipper(Destination(endpoint=sink.address), stop=threading.Event(), notify=lambda text: None)
    sender = shipper._sender  # pyright: ignore[reportPrivateUsage]
    real = sender.post

    def post(signal: str, body: bytes, **given: Any) -> Answer:
        return (
            judge(400, b'{"message":"bad"}', "") if b"line 5" in gzip.decompress(body) else real(signal, body, **given)
        )

    sender.post = post  # type: ignore[method-assign]
    running = follow(str(log), from_start=True)
    running._follower._shipper = shipper  # pyright: ignore[reportPrivateUsage]
    wait_for(sink, 7)
    tally = running.end()
    assert "line 5" not in bodies(sink)
    assert (tally.records, tally.refused) == (7, 1)


def test_a_key_that_may_not_write_ends_it_with_the_remedy(follow: Follow, sink: OtlpSink, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(line(1))
    sink.status = 401
    running = follow(str(tmp_path / "a.log"), from_start=True)
    with pytest.raises(NotAllowed) as error:
        running.end(ask=False)
    assert "keys new" in str(error.value.fix)


def test_two_followers_of_the_same_files_do_not_send_twice(follow: Follow, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("")
    first = follow(str(tmp_path / "a.log"))
    wait_until_begun(tmp_path)
    second = follow(str(tmp_path / "a.log"))
    with pytest.raises(BadRequest, match="another"):
        second.end(ask=False)
    first.end()


def test_standard_input_ends_it(follow: Follow, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:

        class Input:
            buffer = stream

        monkeypatch.setattr(sys, "stdin", Input)
        running = follow("-", service="piped")
        with os.fdopen(writing, "w") as pipe:
            pipe.write("".join(line(number) for number in range(3_000)) + "the last without an end")
        tally = running.end(ask=False)
    assert tally.records == 3_001
    assert bodies(sink)[-1] == "the last without an end"
    assert records(sink)[0]["resource"]["service.name"] == "piped"


JOURNALCTL = """#!{python}
import json, sys, time
words = sys.argv[1:]
assert words[:4] == ["-o", "json", "--follow", "--all"], words
after = int(words[words.index("--after-cursor") + 1][2:]) if "--after-cursor" in words else 0
with open({log!r}, "a") as file:
    file.write(" ".join(words) + "\\n")
for number in range(after + 1, 6 if after == 0 else 9):
    print(json.dumps({{
        "__CURSOR": f"s={{number}}", "__REALTIME_TIMESTAMP": str(1795230000000000 + number),
        "__MONOTONIC_TIMESTAMP": "1", "_BOOT_ID": "b", "_HOSTNAME": "web-1", "_SYSTEMD_UNIT": "shop.service",
        "_TRANSPORT": "stdout", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "shop", "_PID": "42",
        "MESSAGE": f"entry {{number}} request_id=r-{{number}}"}}), flush=True)
time.sleep(60)
"""


def test_the_journal_is_followed_from_its_cursor(
    follow: Follow, sink: OtlpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "journalctl"
    fake.parent.mkdir()
    fake.write_text(JOURNALCTL.format(python=sys.executable, log=str(tmp_path / "calls")))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    running = follow(journal=True, journal_unit="shop.service", from_start=True)
    wait_for(sink, 5)
    running.end()
    first = records(sink)[0]
    assert first["resource"] == {"service.name": "shop", "host.name": "web-1"}
    assert first["attributes"]["request_id"] == "r-1"
    again = follow(journal=True, journal_unit="shop.service")
    wait_for(sink, 8)
    again.end()
    assert bodies(sink) == [f"entry {number} request_id=r-{number}" for number in range(1, 9)]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].endswith("--no-tail --unit shop.service")
    assert "--after-cursor s=5" in calls[1]


def test_a_missing_journalctl_is_said(follow: Follow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadRequest, match="journalctl"):
        follow(journal=True).end(ask=False)


def test_a_log_names_its_container() -> None:
    identity = "ab" * 32
    assert place_of(f"/var/lib/docker/containers/{identity}/{identity}-json.log") == {"container.id": identity}
    assert place_of(f"/var/log/containers/pay-7f_prod_app-{identity}.log") == {
        "k8s.pod.name": "pay-7f",
        "k8s.namespace.name": "prod",
        "k8s.container.name": "app",
        "container.id": identity,
    }
    pod = place_of("/var/log/pods/prod_pay-7f_0f0e0d0c-0b0a-0908-0706-050403020100/app/0.log")
    assert (pod["k8s.pod.name"], pod["k8s.container.name"]) == ("pay-7f", "app")
    assert place_of("/var/log/shop.log") == {}


def test_the_same_paths_have_the_same_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = state_file(tmp_path, ["a.log", "-"], "")
    assert one == state_file(tmp_path, ["-", str(tmp_path / "a.log")], "")
    assert one != state_file(tmp_path, ["a.log"], "unit")
