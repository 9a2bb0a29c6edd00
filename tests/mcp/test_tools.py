"""Every tool, by the genuine client over stdio and HTTP: what a user sees is the same over both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from mcp import MCPError, types

from pilothouse.evals.sending import batches, head_of, run_id
from pilothouse.evals.settings import Gate
from pilothouse.mcp.server import INSTRUCTIONS, tools
from tests.live import LiveServer
from tests.results.support import make_run

from .conftest import Talk, Work, environment_of, key_of, over_http, over_stdio

Talking = Callable[[Work], None]
CLAUDE = "44e3983d2d21"
"""A trace among the captured traffic."""


def test_the_list_of_tools_is_short() -> None:
    sent = types.ListToolsResult(tools=tools()).model_dump_json(by_alias=True, exclude_none=True)
    assert len(sent.encode()) <= 6_000
    assert len(tools()) <= 8
    assert len(INSTRUCTIONS.encode()) <= 1_000


def test_hints_say_what_a_tool_may_do() -> None:
    for tool in tools():
        hints = tool.annotations
        assert hints is not None
        if tool.name == "do":
            assert (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint) == (False, True, False)
        else:
            assert (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint) == (True, None, True)
        assert hints.open_world_hint is False
        assert tool.input_schema["additionalProperties"] is False


def test_a_client_finds_its_way(talk: Talking) -> None:
    async def work(talk: Talk) -> None:
        assert talk.hello.server_info.name == "pilothouse"
        assert talk.hello.instructions == INSTRUCTIONS
        listed = (await talk.session.list_tools()).tools
        assert [tool.name for tool in listed] == [tool.name for tool in tools()]

        found = await talk.call("find", query="agent:concierge status:error", since="1h")
        assert "| trace_id |" in found.text
        assert found.facts["ids"]
        # The suggested call is complete: it can be made as it stands.
        suggested = found.facts["suggested"][0]
        said = await talk.call(suggested["tool"], **suggested["arguments"])
        assert not said.result.is_error or said.error["kind"] == "bad_request"

        card = await talk.call("get", id="last")
        assert "## final answer" in card.text
        assert "pilothouse show" not in card.text
        why = await talk.call("get", id="last-error", as_="why")
        assert "signals:" in why.text

        logs = await talk.call("logs", id="last")
        assert logs.text.startswith("trace 0000")
        schema = await talk.call("sql_schema")
        assert "## spans" in schema.text
        rows = await talk.call("sql", query="SELECT count() AS n FROM traces")
        assert "| n |" in rows.text
        assert rows.facts == {"rows": 1, "more": False}
        compared = await talk.call("compare", a="last", b="last-error")
        assert compared.text.startswith("# compare")
        listed_actions = await talk.call("do")
        assert listed_actions.text.startswith("# actions")

    talk(work)


@pytest.mark.parametrize("kind", ["traces", "sessions", "signals", "live", "fleet", "logs"])
def test_every_kind_is_found(talk: Talking, kind: str) -> None:
    async def work(talk: Talk) -> None:
        said = await talk.call("find", kind=kind)
        assert not said.result.is_error, said.text

    talk(work)


@pytest.mark.parametrize(
    "form",
    [
        "card",
        "tree",
        "transcript",
        "json",
        "why",
        "decision",
        "context",
        "states",
        "plan",
        "graph",
        "breakdown",
        "path",
        "cost",
        "link",
    ],
)
def test_every_form_of_a_trace(mcp_server: LiveServer, form: str) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
            said = await talk.call("get", id="last", as_=form)
            assert not said.result.is_error, said.text
            assert said.text
            if form == "link":
                assert said.text.startswith(f"{mcp_server.url}/traces/0000")

    anyio.run(work)


@pytest.mark.parametrize(
    "id",
    [
        "overview",
        "cost",
        "map",
        "doctor",
        "stats",
        "levels",
        "budgets",
        "policy",
        "gateway",
        "cache",
        "guards",
        "switches",
        "online",
        "session:session-7",
        "help",
        "docs:filters",
    ],
)
def test_what_has_no_trace_id_is_got_by_name(mcp_server: LiveServer, id: str) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
            said = await talk.call("get", id=id)
            assert not said.result.is_error, said.text
            for form in ("audit", "level"):
                assert not (await talk.call("get", id="agent:concierge", as_=form)).result.is_error

    anyio.run(work)


def test_lists_carry_no_content_unless_asked(talk: Talking) -> None:
    async def work(talk: Talk) -> None:
        for kind, said in (("traces", "refuse this"), ("signals", "refuse this"), ("sessions", "there?")):
            assert said not in (await talk.call("find", kind=kind)).text
            assert said in (await talk.call("find", kind=kind, content=True)).text

    talk(work)


def test_pages_go_on_with_their_cursor(talk: Talking) -> None:
    async def work(talk: Talk) -> None:
        first = await talk.call("find", limit=3)
        second = await talk.call("find", limit=3, cursor=first.facts["cursor"])
        assert not set(first.facts["ids"]) & set(second.facts["ids"])
        assert "more: find {" in first.text

    talk(work)


def test_pull_writes_beside_a_local_server_only(mcp_server: LiveServer, tmp_path: Path) -> None:
    async def work() -> None:
        async with over_stdio(mcp_server.environment, tmp_path) as talk:
            said = await talk.call("pull", what="last")
            assert not said.result.is_error, said.text
            folder = Path(said.facts["folder"])
            assert folder.is_relative_to(tmp_path)
            assert (folder / "index.db").is_file()
            assert "# Export of trace" in said.text
            for outside in ("../up", "/etc/x", "--fresh"):
                assert (await talk.call("pull", what="last", folder=outside)).error["got"] == outside
            assert (await talk.call("pull", what="nowhere-to-be-found")).error["kind"] == "not_found"
        async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
            said = await talk.call("pull", what="status:error; rm -rf /", since="1h")
            assert "    pilothouse pull 'status:error; rm -rf /' --since 1h" in said.text

    anyio.run(work)


def test_prompts(talk: Talking) -> None:
    async def work(talk: Talk) -> None:
        names = [prompt.name for prompt in (await talk.session.list_prompts()).prompts]
        assert names == ["debug-trace", "triage-window"]
        for name in names:
            given = await talk.session.get_prompt(name)
            assert isinstance(given.messages[0].content, types.TextContent)
        with pytest.raises(MCPError, match="no such prompt"):
            await talk.session.get_prompt("nothing")
        with pytest.raises(MCPError, match="quotation"):
            await talk.session.get_prompt("debug-trace", {"id": 'x"} do {"action": "undo'})

    talk(work)


def test_structured_content_only_where_it_is_asked_for(mcp_server: LiveServer, tmp_path: Path) -> None:
    # Clients that get it show a model nothing else: the text would be lost.
    async def work() -> None:
        url = f"{mcp_server.url}/mcp"
        async with over_http(url, mcp_server.key) as talk:
            assert (await talk.call("find")).result.structured_content is None
        async with over_http(f"{url}?structured=1", mcp_server.key) as talk:
            said = await talk.call("find")
            assert said.result.structured_content is not None
            assert said.result.structured_content["ids"]
        async with over_stdio(mcp_server.environment, tmp_path, "--structured") as talk:
            assert (await talk.call("find")).result.structured_content is not None

    anyio.run(work)


@pytest.mark.parametrize(
    ("tool", "arguments", "kind", "got"),
    [
        ("find", {"kind": "tracs"}, "bad_request", "tracs"),
        ("find", {"query": "status:eror:x >"}, "bad_request", None),
        ("find", {"limit": "many"}, "bad_request", "many"),
        ("find", {"colour": "red"}, "bad_request", "colour"),
        ("find", {"budget": 3}, "bad_request", 3),
        ("find", {"since": "yesterday-ish"}, "bad_request", "yesterday-ish"),
        ("get", {}, "bad_request", None),
        ("get", {"id": "f" * 31}, "not_found", "f" * 31),
        ("get", {"id": "last", "as": "poem"}, "bad_request", "poem"),
        ("get", {"id": "last", "step": "9999"}, "not_found", "9999"),
        ("get", {"id": "last", "step": "1", "field": "soul"}, "bad_request", "soul"),
        ("get", {"id": "skill:nothing"}, "not_found", "skill:nothing"),
        ("sql", {"query": "DROP TABLE spans"}, "bad_request", None),
        ("sql_schema", {"view": "nothing"}, "bad_request", "nothing"),
        ("compare", {"a": "last", "b": "zzzz"}, "not_found", "zzzz"),
        ("logs", {"level": "loud"}, "bad_request", "loud"),
        ("do", {"action": "explode"}, "bad_request", "explode"),
        ("nothing", {}, "bad_request", "nothing"),
    ],
)
def test_a_wrong_call_is_answered_in_our_shape(
    mcp_server: LiveServer, tool: str, arguments: dict[str, object], kind: str, got: object
) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
            error = (await talk.call(tool, **arguments)).error
            assert error["kind"] == kind
            assert error["message"]
            if got is not None:
                assert error["got"] == got
            if isinstance(error.get("fix"), dict):
                assert set(error["fix"]) == {"tool", "arguments"}

    anyio.run(work)


def test_keys_of_each_mode(mcp_server: LiveServer) -> None:
    async def work() -> None:
        url = f"{mcp_server.url}/mcp"
        async with over_http(url, key_of(mcp_server, "read")) as talk:
            assert not (await talk.call("find")).result.is_error
            assert not (await talk.call("do")).result.is_error
            refused = (await talk.call("do", action="reprocess", arguments={"since": "1h"})).error
            assert (refused["kind"], refused["got"]) == ("forbidden", "read")
        async with over_http(url, mcp_server.key) as talk:
            dry = await talk.call("do", action="reprocess", arguments={"since": "1h"}, dry_run=True)
            assert dry.text.startswith("# reprocess: would do")

    anyio.run(work)


def test_a_server_that_is_away_is_an_answer(tmp_path: Path) -> None:
    async def work() -> None:
        away = environment_of(
            PILOTHOUSE_URL="http://127.0.0.1:9", PILOTHOUSE_API_KEY="ph_x", PILOTHOUSE_DATA=str(tmp_path)
        )
        async with over_stdio(away, tmp_path) as talk:
            assert (await talk.call("find")).error["kind"] == "unreachable"
            assert (await talk.call("pull", what="last")).error["kind"] == "unreachable"
            with pytest.raises(MCPError, match="does not answer"):
                await talk.session.read_resource("pilothouse://sql-schema")
        nobody = environment_of(PILOTHOUSE_DATA=str(tmp_path))
        async with over_stdio(nobody, tmp_path) as talk:
            assert (await talk.call("get", id="last")).error["fix"] == "pilothouse up --detach"

    anyio.run(work)


def test_large_values_are_read_page_by_page(talk: Talking) -> None:
    async def work(talk: Talk) -> None:
        templates = (await talk.session.list_resource_templates()).resource_templates
        assert any("{step}" in template.uri_template for template in templates)
        listed = (await talk.session.list_resources()).resources
        for resource in listed:
            assert (await talk.session.read_resource(resource.uri)).contents
        rows = await talk.call(
            "sql",
            query="SELECT trace_id, step FROM spans WHERE kind = 'model' ORDER BY length(input_text) DESC LIMIT 1",
        )
        trace_id, step = (cell.strip() for cell in rows.text.splitlines()[-1].strip("|").split("|"))
        said = await talk.call("get", id=trace_id, step=step, budget=1_500)
        assert said.links, said.text
        uri, pages = said.links[0].uri + "?budget=700", ""
        seen = 0
        while uri:
            text = (await talk.session.read_resource(uri)).contents[0]
            assert isinstance(text, types.TextResourceContents)
            assert len(text.text) <= 700
            marker = text.text.partition("«")[2][:8]
            pages += text.text.split(f"«{marker}\n")[1].split(f"\n{marker}»")[0]
            more = text.text.rpartition("\nmore: ")[2].strip() if "\nmore: " in text.text else ""
            uri = f"{more}&budget=700" if more else ""
            seen += 1
            assert seen < 200
        assert seen > 1
        whole = await talk.session.read_resource(said.links[0].uri + "?budget=200000")
        content = whole.contents[0]
        assert isinstance(content, types.TextResourceContents)
        assert pages in content.text
        with pytest.raises(MCPError, match="no resource has this address"):
            await talk.session.read_resource("pilothouse://trace/last/nothing/at/all/here")
        with pytest.raises(MCPError, match="no address of a resource"):
            await talk.session.read_resource("file:///etc/passwd")

    talk(work)


def test_an_error_is_json_that_programs_read(mcp_server: LiveServer) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
            said = await talk.call("get", id="zzzz")
            assert json.loads(said.text)["error"]["fix"] == {"tool": "find", "arguments": {}}

    anyio.run(work)


def test_two_runs_of_a_suite_are_compared(mcp_server: LiveServer, tmp_path: Path) -> None:
    ids: list[str] = []
    for version, failing in (("v1", ()), ("v2", (3, 4, 5, 6, 7, 8, 9))):
        run = make_run(
            tmp_path / version, version, failing=lambda n, failing=failing: n in failing, started="2026-11-28T08:00:00Z"
        )
        ids.append(run_id(run))
        path = f"/api/v1/evals/runs/{ids[-1]}"
        mcp_server.post(path, head_of(run, gate=Gate()), method="PUT")
        for batch in batches(run):
            mcp_server.post(f"{path}/cases", {"digest": batch.digest, "cases": batch.cases})
        mcp_server.post(f"{path}/finish", {})

    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", key_of(mcp_server, "read")) as talk:
            held = await talk.call("compare", a=ids[0], b=ids[1])
            assert "verdict: fail" in held.text and "case-0007" in held.text, held.text
            assert held.facts["suggested"][0]["tool"] == "compare"
            few = await talk.call("compare", a=ids[0], b=ids[1], limit=2)
            assert "case-0007" not in few.text and '"limit":2000' in few.text, few.text
            assert "pass_rate: 0.825" in (await talk.call("get", id=ids[1])).text
            assert "no refund was made" in (await talk.call("get", id=ids[1], as_="cases")).text
            assert (await talk.call("get", id=ids[1], as_="link")).text.endswith(f"/evals/runs/{ids[1]}")
            assert (await talk.call("compare", a=ids[0], b="evr_none")).error["kind"] == "not_found"

    try:
        anyio.run(work)
    finally:
        # The server is shared, and others count the runs of a suite.
        for id in ids:
            mcp_server.post(f"/api/v1/evals/runs/{id}", {}, method="DELETE")
