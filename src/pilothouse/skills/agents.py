"""Where each coding agent reads skills, in a project and of a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingAgent:
    """One coding agent."""

    name: str
    title: str
    project: str
    """Its folder of skills below a project's root."""
    user: str
    """Its folder of skills below the home folder."""
    marks: tuple[str, ...]
    """What a project has that is worked on with it."""
    user_marks: tuple[str, ...]
    """What a home folder has where it is installed."""
    variables: tuple[str, ...] = ()
    """Set in the commands it runs."""

    def folder(self, project: Path | None, home: Path, environment: Mapping[str, str]) -> Path:
        """Where skills go: of a project, or of the user where none is given."""
        if project is not None:
            return project / self.project
        if self.name == "claude" and environment.get("CLAUDE_CONFIG_DIR"):
            return Path(environment["CLAUDE_CONFIG_DIR"]).expanduser() / "skills"
        return home / self.user


AGENTS: tuple[CodingAgent, ...] = (
    CodingAgent(
        name="claude", title="Claude Code", project=".claude/skills", user=".claude/skills",
        marks=(".claude", "CLAUDE.md"), user_marks=(".claude",), variables=("CLAUDECODE", "CLAUDE_CODE"),
    ),
    CodingAgent(
        name="codex", title="Codex", project=".agents/skills", user=".agents/skills",
        marks=(".codex",), user_marks=(".codex",), variables=("CODEX_SANDBOX", "CODEX_THREAD_ID", "CODEX_CI"),
    ),
    CodingAgent(
        name="cursor", title="Cursor", project=".cursor/skills", user=".cursor/skills",
        marks=(".cursor", ".cursorrules"), user_marks=(".cursor",), variables=("CURSOR_AGENT",),
    ),
    CodingAgent(
        name="copilot", title="GitHub Copilot", project=".github/skills", user=".copilot/skills",
        marks=(".github/copilot-instructions.md", ".github/skills", ".github/instructions"), user_marks=(".copilot",),
        variables=("COPILOT_CLI",),
    ),
    CodingAgent(
        name="gemini", title="Gemini CLI", project=".gemini/skills", user=".gemini/skills",
        marks=(".gemini", "GEMINI.md"), user_marks=(".gemini",), variables=("GEMINI_CLI",),
    ),
    CodingAgent(
        name="opencode", title="opencode", project=".opencode/skills", user=".config/opencode/skills",
        marks=(".opencode", "opencode.json"), user_marks=(".config/opencode",), variables=("OPENCODE", "OPENCODE_CLIENT"),
    ),
    CodingAgent(
        name="windsurf", title="Windsurf", project=".windsurf/skills", user=".codeium/windsurf/skills",
        marks=(".windsurf", ".windsurfrules"), user_marks=(".codeium/windsurf",),
    ),
    CodingAgent(
        name="agents", title="any that reads .agents/skills", project=".agents/skills", user=".agents/skills",
        marks=(".agents",), user_marks=(".agents",),
    ),
)  # fmt: skip


def here(project: Path | None, home: Path, environment: Mapping[str, str]) -> tuple[CodingAgent, ...]:
    """The agents that are at work here: whose command this is, or whose files are there; else the common folder's."""
    calling = tuple(agent for agent in AGENTS if any(environment.get(name) for name in agent.variables))
    if calling:
        return calling
    root, of = (project, "marks") if project is not None else (home, "user_marks")
    found = tuple(agent for agent in AGENTS if any((root / mark).exists() for mark in getattr(agent, of)))
    return found or AGENTS[-1:]
