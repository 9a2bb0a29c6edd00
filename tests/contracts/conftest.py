"""A real server for the contracts that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import LiveServer, running_server


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A real server with a little recorded traffic."""
    with running_server(tmp_path_factory.mktemp("contracts")) as server:
        yield server
