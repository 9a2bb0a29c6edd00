"""An empty database of approvals for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilothouse.store.approval_store import ApprovalStore

TABLES = "approval, approval_event, approval_notice, approval_link, approval_clock"


@pytest.fixture(scope="session")
def postgresql_database(postgresql_url: str) -> str:
    """A database of these tests' own; making one takes longer than a test."""
    name = f"approvals_{time.time_ns()}"
    subprocess.run(["psql", "-q", postgresql_url, "-c", f"CREATE DATABASE {name}"], check=True)
    return f"{postgresql_url.rpartition('/')[0]}/{name}"


@pytest.fixture
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The address of an empty database: ``sqlite`` or ``postgresql``."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / 'approvals.db'}"
        url: str = request.getfixturevalue("postgresql_database")
        drop = f"SET client_min_messages = error; DROP TABLE IF EXISTS {TABLES}"
        subprocess.run(["psql", "-q", url, "-c", drop], check=True)
        return url.replace("postgresql:", "postgresql+psycopg:")

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, make_url: Callable[[str], str]) -> Iterator[ApprovalStore]:
    """An empty database on each engine in turn."""
    store = ApprovalStore(make_url(request.param))
    yield store
    store.close()
