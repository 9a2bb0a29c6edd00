"""``finish``: the gate for agents whose loop is not ours. What it remembers is kept beside the plan."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from .finish_gate import PUSHES_MAX, GateState, GateVerdict, may_finish
from .plan_tools import PlanTools

_TRIES: Final = 5


def finish(tools: PlanTools, *, pushes_max: int = PUSHES_MAX, plan_required: bool = False) -> GateVerdict:
    """The verdict on an answer an agent wants to end with. Each refusal is counted, whichever process was asked."""
    key = f"{tools.key}#gate"
    for _ in range(_TRIES):
        kept = dict(tools.keeper.load(key) or {})
        version = int(kept.pop("kept", 0))
        verdict = may_finish(tools.plan(), GateState(**kept), pushes_max=pushes_max, plan_required=plan_required)
        if asdict(verdict.state) == kept or tools.keeper.save(
            key, version + 1, {**asdict(verdict.state), "kept": version + 1}
        ):
            return verdict
    # Several ask at the same moment: the last verdict is as good as any, it is merely not counted.
    return verdict  # pyright: ignore[reportPossiblyUnboundVariable]
