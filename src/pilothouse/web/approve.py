"""``/approve/TOKEN``: a signed link from a notification. Opening it shows; only its buttons decide.

Nobody is signed in here: the link is the right, to one action and nothing else.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from pilothouse.approvals import ApprovalInfo, Links, info
from pilothouse.records import BadRequest, Broken, Clock, PilothouseError, SystemClock, TooLarge

from .context import told
from .pages.errors import ErrorPage
from .respond import respond
from .shell import shell
from .templating import render

FORM_BYTES_MAX = 16 * 1024
log = logging.getLogger("pilothouse.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovePage:
    """What one link shows."""

    title: str = field(metadata=told("the page's title"))
    approval: ApprovalInfo = field(metadata=told("the action as it stands"))
    arguments: str = field(metadata=told("what it is called with, as JSON on lines"))
    reviewer: str = field(metadata=told("who the link was sent to"))
    token: str = field(metadata=told("the link itself, for its form"))
    open: bool = field(metadata=told("true where the link still decides"))
    problem: str = field(metadata=told("why it does not; empty where it does"))
    done: bool = field(metadata=told("true where it has just decided"))


def build(links: Links, clock: Clock | None = None) -> APIRouter:
    """The router of the links."""
    clock = clock or SystemClock()
    router = APIRouter(include_in_schema=False)

    async def show(request: Request) -> Response:
        token = str(request.path_params["token"])
        return await run_in_threadpool(_answered, request, token, lambda: _page(links, token), clock)

    async def decide(request: Request) -> Response:
        token = str(request.path_params["token"])
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES_MAX:
                break
        return await run_in_threadpool(_answered, request, token, lambda: _decided(links, token, bytes(body)), clock)

    router.add_route("/approve/{token}", show, methods=["GET", "HEAD"])
    router.add_route("/approve/{token}", decide, methods=["POST"])
    return router


def _page(links: Links, token: str, *, done: bool = False) -> ApprovePage:
    opened = links.open(token)
    shown = info(opened.approval)
    waits = opened.approval.state == "pending"
    problem = ""
    if not waits:
        problem = "" if done else f"It is {shown.state}."
    elif opened.used:
        problem = "This link was used before."
    elif opened.changed:
        problem = "The action has changed since this link was sent: it decides nothing any more."
    elif opened.approval.question:
        problem = "A question about it is not answered yet."
    return ApprovePage(
        title="Approve" if waits else "Decided",
        approval=shown,
        arguments=json.dumps(shown.arguments, indent=2, sort_keys=True),
        reviewer=opened.link.reviewer,
        token=token,
        open=waits and not problem,
        problem=problem,
        done=done,
    )


def _decided(links: Links, token: str, body: bytes) -> ApprovePage:
    if len(body) > FORM_BYTES_MAX:
        raise TooLarge("this form is too large", allowed=f"{FORM_BYTES_MAX:,} bytes")
    try:
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10))
    except ValueError as error:
        raise BadRequest(f"the form cannot be read: {error}") from error
    decision = form.get("decision", "")
    if decision not in ("approve", "reject"):
        raise BadRequest("a link decides one of these", got=decision[:40], allowed=["approve", "reject"])
    text = form.get("text", "").replace("\r\n", "\n").strip()
    if decision == "reject" and not text:
        raise BadRequest("say why: the agent is told, and plans anew", fix="go back and write a sentence")
    links.decide(token, yes=decision == "approve", text=text)
    return _page(links, token, done=True)


def _answered(request: Request, token: str, make: object, clock: Clock) -> Response:
    assert callable(make)
    try:
        page, template, status = make(), "approve.html", 200
    except PilothouseError as error:
        page, template, status = ErrorPage.of(error), "error.html", error.http_status
    except Exception:
        log.exception("a link failed")
        page, template, status = (
            ErrorPage.of(Broken("a defect of ours: the server's log says which")),
            "error.html",
            500,
        )
    frame = shell(visitor=None, current="", theme="", here="/approve", twin="", query="", now_ns=clock.now_ns())
    answer = respond(request, render(template, shell=frame, page=page, part=""), "text/html", status=status)
    # A link is a right: nothing keeps the page, and nothing passes its address on.
    answer.headers["Cache-Control"] = "no-store"
    return answer
