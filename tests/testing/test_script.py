"""Scripts: which rule answers, what a rule may say, and what a wrong script is told."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pilothouse.testing import Fault, Latency, ModelRequest, ModelServer, Reply, Rule, Script, ScriptError, ToolCall
from pilothouse.testing.answering import ScriptedModel
from pilothouse.testing.exchange import Segment, ToolResult, Turn


def request(*turns: Turn, model: str = "gpt-4o", system: str = "") -> ModelRequest:
    segments = tuple(Segment(text=turn.text) for turn in turns)
    return ModelRequest(
        wire="openai-chat", model=model, stream=False, system=system, turns=turns, tools=(), segments=segments
    )


def user(text: str) -> Turn:
    return Turn(role="user", text=text)


def tool(name: str, text: str) -> Turn:
    return Turn(role="tool", results=(ToolResult(call_id="1", name=name, text=text),))


def said(model: ScriptedModel, asked: ModelRequest) -> str:
    answer = model.outcome(asked).answer
    return answer.text if answer else ""


def scripted(*rules: Rule, **options) -> ScriptedModel:
    return ScriptedModel(Script(rules=rules, **options), seed=1)


def test_the_first_rule_whose_conditions_all_hold_answers() -> None:
    model = scripted(
        Rule(model="claude*", reply=Reply(text="wrong model")),
        Rule(user="weather", system="concierge", reply=Reply(text="both")),
        Rule(user="WEATHER", reply=Reply(text="case does not matter")),
    )
    assert said(model, request(user("the weather?"), system="You are the concierge")) == "both"
    assert said(model, request(user("the weather?"))) == "case does not matter"


def test_a_rule_can_wait_for_a_tool_and_quote_its_result() -> None:
    model = scripted(
        Rule(after_tool="", user="weather", reply=Reply(text="asking")),
        Rule(after_tool="get_*", result="sunny", reply=Reply(text="{result} as {user} wished")),
    )
    asked = user("weather")
    assert said(model, request(asked)) == "asking"
    assert said(model, request(asked, tool("get_weather", "sunny"))) == "sunny as weather wished"


def test_skip_and_times_count_in_each_conversation() -> None:
    model = scripted(
        Rule(skip=1, times=2, reply=Reply(text="now")),
        Rule(reply=Reply(text="otherwise")),
    )
    one = [said(model, request(user("one"))) for _ in range(4)]
    two = [said(model, request(user("two"))) for _ in range(2)]
    assert one == ["otherwise", "now", "now", "otherwise"]
    assert two == ["otherwise", "now"]


def test_a_refused_call_does_not_warm_the_cache() -> None:
    model = scripted(Rule(times=1, reply=Reply(fault=Fault(status=500))), cache_tokens_min=32)
    asked = request(user("word " * 400))
    assert model.outcome(asked).answer is None
    second = model.outcome(asked).answer
    third = model.outcome(asked).answer
    assert second and third
    assert second.usage.cache_read_tokens == 0
    assert third.usage.cache_read_tokens > 0


def test_delays_follow_the_seed_and_spread_around_the_median() -> None:
    script = Script(latency=Latency(median_s=0.1, spread=0.5), latencies={"slow*": Latency(median_s=9.0)})
    delays = [ScriptedModel(script, seed=1).outcome(request(user(str(n)))).delay_s for n in range(200)]
    assert delays == [ScriptedModel(script, seed=1).outcome(request(user(str(n)))).delay_s for n in range(200)]
    assert 0.08 < sorted(delays)[100] < 0.125
    assert max(delays) > 2 * min(delays)
    assert ScriptedModel(script, seed=1).outcome(request(user("x"), model="slow-1")).delay_s == 9.0


def test_the_server_waits_before_the_first_piece_and_between_pieces() -> None:
    waits: list[float] = []
    script = Script(rules=(Rule(reply=Reply(text="x" * 40)),), latency=Latency(median_s=2.0, piece_s=0.5))
    with ModelServer(script, sleep=waits.append) as server:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        data = json.dumps(body).encode()
        asked = urllib.request.Request(f"{server.openai_url}/chat/completions", data=data)
        with urllib.request.urlopen(asked, timeout=10) as response:
            events = response.read().count(b"data: ")
    assert waits == [2.0] + [0.5] * (events - 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rule": []}, "Script has no field rule; it has"),
        ({"rules": [{"user": "x"}]}, "Rule needs the field reply"),
        ({"rules": [{"reply": {"texts": "x"}}]}, "Reply has no field texts"),
        ({"rules": [{"reply": {"calls": [{"arguments": {}}]}}]}, "ToolCall needs the field name"),
        ({"rules": [{"user": "(", "reply": {"text": "x"}}]}, "'\\(' is not a regular expression"),
    ],
)
def test_a_wrong_script_is_told_what_is_wrong(data: dict, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        Script.from_data(data)


def test_a_script_can_be_a_file_of_json(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(
        json.dumps(
            {
                "rules": [{"reply": {"text": "Yes.", "usage": {"input_tokens": 3, "output_tokens": 1}}}],
                "latency": {"median_s": 0.0},
                "latencies": {"slow*": {"median_s": 1.0}},
            }
        )
    )
    script = Script.from_file(path)
    assert script.rules[0].reply.text == "Yes."
    assert script.latency_of("slow-1").median_s == 1.0
    path.write_text("rules:")
    with pytest.raises(ScriptError, match="is not JSON"):
        Script.from_file(path)


def test_the_module_serves_from_the_command_line() -> None:
    command = [sys.executable, "-m", "pilothouse.testing.model_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            name, address = process.stdout.readline().split()
            with urllib.request.urlopen(f"{address.removesuffix('/v1')}/healthz", timeout=10) as response:
                assert json.loads(response.read()) == {"status": "ok"}
        finally:
            process.terminate()
    assert name == "openai_url"


def test_the_package_needs_nothing_but_the_base_install() -> None:
    code = (
        "import sys, pilothouse.testing;"
        "print([name for name in ('fastapi', 'pydantic', 'google.protobuf', 'opentelemetry') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"{}", 400),
        ("/v1/chat/completions", b'{"model": "x", "messages": [{"role": "robot"}]}', 400),
        ("/v1/messages", b'{"model": "x", "messages": [{"role": "user", "content": "x"}]}', 400),
        ("/v1/responses", b'{"model": "x", "input": "y", "previous_response_id": "resp_0"}', 400),
        ("/v1/chat/completions", b"[" * 100_000, 400),
        ("/v1/nothing", b"{}", 404),
    ],
)
def test_a_bad_request_is_answered_and_does_not_break_the_server(path: str, body: bytes, status: int) -> None:
    with ModelServer() as server:
        asked = urllib.request.Request(server.address + path, data=body)
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(asked, timeout=10)
        assert raised.value.code == status
        assert json.loads(raised.value.read())["error"]["message"]
        with urllib.request.urlopen(f"{server.address}/healthz", timeout=10) as response:
            assert response.status == 200


def test_what_was_seen_anywhere_goes_into_texts_and_arguments() -> None:
    call = ToolCall(name="jq", arguments={"id": "{match}", "programs": [".a == {match2}", 7], "user": "{user}"})
    model = scripted(
        Rule(seen=r"(data_\d+) of (\w+)", reply=Reply(text="{match} and {match2}", calls=(call,))),
        Rule(seen="whole", reply=Reply(text="all of it: {match}")),
        Rule(reply=Reply(text="nothing: {match}")),
    )
    answer = model.outcome(request(user("data_1 of a, then data_2 of b."), user("go on"))).answer
    assert answer is not None and answer.text == "data_2 and b"
    assert answer.calls[0].arguments == {"id": "data_2", "programs": [".a == b", 7], "user": "{user}"}
    assert said(model, request(user("the WHOLE thing"))) == "all of it: WHOLE"
    assert said(model, request(user("?"))) == "nothing: {match}"
