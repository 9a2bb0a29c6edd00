"""The verbs of routing on a server: learn from a project's calls, show what was learned, say how hard a request is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from pilothouse.records import BadRequest, Message, NotFound, Overloaded, PilothouseError, text_message
from pilothouse.store import TraceStore
from pilothouse.store.routing_store import RoutingStore

from .difficulty import DifficultyModel, model_from
from .features import Request
from .model import Bin, Evaluation, Scored, Threshold, Trained
from .training import Progress, Wanted, train

LOG: Final = logging.getLogger("pilothouse.routing")


class Routing:
    """Models of difficulty by project. :meth:`difficulty` reads no database: :meth:`refresh` does, beside the calls."""

    def __init__(self, store: TraceStore, kept: RoutingStore) -> None:
        self._store, self.kept = store, kept
        self._models: dict[str, DifficultyModel] = {}
        # One at a time: it takes a core for seconds.
        self._learning = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Take up models that were put in force, by whichever process."""
        wanted = self.kept.versions_in_force()
        if wanted == {project: model.version for project, model in self._models.items()}:
            return
        models: dict[str, DifficultyModel] = {}
        for project, body, _ in self.kept.models(only_in_force=True):
            try:
                models[project] = model_from(body)
            except (PilothouseError, KeyError, TypeError, ValueError) as error:
                LOG.warning("the model of difficulty of %s is left aside: %s", project, error)
        self._models = models

    def difficulty(self, project: str, messages: Sequence[Message], *, tools: int = 0, task: str = "") -> float | None:
        """How hard a request is: 0 to 1; None where the project has no model in force."""
        model = self._models.get(project)
        return None if model is None else model.difficulty(Request(messages=messages, tools=tools, task=task))

    def knows(self, project: str) -> bool:
        """Whether the project has a model in force."""
        return project in self._models

    def train(
        self, project: str, wanted: Wanted, *, keep: bool = True, progress: Progress = lambda _w, _d, _t: None
    ) -> Trained:
        """Learn from a window, and put the model in force where it tells hard from easy.

        Raises:
            BadRequest: too little is known.
            Overloaded: another one is being made.
        """
        if not self._learning.acquire(timeout=1):
            raise Overloaded("another model is being made", fix="try again in a minute", retry_after_s=30)
        try:
            model, trained = train(self._store, project, wanted, progress=progress)
        finally:
            self._learning.release()
        trained = replace(trained, in_force=keep and trained.useful)
        if keep:
            made_ns = wanted.until_ns
            self.kept.keep_model(project, model.version, model.as_dict(), made_ns, in_force=trained.in_force)
            self.refresh()
        return trained

    def models(self, project: str) -> list[Trained]:
        """What was learned, the newest first."""
        return [replace(_trained(body["report"]), in_force=on) for _, body, on in self.kept.models(project)]

    def score(self, project: str, text: str, *, tools: int = 0, task: str = "") -> Scored:
        """How hard a question would be.

        Raises:
            NotFound: the project has no model in force.
        """
        model = self._models.get(project)
        if model is None:
            raise NotFound("this project has no model of difficulty in force", fix="pilothouse routing train")
        if not text:
            raise BadRequest("there is no text to be rated")
        found = self.difficulty(project, [text_message("user", text)], tools=tools, task=task)
        report = model.report
        about = {"cheap": report["cheap"], "auc": report["evaluation"]["auc"], "useful": report["useful"]}
        return Scored(difficulty=round(found or 0.0, 4), version=model.version, model=about)

    def close(self) -> None:
        """Let go of the database."""
        self.kept.close()


def _trained(report: dict[str, Any]) -> Trained:
    evaluation: dict[str, Any] = dict(report["evaluation"])
    evaluation["bins"] = tuple(Bin(**one) for one in evaluation["bins"])
    read: dict[str, Any] = {
        "evaluation": Evaluation(**evaluation),
        "thresholds": tuple(Threshold(**one) for one in report["thresholds"]),
        "words": tuple(report["words"]),
    }
    return Trained(**{**report, **read})
