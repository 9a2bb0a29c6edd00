"""Retries, breakers, fallbacks and rate limits of calls through the gateway, with time held in the test's hands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pilothouse.survival import FakeTimer

from .chaos import Chaos
from .harness import KEY, Running, running_gateway

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

QUESTION = [{"role": "user", "content": "hello?"}]


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with Chaos() as upstream:
        yield upstream


class Setup:
    """A gateway whose time only passes when somebody waits."""

    def __init__(self, running: Running, rules: dict[str, Any], timer: FakeTimer, chaos: Chaos) -> None:
        self.running, self.rules, self.timer, self.chaos = running, rules, timer, chaos
        self.client = httpx.Client(limits=httpx.Limits(max_connections=100))

    def survival(self, **section: Any) -> None:
        self.rules.clear()
        self.rules["survival"] = section

    def post(self, model: str, path: str = "openai/v1/chat/completions", **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        body = {"model": model, "messages": QUESTION, **more}
        url = f"{self.running.url}/gateway/{path}"
        return self.client.post(url, json=body, headers={"authorization": f"Bearer {KEY}", **headers}, timeout=20)

    @property
    def asked(self) -> list[str]:
        return [json.loads(seen.body)["model"] for seen in self.chaos.seen]


@pytest.fixture(scope="module")
def module_setup(chaos: Chaos) -> Iterator[Setup]:
    rules: dict[str, Any] = {}
    timer = FakeTimer()
    upstreams = {
        "chaos": {"wire": "openai", "url": chaos.url},
        "messages": {"wire": "anthropic", "url": chaos.url},
        "gone": {"wire": "openai", "url": "http://127.0.0.1:9/v1"},
    }
    with running_gateway({"upstreams": upstreams}, rules=rules, timer=timer) as running:
        yield Setup(running, rules, timer, chaos)


@pytest.fixture
def setup(module_setup: Setup) -> Setup:
    module_setup.running.forget()
    module_setup.chaos.seen.clear()
    module_setup.timer.waits.clear()
    module_setup.chaos.good_after = 0
    # Another section each time: breakers start anew.
    module_setup.rules.clear()
    module_setup.post("good")
    module_setup.running.forget()
    module_setup.chaos.seen.clear()
    return module_setup


def test_without_a_section_a_call_is_made_once(setup: Setup) -> None:
    assert setup.post("broken").status_code == 500
    assert setup.asked == ["broken"]


def test_a_passing_failure_is_tried_again_after_one_then_two_seconds(setup: Setup) -> None:
    setup.survival(retries={"tries": 5})
    setup.chaos.good_after = 2
    answer = setup.post("flaky")
    assert (answer.status_code, setup.asked) == (200, ["flaky"] * 3)
    assert [int(wait) for wait in setup.timer.waits] == [1, 2]
    (raw,) = setup.running.raw()
    assert raw.attributes["pilothouse.gateway.attempts"] == 3
    assert [line.split(":")[0] for line in raw.attributes["pilothouse.gateway.tried"]] == ["chaos/flaky"] * 2
    assert raw.status_code != 2


def test_retry_after_is_honoured(setup: Setup) -> None:
    setup.survival(retries={"tries": 2})
    answer = setup.post("limited")
    assert answer.status_code == 429
    (wait,) = setup.timer.waits
    assert 7 <= wait <= 7.5


def test_after_the_last_try_the_providers_own_error_comes_with_the_word_not_to_try_again(setup: Setup) -> None:
    setup.survival(retries={"tries": 5, "total_s": 60})
    answer = setup.post("broken")
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "The server had an error")
    assert answer.headers["x-should-retry"] == "false"
    assert setup.asked == ["broken"] * 5
    assert 15 <= sum(setup.timer.waits) <= 17
    client = openai.OpenAI(base_url=setup.running.openai_url, api_key=KEY, max_retries=3)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="broken", messages=QUESTION)
    assert len(setup.asked) == 10, "the library does not multiply the tries"


def test_an_error_of_the_request_itself_is_not_tried_again(setup: Setup) -> None:
    setup.survival(fallbacks={"default": [{"model": "wrong"}, {"model": "good"}]})
    assert setup.post("wrong").status_code == 400
    assert setup.asked == ["wrong"]


def test_a_stream_that_has_begun_is_not_tried_again(setup: Setup) -> None:
    setup.survival(retries={"tries": 5})
    answer = setup.post("half", stream=True)
    assert b"broke its answer off" in answer.content
    assert setup.asked == ["half"]


def test_another_model_stands_in_and_the_answer_says_so(setup: Setup) -> None:
    chain = [{"model": "broken"}, {"model": "good", "on": ["unavailable"]}]
    setup.survival(retries={"tries_before_fallback": 2}, fallbacks={"default": chain})
    answer = setup.post("broken")
    assert (answer.status_code, setup.asked) == (200, ["broken", "broken", "good"])
    assert answer.headers["x-pilothouse-stood-in"] == "good"
    (raw,) = setup.running.raw()
    assert raw.attributes["gen_ai.request.model"] == "good"
    assert raw.attributes["pilothouse.gateway.asked_model"] == "broken"
    assert len(raw.attributes["pilothouse.gateway.tried"]) == 2


def test_a_chain_per_task_is_named_by_a_header(setup: Setup) -> None:
    chains = {"default": [{"model": "broken"}, {"template": "no"}], "triage": [{"model": "broken"}, {"model": "good"}]}
    setup.survival(retries={"tries_before_fallback": 1}, fallbacks=chains)
    answer = setup.post("broken", headers={"x-pilothouse-task": "triage"})
    assert answer.json()["choices"][0]["message"]["content"] == "hello"


def test_an_upstream_that_is_gone_is_stood_in_for_by_another(setup: Setup) -> None:
    chain = [{"model": "any", "upstream": "gone"}, {"model": "good", "upstream": "chaos"}]
    setup.survival(retries={"tries_before_fallback": 1}, fallbacks={"default": chain})
    assert setup.post("any").status_code == 200


def test_a_model_of_another_wire_format_is_passed_over(setup: Setup) -> None:
    chain = [{"model": "broken"}, {"model": "claude", "upstream": "messages"}, {"model": "good"}]
    setup.survival(retries={"tries_before_fallback": 1}, fallbacks={"default": chain})
    assert setup.post("broken").status_code == 200
    assert setup.asked == ["broken", "good"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_of_the_policy_is_read_by_the_genuine_libraries(setup: Setup, stream: bool) -> None:
    chain = [{"model": "broken"}, {"template": "A person will answer you.", "on": ["unavailable"]}]
    setup.survival(retries={"tries": 1}, fallbacks={"default": chain})
    one = openai.OpenAI(base_url=setup.running.openai_url, api_key=KEY, max_retries=0)
    two = anthropic.Anthropic(base_url=setup.running.anthropic_url, api_key=KEY, max_retries=0)
    chat = one.chat.completions.create(model="broken", messages=QUESTION, stream=stream)
    response = one.responses.create(model="broken", input="hello?", stream=stream)
    if stream:
        texts = ["".join(piece.choices[0].delta.content or "" for piece in chat)]
        texts.append(next(event.response for event in response if event.type == "response.completed").output_text)
        with two.messages.stream(model="broken", max_tokens=9, messages=QUESTION) as message:
            texts.append(message.get_final_text())
    else:
        texts = [chat.choices[0].message.content, response.output_text]
        texts.append(two.messages.create(model="broken", max_tokens=9, messages=QUESTION).content[0].text)
    assert texts == ["A person will answer you."] * 3
    for reading, raw in zip(setup.running.readings(3), setup.running.raw(3), strict=True):
        assert reading.output[0].text == "A person will answer you."
        assert raw.attributes["pilothouse.gateway.stood_in"] == "template"


def test_the_answer_of_the_same_request_is_given_again_and_of_no_other(setup: Setup) -> None:
    chain = [{"model": "flaky"}, {"cached": True}]
    setup.survival(retries={"tries": 1}, fallbacks={"default": chain})
    first = setup.post("flaky")
    setup.chaos.good_after = 1_000
    again = setup.post("flaky")
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["x-pilothouse-stood-in"] == "cached"
    assert setup.post("flaky", temperature=1).status_code == 503
    assert setup.post("flaky", headers={"x-pilothouse-user": "somebody else"}).status_code == 503


def test_a_breaker_opens_and_a_probe_closes_it(setup: Setup) -> None:
    setup.survival(retries={"tries": 1}, breakers={"calls_min": 3, "open_s": 30})
    setup.chaos.good_after = 3
    statuses = [setup.post("flaky").status_code for _ in range(5)]
    assert statuses == [503] * 5
    assert len(setup.asked) == 3, "an open breaker lets nothing through"
    assert setup.post("good").status_code == 200, "another model has its own"
    setup.timer.pass_s(31)
    assert [setup.post("flaky").status_code for _ in range(2)] == [200, 200]


def test_64_agents_do_not_come_back_in_step(setup: Setup) -> None:
    setup.survival(retries={"tries": 2, "total_s": 50_000}, breakers={"calls_min": 10_000})
    with ThreadPoolExecutor(64) as threads:
        statuses = list(threads.map(lambda _: setup.post("broken").status_code, range(64)))
    assert statuses == [500] * 64
    waits = sorted(setup.timer.waits)
    assert len(waits) == 64 and waits[0] >= 1.0 and waits[-1] <= 1.5
    bins = [sum(1.0 + n * 0.05 <= wait < 1.05 + n * 0.05 for wait in waits) for n in range(10)]
    # 6.4 in each of ten windows of 50 ms are to be expected.
    assert waits[-1] - waits[0] > 0.3 and max(bins) <= 24, bins


def test_a_limit_per_user_is_told_with_its_waiting_time_and_holds_for_nobody_else(setup: Setup) -> None:
    setup.rules["limits"] = {"slow": {"per": "user", "requests_per_minute": 2}}
    ada, grace = {"x-pilothouse-user": "ada"}, {"x-pilothouse-user": "grace"}
    assert setup.post("good", headers=ada).status_code == 200
    refused = setup.post("good", headers=ada)
    assert refused.status_code == 429 and 1 <= int(refused.headers["retry-after"]) <= 30
    assert setup.post("good", headers=grace).status_code == 200
    setup.timer.pass_s(30)
    assert setup.post("good", headers=ada).status_code == 200
    assert [reading.error_type for reading in setup.running.readings(4)].count("overloaded") == 1
