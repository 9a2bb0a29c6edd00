"""Signing in to the page: a one-time link, then a cookie. Both are stored as hashes."""

from __future__ import annotations

import time
from typing import cast

from pilothouse.records import NotAllowed, new_secret
from pilothouse.store.control_store import ControlStore

from .keys import Grant, Mode, hash_secret

LINK_MINUTES = 60
"""How long a sign-in link can wait to be used."""
COOKIE_DAYS = 30
"""How long a browser stays signed in."""


def new_link(control: ControlStore, project_id: str, *, mode: str = "admin", person: str = "") -> str:
    """Make a one-time sign-in token for ``/sign-in?token=…``.

    ``person``: who will use it. Where no person is named, as by a key that is nobody's, the page shows everything and
    does what the mode allows, but does not decide what waits for a person.
    """
    return _remember(control, "link", project_id, mode, LINK_MINUTES * 60, person)


def sign_in(control: ControlStore, token: str) -> str:
    """Trade a sign-in token for a cookie. A token works once.

    Raises:
        NotAllowed: the token was used, has expired or never was.
    """
    digest = hash_secret(token)
    session = control.page_session(digest, "link")
    if session is None or not control.drop_page_session(digest):
        raise NotAllowed("this sign-in link was used or has expired", fix="pilothouse sign-in")
    return _remember(control, "cookie", session["project_id"], session["mode"], COOKIE_DAYS * 86_400, session["person"])


def page_grant(control: ControlStore, cookie: str | None) -> Grant:
    """Who a browser is.

    Raises:
        NotAllowed: not signed in, or not any more.
    """
    session = control.page_session(hash_secret(cookie), "cookie") if cookie else None
    if session is None:
        raise NotAllowed("not signed in", fix="pilothouse sign-in")
    mode = cast("Mode", session["mode"])
    return Grant(
        project_id=session["project_id"],
        key_id="",
        mode=mode,
        who="page",
        actor_kind="person",
        person=session["person"],
    )


def sign_out(control: ControlStore, cookie: str) -> None:
    """Forget a browser."""
    control.drop_page_session(hash_secret(cookie))


def _remember(control: ControlStore, purpose: str, project_id: str, mode: str, seconds: int, person: str) -> str:
    secret = new_secret("phs")
    expires_ns = time.time_ns() + seconds * 1_000_000_000
    control.add_page_session(
        secret_hash=hash_secret(secret),
        purpose=purpose,
        project_id=project_id,
        mode=mode,
        expires_ns=expires_ns,
        person=person,
    )
    return secret
