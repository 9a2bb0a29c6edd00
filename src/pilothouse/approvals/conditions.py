"""Conditions of rules about actions: over the facts that an action has."""

from __future__ import annotations

from pilothouse.policy.conditions import Condition as _Condition

from .action import FACTS


class Condition(_Condition):
    """One expression over an action's facts. Safe to share between threads."""

    def __init__(self, text: str, place: str = "when") -> None:
        """Compile it.

        Raises:
            BadRequest: it cannot be read, or uses a name that is not known.
        """
        super().__init__(text, place, known=tuple(FACTS))
