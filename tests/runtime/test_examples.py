"""The examples run offline, as a user starts them, and do what they say; what they did is in Pilothouse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.live_server import LiveServer

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(name: str, folder: Path, server: LiveServer | None = None, **env: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PILOTHOUSE_", "OTEL_"))}
    settings = {"PILOTHOUSE_DATA": str(folder / "data"), "HOME": str(folder), **env}
    if server is not None:
        settings |= {"PILOTHOUSE_URL": server.url, "PILOTHOUSE_API_KEY": server.key}
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / name / "agent.py")],
        cwd=folder,
        env=clean | settings,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    return ended.stdout


@pytest.mark.parametrize("name", ["support", "data_analyst", "research"])
def test_an_example_is_short(name: str) -> None:
    source = (EXAMPLES / name / "agent.py").read_text()
    assert len(source.splitlines()) < 250 and "harness(" in source and "PILOTHOUSE_MODEL" in source
    assert (EXAMPLES / name / "README.md").exists()


@pytest.mark.slow
def test_the_same_ticket_again_is_not_worked_on_twice(tmp_path: Path) -> None:
    said = run_example("support", tmp_path)
    shop = (tmp_path / "shop.json").read_text()
    assert run_example("support", tmp_path) == said and (tmp_path / "shop.json").read_text() == shop


@pytest.mark.slow
def test_the_analyst_counts_right_and_reads_little(tmp_path: Path) -> None:
    said = run_example("data_analyst", tmp_path)
    payments: list[dict[str, Any]] = json.loads((tmp_path / "payments.json").read_text())
    of = Counter(one["country"] for one in payments)
    declined = Counter(one["country"] for one in payments if one["state"] == "declined")
    worst = max(of, key=lambda country: declined[country] / of[country])
    reasons = Counter(one["decline_reason"] for one in payments if one["country"] == worst and one["decline_reason"])
    assert said.startswith(
        f"{worst} has the highest rate of declined payments: {declined[worst]} declines, counted twice; "
        f"the most common reason there is {reasons.most_common(1)[0][0]}."
    )
    size, tokens = (int(re.sub(r"\D", "", number)) for number in re.findall(r"([\d,]+) (?:bytes|input)", said))
    assert size > 4_000_000 and tokens < size / 4 / 20


def test_the_lead_hears_all_its_workers(tmp_path: Path) -> None:
    said = run_example("research", tmp_path)
    assert said.startswith("Birch suits you: 0 USD a month") and "(note-1)" in said and "(note-3)" in said
