"""What several tests of evals need: the command line against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pilothouse.cli.root import run
from tests.cli.conftest import Result
from tests.cli.test_cli_schemas import KNOWN as SCHEMAS
from tests.cli.test_cli_schemas import check
from tests.live import LiveServer

Evals = Callable[..., Result]


@pytest.fixture
def evals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, live_server: LiveServer
) -> Evals:
    """Runs ``pilothouse eval …`` in a folder of its own, as a pipe would see it."""
    for name in ("PILOTHOUSE_URL", "PILOTHOUSE_API_KEY", "PILOTHOUSE_SUITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PILOTHOUSE_DATA", str(live_server.data))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        capsys.readouterr()
        code = run(("eval", *words))
        out, err = capsys.readouterr()
        forms = [f"eval {words[0]} {word}" for word in words if word.startswith("--")]
        name = next((form for form in forms if form in SCHEMAS["commands"]), f"eval {words[0]}")
        if out and "--as" not in words and name in SCHEMAS["commands"]:
            check(name, json.loads(out))
        return Result(code=code, out=out, err=err)

    return call
