"""Whatever the description allows, and much that it does not, is answered: never with a 5xx, always as described."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as schemathesis_checks

from pilothouse import api
from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.control_store import open_control
from tests.conftest import fresh_store
from tests.traces.support import support_trace

from .conftest import Calling, PretendedServer

EXAMPLES = int(os.environ.get("PILOTHOUSE_FUZZ_EXAMPLES", "12"))
"""Cases for each route."""


@pytest.fixture(scope="module")
def fuzzed(chdb_engine: ChdbEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calling]:
    """An API that may be written to, over a store with two traces."""
    control = open_control("", tmp_path_factory.mktemp("fuzzed"))
    control.migrate()
    for store in fresh_store(chdb_engine):
        made = Calling(PretendedServer(store, control))
        support_trace(1, project=made.project).store(store)
        support_trace(2, project=made.project, session="s").store(store)
        APP.state.provider = made.server
        yield made
    control.close()


# The description needs nobody who answers; the fixture puts a server behind it.
APP = api.build(None)  # type: ignore[arg-type]
schema = schemathesis.openapi.from_asgi("/openapi.json", APP)

_CHECKS = [
    not_a_server_error,
    schemathesis_checks.status_code_conformance,
    schemathesis_checks.content_type_conformance,
    schemathesis_checks.response_schema_conformance,
]


# The stream of events does not end: tests/watch/test_events.py listens to it.
ROUTES = [
    (path, method.upper())
    for path, methods in APP.openapi()["paths"].items()
    for method in methods
    if path != "/api/v1/live/events"
]


def called(case: schemathesis.Case, fuzzed: Calling) -> None:
    case.call_and_validate(checks=_CHECKS, headers={"Authorization": f"Bearer {fuzzed.keys['admin']}"})


# Strategies are made when a test runs: made while tests are gathered, they cost every run of anything seconds.
@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_no_call_is_too_strange(path: str, method: str, fuzzed: Calling) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(case=schema[path][method].as_strategy())
    def call(case: schemathesis.Case) -> None:
        called(case, fuzzed)

    call()


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_no_value_at_the_border_is_too_strange(path: str, method: str, fuzzed: Calling) -> None:
    """The smallest, the largest, the missing, the one too many, of every parameter and every field of a body."""
    cases = schema.iter_coverage_cases(
        schema[path][method], generation_modes=list(GenerationMode), generation_config=schema.config.generation
    )
    for case in cases:
        called(case, fuzzed)
