"""Online evals on this server: what its surfaces ask, and the process that scores, for as long as a policy asks for it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilothouse.access import Grant
from pilothouse.online import Online
from pilothouse.policy import Watch
from pilothouse.store import TraceStore
from pilothouse.store.online_store import online_of

from .config import Config
from .runtime import new_token, read_runtime
from .supervised import SupervisedProcess

if TYPE_CHECKING:
    from pilothouse.online.judging import OwnGateway
    from pilothouse.online.scoring import Means

    from .state import ServerState

KEY_VARIABLE: Final = "PILOTHOUSE_JUDGE_KEY_"
"""With a project's id after it: what judges ask this server's own gateway with. Set within our processes alone."""


def open_online(control: str, data: Path, store: TraceStore, policy: Watch, config: Config) -> Online:
    """What the surfaces of a server ask."""
    kept = online_of(control, data)

    def means() -> Means:
        from pilothouse.online.scoring import Means

        found = read_runtime(data)
        gateway = own_gateway(found.url if found is not None else "", _KEYS)
        return Means(
            store=store,
            kept=kept,
            folder=policy_folder(policy, data),
            allowed_code=config.online_code,
            gateway=gateway,
        )

    return Online(kept, policy, means)


def policy_folder(policy: Watch, data: Path) -> Path:
    """Where suites, rubrics and code of a policy are looked for: where its file lies."""
    path = policy.path
    return path.resolve().parent if path is not None else data


def own_gateway(url: str, keys: dict[str, str]) -> OwnGateway:
    """The gateway of a server, with keys by project, which are put into this process's environment."""
    from pilothouse.online.judging import OwnGateway

    named = {project: f"{KEY_VARIABLE}{project}" for project in keys}
    for project, name in named.items():
        os.environ[name] = keys[project]
    return OwnGateway(url=url, keys=named)


_KEYS: dict[str, str] = {}
"""By project: the keys of this server's own judges, made anew at each start."""


class OnlineWorker:
    """Starts the process that scores when a policy first asks for it, ends it when none does any more."""

    def __init__(self, state: ServerState, url: str, *, store: str, control: str) -> None:
        self._state, self._url = state, url
        self._options = {"store": store, "control": control}
        self._lock = threading.Lock()
        self._process: SupervisedProcess | None = None
        self._projects: frozenset[str] = frozenset()
        self._closed = False

    @property
    def process(self) -> SupervisedProcess | None:
        """None while no policy asks for a score."""
        return self._process

    def keep(self) -> None:
        """Bring the process in line with the policy and the projects of now."""
        wanted = bool(self._state.policy.policy.section("online"))
        projects = frozenset[str]()
        if wanted:
            projects = frozenset(str(row["project_id"]) for row in self._state.control.projects())
        with self._lock:
            if self._closed or (wanted == (self._process is not None) and projects == self._projects):
                return
            # Of a project that is new its judges need a key: the process is begun again, and nothing is lost with it.
            if self._process is not None:
                self._process.close()
            self._process = self._begin(projects) if wanted else None
            self._projects = projects

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.close()

    def _begin(self, projects: frozenset[str]) -> SupervisedProcess:
        for project in projects - set(_KEYS):
            _KEYS[project] = new_token()
            grant = Grant(project_id=project, key_id="online", mode="write", who="judges of online evals")
            self._state.keyring.add_own(_KEYS[project], grant)
        config: dict[str, Any] = {
            "control": self._options["control"],
            "url": self._url,
            "keys": {project: _KEYS[project] for project in projects},
            "code": list(self._state.config.online_code),
        }
        command = ["-m", "pilothouse.server.online_process", "--data", str(self._state.data)]
        return SupervisedProcess("online evals", [*command, "--store", self._options["store"]], config)
