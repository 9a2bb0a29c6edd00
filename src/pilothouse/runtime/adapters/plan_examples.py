"""Examples of plans as a capability: ``Agent(model, capabilities=[Planning(), PlanExamples()])``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from pilothouse.records import PilothouseError
from pilothouse.runtime.plan import problem_text
from pilothouse.runtime.plan_examples import PlanExample, class_of, example_of, task_classes
from pilothouse.sdk.tool_playback import inner

from .pydantic_ai import request_of


@dataclass
class PlanExamples(AbstractCapability[Any]):
    """Puts one example of a good plan into the instructions: of a class that is named, or of the request's own class."""

    task: str = "auto"
    """A class, such as ``support``; ``auto``: told from the request's words, and nothing where they do not tell."""
    examples: Sequence[PlanExample] | None = None
    """Yours, instead of those that ship."""
    tool: bool = False
    """True: the model may also ask for one, with ``plan_example``."""
    id: str | None = "pilothouse_plan_examples"

    def __post_init__(self) -> None:
        if self.task != "auto":
            example_of(self.task, self.examples)

    def get_instructions(self) -> Callable[[RunContext[Any]], str | None]:
        """The example; the same through a whole run, so that the provider's cache holds."""

        def example(ctx: RunContext[Any]) -> str | None:
            chosen = class_of(request_of(ctx), self.examples) if self.task == "auto" else self.task
            return example_of(chosen, self.examples).text if chosen else None

        return example

    def get_toolset(self) -> AbstractToolset[Any] | None:
        """``plan_example``, where it is wanted."""
        if not self.tool:
            return None

        @inner
        def plan_example(task_class: str) -> str:
            """See a good plan for another task of this class, before you write yours."""
            try:
                return example_of(task_class, self.examples).text
            except PilothouseError as error:
                return f"error: {problem_text(error)}"

        plan_example.__doc__ = (
            f"{plan_example.__doc__}\n\nArgs:\n    task_class: {', '.join(task_classes(self.examples))}"
        )
        return FunctionToolset[Any]([plan_example], id="pilothouse_plan_examples")
