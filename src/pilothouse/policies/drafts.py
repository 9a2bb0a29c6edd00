"""Texts that people work on at the page: kept while they are looked at, tried in the background, never in force."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from pilothouse.policy import Problem
from pilothouse.records import NotFound, PilothouseError, new_id

from .desk import Policies
from .model import Trial

_DRAFTS_MAX = 100
"""Older ones are forgotten: they are texts in forms, which the browser has too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A text that somebody works on."""

    draft_id: str
    project: str
    text: str
    base: str
    """The revision of the file that it was begun from."""
    note: str = ""
    problems: tuple[Problem, ...] = ()
    error: str = ""
    """Why it was not put in force, or its trial ended; empty where nothing went wrong."""
    since: str = "24h"
    running: bool = False
    what: str = ""
    """What its trial is doing."""
    done: int = 0
    total: int = 0
    trial: Trial | None = None


class Drafts:
    """The drafts of a server, in memory. Safe to share between threads."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._lock = threading.Lock()
        self._drafts: OrderedDict[str, Draft] = OrderedDict()

    def keep(self, project: str, *, text: str, base: str, note: str = "", error: str = "", since: str = "24h") -> Draft:
        """Keep a text, with what is wrong with it."""
        draft = Draft(
            draft_id=new_id("dft"),
            project=project,
            text=text,
            base=base,
            note=note[:2_000],
            problems=self._policies.keeper.problems(text),
            error=error,
            since=since,
        )
        self._put(draft)
        return draft

    def find(self, project: str, draft_id: str) -> Draft:
        """A draft of a project.

        Raises:
            NotFound: there is none, or no longer.
        """
        with self._lock:
            found = self._drafts.get(draft_id)
        if found is None or found.project != project:
            raise NotFound(
                "this draft is no longer kept", got=draft_id[:60], fix="go back in the browser: the text is still there"
            )
        return found

    def start_trial(self, draft: Draft, since_ns: int) -> None:
        """Try a draft in the background; :meth:`find` says how far it is."""
        running = replace(draft, running=True, what="reading traces", error="")
        self._put(running)
        threading.Thread(target=self._try, args=(running, since_ns), name="policy trial", daemon=True).start()

    def _try(self, draft: Draft, since_ns: int) -> None:
        def progress(what: str, done: int, total: int) -> None:
            self._put(replace(draft, what=what, done=done, total=total))

        try:
            trial = self._policies.try_text(draft.project, draft.text, since_ns=since_ns, progress=progress)
        except PilothouseError as error:
            self._put(replace(draft, running=False, error=error.message))
        except Exception as error:
            self._put(replace(draft, running=False, error=f"the dry run failed: {type(error).__name__}"))
            raise
        else:
            self._put(replace(draft, running=False, trial=trial))

    def _put(self, draft: Draft) -> None:
        with self._lock:
            self._drafts[draft.draft_id] = draft
            self._drafts.move_to_end(draft.draft_id)
            while len(self._drafts) > _DRAFTS_MAX:
                self._drafts.popitem(last=False)
