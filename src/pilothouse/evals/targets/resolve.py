"""A target by its name: ``module:attribute``, an address, or the thing itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pilothouse.records import BadRequest, NotFound

from .addresses import address_target
from .attempt import Target
from .callables import callable_target


def resolve(target: Any, *, folder: Path | None = None) -> Target:
    """A target from its name or from the thing itself.

    ``folder``: where modules are looked for too; None: the working directory.

    Raises:
        BadRequest: it is nothing that can be run.
        NotFound: there is no such module or attribute.
    """
    if isinstance(target, str):
        if target.startswith(("http://", "https://")):
            return address_target(target)
        target = named(target, folder=folder)
    module = type(target).__module__.partition(".")[0]
    kinds = {one.__module__.partition(".")[0] for one in type(target).__mro__}
    if "pydantic_ai" in kinds or module == "pydantic_ai":
        from .pydantic_ai import pydantic_ai_target

        return pydantic_ai_target(target)
    if "agents" in kinds and hasattr(target, "handoffs"):
        from .openai_agents import openai_agents_target

        return openai_agents_target(target)
    if "langgraph" in kinds and hasattr(target, "ainvoke"):
        from .langgraph import langgraph_target

        return langgraph_target(target)
    if getattr(target, "__pilothouse_target__", False):
        return cast("Target", target)
    if callable(target):
        return callable_target(cast("Callable[..., Any]", target))
    raise BadRequest(
        "this cannot be run as a target",
        got=type(target).__name__,
        allowed="a callable, an address, or an agent of pydantic-ai, openai-agents or LangGraph",
    )


def named(name: str, *, folder: Path | None = None) -> Any:
    """The thing that ``module:attribute`` names; what a target or a scorer of the user's own is called.

    Raises:
        BadRequest: it is no such name, or the module cannot be imported.
        NotFound: there is no such module or attribute.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise BadRequest(
            "a target is module:attribute or an address",
            got=name[:200],
            fix="pilothouse eval run --target my_agent:agent",
        )
    place = str(folder or Path.cwd())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise NotFound(
                "there is no such module", got=module_name, fix=f"run it from its folder ({place} was searched)"
            ) from error
        raise BadRequest(f"{module_name} needs a module that is missing", got=error.name) from error
    except Exception as error:
        raise BadRequest(f"{module_name} cannot be imported", got=f"{type(error).__name__}: {error}"[:300]) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise NotFound(
                f"{module_name} has no such name",
                got=attribute,
                allowed=[one for one in dir(found) if not one.startswith("_")][:20],
            )
        found = getattr(found, part)
    return found
