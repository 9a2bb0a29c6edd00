"""Running the command line: in this process against a stub, or against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pilothouse.cli.root import run
from tests.live import LiveServer

from .stub import Stub, stub_server


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The answer, which must be one line of JSON."""
        assert self.out.count("\n") == 1, self.out + self.err
        return json.loads(self.out)

    @property
    def data(self) -> Any:
        """What was asked for."""
        assert self.code == 0, self.err
        return self.json["data"]

    @property
    def error(self) -> dict[str, Any]:
        """The error, which must be the one line on stderr."""
        assert self.out == ""
        body = json.loads(self.err)
        assert list(body) == ["error"]
        return body["error"]


Cli = Callable[..., Result]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs a command line as a pipe would see it, in a folder and environment of its own."""
    for name in ("PILOTHOUSE_URL", "PILOTHOUSE_API_KEY", "PILOTHOUSE_BUDGET", "PILOTHOUSE_AGENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PILOTHOUSE_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        capsys.readouterr()
        code = run(words)
        out, err = capsys.readouterr()
        return Result(code=code, out=out, err=err)

    return call


@pytest.fixture
def stub(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """A stub that the command line takes for its server."""
    with stub_server() as running:
        monkeypatch.setenv("PILOTHOUSE_URL", running.url)
        monkeypatch.setenv("PILOTHOUSE_API_KEY", "ph_test")
        yield running


@pytest.fixture
def live(cli: Cli, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> LiveServer:
    """The real server, which the command line finds by its runtime file."""
    monkeypatch.setenv("PILOTHOUSE_DATA", str(live_server.data))
    return live_server
