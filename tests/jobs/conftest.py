"""A database of runs for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilothouse.store.job_store import job_url


@pytest.fixture
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The address of an empty database: ``sqlite`` or ``postgresql``."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return job_url("", tmp_path)
        server = request.getfixturevalue("postgresql_url")
        name = f"jobs_{time.time_ns()}"
        subprocess.run(["psql", "-q", server, "-c", f"CREATE DATABASE {name}"], check=True)
        return job_url(f"{server.rpartition('/')[0]}/{name}", tmp_path)

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, make_url: Callable[[str], str]) -> str:
    """An empty database on each engine in turn."""
    return make_url(request.param)
