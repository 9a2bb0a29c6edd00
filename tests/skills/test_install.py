"""Installing skills: into the right folder, again without change, and never over what somebody edited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pilothouse.cli.settings import AGENT_VARIABLES
from pilothouse.skills import AGENTS, find, here, install, installed, read_skills, uninstall
from pilothouse.skills.install import MANIFEST
from tests.cli.conftest import Cli, cli  # noqa: F401  # a fixture

SKILL = read_skills()[0]
FOLDERS = {
    # agent: (in a project, of a user), as their documentation says
    "claude": (".claude/skills", ".claude/skills"),
    "codex": (".agents/skills", ".agents/skills"),
    "cursor": (".cursor/skills", ".cursor/skills"),
    "copilot": (".github/skills", ".copilot/skills"),
    "gemini": (".gemini/skills", ".gemini/skills"),
    "opencode": (".opencode/skills", ".config/opencode/skills"),
    "windsurf": (".windsurf/skills", ".codeium/windsurf/skills"),
    "agents": (".agents/skills", ".agents/skills"),
}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in (*AGENT_VARIABLES, "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def actions(result: list[dict[str, str]]) -> set[str]:
    return {row["action"] for row in result}


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_each_agent_has_its_folder(cli: Cli, home: Path, agent: object) -> None:  # noqa: F811
    name = agent.name  # type: ignore[attr-defined]
    project, user = FOLDERS[name]
    Path("repo").mkdir()
    rows = cli("skills", "install", "--for", name, "--project", "repo").data
    assert {row["folder"] for row in rows} == {f"repo/{project}"}
    assert (
        (Path("repo") / project / "pilothouse-triage/SKILL.md").read_text().startswith("---\nname: pilothouse-triage\n")
    )
    rows = cli("skills", "install", "--for", name, "--user").data
    assert {row["folder"] for row in rows} == {str(home / user)}
    assert len(rows) == len(read_skills())


def test_again_changes_nothing_and_taken_away_nothing_stays(cli: Cli) -> None:  # noqa: F811
    before = sorted(Path().rglob("*"))
    assert actions(cli("skills", "install", "--dry-run").data) == {"written"}
    assert sorted(Path().rglob("*")) == before
    assert actions(cli("skills", "install").data) == {"written"}
    written = {path: path.stat().st_mtime_ns for path in Path(".agents").rglob("*.md")}
    assert len(written) == len(read_skills())
    assert actions(cli("skills", "install").data) == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in Path(".agents").rglob("*.md")} == written
    listed = {row["name"]: row["installed"] for row in cli("skills", "--budget", "100000").data}
    assert listed[SKILL.name] == [{"folder": ".agents/skills", "state": "current"}]
    assert actions(cli("skills", "install", "--uninstall", "--dry-run").data) == {"removed"}
    assert actions(cli("skills", "install", "--uninstall").data) == {"removed"}
    assert list(Path(".agents/skills").iterdir()) == []
    assert actions(cli("skills", "install", "--uninstall").data) == {"absent"}


def test_what_was_edited_stays_and_is_said(cli: Cli) -> None:  # noqa: F811
    cli("skills", "install", "--for", "claude")
    place = Path(".claude/skills") / SKILL.name / "SKILL.md"
    place.write_text("ours now\n")
    kept = cli("skills", "install", "--for", "claude")
    assert kept.code == 9, "some were not written"
    (row,) = [row for row in kept.json["data"] if row["action"] == "kept"]
    assert (row["skill"], row["why"]) == (SKILL.name, "edited by hand; --force replaces it")
    assert place.read_text() == "ours now\n"
    assert cli("skills", "install", "--for", "claude", "--uninstall").code == 9
    assert place.read_text() == "ours now\n"
    assert actions(cli("skills", "install", SKILL.name, "--for", "claude", "--force").data) == {"updated"}
    assert place.read_text() == SKILL.files["SKILL.md"]


def test_an_old_copy_is_brought_up_to_date(tmp_path: Path) -> None:
    install([SKILL], [tmp_path])
    place = tmp_path / SKILL.name
    manifest = json.loads((place / MANIFEST).read_text())
    manifest["version"] = "an older one"
    (place / "references").mkdir()
    (place / "references/gone.md").write_text("old")
    manifest["files"]["references/gone.md"] = "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4"
    (place / MANIFEST).write_text(json.dumps(manifest))
    assert installed(SKILL, tmp_path) == "old"
    assert [one.action for one in install([SKILL], [tmp_path])] == ["updated"]
    assert installed(SKILL, tmp_path) == "current"
    assert not (place / "references/gone.md").exists()


def test_what_others_wrote_is_never_taken_away(tmp_path: Path) -> None:
    place = tmp_path / SKILL.name
    place.mkdir()
    (place / "SKILL.md").write_text("somebody's")
    assert installed(SKILL, tmp_path) == "foreign"
    assert [one.action for one in install([SKILL], [tmp_path])] == ["kept"]
    assert [one.action for one in uninstall([SKILL], [tmp_path], force=True)] == ["kept"]
    assert (place / "SKILL.md").read_text() == "somebody's"
    other = find("triage")
    install([other], [tmp_path])
    (tmp_path / other.name / "notes.txt").write_text("mine")
    uninstall([other], [tmp_path])
    assert [path.name for path in (tmp_path / other.name).iterdir()] == ["notes.txt"]


def test_a_manifest_cannot_point_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    place = tmp_path / "skills" / SKILL.name
    place.mkdir(parents=True)
    for path in ("../../precious", str(tmp_path / "precious")):
        (place / MANIFEST).write_text(json.dumps({"version": "x", "files": {path: "x"}}))
        assert installed(SKILL, tmp_path / "skills") == "foreign"
        uninstall([SKILL], [tmp_path / "skills"], force=True)
        install([SKILL], [tmp_path / "skills"])
        assert (tmp_path / "precious").read_text() == "x"
    link = tmp_path / "linked" / SKILL.name
    link.parent.mkdir()
    link.symlink_to(tmp_path / "skills" / SKILL.name)
    assert [one.action for one in install([SKILL], [tmp_path / "linked"], force=True)] == ["kept"]


def test_the_agent_that_is_at_work_is_told_by_its_marks(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "repo"
    project.mkdir()
    assert [agent.name for agent in here(project, home, {})] == ["agents"]
    (project / ".cursor").mkdir()
    (project / "CLAUDE.md").touch()
    assert [agent.name for agent in here(project, home, {})] == ["claude", "cursor"]
    assert [agent.name for agent in here(project, home, {"CODEX_THREAD_ID": "1"})] == ["codex"]
    (home / ".gemini").mkdir()
    assert [agent.name for agent in here(None, home, {})] == ["gemini"]
    assert {name for agent in AGENTS for name in agent.variables} <= set(AGENT_VARIABLES)


def test_slips_are_answered(cli: Cli) -> None:  # noqa: F811
    assert "claude" in cli("skills", "install", "--for", "cluade").error["allowed"]
    assert "triage" in cli("skills", "get", "triaje").error["allowed"]
    assert cli("skills", "get", "triage").out == find("triage").files["SKILL.md"]
    assert cli("skills", "get", "pilothouse-triage", "--json", "--budget", "50000").data["name"] == "pilothouse-triage"
    assert cli("skills", "get", "triage", "--file", "nothing.md").code == 2
    assert cli("skills", "install", "--user", "--project", ".").code == 2
    assert cli("skills", "install", "--project", "nowhere").code == 2
