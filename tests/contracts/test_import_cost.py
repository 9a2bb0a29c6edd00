"""What an import drags along: checked by what is loaded, not by the clock."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("chdb", "pyarrow", "pandas", "numpy", "pydantic", "fastapi", "starlette", "uvicorn", "httpx", "orjson", "jinja2"),
    *("sqlalchemy", "sqlglot", "grpc", "google.protobuf", "opentelemetry", "genai_prices", "re2", "zstandard", "isal"),
    *("asyncio", "multiprocessing", "concurrent.futures", "requests", "rich", "typer"),
}


def loaded_after(statement: str) -> set[str]:
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> list[str]:
    return sorted(name for name in HEAVY if name in modules)


@pytest.mark.parametrize(
    "statement",
    [
        "import pilothouse",
        "import pilothouse.cli",
        "import pilothouse.records",
        "import pilothouse.cli.root",
        # Decorated before, or without, a call of init.
        "import pilothouse\n@pilothouse.agent\n@pilothouse.tool\ndef f(): pass\nf(); pilothouse.model_call(model='m')",
        "import pilothouse\nwith pilothouse.session('s'), pilothouse.waiting('human'): pilothouse.state('planning')",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    assert heavy(loaded_after(statement)) == []


def test_the_package_alone_loads_next_to_nothing() -> None:
    own = {name for name in loaded_after("import pilothouse, pilothouse.cli") if name.startswith("pilothouse")}
    assert own == {"pilothouse", "pilothouse.cli"}


@pytest.mark.parametrize(
    "words", [["--help"], ["ls", "--help"], ["ls"], ["show", "last"], ["sql", "SELECT 1"], ["doctor"]]
)
def test_commands_that_ask_the_server_load_nothing_heavy(words: list[str]) -> None:
    statement = (
        "import os, io, contextlib\nos.environ.update(PILOTHOUSE_URL='http://127.0.0.1:1', PILOTHOUSE_API_KEY='x')\n"
        "from pilothouse.cli.root import run\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()): run({words!r})"
    )
    assert heavy(loaded_after(statement)) == []


def test_help_of_the_root_imports_no_command() -> None:
    statement = (
        "import io, contextlib\nfrom pilothouse.cli.root import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(['--help'])"
    )
    modules = {name for name in loaded_after(statement) if name.startswith("pilothouse.cli.")}
    assert modules <= {
        f"pilothouse.cli.{name}" for name in ["root", "help", "client", "output", "budget", "settings", "terminal"]
    }


def test_durable_agents_need_nothing_of_the_server() -> None:
    absent = [
        "orjson",
        "chdb",
        "fastapi",
        "uvicorn",
        "grpc",
        "google.protobuf",
        "jinja2",
        "isal",
        "zstandard",
        "sqlglot",
    ]
    statement = (
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"
        "import pilothouse.runtime.adapters.durable_agents, pilothouse.runtime.adapters.sub_agents\n"
        "import pilothouse.store.plan_store, pilothouse.store.job_store, pilothouse.jobs.work\n"
        f"for name in {absent!r}: del sys.modules[name]"
    )
    assert not set(absent) & loaded_after(statement)
