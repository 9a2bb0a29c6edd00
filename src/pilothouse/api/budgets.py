"""Budgets: reserve before the money is spent, settle after, and how they stand."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.budgets import PURPOSES, Ask, BudgetOverview, Budgets, Reservation
from pilothouse.records import BadRequest, Usage

from .context import Caller, Context
from .envelope import Envelope, ErrorAnswer, answer

router = APIRouter(tags=["budgets"])

_FULL: dict[int | str, dict[str, Any]] = {
    402: {"model": ErrorAnswer, "description": "A budget has too little left: `allowed` says which, and what it does."}
}
Name = Annotated[str, Field(max_length=300)]
_Id = Annotated[str, Field(min_length=1, max_length=100, description="The reservation, as reserving it answered.")]


class NewReservation(BaseModel):
    """A call that is about to be made."""

    model_config = ConfigDict(extra="forbid")

    usd: Decimal | None = Field(None, ge=0, description="At worst, in US dollars; else model and tokens say it.")
    model: str = Field("", max_length=300, description="Needed where a budget is in dollars and usd is not given.")
    provider: str = Field("", max_length=100)
    input_tokens: int = Field(0, ge=0, le=10**12, description="At most; the bytes of the request are a safe bound.")
    output_tokens: int | None = Field(
        None, ge=0, le=10**12, description="At most. Without it the answer says to how many the model must be held."
    )
    run: Name = ""
    user: Name = ""
    feature: Name = ""
    tenant: Name = ""
    purpose: str = Field("call", max_length=20, description=f"One of {', '.join(PURPOSES)}.")
    lease_s: float = Field(600, ge=1, le=86_400, description="Held back for so long, unless it is renewed.")
    reservation_id: str = Field(
        "", max_length=100, description="An id of your own: the same request sent twice holds back once."
    )


class Spent(BaseModel):
    """What a call cost."""

    model_config = ConfigDict(extra="forbid")

    reservation_id: _Id
    usd: Decimal | None = Field(None, ge=0, description="Else the price of the tokens; else what was held back.")
    input_tokens: int | None = Field(None, ge=0, le=10**12, description="All of them, cached ones included.")
    cached_tokens: int = Field(0, ge=0, le=10**12, description="Of the input, read from the provider's cache.")
    cache_write_tokens: int = Field(0, ge=0, le=10**12, description="Of the input, written to the provider's cache.")
    output_tokens: int | None = Field(None, ge=0, le=10**12, description="All of them, reasoning included.")


class Named(BaseModel):
    """A reservation."""

    model_config = ConfigDict(extra="forbid")

    reservation_id: _Id


@router.post("/budgets/reserve", response_model=Envelope[Reservation], responses=_FULL)
def reserve(caller: Caller, wanted: NewReservation) -> Response:
    """Hold back what a call may cost at worst, in every budget that applies or in none. Needs write."""
    ask = Ask(**wanted.model_dump(exclude={"reservation_id"}))
    return answer(_budgets(caller).reserve(caller.project_id, ask, reservation_id=wanted.reservation_id))


@router.post("/budgets/settle", response_model=Envelope[Reservation])
def settle(caller: Caller, spent: Spent) -> Response:
    """Book what a call cost and give the rest back; once, however often it is said. Needs write."""
    usage: Usage | None = None
    if spent.input_tokens is not None or spent.output_tokens is not None:
        cached = spent.cached_tokens + spent.cache_write_tokens
        if cached > (spent.input_tokens or 0):
            raise BadRequest("cached tokens are a part of input_tokens", got=cached, allowed=spent.input_tokens or 0)
        usage = Usage(
            input_uncached=(spent.input_tokens or 0) - cached,
            cache_read=spent.cached_tokens,
            cache_write_5m=spent.cache_write_tokens,
            output_text=spent.output_tokens or 0,
        )
    return answer(_budgets(caller).settle(caller.project_id, spent.reservation_id, usd=spent.usd, usage=usage))


@router.post("/budgets/release", response_model=Envelope[Reservation])
def release(caller: Caller, named: Named) -> Response:
    """Give back what was held for a call that was not made, or cost nothing. Needs write."""
    return answer(_budgets(caller).release(caller.project_id, named.reservation_id))


@router.post("/budgets/renew", response_model=Envelope[Reservation])
def renew(caller: Caller, named: Named) -> Response:
    """Hold it for its whole lease again, for a call that takes long. Needs write."""
    return answer(_budgets(caller).renew(caller.project_id, named.reservation_id))


@router.get("/budgets", response_model=Envelope[BudgetOverview])
def show_budgets(
    caller: Caller,
    budget: Annotated[str, Query(max_length=100, description="Only this budget.")] = "",
    subject: Annotated[str, Query(max_length=300, description="Only of this user, feature, tenant or run.")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Accounts, those that changed last first.")] = 100,
) -> Response:
    """Budgets, how they stand, what retries and judges add, and the rule of which budget holds."""
    found = caller.provider.budgets.overview(caller.project_id, budget=budget, subject=subject, limit=limit)
    return answer(found, next=["pilothouse cost", "pilothouse docs budgets"])


def _budgets(caller: Context) -> Budgets:
    caller.need("write")
    return caller.provider.budgets
