"""The runtime's tools over MCP with the SDK's own client: without a server over stdio."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from tests.live import LiveServer

from .conftest import environment_of, key_of, over_http, over_stdio


def test_an_agent_plans_and_looks_into_files_without_any_server(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "orders.csv").write_text("id,state\n" + "".join(f"{n},paid\n" for n in range(5_000)) + "5000,declined\n")
    environment = environment_of(PILOTHOUSE_DATA=str(tmp_path / "data"))

    async def first() -> None:
        async with over_stdio(environment, work, "--tools", "runtime", "--plan", "orders") as talk:
            assert talk.hello.server_info.name == "pilothouse-runtime"
            assert "todo_write" in (talk.hello.instructions or "")
            listed = (await talk.session.list_tools()).tools
            assert len(listed) == 9
            assert sum(len(tool.model_dump_json(exclude_none=True)) for tool in listed) < 5_000
            await talk.call("todo_write", tasks=["find it"], request="Which order was declined?")
            kept = await talk.call("keep", file="orders.csv")
            assert "orders.csv is kept as data_" in kept.text
            id = next(word for word in kept.text.split() if word.startswith("data_"))
            found = await talk.call("jq", id=id, program='.[] | select(.state == "declined") | .id')
            assert found.text == '"5000"'
            assert (await talk.call("keep", file="../data/runtime/plans.db")).result.is_error

    async def second() -> None:
        # Another process: the plan is where it was.
        async with over_stdio(environment, work, "--tools", "runtime", "--plan", "orders") as talk:
            refused = await talk.call("finish")
            assert refused.error["kind"] == "open_tasks"
            assert [task["text"] for task in refused.error["got"]] == ["find it"]
            await talk.call("todo_update", id="1", state="completed", note="5000")
            assert "Finished" in (await talk.call("finish")).text

    anyio.run(first)
    anyio.run(second)


@pytest.mark.parametrize("client", ["claude", "codex", "cursor", "vscode"])
def test_what_to_paste_starts_it(tmp_path: Path, client: str) -> None:
    import tomllib

    from .test_command import run

    environment = environment_of(PILOTHOUSE_DATA=str(tmp_path))
    code, out, err = run(environment, "mcp", "--print-config", client, "--tools", "runtime")
    assert code == 0, err
    found = tomllib.loads(out) if client == "codex" else json.loads(out)
    (entry,) = [made["pilothouse-runtime"] for made in found.values()]
    assert (entry["command"], entry["args"]) == ("pilothouse", ["mcp", "--tools", "runtime"])


def test_a_plan_belongs_to_the_runtime_s_tools(tmp_path: Path) -> None:
    from .test_command import run

    code, _, err = run(environment_of(PILOTHOUSE_DATA=str(tmp_path)), "mcp", "--plan", "x")
    assert (code, json.loads(err)["error"]["kind"]) == (2, "bad_request")


def test_the_same_tools_stand_at_the_server_s_address(mcp_server: LiveServer) -> None:
    plan = f"{mcp_server.url}/runtime/mcp?plan=http-plan"

    async def within() -> None:
        async with over_http(plan, key_of(mcp_server, "annotate")) as talk:
            assert len((await talk.session.list_tools()).tools) == 9
            await talk.call("todo_write", tasks=["count"], request="How many traces?")
            refused = await talk.call("finish")
            assert refused.error["kind"] == "open_tasks"
            found = await talk.call("jq", id="data://groups?by=agent&since=30d", program="map(.traces) | add")
            assert not found.result.is_error and int(found.text.splitlines()[0]) > 5
        async with over_http(f"{mcp_server.url}/runtime/mcp", key_of(mcp_server, "annotate")) as talk:
            assert "which plan" in (await talk.call("todo_read")).text
            assert "1. count" in (await talk.call("todo_read", plan="http-plan")).text
            assert (await talk.call("keep", file="/etc/passwd")).result.is_error
        async with over_http(plan, key_of(mcp_server, "read")) as talk:
            assert "annotate" in (await talk.call("todo_read")).error["fix"]

    anyio.run(within)


def test_over_stdio_the_recorded_is_looked_into_by_way_of_the_server(mcp_server: LiveServer, tmp_path: Path) -> None:
    async def within() -> None:
        async with over_stdio(mcp_server.environment, tmp_path, "--tools", "runtime") as talk:
            found = await talk.call("jq", id="data://traces?since=30d", program="map(.agent) | unique | length")
            assert not found.result.is_error and int(found.text.splitlines()[0]) > 0
            missing = await talk.call("jq", id="data://traces?filter=agnt:x", program=".")
            assert missing.result.is_error and "agent" in missing.text

    anyio.run(within)
