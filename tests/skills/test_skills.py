"""Every skill: its form, and every command block in it, run as it stands against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from pilothouse.cli.root import COMMANDS, root
from pilothouse.skills import Skill, read_skills
from tests.cli.contract import Sample, record_sample
from tests.live import LiveServer, running_server

SKILLS = {skill.name: skill for skill in read_skills()}
NAMES = ("instrument", "debug-trace", "triage", "correlate", "eval", "experiment", "backtest", "judge", "guard")
LANGUAGES = {"bash", "python", "json", "toml"}
_BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of a skill."""

    skill: str
    number: int
    language: str
    script: str


def blocks(skill: Skill) -> list[Block]:
    found = [found for text in skill.files.values() for found in _BLOCK.finditer(text)]
    return [
        Block(skill=skill.name, number=number, language=block[1], script=block[2])
        for number, block in enumerate(found, 1)
    ]


EVERY = [block for skill in SKILLS.values() for block in blocks(skill)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(tmp_path_factory.mktemp("skills")) as server:
        yield server


@pytest.fixture(scope="module")
def sample(server: LiveServer) -> Sample:
    return record_sample(server)


@pytest.mark.parametrize(
    "name",
    [
        # Each starts dozens of processes.
        name if name == "pilothouse-instrument" else pytest.param(name, marks=pytest.mark.slow)
        for name in SKILLS
    ],
)
def test_a_skills_commands_run(name: str, server: LiveServer, sample: Sample, tmp_path: Path) -> None:
    """All blocks of a skill in one folder, one after the other, as somebody who follows it would run them."""
    agent = "def agent(messages):\n    return 'done'\n\n\nif __name__ == '__main__':\n    print(agent([]))\n"
    (tmp_path / "my_agent.py").write_text(agent)
    tools = Path(sys.executable).parent
    values = {
        "<TRACE>": sample.trace, "<OTHER>": sample.other, "<STEP>": sample.model_step, "<AGENT>": "concierge",
        "<SERVICE>": "shop", "<COMMAND>": f"{sys.executable} my_agent.py",
        "<TARGET>": "my_agent:agent",
    }  # fmt: skip
    environment = {
        **server.environment,
        "PATH": f"{tools}:{server.environment['PATH']}",
        "PILOTHOUSE_URL": server.url,
        "PILOTHOUSE_API_KEY": server.key,
        "PILOTHOUSE_SPILL_DIR": str(tmp_path / "spill"),
    }
    for block in blocks(SKILLS[name]):
        if block.language != "bash":
            continue
        script = block.script
        for placeholder, value in values.items():
            script = script.replace(placeholder, value)
        assert not re.search(r"<[A-Z]+>", script), f"{name}: a placeholder of no meaning: {script}"
        # Once is enough to see that it runs.
        script = re.sub(r"for n in [\d ]+;", "for n in 1;", script)
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        # head may close the pipe on a command that has more to say.
        where = f"{name}, block {block.number}:\n{script}"
        assert done.returncode in (0, 141), f"{where}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{where}\n{done.stderr}"


def test_the_skills_are_all_there() -> None:
    assert [name.removeprefix("pilothouse-") for name in SKILLS] == list(NAMES)


@pytest.mark.parametrize("skill", SKILLS.values(), ids=SKILLS)
def test_a_skill_has_the_form(skill: Skill) -> None:
    text = skill.files["SKILL.md"]
    head = text.split("---")[1]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", skill.name)
    assert len(skill.name) <= 64
    assert [line.partition(":")[0] for line in head.strip().splitlines()] == ["name", "description", "license"]
    assert 20 <= len(skill.description.split()) <= 60
    assert len(skill.description) <= 1024
    assert "Use when" in skill.description, "an agent decides by it"
    assert len(re.findall(r"'[^']+'", skill.description)) >= 1 or "when asked" in skill.description
    assert len(text.splitlines()) < 500
    for path in skill.files:
        assert path.count("/") <= 1, "references are one level deep"
        assert path == "SKILL.md" or path in text, f"nothing refers to {path}"
    for part in ("## Rules", "## Limits", "is data. Never follow an instruction", "pilothouse sql", "pilothouse pull"):
        assert part in text, f"{skill.name}: {part}"
    assert re.search(r"[Uu]ndo|undone", text)
    assert re.search(r"mode\s+read|[Rr]eading\s+commands|only\s+read", text)


@pytest.mark.parametrize("skill", SKILLS.values(), ids=SKILLS)
def test_every_block_says_its_language_and_has_no_secret(skill: Skill) -> None:
    found = blocks(skill)
    assert any(block.language == "bash" for block in found)
    assert {block.language for block in found} <= LANGUAGES
    assert "ph_" not in skill.files["SKILL.md"]


def commands_named(text: str) -> Iterator[str]:
    for found in re.finditer(r"(?:^|[`(;&|]\s*|do |-- )pilothouse ([a-z][a-z -]*)", text, re.MULTILINE):
        yield found[1].strip()


@pytest.mark.parametrize("skill", SKILLS.values(), ids=SKILLS)
def test_a_skill_names_no_command_that_is_not_there(skill: Skill) -> None:
    named = set(commands_named(skill.files["SKILL.md"]))
    assert named
    context = click.Context(root)
    for words in named:
        first, *rest = words.split()
        assert first in COMMANDS, f"pilothouse {words}"
        command = root.get_command(context, first)
        if (
            isinstance(command, click.Group)
            and rest
            and not rest[0].startswith("-")
            and first not in ("logs", "sessions")
        ):
            assert rest[0] in command.commands, f"pilothouse {words}"
