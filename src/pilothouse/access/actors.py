"""Who writes: a key, a signed-in browser, or a command on the server's own machine; and acting with less right.

A command line says of itself who runs it, person or agent, and with which mode at most. That is a guard rail against
what an agent does by mistake. It is no boundary: whoever can read the server's folder could leave the words out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast
from urllib.parse import urlsplit

from pilothouse.records import ACTOR_KINDS, Actor, ActorKind, BadRequest, Forbidden

from .keys import MODES, Grant

ACTOR_HEADER = "x-pilothouse-actor"
"""``KIND NAME``: who runs the command, e.g. ``agent claude-code``."""
MODE_HEADER = "x-pilothouse-mode"
"""The most the caller wants to be allowed; never more than the key has."""
PAGE_ID = "page"


def actor_of(grant: Grant, headers: Mapping[str, str]) -> Actor:
    """Who writes with a grant. What a key was made for counts before what its user says.

    Raises:
        BadRequest: the header names no kind of actor.
    """
    said, _, name = headers.get(ACTOR_HEADER, "").strip().partition(" ")
    if said and said not in ACTOR_KINDS:
        raise BadRequest("there is no such kind of actor", got=said[:40], allowed=list(ACTOR_KINDS))
    # A program that says nothing of itself is taken for an agent: what needs a person is not done for it.
    kind = cast("ActorKind", grant.actor_kind or said or "agent")
    if grant.key_id:
        return Actor(id=grant.key_id, name=grant.who, kind=kind)
    if grant.who == "page":
        return Actor(id=PAGE_ID, name=grant.person or "page", kind="person")
    shown = "".join(character for character in name.strip() if character.isprintable())[:100] or grant.who
    return Actor(id=f"local:{shown}", name=shown, kind=kind)


def decider(grant: Grant, headers: Mapping[str, str]) -> Actor:
    """Who decides with a grant what waits for a person. A person is one only by more than their own word.

    A key counts as a person's where it was made for one, a browser where it was signed in for one, and a command on the
    server's own machine where a person sits at it. Whoever says of itself that it is an agent is one.
    """
    actor = actor_of(grant, headers)
    said_agent = headers.get(ACTOR_HEADER, "").strip().startswith("agent")
    local = not grant.key_id and grant.who != "page"
    known = local or bool(grant.person) or (bool(grant.key_id) and grant.actor_kind == "person")
    return actor if known and not said_agent else replace(actor, kind="agent")


def check_same_site(headers: Mapping[str, str]) -> None:
    """Refuse what another site's page sends with a visitor's cookie; only our own page may write with it.

    Raises:
        Forbidden: the request does not come from a page of this server.
    """
    site = headers.get("sec-fetch-site", "")
    origin = headers.get("origin", "")
    # Our pages send no referrer, so a browser says "null" for the origin of their forms; where it was sent from is then
    # in the other header, which no page can set.
    named = origin not in ("", "null")
    own = urlsplit(origin).netloc == headers.get("host", "") if named else site in ("same-origin", "none")
    if not own or site not in ("", "same-origin", "none"):
        raise Forbidden("a page of another site cannot write here", got=origin or site or "no origin")


def narrowed(grant: Grant, headers: Mapping[str, str]) -> Grant:
    """The grant, or less where the caller asks for less.

    Raises:
        BadRequest: the header names no mode.
    """
    wanted = headers.get(MODE_HEADER, "").strip()
    if not wanted:
        return grant
    if wanted not in MODES:
        raise BadRequest("no such mode", got=wanted[:40], allowed=list(MODES))
    return replace(grant, mode=wanted, narrowed=True) if grant.allows(wanted) and grant.mode != wanted else grant
