"""The pages as one router: each page as HTML, ``.json`` and ``.md``, the static files, sign-in, and error pages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pilothouse.access import check_same_site
from pilothouse.records import BadRequest, Broken, Clock, NotAllowed, NotFound, PilothouseError, SystemClock, TooLarge

from .context import as_plain
from .markdown import as_markdown
from .pages import PAGES
from .pages.approval import approval_page
from .pages.errors import ErrorPage
from .pages.patterns import PATTERNS
from .pages.policy import policy_checked
from .pages.sign_in import SignInPage
from .reader import Provider, Visitor
from .respond import SECURITY_HEADERS, respond, respond_json
from .shell import THEME_COOKIE, shell
from .static_files import files
from .templating import render
from .visit import PageSpec, Visit, link

log = logging.getLogger(__name__)
TWINS = (".json", ".md")
FORM_BYTES_MAX = 64_000
"""A form of a page: a note of the greatest length fits, whatever its script."""
POLICY_BYTES_MAX = 4_000_000
"""A form with a policy of the greatest length, each of its characters written as three."""
IMMUTABLE = "public, max-age=31536000, immutable"


def build(provider: Provider, clock: Clock | None = None) -> APIRouter:
    """The router of all pages and of ``/static``. It answers its own errors as pages."""
    site = _Site(provider, clock or SystemClock())
    router = APIRouter(include_in_schema=False)
    # A route of a variable part would swallow the twins of a fixed one, so fixed paths come first.
    for page in sorted((*PAGES, PATTERNS), key=lambda page: "{" in page.path):
        for path in _paths(page):
            router.add_route(path, site.page(page), methods=["GET", "HEAD"])
    router.add_route("/sign-in", site.sign_in, methods=["GET", "HEAD"])
    router.add_route("/annotations", site.annotate, methods=["POST"])
    router.add_route("/annotations/{id}/remove", site.remove_annotation, methods=["POST"])
    router.add_route("/deletions/{id}/confirm", site.confirm_deletion, methods=["POST"])
    router.add_route("/deletions/{id}/refuse", site.refuse_deletion, methods=["POST"])
    router.add_route("/approvals/{id}/{verb}", site.decide_approval, methods=["POST"])
    router.add_route("/queues/{queue}/{verb}", site.queue, methods=["POST"])
    router.add_route("/guards/switches", site.throw_switch, methods=["POST"])
    router.add_route("/guards/proposals/{id}/accept", site.accept_proposal, methods=["POST"])
    router.add_route("/guards/proposals/{id}/dismiss", site.dismiss_proposal, methods=["POST"])
    router.add_route("/policy", site.change_policy, methods=["POST"])
    router.add_route("/policy/check", site.check_policy, methods=["POST"])
    router.add_route("/policy/versions/{number}/undo", site.undo_policy, methods=["POST"])
    router.add_route("/sign-out", site.sign_out, methods=["POST"])
    router.add_route("/static/{name:path}", static, methods=["GET", "HEAD"])
    return router


def _paths(page: PageSpec) -> list[str]:
    if page.path == "/":
        return ["/", "/overview", "/overview.json", "/overview.md"]
    if page.path.endswith("}"):
        # The variable part takes the suffix along; the handler splits it off.
        return [page.path.replace("}", ":path}") if page.tail else page.path]
    return [page.path, *(page.path + twin for twin in TWINS)]


class _Site:
    """The handlers, bound to who is asking and what time it is."""

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self.provider = provider
        self.clock = clock

    def page(self, page: PageSpec) -> Callable[[Request], Any]:
        """The handler of one page. The page is made in a worker thread: stores are slow and synchronous."""

        async def handler(request: Request) -> Response:
            return await run_in_threadpool(self.answer, page, request)

        return handler

    def answer(self, page: PageSpec, request: Request) -> Response:
        """One page in the form its address asks for, or the page of what went wrong."""
        path, form = _form(request)
        visitor: Visitor | None = None
        try:
            visitor = self.provider.visitor(request)
            return self.shown(page, request, visitor, path, form)
        except NotAllowed as error:
            if form == "html" and type(error) is NotAllowed:
                here = f"{quote(path)}?{request.url.query}" if request.url.query else quote(path)
                return RedirectResponse(link("/sign-in", next=here if path != "/" else ""), 303, SECURITY_HEADERS)
            return self.failed(request, error, form, visitor)
        except PilothouseError as error:
            return self.failed(request, error, form, visitor)
        except Exception:
            log.exception("page %s failed", page.name)
            return self.failed(request, Broken("the page could not be made; the server's log says why"), form, visitor)

    def shown(self, page: PageSpec, request: Request, visitor: Visitor, path: str, form: str) -> Response:
        """One page, from its context."""
        now_ns = self.clock.now_ns()
        params = dict(request.query_params)
        made = page.gather(Visit(visitor=visitor, now_ns=now_ns, path=path, parts=_parts(page, path), params=params))
        if form != "html" and made.failure is not None:
            return self.refused(request, made.failure, form)
        if form == "json":
            return respond_json(request, as_plain(made))
        # The path came decoded, and a name in it may hold anything.
        address = quote(path)
        twin = "/overview" if path == "/" else address
        if form == "md":
            return respond(request, as_markdown(made.title, as_plain(made), address=twin), "text/markdown")
        frame = shell(
            visitor=visitor,
            current=page.nav or page.name,
            theme=request.cookies.get(THEME_COOKIE, ""),
            here=address,
            twin=twin,
            query=urlencode([(k, v) for k, v in request.query_params.multi_items() if k not in ("format", "part")]),
            now_ns=now_ns,
        )
        body = render(f"{page.name}.html", shell=frame, page=made, part=params.get("part", ""))
        status = 400 if made.failure is not None else 200
        return respond(request, body, "text/html", status=status, etag="part" in params)

    def failed(self, request: Request, error: PilothouseError, form: str, visitor: Visitor | None) -> Response:
        """An error as a page, or in the one error shape of every surface."""
        if form != "html":
            return self.refused(request, error.as_dict(), form, status=error.http_status)
        made = ErrorPage.of(error)
        return respond(request, self.frame(request, "error.html", made, visitor), "text/html", status=error.http_status)

    def refused(self, request: Request, shape: Mapping[str, Any], form: str, status: int = 400) -> Response:
        """An error as a twin."""
        if form == "json":
            return respond_json(request, {"ok": False, "error": shape}, status=status)
        return respond(request, as_markdown(str(shape["message"]), dict(shape)), "text/markdown", status=status)

    def frame(self, request: Request, template: str, made: Any, visitor: Visitor | None) -> str:
        """A page without twins."""
        frame = shell(
            visitor=visitor,
            current="",
            theme=request.cookies.get(THEME_COOKIE, ""),
            here=request.url.path,
            twin="",
            query="",
            now_ns=self.clock.now_ns(),
        )
        return render(template, shell=frame, page=made, part="")

    async def sign_in(self, request: Request) -> Response:
        """Spend a one-time link, or tell how to get one."""
        token = request.query_params.get("token", "")
        onward = _safe_path(request.query_params.get("next", ""))
        problem = ""
        if token:
            try:
                cookie = await run_in_threadpool(self.provider.sign_in, token)
            except NotAllowed as error:
                problem = error.message
            else:
                answer = RedirectResponse(onward or "/", 303, SECURITY_HEADERS)
                answer.set_cookie(**cookie)
                return answer
        made = SignInPage.of(str(request.base_url).rstrip("/"), problem)
        return respond(
            request, self.frame(request, "sign_in.html", made, None), "text/html", status=401 if problem else 200
        )

    async def sign_out(self, request: Request) -> Response:
        """End the visitor's session. The cookie is SameSite, so no other site can press this."""
        name = await run_in_threadpool(self.provider.sign_out, request)
        answer = RedirectResponse("/sign-in", 303, SECURITY_HEADERS)
        answer.delete_cookie(name)
        return answer

    async def annotate(self, request: Request) -> Response:
        """Write what a form holds, and go back to where it stood."""
        return await self.written(request, lambda visitor, form: visitor.writer.annotate(form))

    async def remove_annotation(self, request: Request) -> Response:
        """Remove one's own, and go back to where it stood."""
        name = str(request.path_params["id"])
        return await self.written(request, lambda visitor, form: visitor.writer.remove(name))

    async def confirm_deletion(self, request: Request) -> Response:
        """Delete what waits to be deleted."""
        name = str(request.path_params["id"])
        return await self.written(request, lambda visitor, form: visitor.writer.decide(name, confirm=True))

    async def refuse_deletion(self, request: Request) -> Response:
        """Keep what waits to be deleted."""
        name = str(request.path_params["id"])
        return await self.written(request, lambda visitor, form: visitor.writer.decide(name, confirm=False))

    async def decide_approval(self, request: Request) -> Response:
        """Decide about an action, or say something about it; then the next one."""
        body = await _form_body(request, FORM_BYTES_MAX * 20)
        return await run_in_threadpool(self.approval_decided, request, body)

    def approval_decided(self, request: Request, body: bytes) -> Response:
        """The next approval, or this one with what is wrong with the decision and the words that came with it."""
        visitor: Visitor | None = None
        name, verb = str(request.path_params["id"]), str(request.path_params["verb"])
        form: dict[str, str] = {}
        try:
            check_same_site(request.headers)
            visitor = self.provider.visitor(request)
            form = _form_fields(body, FORM_BYTES_MAX * 20)
            return RedirectResponse(visitor.writer.approval(name, verb, form), 303, SECURITY_HEADERS)
        except NotAllowed as error:
            if type(error) is NotAllowed:
                return RedirectResponse("/sign-in", 303, SECURITY_HEADERS)
            return self.approval_refused(request, error, visitor, name, form)
        except ValueError as error:
            return self.approval_refused(request, BadRequest(str(error)), visitor, name, form)
        except PilothouseError as error:
            return self.approval_refused(request, error, visitor, name, form)
        except Exception:
            log.exception("a decision failed")
            broken = Broken("the decision could not be taken; the server's log says why")
            return self.failed(request, broken, "html", visitor)

    def approval_refused(
        self, request: Request, error: PilothouseError, visitor: Visitor | None, name: str, form: Mapping[str, str]
    ) -> Response:
        """The page of an approval with why a decision was not taken."""
        try:
            if visitor is None:
                return self.failed(request, error, "html", visitor)
            made = approval_page(visitor.reader.approval(name), problem=error.as_dict(), said=form.get("text", ""))
        except PilothouseError:
            return self.failed(request, error, "html", visitor)
        return respond(
            request, self.frame(request, "approval.html", made, visitor), "text/html", status=error.http_status
        )

    async def change_policy(self, request: Request) -> Response:
        """Check, try or put in force the policy of a form."""
        return await self.written(request, lambda visitor, form: visitor.writer.policy(form), POLICY_BYTES_MAX)

    async def check_policy(self, request: Request) -> Response:
        """What is wrong with a policy while it is typed: a part of its page."""
        body = await _form_body(request, POLICY_BYTES_MAX)
        return await run_in_threadpool(self.checked_policy, request, body)

    def checked_policy(self, request: Request, body: bytes) -> Response:
        """The part of the page that says what is wrong with a text."""
        visitor: Visitor | None = None
        try:
            check_same_site(request.headers)
            visitor = self.provider.visitor(request)
            made = policy_checked(visitor, _form_fields(body, POLICY_BYTES_MAX))
            return respond(request, render("policy.html", shell=None, page=made, part="problems"), "text/html")
        except PilothouseError as error:
            return self.failed(request, error, "html", visitor)

    async def accept_proposal(self, request: Request) -> Response:
        """Switch a proposed rule on."""
        name = str(request.path_params["id"])
        return await self.written(request, lambda visitor, form: visitor.writer.proposal(name, accept=True))

    async def dismiss_proposal(self, request: Request) -> Response:
        """Say no to a proposed rule."""
        name = str(request.path_params["id"])
        return await self.written(request, lambda visitor, form: visitor.writer.proposal(name, accept=False))

    async def queue(self, request: Request) -> Response:
        """Label, skip or undo, then the next item; or make, fill, close a queue, or change its choices."""
        name, verb = str(request.path_params["queue"]), str(request.path_params["verb"])
        return await self.written(request, lambda visitor, form: visitor.writer.queue(name, verb, form))

    async def throw_switch(self, request: Request) -> Response:
        """Stop an agent or a tool, or let it go on."""
        return await self.written(request, lambda visitor, form: visitor.writer.switch(form))

    async def undo_policy(self, request: Request) -> Response:
        """Take up an earlier version of the policy."""
        number = str(request.path_params["number"])
        return await self.written(request, lambda visitor, form: visitor.writer.policy_undo(number))

    async def written(
        self, request: Request, write: Callable[[Visitor, Mapping[str, str]], str | None], limit: int = FORM_BYTES_MAX
    ) -> Response:
        """A form of a page, which no other site can send; then the page again, or the one that ``write`` names."""
        body = await _form_body(request, limit)
        return await run_in_threadpool(self.answer_form, request, body, write, limit)

    def answer_form(
        self,
        request: Request,
        body: bytes,
        write: Callable[[Visitor, Mapping[str, str]], str | None],
        limit: int = FORM_BYTES_MAX,
    ) -> Response:
        """The page the form stood on, or the page of what is wrong with it."""
        visitor: Visitor | None = None
        try:
            check_same_site(request.headers)
            visitor = self.provider.visitor(request)
            form = _form_fields(body, limit)
            onward = write(visitor, form)
            return RedirectResponse(onward or _safe_path(form.get("back", "")) or "/", 303, SECURITY_HEADERS)
        except NotAllowed as error:
            if type(error) is NotAllowed:
                return RedirectResponse("/sign-in", 303, SECURITY_HEADERS)
            return self.failed(request, error, "html", visitor)
        except ValueError as error:
            return self.failed(request, BadRequest(f"the form cannot be read: {error}"), "html", visitor)
        except PilothouseError as error:
            return self.failed(request, error, "html", visitor)
        except Exception:
            log.exception("a form failed")
            return self.failed(
                request, Broken("the form could not be taken; the server's log says why"), "html", visitor
            )

    def not_found(self, request: Request) -> Response:
        """The page of an address that leads nowhere."""
        try:
            visitor = self.provider.visitor(request)
        except PilothouseError:
            visitor = None
        error = NotFound("there is no page at this address", got=request.url.path, fix="the side bar lists the pages")
        return self.failed(request, error, _form(request)[1], visitor)


