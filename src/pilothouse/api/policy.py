"""The policy file: which one is in force, and what is wrong with a newer one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from pilothouse.policy import json_schema

from .context import Caller
from .envelope import Envelope, answer

router = APIRouter(tags=["policy"])


class PolicyInfo(BaseModel):
    """The policy in force."""

    version: str = Field(description="Hash of its content; none where there is no file.")
    path: str = Field(description="Empty where there is no file: everything is at its default.")
    sections: dict[str, Any] = Field(description="What it says, by section.")
    error: dict[str, Any] | None = Field(
        description="What is wrong with the file as it is now; this one stays in force."
    )


@router.get("/policy", response_model=Envelope[PolicyInfo])
def show_policy(caller: Caller) -> Response:
    """The policy in force. Needs write: it names upstreams and what is watched for."""
    caller.need("write")
    watched = caller.provider.policy
    policy = watched.refresh()
    wrong = watched.error
    return answer(
        {
            "version": policy.version,
            "path": policy.path,
            "sections": dict(policy.sections),
            "error": None if wrong is None else wrong.as_dict(),
        }
    )


@router.get("/policy/schema", response_model=Envelope[dict[str, Any]])
def policy_schema(caller: Caller) -> Response:
    """JSON Schema of the file, for editors."""
    caller.need("read")
    return answer(json_schema())
