"""What is written is what the generated OTLP classes read, with ids that stay the same."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pilothouse.imports.encode import VALUE_CHARS_MAX, Labels, request, score, span
from pilothouse.imports.said import Conversation, said_text
from pilothouse.imports.trajectory import Scored, Step, Tokens

LABELS = Labels(format="atif", tags=("nightly",))


def step(**changes: Any) -> Step:
    told: dict[str, Any] = {"trace": "t", "id": "1", "kind": "model", "start_ns": 5, "end_ns": 9, **changes}
    return Step(**told)


def decoded(*steps: Step, labels: Labels = LABELS) -> list[Any]:
    body = request("svc", [span(one, labels) for one in steps])
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert resource.resource.attributes[0].value.string_value == "svc"
    assert resource.scope_spans[0].scope.name == "pilothouse"
    return list(resource.scope_spans[0].spans)


def attributes(one: Any) -> dict[str, Any]:
    return {pair.key: pair.value for pair in one.attributes}


def test_a_span_has_its_times_names_and_counts() -> None:
    tokens = Tokens(input=100, cache_read=60, cache_write=30, cache_write_1h=10, output=7, reasoning=2)
    (one,) = decoded(
        step(model="m", input=(said_text("user", "hé\ud800"),), tokens=tokens, cost_usd=0.5, tags=("own",))
    )
    told = attributes(one)
    assert (one.name, one.kind, one.start_time_unix_nano, one.end_time_unix_nano) == ("chat m", 3, 5, 9)
    assert told["gen_ai.input.messages"].string_value == '[{"role":"user","parts":[{"type":"text","content":"hé?"}]}]'
    assert told["gen_ai.usage.input_tokens"].int_value == 100
    assert told["gen_ai.usage.cache_write.input_tokens"].int_value == 30
    assert told["gen_ai.usage.cache_write.input_tokens.ephemeral_1h"].int_value == 10
    assert told["gen_ai.usage.reasoning.output_tokens"].int_value == 2
    assert told["gen_ai.usage.cost"].double_value == 0.5
    assert [value.string_value for value in told["tag.tags"].array_value.values] == ["own", "nightly"]


def test_a_long_conversation_is_one_attribute() -> None:
    talk = Conversation()
    for number in range(500):
        talk.add(said_text("user", f"{number} " + "x" * 1_000))
    (one,) = decoded(step(input=talk.now()))
    text = attributes(one)["gen_ai.input.messages"].string_value
    assert text.startswith('[{"role"') and text.endswith("}]}]") and len(text) > 500_000


def test_ids_come_from_the_sources_own() -> None:
    parent, child = decoded(step(id="agent", kind="agent"), step(id="1", parent="agent"))
    assert child.parent_span_id == parent.span_id and parent.parent_span_id == b""
    assert (child.trace_id, child.span_id) == (decoded(step())[0].trace_id, decoded(step())[0].span_id)
    assert decoded(step(), labels=Labels(format="codex"))[0].trace_id != child.trace_id


def test_a_failure_and_a_soft_one_differ() -> None:
    hard, soft = decoded(
        step(error="529: overloaded", error_type="overloaded"), step(kind="tool", tool="f", tool_error="no")
    )
    assert (hard.status.code, hard.status.message) == (2, "529: overloaded")
    assert soft.status.code == 0
    assert attributes(soft)["pilothouse.tool.error"].string_value == "no"


def test_what_is_said_of_all_comes_first() -> None:
    labels = Labels(format="atif", session="one", agent="mine", user="u")
    root, child = decoded(step(agent="theirs", session="s"), step(agent="sub", agent_id="x"), labels=labels)
    assert attributes(root)["gen_ai.agent.name"].string_value == "mine"
    assert attributes(root)["session.id"].string_value == "one"
    assert attributes(child)["gen_ai.agent.name"].string_value == "sub"
    assert attributes(child)["user.id"].string_value == "u"


def test_a_huge_value_keeps_its_beginning() -> None:
    (one,) = decoded(step(kind="tool", output_value="x" * (VALUE_CHARS_MAX + 9)))
    assert attributes(one)["gen_ai.tool.call.result"].string_value.endswith("… [9 characters left out by the import]")


def test_a_score_is_an_evaluation_of_its_step() -> None:
    made = Scored(trace="t", step="1", name="reward", value=0.5, label="half", source="judge", time_ns=7)
    body = request("svc", [score(made, LABELS)])
    record = ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records[0]
    (one,) = decoded(step())
    assert (record.event_name, record.time_unix_nano) == ("gen_ai.evaluation.result", 7)
    assert (record.trace_id, record.span_id) == (one.trace_id, one.span_id)
    assert attributes(record)["gen_ai.evaluation.score.value"].double_value == 0.5


def test_a_conversation_beyond_its_bound_keeps_instructions_and_the_newest() -> None:
    talk = Conversation(10_000)
    talk.add(said_text("system", "rules"))
    for number in range(100):
        talk.add(said_text("user", f"{number} " + "x" * 500))
    kept = talk.now()
    assert b"rules" in kept[0] and b'"99 ' in kept[-1]
    assert sum(map(len, kept)) <= 10_000 and talk.left_out + len(kept) == 101


def test_going_back_forgets_what_came_after() -> None:
    talk = Conversation()
    for number in range(4):
        talk.add(said_text("user", str(number)))
    talk.go_back(2)
    assert len(talk) == 2
    talk.go_back(9)
    assert len(talk) == 2
