"""What writes: notes, scores and labels, tried first, stamped with their run, taken back; and who may."""

from __future__ import annotations

from pathlib import Path

import anyio

from tests.live import LiveServer

from .conftest import key_of, over_http, over_stdio


def test_a_note_is_tried_written_read_and_taken_back(mcp_server: LiveServer) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", key_of(mcp_server, "annotate")) as talk:
            note = {"id": "last", "text": "the refund was never asked for"}
            tried = await talk.call("do", action="note", arguments=note, dry_run=True)
            assert tried.text.startswith("# note: would do"), tried.text
            assert tried.facts["suggested"][0]["arguments"]["arguments"] == note
            assert "never asked" not in (await talk.call("get", id="last", as_="notes")).text

            done = await talk.call("do", action="note", arguments={**note, "run": "mcp-test-run"})
            assert done.text.startswith("# note: done")
            assert "never asked" in (await talk.call("get", id="last", as_="notes")).text
            scored = {"id": "last", "name": "tone", "value": 0.5, "run": "mcp-test-run"}
            assert not (await talk.call("do", action="score", arguments=scored)).result.is_error
            labelled = {"id": "last", "name": "refund", "run": "mcp-test-run"}
            assert not (await talk.call("do", action="label", arguments=labelled)).result.is_error

            undone = await talk.call("do", action="undo", arguments={"run": "mcp-test-run"})
            assert "removed: 3" in undone.text
            assert "never asked" not in (await talk.call("get", id="last", as_="notes")).text

    anyio.run(work)


def test_a_wrong_write_says_what_is_missing(mcp_server: LiveServer) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", mcp_server.key) as talk:
            missing = (await talk.call("do", action="note", arguments={"id": "last"})).error
            assert missing["message"] == "note needs text"
            assert "text" in missing["allowed"]
            unknown = (
                await talk.call("do", action="note", arguments={"id": "last", "text": "x", "colour": "red"})
            ).error
            assert unknown["got"] == "colour"
            nowhere = (await talk.call("do", action="note", arguments={"id": "zzzz", "text": "x"})).error
            assert nowhere["kind"] == "not_found"

    anyio.run(work)


def test_over_stdio_an_agent_reads_unless_it_is_told(mcp_server: LiveServer, tmp_path: Path) -> None:
    async def work() -> None:
        note = {"id": "last", "text": "by an agent"}
        async with over_stdio(mcp_server.environment, tmp_path) as talk:
            assert (await talk.call("do", action="note", arguments=note)).error["kind"] == "forbidden"
        told = {**mcp_server.environment, "PILOTHOUSE_MODE": "annotate"}
        async with over_stdio(told, tmp_path) as talk:
            assert not (await talk.call("do", action="note", arguments=note)).result.is_error
            listed = await talk.call("get", id="last", as_="notes")
            assert "by an agent" in listed.text
            assert "| agent |" in listed.text or "agent" in listed.text

    anyio.run(work)


def test_an_agent_asks_for_approval_and_hears_what_became_of_it(mcp_server: LiveServer) -> None:
    async def work() -> None:
        async with over_http(f"{mcp_server.url}/mcp", key_of(mcp_server, "write")) as talk:
            wanted = {"tool": "sql", "arguments": {"statement": "DELETE FROM carts"}, "rows": 5000, "ask_key": "mcp-1"}
            tried = await talk.call("do", action="request_approval", arguments=wanted, dry_run=True)
            assert tried.text.startswith("# request_approval: would do")
            waits = (await talk.call("do", action="request_approval", arguments=wanted)).error
            assert waits["kind"] == "needs_approval" and "/approvals/apr_" in waits["allowed"]
            assert waits["fix"] == f"pilothouse approvals approve {waits['got']}"
            again = (await talk.call("do", action="request_approval", arguments=wanted)).error
            assert again["got"] == waits["got"]
            shown = await talk.call("do", action="approval", arguments={"approval_id": waits["got"]})
            assert "pending" in shown.text and "DELETE FROM carts" in shown.text
            nobody = await talk.call("do", action="approval", arguments={"approval_id": waits["got"], "answer": "so"})
            assert nobody.error["message"] == "nobody has asked anything"

    anyio.run(work)


def test_an_agent_labels_where_the_queue_names_it(mcp_server: LiveServer) -> None:
    async def work() -> None:
        queue = {"name": "mcp-labels", "question": "Is the answer right?"}
        mcp_server.post("/api/v1/queues", queue)
        mcp_server.post("/api/v1/queues/mcp-labels/items", {"query": "", "sample": 2})
        async with over_http(f"{mcp_server.url}/mcp", key_of(mcp_server, "annotate")) as talk:
            refused = (await talk.call("do", action="queue_next", arguments={"queue": "mcp-labels"})).error
            assert refused["kind"] == "forbidden" and "a person's word" in refused["message"]
            mcp_server.post("/api/v1/queues", {"name": "mcp-labels", "who": [refused["got"]]})

            tried = await talk.call("do", action="queue_next", arguments={"queue": "mcp-labels"}, dry_run=True)
            assert tried.text.startswith("# queue_next: would do")
            shown = await talk.call("do", action="queue_next", arguments={"queue": "mcp-labels"})
            assert "Is the answer right?" in shown.text and "number: 1" in shown.text, shown.text
            assert shown.chars <= 10_000
            item = {"queue": "mcp-labels", "number": 1}
            wrong = await talk.call("do", action="queue_label", arguments={**item, "choice": "perhaps"})
            assert wrong.result.is_error
            said = await talk.call("do", action="queue_label", arguments={**item, "choice": "pass", "note": "it is"})
            assert said.text.startswith("# queue_label: done") and "left: 1" in said.text
            back = await talk.call("do", action="queue_undo", arguments={"queue": "mcp-labels"})
            assert "left: 2" in back.text
            await talk.call("do", action="queue_skip", arguments=item)
            listed = await talk.call("get", id="queues")
            assert "mcp-labels" in listed.text

    try:
        anyio.run(work)
    finally:
        mcp_server.post("/api/v1/queues", {"name": "mcp-labels", "closed": True})
