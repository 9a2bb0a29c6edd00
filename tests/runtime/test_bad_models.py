"""Bad models with and without each capability: what is finished in the world, in our columns of the table."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from benchmarks.bad_models import CALLS_MAX, FAULTS, ORDERS
from benchmarks.bad_runs import Played
from benchmarks.rivals import ENVIRONMENT
from benchmarks.runtime import SETUPS, ours, report, theirs

ROOT = Path(__file__).parents[2]


@cache
def run_of(fault: str, setup: str) -> Played:
    (run,) = ours([fault], [setup])
    return run


@pytest.mark.parametrize(
    ("fault", "alone", "helps"),
    [("drops tasks", 3, "Planning"), ("finishes early", 4, "Planning+FinishGate"), ("ticks off, not done", 6, "Planning"),
     ("calls renamed tools", 3, "ToolNaming"), ("loops on a call", 3, "Planning+DriftWatch")],
)  # fmt: skip
def test_a_fault_is_made_good_by_the_capability_for_it(fault: str, alone: int, helps: str) -> None:
    assert run_of(fault, "nothing").finished == alone
    for setup in (helps, "all"):
        run = run_of(fault, setup)
        assert (run.finished, run.twice, run.ended) == (ORDERS, 0, "answered"), run
        assert run.calls < CALLS_MAX


def test_a_neglected_plan_is_looked_after_once_it_is_said() -> None:
    alone, watched = run_of("neglects its plan", "Planning"), run_of("neglects its plan", "Planning+DriftWatch")
    # What scrolled out is tried again, until the plan says that it is done.
    assert watched.finished == ORDERS and watched.twice < alone.twice


def test_a_capability_helps_with_its_fault_and_not_with_another() -> None:
    assert run_of("finishes early", "Planning").finished == 4
    assert run_of("drops tasks", "LargeData").finished == 3
    assert run_of("calls renamed tools", "Planning+FinishGate").ended.startswith("UnexpectedModelBehavior")


@pytest.mark.parametrize("fault", ["floods, one line", "floods, row a line"])
def test_a_flooded_context_is_a_preview_and_a_query(fault: str) -> None:
    alone = run_of(fault, "nothing")
    assert alone.finished == 0
    for setup in ("LargeData", "all"):
        run = run_of(fault, setup)
        assert run.finished == 1 and run.tokens_in * 10 < alone.tokens_in


@pytest.mark.parametrize("fault", ["none", "malformed arguments"])
def test_a_model_that_manages_alone_is_not_made_worse(fault: str) -> None:
    for setup in ("nothing", "all"):
        run = run_of(fault, setup)
        assert (run.finished, run.twice) == (ORDERS, 0)


def test_what_no_rule_sees_is_not_claimed() -> None:
    # Evidence that is made up passes for evidence, as long as nobody looks at the world.
    assert run_of("invents evidence", "Planning").finished == ORDERS // 2


def test_the_table_has_every_fault_and_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("benchmarks.runtime")
    one = run_of("floods, one line", "LargeData")
    every = [replace(one, fault=fault, setup=setup) for fault in FAULTS for setup in SETUPS]
    monkeypatch.setattr(module, "ours", lambda: every)
    monkeypatch.setattr(module, "theirs", list)
    lines = list(report())
    assert sum("not installed" in line for line in lines) == 4
    for fault in FAULTS:
        assert sum(fault in line for line in lines) == len(SETUPS)
    assert Played(**json.loads(one.as_json())) == one


@pytest.mark.slow
def test_the_same_scripts_run_on_the_others() -> None:
    if not (ROOT / ENVIRONMENT).exists():
        pytest.skip("not installed: python -m tests.clients.install_clients rivals")
    found = {(run.fault, run.setup): run for run in theirs(ROOT)}
    assert {setup for _, setup in found} == {"harness", "harness+limits", "todos", "deepagents"}
    for setup in ("harness", "todos"):
        assert found["none", setup].finished == ORDERS
        assert found["drops tasks", setup].finished == ORDERS