def not_found_handler(provider: Provider, clock: Clock | None = None) -> Callable[[Request], Response]:
    """What the server answers to a browser at an unknown address."""
    return _Site(provider, clock or SystemClock()).not_found


async def _form_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _form_fields(body: bytes, limit: int) -> dict[str, str]:
    if len(body) > limit:
        raise TooLarge(f"this form holds at most {limit // 1_000:,} kB", got=f"more than {limit:,} bytes")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200))


async def static(request: Request) -> Response:
    """A static file. Under its address with the right ``v`` it may be kept for ever."""
    file = files().get(request.path_params["name"])
    if file is None:
        return Response("no such file\n", 404, SECURITY_HEADERS, "text/plain")
    fresh = request.query_params.get("v") == file.digest
    headers = {
        **SECURITY_HEADERS,
        "Cache-Control": IMMUTABLE if fresh else "no-cache",
        "ETag": f'"{file.digest}"',
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.type)
    return Response(file.plain, headers=headers, media_type=file.type)


def _form(request: Request) -> tuple[str, str]:
    """The address without the suffix of a twin, and the form asked for."""
    path: str = request.scope["path"]
    asked = request.query_params.get("format", "")
    if asked in ("html", "json", "md"):
        return path, asked
    for twin in TWINS:
        if path.endswith(twin):
            return path.removesuffix(twin), twin[1:]
    accepts = request.headers.get("accept", "")
    if accepts.startswith("application/json"):
        return path, "json"
    return path, "md" if accepts.startswith("text/markdown") else "html"


def _parts(page: PageSpec, path: str) -> dict[str, str]:
    """The variable parts of a path whose suffix is already off."""
    wanted = page.path.strip("/").split("/")
    given = path.strip("/").split("/", len(wanted) - 1)
    return {name[1:-1]: part for name, part in zip(wanted, given, strict=False) if name.startswith("{")}


def _safe_path(word: str) -> str:
    """A path on this server, or nothing: a link in a mail must not lead elsewhere after sign-in."""
    plain = word.startswith("/") and not word.startswith("//") and "\\" not in word and word.isprintable()
    return word if plain else ""
