"""What a running server holds."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilothouse.access import Keyring
from pilothouse.approvals import Approvals, Notifier
from pilothouse.budgets import Budgets
from pilothouse.guards import Guards
from pilothouse.jobs import Desk
from pilothouse.online import Online
from pilothouse.policies import Drafts, Policies
from pilothouse.policy import Watch
from pilothouse.results import Results
from pilothouse.routing import Replays, Routing
from pilothouse.runtime.served import ServedTools
from pilothouse.store import TraceStore
from pilothouse.store.cache_store import CacheStore
from pilothouse.store.control_store import ControlStore
from pilothouse.store.count_store import CountStore

from .analyses import Analyses
from .config import Config
from .on_demand import OnDemand
from .online import OnlineWorker
from .supervised import SupervisedProcess
from .worker_process import WorkerProcess


@dataclass(slots=True, kw_only=True)
class ServerState:
    """The parts of a running server that its surfaces share."""

    data: Path
    store: TraceStore
    control: ControlStore
    keyring: Keyring
    worker: WorkerProcess
    forwarder: SupervisedProcess | None
    """Passes on to other backends; None where none is configured."""
    jobs: Desk
    """Durable runs."""
    job_worker: OnDemand
    """What runs them, once there are any."""
    analyses: Analyses
    """Analyses, whose runs are among them."""
    agent_tools: ServedTools
    """The runtime's tools for agents elsewhere: their plans, their large values."""
    policy: Watch
    """The policy file, as it is now."""
    policies: Policies
    """Its versions, and what another one would do."""
    drafts: Drafts
    """Policies that people work on at the page."""
    budgets: Budgets
    """What may be spent under that policy."""
    guards: Guards
    """The gates under that policy."""
    approvals: Approvals
    """Actions that wait for a person under that policy."""
    counts: CountStore
    """What capped actions have used."""
    answers: CacheStore
    """Kept answers of the gateway."""
    routing: Routing
    """Models of difficulty, and replays before a switch."""
    online: Online
    """Scores on sampled production traces under that policy."""
    results: Results
    """Runs of suites that were sent here."""
    config: Config
    project_id: str
    """The first project: what the one-time link and the local token open."""
    token: str
    version: str
    notifier: Notifier | None = None
    """Tells people that something waits for them, once the server knows its address."""
    online_worker: OnlineWorker | None = None
    """What scores, once the server knows its address."""
    replays: Replays | None = None
    """Stored calls that are asked of another model, once the gateway is there."""
    counters: dict[str, int] = field(default_factory=dict[str, int])

    def close(self) -> None:
        """Close in the order that loses nothing: what writes to the store first."""
        self.policy.stop()
        if self.replays is not None:
            self.replays.close()
        if self.online_worker is not None:
            self.online_worker.close()
        self.job_worker.close()
        self.jobs.close()
        self.agent_tools.close()
        self.worker.close()
        if self.forwarder is not None:
            self.forwarder.close()
        self.budgets.close()
        self.approvals.close()
        self.counts.close()
        self.answers.close()
        self.routing.close()
        self.online.close()
        self.results.close()
        self.store.close()
        self.control.close()

    def worker_status(self) -> dict[str, Any]:
        """The worker's last report; empty before its first."""
        try:
            return json.loads((self.data / "worker.json").read_text())
        except (OSError, ValueError):
            return {}

    def forward_status(self) -> dict[str, dict[str, Any]]:
        """How far each backend is that records are passed on to; empty where none is configured."""
        if self.forwarder is None:
            return {}
        try:
            return json.loads((self.data / "forward.json").read_text())
        except (OSError, ValueError):
            return {}

    def disk_free_bytes(self) -> int:
        """Free disk under the data folder."""
        return shutil.disk_usage(self.data).free
