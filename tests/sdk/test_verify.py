"""`pilothouse verify` on agents that are good, and on agents that hide things: it says which, with the evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.testing import ModelServer
from tests.sdk.run_making import AGENT, BARE, clean_environment, packages, pilothouse

GOOD = """\
import json, os, openai, pilothouse

client = openai.OpenAI(max_retries=0)
spec = {"name": "get_weather", "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}


#TOOL
@pilothouse.tool(effect="read")
def get_weather(city):
    return f"sunny in {city}"
#END


def call(arguments):
    #CALL
    try:
        return get_weather(**arguments)
    except Exception as error:
        return f"error: {error}"
    #END


@pilothouse.agent
def concierge(question):
    messages = [{"role": "user", "content": question}]
    while True:
        answer = client.chat.completions.create(
            model="gpt-4.1-mini", messages=messages, tools=[{"type": "function", "function": spec}]
        ).choices[0].message
        messages.append(answer.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
        if not answer.tool_calls:
            return answer.content
        for wish in answer.tool_calls:
            result = call(json.loads(wish.function.arguments))
            #GUARD
            messages.append({"role": "tool", "tool_call_id": wish.id, "content": result})


print(concierge("What is the weather in Oslo?"))
"""


def changed(mark: str, code: str) -> str:
    """The good agent with the part behind a mark replaced."""
    head, _, rest = GOOD.partition(mark + "\n")
    indent = head.rpartition("\n")[2]
    tail = rest.partition("#END\n")[2] if mark != "#GUARD" else rest
    return head + code.replace("\n", "\n" + indent) + "\n" + tail


DROPS_RESULTS = changed(
    "#TOOL",
    "def get_weather(city):\n"
    "    with pilothouse.span('get_weather', kind='tool', **{'gen_ai.tool.call.arguments': city}):\n"
    "        return f'sunny in {city}'",
)
UNRECORDED_TOOL = changed("#TOOL", "def get_weather(city):\n    return f'sunny in {city}'")
SWALLOWS = changed("#CALL", "try:\n    return get_weather(**arguments)\nexcept Exception:\n    return None").replace(
    "#GUARD", 'if result is None:\n                return "I do not know."'
)
SAYS_NOTHING = changed("#CALL", "try:\n    return get_weather(**arguments)\nexcept Exception:\n    return ''")
GIVES_UP = changed("#CALL", "return get_weather(**arguments)")
TRIES_AGAIN = changed(
    "#CALL", "try:\n    return get_weather(**arguments)\nexcept Exception:\n    return get_weather(**arguments)"
)
CRASHES = GOOD.replace(
    "print(concierge", "concierge('What is the weather in Rome?')\nraise SystemExit('the hull broke')\nprint(concierge"
)


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    with ModelServer(seed=9) as running:
        yield running


def verified(
    code: str, folder: Path, models: ModelServer, *flags: str, **variables: str
) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    """The exit code, the checks by name, and the whole answer."""
    path = folder / "agent.py"
    path.write_text(code)
    environment = clean_environment(folder, OPENAI_BASE_URL=models.openai_url, **variables)
    python = str(BARE) if "PYTHONPATH" in variables else "python"
    done = pilothouse(
        "verify", "--json", *(flags or ("--runs", "0")), "--", python, str(path), environment=environment, folder=folder
    )
    assert done.stdout, done.stderr
    data = json.loads(done.stdout)["data"]
    return done.returncode, {check["name"]: check for check in data["checks"]}, data


def verdicts(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: check["verdict"] for name, check in checks.items()}


def test_a_good_agent_is_verified_and_its_overhead_told(tmp_path: Path, models: ModelServer) -> None:
    asked = len(models.requests)
    code, checks, data = verified(GOOD, tmp_path, models, "--runs", "1")
    names = [
        *("agent", "model calls", "model records", "tool calls", "tool records", "traces"),
        *("decision before the error", "raw error", "recovery", "overhead"),
    ]
    assert list(checks) == names
    found = verdicts(checks)
    # The clock of a busy machine may not be able to tell; everything else must.
    assert {name: found[name] for name in names[:-1]} == dict.fromkeys(names[:-1], "pass"), checks
    assert code == {"pass": 0, "unknown": 6, "fail": 7}[found["overhead"]]
    overhead = data["overhead"]
    assert overhead["pairs"] == 1
    assert overhead["span_us"] > 0
    assert overhead["startup_ms"] > 0
    assert "µs" in checks["overhead"]["says"]
    # The pairs were answered from memory: two real runs, and nothing more.
    assert len(models.requests) - asked == 4


@pytest.mark.slow
def test_trying_again_is_a_recovery(tmp_path: Path, models: ModelServer) -> None:
    code, checks, _ = verified(TRIES_AGAIN, tmp_path, models)
    assert code == 0
    assert "called again" in checks["recovery"]["says"]


def test_a_tool_record_without_its_result_fails(tmp_path: Path, models: ModelServer) -> None:
    code, checks, data = verified(DROPS_RESULTS, tmp_path, models)
    assert (code, data["verdict"]) == (7, "failed")
    assert checks["tool calls"]["verdict"] == "pass"
    assert checks["tool records"]["verdict"] == "fail"
    assert "no raw result" in checks["tool records"]["evidence"][0]
    assert "pilothouse.tool" in checks["tool records"]["remedy"]
    assert checks["raw error"]["verdict"] == "unknown"


def test_a_tool_that_nothing_records_is_found_by_what_the_model_was_told(tmp_path: Path, models: ModelServer) -> None:
    code, checks, _ = verified(UNRECORDED_TOOL, tmp_path, models)
    assert code == 7
    assert "get_weather" in checks["tool calls"]["evidence"][0]
    assert "handed to the model, no span" in checks["tool calls"]["evidence"][0]


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        pytest.param(SWALLOWS, "the error was swallowed: nothing followed it", id="swallows"),
        pytest.param(
            SAYS_NOTHING,
            "the model was asked again and not told that its tool had failed",
            marks=pytest.mark.slow,
            id="says nothing",
        ),
        pytest.param(
            GIVES_UP, "nothing was tried: the agent ended with the error", marks=pytest.mark.slow, id="gives up"
        ),
    ],
)
def test_an_error_that_is_not_recovered_from_fails(agent: str, says: str, tmp_path: Path, models: ModelServer) -> None:
    code, checks, _ = verified(agent, tmp_path, models)
    assert code == 7
    found = verdicts(checks)
    assert found["decision before the error"] == found["raw error"] == "pass"
    assert (found["recovery"], checks["recovery"]["says"]) == ("fail", says)
    assert checks["recovery"]["remedy"]


@pytest.mark.slow
def test_an_agent_that_nothing_records_cannot_be_verified(tmp_path: Path, models: ModelServer) -> None:
    bare = packages(tmp_path, without=("openinference", "opentelemetry_instrumentation_"))
    code = AGENT.replace("sys.argv[1] if len(sys.argv) > 1 else input()", "'What is the weather in Oslo?'")
    exit_code, checks, data = verified(code, tmp_path, models, PYTHONPATH=bare)
    assert (exit_code, data["verdict"]) == (6, "could not tell")
    assert checks["agent"]["verdict"] == "pass"
    assert checks["model calls"]["says"] == "nothing was recorded"
    assert checks["model calls"]["evidence"] == ["2 model calls passed"]
    assert "openinference-instrumentation-openai" in checks["model calls"]["remedy"]


@pytest.mark.slow
def test_an_agent_without_tools_leaves_the_failure_untold(tmp_path: Path, models: ModelServer) -> None:
    code = (
        "import openai\n"
        "client = openai.OpenAI()\n"
        "client.chat.completions.create(model='gpt-4.1-mini', messages=[{'role': 'user', 'content': 'hello'}])\n"
    )
    exit_code, checks, _ = verified(code, tmp_path, models)
    assert exit_code == 6
    found = verdicts(checks)
    assert (found["model calls"], found["model records"]) == ("pass", "pass")
    assert (found["tool calls"], found["recovery"]) == ("unknown", "unknown")
    assert checks["tool calls"]["says"] == "the agent called no tool"


@pytest.mark.slow
def test_a_model_behind_an_address_of_its_own_is_named(tmp_path: Path, models: ModelServer) -> None:
    code = GOOD.replace("openai.OpenAI(", "openai.OpenAI(base_url=os.environ['MY_MODEL'], ")
    exit_code, checks, _ = verified(code, tmp_path, models, MY_MODEL=models.openai_url)
    assert (exit_code, checks["model calls"]["verdict"]) == (6, "unknown")
    assert "--model-env" in checks["model calls"]["remedy"]
    flags = ("--runs", "0", "--model-env", "MY_MODEL")
    exit_code, checks, _ = verified(code, tmp_path, models, *flags, MY_MODEL=models.openai_url)
    assert (exit_code, checks["model calls"]["verdict"]) == (0, "pass")


@pytest.mark.slow
def test_an_agent_that_crashes_is_told_with_its_last_words(tmp_path: Path, models: ModelServer) -> None:
    exit_code, checks, data = verified(CRASHES, tmp_path, models)
    assert (exit_code, data["verdict"]) == (6, "could not tell")
    assert checks["agent"]["verdict"] == "unknown"
    assert checks["agent"]["evidence"][-1] == "the hull broke"
    assert checks["model calls"]["verdict"] == "pass"


def test_an_agent_that_does_not_end_is_stopped(tmp_path: Path, models: ModelServer) -> None:
    flags = ("--runs", "0", "--timeout", "3")
    exit_code, checks, _ = verified("import time\ntime.sleep(600)\n", tmp_path, models, *flags)
    assert exit_code == 6
    assert checks["agent"]["says"] == "it did not end in time"


def test_the_tool_to_fail_can_be_named_and_people_get_a_table(tmp_path: Path, models: ModelServer) -> None:
    (tmp_path / "agent.py").write_text(GOOD)
    environment = clean_environment(tmp_path, OPENAI_BASE_URL=models.openai_url)
    words = ("verify", "--human", "--runs", "0", "--fail-tool", "get_tide", "--", "python", "agent.py")
    done = pilothouse(*words, environment=environment, folder=tmp_path)
    assert done.returncode == 6
    assert "raw error" in done.stdout
    assert "no tool call could be made to fail" in done.stdout
    assert done.stdout.rstrip().endswith("could not tell")
    assert "running the agent, recorded" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("verify", "--", "no-such-command-here"), "there is no such command"),
        (("verify", "--runs", "-1", "--", "python"), "--runs is a number of pairs"),
        (("verify", "--model-env", "NOT_SET_ANYWHERE", "--", "python"), "this variable is not set"),
        (("verify", "python"), "-- is missing"),
    ],
)
def test_a_wrong_call_says_what_is_right(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = pilothouse(*words, environment=clean_environment(tmp_path), folder=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
