"""Plan examples: plans that are good by the rules of plans, chosen for what is asked, at a cost that is known."""

from __future__ import annotations

import pytest

from pilothouse.records import BadRequest
from pilothouse.runtime.adapters.plan_examples import PlanExamples
from pilothouse.runtime.plan import Plan, write
from pilothouse.runtime.plan_examples import PlanExample, class_of, example_of, examples_from, shipped, task_classes
from pilothouse.testing.exchange import tokens_of

from .scripted import Scripted, agent_of, calls, says


@pytest.mark.parametrize("example", shipped(), ids=lambda one: one.task_class)
def test_each_is_a_plan_that_todo_write_takes(example: PlanExample) -> None:
    plan = write(Plan(request=example.request), example.tasks)
    assert 5 <= len(plan.tasks) <= 9 and plan.current is not None


def test_each_costs_less_than_350_tokens() -> None:
    costs = {one.task_class: tokens_of(len(one.text)) for one in shipped()}
    print(costs)
    assert all(100 < cost < 350 for cost in costs.values())


@pytest.mark.parametrize(
    ("request_text", "task_class"),
    [
        ("My parcel has not arrived, I want a refund for order 7", "support"),
        ("Cancel my subscription and send me the last invoice", "support"),
        ("What is the median revenue per customer in sales.csv? Plot the distribution.", "data analysis"),
        ("Research vendors of vector databases, compare pros and cons and recommend one", "research"),
        ("The test for the upload function is failing with an exception, fix the bug", "coding"),
        ("Error rate spiked after the deploy, production is degraded", "incident"),
        ("Migrate the staging database to the new cluster and rotate the certificate", "operations"),
        ("Draft a newsletter about the release and proofread it", "writing"),
        ("Audit the access policy for compliance and list findings by risk", "review"),
        ("Hello there", ""),
        ("What is 2 + 2?", ""),
        ("", ""),
    ],
)
def test_the_class_is_told_from_the_request(request_text: str, task_class: str) -> None:
    assert class_of(request_text) == task_class


def test_one_example_is_in_the_instructions_where_it_fits() -> None:
    model = Scripted(says("ok"))
    agent_of(model, PlanExamples()).run_sync("My parcel has not arrived, refund order 7")
    assert (
        "a good plan (support; another task, not yours)" in model.shown(0) and model.shown(0).count("todo_write(") == 1
    )
    agent_of(model, PlanExamples()).run_sync("Hello")
    assert "a good plan" not in model.shown(1)
    agent_of(model, PlanExamples(task="incident")).run_sync("Hello")
    assert "a good plan (incident" in model.shown(2)


def test_the_model_may_ask_for_one() -> None:
    model = Scripted(
        calls("plan_example", task_class="coding"), calls("plan_example", task_class="cooking"), says("ok")
    )
    agent_of(model, PlanExamples(tool=True)).run_sync("Hello")
    assert "the smallest failing test" in model.shown(1)
    assert "error: no plan is shown for this class\ngot: cooking\nallowed: support; data analysis" in model.shown(2)


def test_examples_of_your_own_take_the_place_of_ours() -> None:
    mine = examples_from(
        {"brewing": [{"request": "Brew.", "tasks": ["heat", "steep"], "why": "is hot", "words": "tea pot"}]}
    )
    assert task_classes(mine) == ["brewing"] and class_of("a pot of tea", mine) == "brewing"
    assert example_of("data_analysis").task_class == "data analysis"
    with pytest.raises(BadRequest, match="no plan is shown"):
        PlanExamples(task="support", examples=mine)
