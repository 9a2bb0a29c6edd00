"""Annotation queues for pages: how they stand, what is next, and what a form says."""

from __future__ import annotations

from collections.abc import Mapping

from pilothouse.access import Grant, Mode
from pilothouse.queues import Handed, Queue, QueueInfo, Queues, Wanted, find_targets
from pilothouse.records import Actor, BadRequest, Forbidden, NotFound
from pilothouse.store import TraceStore
from pilothouse.store.control_store import ControlStore
from pilothouse.traces import parse_moment
from pilothouse.web import QueueShown

_LABELS = 50


class QueueReader:
    """The queues of a project for one visitor."""

    def __init__(self, store: TraceStore, control: ControlStore, grant: Grant, who: Actor) -> None:
        self._store, self._grant, self._who = store, grant, who
        self._queues = Queues(store, control, grant.project_id, who)

    def list(self) -> tuple[QueueInfo, ...]:
        """All queues, the newest first."""
        return tuple(self._queues.list())

    def one(self, name: str) -> QueueShown:
        """One queue with what its labels add up to."""
        found = self._queues.labels(name)
        return QueueShown(
            info=self._queues.show(name),
            taxonomy=self._queues.taxonomy(name),
            labels=tuple(reversed(found.labels[-_LABELS:])),
            more_labels=max(len(found.labels) - _LABELS, 0),
            may_change=self._grant.allows("write"),
        )

    def next(self, name: str, number: int | None, *, whole: bool) -> Handed:
        """The next item, which is then the visitor's for a while."""
        self._need("annotate")
        return self._queues.next(name, number=number, whole=whole)

    def act(self, name: str, verb: str, form: Mapping[str, str]) -> str:
        """Do what a form says; gives the address to go on at."""
        if verb in ("label", "skip", "undo"):
            return self._labelled(name, verb, form)
        self._need("write")
        if verb == "make":
            return self._made(form)
        if verb == "add":
            self._add(name, form)
        elif verb == "choices":
            word, into = form.get("word", "").strip(), form.get("into", "").strip()
            change = form.get("do", "")
            if change == "add":
                self._queues.add_choice(name, into)
            elif change == "rename":
                self._queues.rename_choice(name, word, into)
            elif change == "merge":
                self._queues.merge_choice(name, word, into)
            else:
                raise BadRequest("there is no such change", got=change[:40], allowed=["add", "rename", "merge"])
        elif verb in ("close", "reopen"):
            self._queues.close(name, closed=verb == "close")
        else:
            raise NotFound("there is no such thing to do", got=verb[:40])
        return f"/queues/{name}"

    def _labelled(self, name: str, verb: str, form: Mapping[str, str]) -> str:
        self._need("annotate")
        given = form.get("number", "")
        number = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else None
        if verb == "undo":
            taken = self._queues.undo(name)
            return f"/queues/{name}/next?item={taken.number}"
        if number is None:
            raise BadRequest("an item has a number", got=given[:40])
        if verb == "skip":
            self._queues.skip(name, number)
        else:
            note = form.get("note", "").replace("\r\n", "\n").strip()
            self._queues.label(name, number, form.get("choice", ""), note=note)
        # On to the next at once: whoever labels has a queue before them.
        return f"/queues/{name}/next?last={number}"

    def _made(self, form: Mapping[str, str]) -> str:
        words = [word.strip() for word in form.get("choices", "").replace(",", " ").split()]
        people = form.get("people", "") or "1"
        if not (people.isascii() and people.isdecimal() and len(people) < 4):
            raise BadRequest("how many people is a number", got=people[:40])
        queue = Queue(
            name=form.get("name", "").strip(), question=form.get("question", "").strip(), per_item=int(people)
        )
        made, _ = self._queues.make(queue, choices=words)
        self._add(made.name, form)
        return f"/queues/{made.name}"

    def _add(self, name: str, form: Mapping[str, str]) -> None:
        count, since = form.get("sample", "") or "50", form.get("since", "")
        if not (count.isascii() and count.isdecimal() and len(count) < 7):
            raise BadRequest("how many is a number", got=count[:40])
        scores = tuple(word.strip() for word in form.get("scores", "").split(",") if word.strip())
        wanted = Wanted(
            query=form.get("query", "").strip(),
            since_ns=parse_moment(since) if since else None,
            sample=None if scores else int(count),
            doubt=("unsure" if form.get("doubt") == "unsure" else "disagree") if scores else None,
            names=scores,
            limit=int(count),
        )
        self._queues.add(name, find_targets(self._store, self._grant.project_id, wanted))

    def _need(self, mode: Mode) -> None:
        if not self._grant.allows(mode):
            raise Forbidden(
                f"you are signed in without the right to {mode}",
                got=self._grant.mode,
                fix=f"PILOTHOUSE_MODE={mode} pilothouse sign-in",
            )
