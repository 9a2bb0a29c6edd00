"""Every example in the guides, the concepts and the README that is marked so runs, against a real server.

A block that starts with ```bash run is run as it stands, with the server of the test in the environment. What it must
print can be said in a ```text block right behind it: each of its lines must occur, where ``…`` stands for anything.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live import LiveServer

from .sources import PROJECT

PAGES = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs/guides").glob("*.md")),
    *sorted((PROJECT / "docs/concepts").glob("*.md")),
]
_BLOCK = re.compile(r"^```(bash[^\n]*|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One example."""

    page: Path
    number: int
    script: str
    expected: str


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    matches = list(_BLOCK.finditer(page.read_text())) if page.exists() else []
    for position, match in enumerate(matches):
        if match[1].split() != ["bash", "run"]:
            continue
        after = matches[position + 1] if position + 1 < len(matches) else None
        near = after is not None and after[1] == "text" and page.read_text()[match.end() : after.start()].strip() == ""
        expected = after[2] if after is not None and near else ""
        found.append(Block(page=page, number=len(found) + 1, script=match[2], expected=expected))
    return found


WITH_EXAMPLES = [page for page in PAGES if blocks(page)]


def name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", WITH_EXAMPLES or [None], ids=lambda page: name(page) if page else "none")
def test_the_examples_of_a_page_run(page: Path | None, live_server: LiveServer, tmp_path: Path) -> None:
    if page is None:
        pytest.skip("no page has an example yet")
    tools = Path(sys.executable).parent
    environment = {
        **live_server.environment,
        "PATH": f"{tools}:{live_server.environment['PATH']}",
        "PILOTHOUSE_URL": live_server.url,
        "PILOTHOUSE_API_KEY": live_server.key,
        "OTEL_EXPORTER_OTLP_ENDPOINT": live_server.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {live_server.key}",
    }
    # A page begins where its reader does: without what another page wrote into the policy.
    (live_server.data / "pilothouse.yaml").unlink(missing_ok=True)
    for block in blocks(page):
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block.script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        where = f"{name(page)}, example {block.number}:\n{block.script}"
        assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"
        for line in block.expected.splitlines():
            pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
            assert re.search(pattern, done.stdout), f"{where}\nno line like: {line}\n{done.stdout}"


def test_the_runner_sees_what_must_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n```bash run\necho 1\n```\n```text\n1\n```\n```bash\nmake run\n```\n```sh\nx\n```\n")
    assert [(block.script, block.expected) for block in blocks(page)] == [("echo 1\n", "1\n")]
