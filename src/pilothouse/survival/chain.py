"""Fallback chains: for each task which model is asked first, and what is asked when it cannot answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .failure import TRIGGERS, Failure, Trigger

StepKind = Literal["model", "cached", "template"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One place of a chain: a model, the reply of an earlier same call, or a text."""

    kind: StepKind = "model"
    model: str = ""
    """The model's name, where it is one."""
    provider: str = ""
    """Whose; a breaker's key."""
    upstream: str = ""
    """The gateway's upstream it is asked through; empty: the one that serves the provider."""
    on: frozenset[Trigger] = frozenset(TRIGGERS)
    """What must have gone wrong before for this step to be taken."""
    context_tokens: int | None = None
    """Its context window, where a longer request should pass it by."""
    capabilities: frozenset[str] | None = None
    """What it can do, such as ``tools`` or ``images``; None: whatever is asked."""
    text: str = ""
    """The reply, where the step is a template."""

    @property
    def name(self) -> str:
        """For logs: ``openai/gpt-5``, ``cached``, ``template``."""
        return f"{self.provider}/{self.model}" if self.kind == "model" and self.provider else self.model or self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a request needs of a model."""

    context_tokens: int = 0
    """Of the prompt and the longest answer together; 0: not known."""
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """Chains by task. ``survival.fallbacks`` in the policy file."""

    by_task: Mapping[str, tuple[Step, ...]] = field(default_factory=dict[str, tuple[Step, ...]])

    def of(self, task: str, *, model: str = "", provider: str = "") -> tuple[Step, ...]:
        """The chain of a task, else that of ``default``, headed by the model asked for; the model alone where none is.

        A chain that names the model goes on behind it: whoever asks for the cheaper one is not sent to the dearer.
        """
        chain = self.by_task.get(task) or self.by_task.get("default", ())
        if not model:
            return chain
        for place, step in enumerate(chain):
            if step.kind == "model" and step.model == model and provider in ("", step.provider):
                return chain[place:]
        asked = Step(model=model, provider=provider)
        # A chain says what to do when its own first model fails: for another model its fallbacks hold, not its first.
        return (asked, *chain[1:])


def unfit(step: Step, needs: Needs) -> Failure | None:
    """Why a step cannot serve a request, told from what the chain says of it; None where it can."""
    if step.kind != "model":
        return None
    if step.context_tokens is not None and needs.context_tokens > step.context_tokens:
        said = f"{needs.context_tokens} tokens do not fit {step.name}, which takes {step.context_tokens}"
        return Failure(kind="context_limit", message=said, ours=True)
    missing = sorted(needs.capabilities - step.capabilities) if step.capabilities is not None else []
    if missing:
        return Failure(kind="unfit", message=f"{step.name} has no {', '.join(missing)}", ours=True)
    return None


def following(chain: tuple[Step, ...], place: int, failure: Failure, before: Failure | None = None) -> int | None:
    """The place of the step to take after this failure; None where the chain has none for it.

    ``before``: what had gone wrong when the step that failed was passed over as unfit: that is still a reason to go on.
    """
    if failure.trigger is None:
        return None
    triggers = {one.trigger for one in (failure, before) if one is not None}
    return next((at for at in range(place + 1, len(chain)) if triggers & chain[at].on), None)
