"""``/llms.txt``: readable by anybody, true, and without a word of what is recorded here."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest

from pilothouse.cli.root import COMMANDS
from pilothouse.skills import read_skills
from tests.contracts.sources import routes
from tests.live import LiveServer

from .conftest import Cli


def read(url: str) -> tuple[str, str]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def test_anybody_may_read_what_the_server_is(live: LiveServer) -> None:
    text, media = read(f"{live.url}/llms.txt")
    assert media == "text/plain; charset=utf-8"
    assert text.startswith("# Pilothouse\n\n> ")
    assert len(text) < 8_000
    for skill in read_skills():
        assert f"`{skill.name}`" in text
    full, _ = read(f"{live.url}/llms-full.txt")
    assert full.startswith(text[:200])
    assert all(skill.files["SKILL.md"] in full for skill in read_skills())
    assert len(full) < 120_000


def test_what_it_names_is_there(live: LiveServer) -> None:
    text, _ = read(f"{live.url}/llms.txt")
    named = {found[1] for found in re.finditer(r"pilothouse ([a-z-]+)", text)}
    assert len(named) > 8
    assert named <= set(COMMANDS)
    for path in re.findall(r"/api/v1/[A-Za-z/]+", text):
        assert re.sub(r"/ID\b", "/{id}", path) in routes(), path
    for link in re.findall(r"\]\((http[^)]+)\)", text):
        assert read(link)[0]


def test_it_has_no_secret_and_nothing_recorded(cli: Cli, live: LiveServer) -> None:
    for name in ("llms.txt", "llms-full.txt"):
        text, _ = read(f"{live.url}/{name}")
        assert live.key not in text
        assert not re.search(r"\bph[a-z]*_[a-z0-9]{8,}", text)
        assert str(live.data) not in text
        for row in cli("ls", "--limit", "100", "--fields", "trace_id").data:
            assert row["trace_id"] not in text
        for project in cli("projects", "ls").data:
            assert project["project_id"] not in text
    with pytest.raises(urllib.error.HTTPError):
        read(f"{live.url}/api/v1/traces")


def test_the_command_line_reads_it_too(cli: Cli, live: LiveServer) -> None:
    assert cli("api", "/llms.txt").out.startswith("# Pilothouse")
    assert cli("api", "/traces?limit=2", "--budget", "100000").data[0]["trace_id"]
    assert cli("api", "/resolve/last", "--fields", "kind").data == {"kind": "trace"}
    assert {row["path"] for row in cli("api", "--budget", "100000").data} >= {"/api/v1/traces", "/api/v1/sql"}
    assert cli("api", "/nowhere").code == 3
    for outside in ("traces", "//elsewhere/x", "/api/v1/../../x", "http://elsewhere"):
        assert cli("api", outside).code == 2
    assert cli("api", "/live/events").error["fix"].startswith("pilothouse tail")
    assert cli("api", "/export?spec=x").error["fix"].startswith("pilothouse pull")
