"""Hundreds of experiments compared within a context of 200,000 tokens, over the real MCP server and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.experiments import CONTEXT_TOKENS_MAX, SEED, WANTED, measure


@pytest.mark.slow
def test_hundreds_of_experiments_are_compared_within_a_context(tmp_path: Path) -> None:
    print("seed", SEED)
    measured = measure(tmp_path)
    assert measured.found == WANTED
    assert measured.experiments >= 300 and measured.traces > 3_500
    assert measured.context.tokens < CONTEXT_TOKENS_MAX
    assert measured.context.largest <= 10_000
    # Read whole, the same would be far from fitting: otherwise this shows nothing.
    assert measured.raw_tokens > 10 * CONTEXT_TOKENS_MAX
    assert any('"kind": "open_tasks"' in text for text in measured.context.said)
    assert measured.context.said[-1].startswith("Finished")
