"""Skills for coding agents: what ships with the package, and putting it where an agent reads skills."""

from __future__ import annotations

from .agents import AGENTS, CodingAgent, here
from .catalogue import Skill, find, read_skills
from .install import Outcome, install, installed, uninstall

__all__ = [
    "AGENTS",
    "CodingAgent",
    "Outcome",
    "Skill",
    "find",
    "here",
    "install",
    "installed",
    "read_skills",
    "uninstall",
]
