"""The fixture that runs a real client."""

import functools
from collections.abc import Callable

import pytest

from tests.clients.client_runs import ClientRun, client_named, is_installed
from tests.clients.client_runs import run_client as run


@functools.cache
def _run_once(name: str) -> ClientRun:
    """Two tests look at the same run: starting a client takes seconds."""
    return run(name)


@pytest.fixture
def run_client() -> Callable[..., ClientRun]:
    """Return a function that runs a client by name; the test is skipped where the client is not installed."""

    def run_or_skip(name: str, **options: str) -> ClientRun:
        if not is_installed(client_named(name)):
            pytest.skip(f"{name} is not installed; run python -m tests.clients.install_clients")
        return run(name, **options) if options else _run_once(name)

    return run_or_skip
