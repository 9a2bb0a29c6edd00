"""A link that signs a browser in once."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from pilothouse import access

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["access"])


class Link(BaseModel):
    """A one-time link."""

    path: str = Field(description="Path and token; put the server's address before it.")
    minutes: int = Field(description="How long it can wait to be used.")


@router.post("/sign-in-links", response_model=Envelope[Link])
def make(caller: Caller) -> Response:
    """Make a link with the rights of the key that asks."""
    # A key that is nobody's makes a link that is nobody's: it does not decide what waits for a person.
    person = caller.decider.name if caller.decider.kind == "person" else ""
    token = access.new_link(caller.control, caller.project_id, mode=caller.grant.mode, person=person)
    return answer({"path": f"/sign-in?token={token}", "minutes": access.LINK_MINUTES})
