"""Results over an empty database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilothouse.guards import masker
from pilothouse.results import Results
from pilothouse.store.result_store import ResultStore


@pytest.fixture(scope="module")
def postgresql_database(postgresql_url: str) -> str:
    """A database of this module's own."""
    name = f"results_{time.time_ns()}"
    subprocess.run(["psql", "-q", postgresql_url, "-c", f"CREATE DATABASE {name}"], check=True)
    return f"{postgresql_url.rpartition('/')[0]}/{name}".replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Results]:
    """On SQLite."""
    made = Results(ResultStore(f"sqlite:///{tmp_path / 'results.db'}"), lambda _: masker(("secrets",)))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Results]:
    """On each engine in turn; projects of tests differ, so that they share a database."""
    url = f"sqlite:///{tmp_path / 'results.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_database")
    made = Results(ResultStore(url), lambda _: masker(("secrets",)))
    yield made
    made.close()
