"""Keys and sign-in: shown once, stored as hashes, revocable, each mode within its bounds. On SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilothouse import access
from pilothouse.records import BadRequest, Clock, NotAllowed, NotFound
from pilothouse.store.control_store import ControlStore, RetentionRule, open_control


class HeldClock:
    """A clock a test moves."""

    def __init__(self) -> None:
        self.ns = time.time_ns()

    def now_ns(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def control(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[ControlStore]:
    if request.param == "sqlite":
        store = ControlStore(f"sqlite:///{tmp_path / 'control.db'}", clock)
    else:
        url = request.getfixturevalue("postgresql_url")
        name = f"test_{time.time_ns()}"
        subprocess.run(["psql", "-q", url, "-c", f"CREATE DATABASE {name}"], check=True)
        store = ControlStore(f"{url.rpartition('/')[0]}/{name}".replace("postgresql:", "postgresql+psycopg:"), clock)
    store.migrate()
    yield store
    store.close()


def test_a_key_works_until_it_is_revoked_and_only_its_hash_is_kept(control: ControlStore) -> None:
    project = access.create_project(control, "shop")
    key = access.create_key(control, project, name="ci", mode="write")
    ring = access.Keyring(control)
    grant = ring.authenticate(key.secret)
    assert (grant.project_id, grant.mode, grant.who) == (project, "write", "ci")
    assert key.secret not in repr(control.keys(project)) + repr(control.active_keys())
    access.revoke_key(control, project, key.key_id)
    ring.refresh()
    with pytest.raises(NotAllowed):
        ring.authenticate(key.secret)
    with pytest.raises(NotFound):
        access.revoke_key(control, project, key.key_id)


@pytest.mark.parametrize("token", [None, "", "ph_wrong", "x" * 100_000, "ph_\ud800"])
def test_what_is_no_key_is_refused(control: ControlStore, token: str | None) -> None:
    with pytest.raises(NotAllowed):
        access.Keyring(control).authenticate(token)


def test_each_mode_includes_those_before_it(control: ControlStore) -> None:
    project = access.create_project(control, "p")
    ring = access.Keyring(control)
    for place, mode in enumerate(access.MODES):
        ring.refresh()
        grant = ring.authenticate(access.create_key(control, project, name=mode, mode=mode).secret)
        assert [grant.allows(other) for other in access.MODES] == [n <= place for n in range(4)]


def test_unknown_modes_short_secrets_and_taken_names_are_refused(control: ControlStore) -> None:
    project = access.create_project(control, "p")
    with pytest.raises(BadRequest) as raised:
        access.create_key(control, project, name="x", mode="root")
    assert raised.value.allowed == ["read", "annotate", "write", "admin"]
    with pytest.raises(BadRequest):
        access.create_key(control, project, name="x", mode="read", secret="short")
    with pytest.raises(BadRequest):
        access.create_key(control, project, name="a\0b", mode="read")
    for name in ("p", "", "a\nb", "x" * 201):
        with pytest.raises(BadRequest):
            access.create_project(control, name)


def test_a_sign_in_link_works_once_and_for_an_hour(control: ControlStore, clock: HeldClock) -> None:
    project = access.create_project(control, "p")
    cookie = access.sign_in(control, first := access.new_link(control, project))
    assert access.page_grant(control, cookie).project_id == project
    with pytest.raises(NotAllowed):
        access.sign_in(control, first)
    late = access.new_link(control, project)
    clock.ns += 2 * 3600 * 10**9
    with pytest.raises(NotAllowed):
        access.sign_in(control, late)
    access.sign_out(control, cookie)
    with pytest.raises(NotAllowed):
        access.page_grant(control, cookie)


def test_a_link_is_not_a_cookie_and_a_cookie_no_link(control: ControlStore) -> None:
    project = access.create_project(control, "p")
    link = access.new_link(control, project)
    with pytest.raises(NotAllowed):
        access.page_grant(control, link)
    cookie = access.sign_in(control, link)
    with pytest.raises(NotAllowed):
        access.sign_in(control, cookie)


def test_refused_writes_add_up(control: ControlStore) -> None:
    row = {
        "hour_ns": 3_600_000_000_000,
        "project_id": "",
        "reason": "401",
        "source": "traces",
        "last_ns": 5,
        "detail": "d",
    }
    control.add_refusals([row | {"count": 11_000}, row | {"count": 803, "last_ns": 9}])
    assert [(found["count"], found["last_ns"]) for found in control.refusals(0)] == [(11_803, 9)]


def test_retention_rules_are_set_replaced_and_dropped(control: ControlStore) -> None:
    project = access.create_project(control, "p")
    control.set_retention(RetentionRule(project_id=project, days=30))
    control.set_retention(RetentionRule(project_id=project, environment="test", days=3, budget_bytes=10**9))
    control.set_retention(RetentionRule(project_id=project, days=7))
    assert [(rule.environment, rule.days) for rule in control.retention(project)] == [("", 7), ("test", 3)]
    control.set_retention(RetentionRule(project_id=project))
    assert [rule.environment for rule in control.retention()] == ["test"]


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest):
        open_control("mongodb://x", tmp_path)
