"""`pilothouse run`: an agent as it is, recorded; nobody else can tell the difference."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.sdk.run import environment_for
from pilothouse.testing import ModelServer, OtlpSink
from tests.sdk.run_making import AGENT, BARE, PILOTHOUSE, clean_environment, packages, pilothouse

QUESTION = "What is the weather in Oslo?"


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as running:
        yield running


@pytest.fixture
def models() -> Iterator[ModelServer]:
    with ModelServer(seed=5) as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "my_agent.py"
    path.write_text(AGENT)
    return path


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values())) for entry in span["attributes"]}


def finished(sink: OtlpSink) -> list[dict[str, Any]]:
    return [span for span in sink.spans() if not attributes(span).get("pilothouse.running")]


@pytest.mark.parametrize(
    ("without", "mark"),
    [
        pytest.param((), "llm.token_count.prompt", id="openinference"),
        pytest.param(("openinference",), "gen_ai.usage.input_tokens", marks=pytest.mark.slow, id="openllmetry"),
    ],
)
def test_an_unchanged_openai_agent_is_recorded_by_what_is_installed(
    without: tuple[str, ...], mark: str, agent: Path, tmp_path: Path, sink: OtlpSink, models: ModelServer
) -> None:
    environment = clean_environment(
        tmp_path, OPENAI_BASE_URL=models.openai_url, PYTHONPATH=packages(tmp_path, without=without)
    )
    with ModelServer(seed=5) as same:
        plain = subprocess.run(
            [BARE, agent, QUESTION],
            env={**environment, "OPENAI_BASE_URL": same.openai_url},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    done = pilothouse(
        *("run", "--console", "--endpoint", sink.address, "--env", "staging", "--", str(BARE), str(agent), QUESTION),
        environment=environment,
        folder=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    spans = finished(sink)
    assert len(spans) == 2
    assert all(mark in attributes(span) for span in spans)
    resource = sink.as_json("traces")["resourceSpans"][0]["resource"]
    assert attributes(resource)["service.name"] == "my_agent"
    assert attributes(resource)["deployment.environment.name"] == "staging"
    assert done.stderr.startswith("pilothouse: exit 0 · 2 spans (2 model)")
    assert f"{sink.address}/traces/{spans[-1]['traceId']}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_an_instrumentor_it_says_what_to_install(
    agent: Path, tmp_path: Path, sink: OtlpSink, models: ModelServer
) -> None:
    bare = packages(tmp_path, without=("openinference", "opentelemetry_instrumentation_"))
    environment = clean_environment(tmp_path, OPENAI_BASE_URL=models.openai_url, PYTHONPATH=bare)
    done = pilothouse(
        *("run", "--endpoint", sink.address, "--", str(BARE), str(agent), QUESTION),
        environment=environment,
        folder=tmp_path,
    )
    assert done.returncode == 0
    assert "Oslo" in done.stdout
    assert f"{BARE} -m pip install openinference-instrumentation-openai" in done.stderr
    assert sink.spans() == []


def test_an_environment_without_the_recorder_runs_and_is_named(
    agent: Path, tmp_path: Path, models: ModelServer
) -> None:
    without = packages(tmp_path, without=("pilothouse",), recorder=False)
    environment = clean_environment(tmp_path, OPENAI_BASE_URL=models.openai_url, PYTHONPATH=without)
    done = pilothouse("run", "--", str(BARE), str(agent), QUESTION, environment=environment, folder=tmp_path)
    assert done.returncode == 0
    assert "Oslo" in done.stdout
    assert f"pilothouse is missing in the environment of {BARE}" in done.stderr


def test_standard_input_exit_code_and_silence(tmp_path: Path, sink: OtlpSink) -> None:
    script = tmp_path / "echo.py"
    script.write_text(
        "import sys\nprint(sys.stdin.read().upper(), end='')\nprint('aside', file=sys.stderr)\nsys.exit(41)"
    )
    done = pilothouse(
        *("run", "--endpoint", sink.address, "--", sys.executable, str(script)),
        environment=clean_environment(tmp_path),
        folder=tmp_path,
        stdin="a line\n",
    )
    assert (done.returncode, done.stdout, done.stderr) == (41, "A LINE\n", "aside\n")


def test_a_server_that_is_away_costs_nothing_but_a_hint(agent: Path, tmp_path: Path, models: ModelServer) -> None:
    with OtlpSink() as gone:
        address = gone.address
    done = pilothouse(
        *("run", "--endpoint", address, "--", sys.executable, str(agent), QUESTION),
        environment=clean_environment(tmp_path, OPENAI_BASE_URL=models.openai_url),
        folder=tmp_path,
    )
    assert done.returncode == 0
    assert "Oslo" in done.stdout
    assert "waits on disk" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_its_end_comes_back(number: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "sleeper.py"
    script.write_text(
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [str(PILOTHOUSE), "run", "--", sys.executable, str(script)],
        env=clean_environment(tmp_path),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(timeout=30) == 7


def test_a_command_that_a_signal_ends_ends_us_the_same_way(tmp_path: Path) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGUSR1)"
    done = pilothouse(
        *("run", "--console", "--", sys.executable, "-c", script),
        environment=clean_environment(tmp_path),
        folder=tmp_path,
    )
    assert done.returncode == -signal.SIGUSR1
    assert "ended by SIGUSR1" in done.stderr


def test_the_terminal_is_the_commands(tmp_path: Path) -> None:
    main, other = pty.openpty()
    script = "import os, sys; print(sys.stdin.isatty(), sys.stdout.isatty(), os.tcgetpgrp(0) == os.getpgrp())"
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", str(PILOTHOUSE), "run", "--", sys.executable, "-c", script],
        env=clean_environment(tmp_path),
        stdin=other,
        stdout=other,
        stderr=subprocess.DEVNULL,
    )
    os.close(other)
    said = b""
    deadline = time.monotonic() + 30
    while b"\n" not in said and time.monotonic() < deadline:
        said += os.read(main, 1000)
    assert process.wait(timeout=30) == 0
    os.close(main)
    assert said.split() == [b"True", b"True", b"True"]


def test_children_of_any_kind_are_recorded_in_their_parents_trace(tmp_path: Path, sink: OtlpSink) -> None:
    (tmp_path / "child.py").write_text("import pilothouse\nwith pilothouse.span('in the child'): pass\n")
    (tmp_path / "parent.py").write_text(
        "import pilothouse, subprocess, sys\n"
        "with pilothouse.span('in the parent'):\n"
        "    subprocess.run([sys.executable, 'child.py'], check=True)\n"
    )
    done = pilothouse(
        *("run", "--console", "--endpoint", sink.address, "--", "sh", "-c", f"{sys.executable} parent.py; exit 5"),
        environment=clean_environment(tmp_path),
        folder=tmp_path,
    )
    assert done.returncode == 5
    spans = {span["name"]: span for span in finished(sink)}
    assert set(spans) == {"in the parent", "in the child"}
    assert spans["in the child"]["parentSpanId"] == spans["in the parent"]["spanId"]
    assert spans["in the child"]["traceId"] == spans["in the parent"]["traceId"]
    assert "exit 5 · 2 spans" in done.stderr


def test_a_module_and_a_console_script_are_recorded_under_their_names(tmp_path: Path, sink: OtlpSink) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("")
    (tmp_path / "shop/clerk.py").write_text("import pilothouse\nwith pilothouse.span('served'): pass\n")
    script = tmp_path / "my-clerk"
    script.write_text(f"#!{sys.executable}\nimport shop.clerk\n")
    script.chmod(0o755)
    environment = clean_environment(tmp_path, PYTHONPATH=str(tmp_path))
    for command in ([sys.executable, "-m", "shop.clerk"], [str(script)]):
        done = pilothouse("run", "--endpoint", sink.address, "--", *command, environment=environment, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    services = [attributes(block["resource"])["service.name"] for block in sink.as_json("traces")["resourceSpans"]]
    assert services == ["clerk", "my-clerk"]


def test_the_sitecustomize_of_the_user_has_its_turn(tmp_path: Path, sink: OtlpSink) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.theirs = __file__\n")
    script = (
        "import sitecustomize, sys; print(theirs, sitecustomize.__file__, [p for p in sys.path if 'run_hook' in p])"
    )
    done = pilothouse(
        *("run", "--endpoint", sink.address, "--", sys.executable, "-c", script),
        environment=clean_environment(tmp_path, PYTHONPATH=str(tmp_path)),
        folder=tmp_path,
    )
    theirs = str(tmp_path / "sitecustomize.py")
    assert done.stdout.split() == [theirs, theirs, "[]"]


def test_a_program_that_starts_the_recorder_itself_has_its_own_way(tmp_path: Path, sink: OtlpSink) -> None:
    script = tmp_path / "masked.py"
    script.write_text(
        "import pilothouse\n"
        "pilothouse.init(service='mine', mask=lambda text: text.replace('hunter2', '***'))\n"
        "with pilothouse.span('login') as span: span.input('password hunter2')\n"
    )
    done = pilothouse(
        *("run", "--console", "--endpoint", sink.address, "--", sys.executable, str(script)),
        environment=clean_environment(tmp_path),
        folder=tmp_path,
    )
    assert "exit 0 · 1 spans" in done.stderr
    block = sink.as_json("traces")["resourceSpans"][0]
    assert attributes(block["resource"])["service.name"] == "mine"
    assert all(b"hunter2" not in request.body for request in sink.requests)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run",), "a command is missing"),
        (("run", "python", "x.py"), "-- is missing before the command"),
        (("run", "--", "no-such-command-here"), "there is no such command"),
        (("run", "--endpoint", "localhost:4318", "--", "true"), "--endpoint is no address"),
    ],
)
def test_a_wrong_call_says_what_is_right(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = pilothouse(*words, environment=clean_environment(tmp_path), folder=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert '"fix"' in done.stderr or "allowed" in done.stderr


def test_the_hook_is_first_and_the_users_path_stays(tmp_path: Path) -> None:
    found = environment_for(tmp_path, environment={"PYTHONPATH": "/a:/b", "X": "1"})
    hook, *rest = found["PYTHONPATH"].split(os.pathsep)
    assert Path(hook, "sitecustomize.py").exists()
    assert rest == ["/a", "/b"]
    assert found["X"] == "1"
