"""Runs `pilothouse run` and `pilothouse verify` as a user does, with interpreters that have just the packages wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE = Path(next(path for path in sys.path if path.endswith("site-packages")))
PILOTHOUSE = Path(sys.executable).with_name("pilothouse")
BARE = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
"""The interpreter without our packages: what it sees is put on PYTHONPATH."""

AGENT = """\
import json, sys, openai

client = openai.OpenAI()
tool = {"name": "get_weather", "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
messages = [{"role": "user", "content": sys.argv[1] if len(sys.argv) > 1 else input()}]
while True:
    answer = client.chat.completions.create(
        model="gpt-4.1-mini", messages=messages, tools=[{"type": "function", "function": tool}]
    ).choices[0].message
    messages.append(answer.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
    if not answer.tool_calls:
        break
    for call in answer.tool_calls:
        result = "sunny in " + json.loads(call.function.arguments)["city"]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(answer.content)
"""
"""An agent on the openai SDK that knows nothing of us."""


def packages(folder: Path, *, without: Iterable[str] = (), recorder: bool = True) -> str:
    """A PYTHONPATH with the packages of this environment but those whose file names begin so."""
    farm = folder / "packages"
    farm.mkdir(parents=True)
    leave = tuple(without)
    for entry in SITE.iterdir():
        if not entry.name.startswith(("__", "_virtualenv", "distutils-precedence", *leave)) and entry.suffix != ".pth":
            (farm / entry.name).symlink_to(entry)
    return os.pathsep.join([*([str(ROOT / "src")] if recorder else []), str(farm)])


def clean_environment(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of a user: nothing of this test run's."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "NO_PROXY": "127.0.0.1",
        "OPENAI_API_KEY": "none",
        **variables,
    }


def pilothouse(
    *words: str, environment: Mapping[str, str], folder: Path, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [str(PILOTHOUSE), *words],
        env=dict(environment),
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
