"""Where an agent reserves what its calls may cost: the server's budgets, or those of a database of its own."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

from pilothouse.budgets import AT_LIMIT, Ask, AtLimit, Budgets, OverBudget, Rule, read_budgets
from pilothouse.otlp.destination import Destination, find_destination
from pilothouse.policy import watch
from pilothouse.records import BadRequest, NotAllowed, Unreachable, Usage

from .folders import runtime_folder

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Leave to make one call."""

    reservation_id: str
    output_tokens: int | None
    """To so many the model must be held."""


class BudgetDesk(Protocol):
    """Where calls are reserved. Its methods block; a capability calls them in a thread."""

    def reserve(self, ask: Ask) -> Granted:
        """Hold back what the call may cost at worst.

        Raises:
            OverBudget: it does not fit.
            Unreachable: nobody can say.
        """
        ...

    def settle(self, reservation_id: str, usage: Usage | None) -> None:
        """Book what it cost; None: nobody knows, so what was held back is booked."""
        ...

    def release(self, reservation_id: str) -> None:
        """Give it back: the call cost nothing."""
        ...


class OwnDesk:
    """Budgets in this process, over a database that other processes may share."""

    def __init__(self, budgets: Budgets, *, project_id: str = "local") -> None:
        self.budgets, self._project_id = budgets, project_id

    def reserve(self, ask: Ask) -> Granted:
        """Hold back what the call may cost at worst."""
        held = self.budgets.reserve(self._project_id, ask)
        return Granted(reservation_id=held.reservation_id, output_tokens=held.output_tokens)

    def settle(self, reservation_id: str, usage: Usage | None) -> None:
        """Book what it cost."""
        self.budgets.settle(self._project_id, reservation_id, usage=usage)

    def release(self, reservation_id: str) -> None:
        """Give it back."""
        self.budgets.release(self._project_id, reservation_id)


def own_desk(folder: Path | None = None) -> OwnDesk:
    """A desk without a server: the policy file that is found, ``budgets.db`` in the folder, else in the runtime's.

    Raises:
        BadRequest: the policy file is wrong.
    """
    from pilothouse.costs import PriceBook
    from pilothouse.store.budget_store import budgets_of

    place = folder or runtime_folder()
    policy = watch(data_folder=place, check=lambda found: (read_budgets(found.section("budgets")), None)[1])
    rules: Callable[[], tuple[Rule, ...]] = lambda: read_budgets(policy.policy.section("budgets"))  # noqa: E731
    return OwnDesk(Budgets(budgets_of("", place), rules, prices=PriceBook()))


class ServerDesk:
    """The budgets of a Pilothouse server, over HTTP: those of ``PILOTHOUSE_URL``, else of this machine."""

    def __init__(self, url: str = "", key: str = "") -> None:
        self._given = (url, key)

    def reserve(self, ask: Ask) -> Granted:
        """Hold back what the call may cost at worst."""
        body: dict[str, Any] = {name: getattr(ask, name) for name in Ask.__slots__}
        body["usd"] = None if ask.usd is None else str(ask.usd)
        data = self._post("reserve", body)
        return Granted(reservation_id=str(data["reservation_id"]), output_tokens=data["output_tokens"])

    def settle(self, reservation_id: str, usage: Usage | None) -> None:
        """Book what it cost."""
        body: dict[str, Any] = {"reservation_id": reservation_id}
        if usage is not None:
            body |= {"input_tokens": usage.input_total, "output_tokens": usage.output_total}
            body |= {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write}
        self._post("settle", body)

    def release(self, reservation_id: str) -> None:
        """Give it back."""
        self._post("release", {"reservation_id": reservation_id})

    def _post(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        # Found anew each time: a server that was started again has another key and port.
        place = find_destination(*self._given, os.environ)
        request = urllib.request.Request(  # noqa: S310  # a configured address, not one from content
            f"{place.endpoint}/api/v1/budgets/{verb}",
            data=json.dumps(body).encode(),
            headers=_headers(place),
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            raise _told(error.code, error.read()) from error
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise Unreachable(
                f"the budgets of {place.endpoint} do not answer", fix="pilothouse up, or PILOTHOUSE_URL"
            ) from error


def _headers(place: Destination) -> dict[str, str]:
    headers = {"content-type": "application/json", **dict(place.headers)}
    return headers | ({"authorization": f"Bearer {place.key}"} if place.key else {})


def _told(status: int, body: bytes) -> Exception:
    try:
        error: dict[str, Any] = json.loads(body)["error"]
        message = str(error["message"])
    except (ValueError, KeyError, TypeError):
        return Unreachable(f"the server of budgets answered {status}")
    if error.get("kind") == "over_budget":
        allowed: Any = error.get("allowed")
        named = cast("dict[str, Any]", allowed).get("at_limit") if isinstance(allowed, dict) else None
        at_limit: AtLimit = named if named in AT_LIMIT else "refuse"
        return OverBudget(message, at_limit=at_limit, got=error.get("got"), allowed=allowed, fix=error.get("fix"))
    if status in (401, 403):
        return NotAllowed(message, fix=error.get("fix"))
    if status < 500:
        return BadRequest(message, got=error.get("got"), allowed=error.get("allowed"), fix=error.get("fix"))
    return Unreachable(message)
