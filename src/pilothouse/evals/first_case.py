"""What a new suite begins with."""

from __future__ import annotations

from typing import Final

SUITE_TEXT: Final = """\
# What the cases of this folder are run against, and what the gate wants. See: pilothouse docs evals
target: TARGET            # module:attribute (a function, or an agent), or an address
repeats: 1                # 5 shows what chance does
run: {parallel: 8, timeout_s: 120, usd_max: 5}
gate: {margin: 0.02}      # a pass rate that is lower by up to 2 points is accepted
# tools: {writing: [refund]}   # tools that change the world: they run only where a case names them in stubs.safe
"""

FIRST_CASE: Final = """\
# yaml-language-server: $schema=../case.schema.json
id: first
input: What is 6 times 7?
checks:
  - number: 42
  - at_most: {tool_calls: 3}
metadata:
  capability: arithmetic
  difficulty: easy
  why: the smallest case there is; replace it by one that failed
"""
