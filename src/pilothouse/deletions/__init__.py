"""Deletions on request: whoever may write asks, a person confirms, and what is gone leaves exports too."""

from .deleting import HOURS, KEPT, ask, confirm, find, plan, refuse, settle

__all__ = ["HOURS", "KEPT", "ask", "confirm", "find", "plan", "refuse", "settle"]
