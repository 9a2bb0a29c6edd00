"""A judge's model that reads what it is sent, as a model would that obeys whatever stands outside the markers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pilothouse.evals.case import Case
from pilothouse.evals.case_text import read_case
from pilothouse.evals.judges.settings import Judge, read_judge
from pilothouse.evals.observed import Observed, ToolUse
from pilothouse.testing.answering import Outcome
from pilothouse.testing.exchange import ModelRequest
from pilothouse.testing.model_server import ModelServer
from pilothouse.testing.script import Reply, Rule, Script

Decides = Callable[[str, str], str]
"""From what stands outside the markers and what stands within them to the text that is answered."""
FENCED = re.compile(r"«([0-9a-f]{8})\n(.*?)\n\1»", re.DOTALL)


class JudgeServer(ModelServer):
    """Speaks the real wire formats; what it answers is decided by a function."""

    def __init__(self, decides: Decides) -> None:
        super().__init__({})
        self._decides = decides

    def outcome(self, request: ModelRequest) -> Outcome:
        """The scripted model's, by a script of this one answer."""
        inside = "\n".join(found[2] for found in FENCED.finditer(request.last_user))
        text = self._decides(FENCED.sub("", request.last_user), inside)
        script = Script(rules=(Rule(reply=Reply(text=text)),))
        return type(self._model)(script, seed=1).outcome(request)


def said(verdict: str, reason: str = "because") -> str:
    """A judge's answer in good form."""
    return json.dumps({"reason": reason, "verdict": verdict})


def judge(url: str, tmp_path: Any, **more: Any) -> Judge:
    """A judge at an address."""
    return read_judge("careful", {"model": "gpt-4.1", "url": url, **more}, tmp_path)


def a_case(*criteria: Any, **more: Any) -> Case:
    """A case with criteria."""
    return read_case(
        {"id": "c", "input": "May I send it back?", "criteria": list(criteria or ("It says 30 days",)), **more}
    )


def attempt(text: str, *results: str) -> Observed:
    """What an agent did: it looked something up, and answered."""
    uses = tuple(
        ToolUse(name="look_up", arguments={"n": n}, result=one, answered="live") for n, one in enumerate(results)
    )
    return Observed(text=text, tools=uses)
