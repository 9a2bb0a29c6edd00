"""The pages, one noun a file: a frozen context, and the function that gathers it."""

from pilothouse.web.visit import PageSpec

from .agent import AGENT
from .analysis import ANALYSIS
from .analysis_run import ANALYSIS_RUN
from .approval import APPROVAL
from .approvals import APPROVALS
from .budgets import BUDGETS
from .compare import COMPARE
from .context import CONTEXT
from .deletion import DELETION
from .doctor import DOCTOR
from .eval_run import EVAL_RUN
from .evals import EVALS
from .fleet import FLEET
from .gateway import GATEWAY
from .guards import GUARDS
from .job import JOB
from .jobs import JOBS
from .keys import KEYS
from .labelling import LABELLING
from .live import LIVE
from .logs import LOGS
from .map import MAP
from .online import ONLINE
from .overview import OVERVIEW
from .policy import POLICY
from .queue import QUEUE
from .queues import QUEUES
from .session import SESSION
from .sessions import SESSIONS
from .span import SPAN
from .spans import SPANS
from .sql import SQL
from .trace import TRACE
from .traces import TRACES

PAGES: tuple[PageSpec, ...] = (
    OVERVIEW,
    LIVE,
    TRACES,
    TRACE,
    SPANS,
    SPAN,
    CONTEXT,
    COMPARE,
    SESSIONS,
    SESSION,
    LOGS,
    FLEET,
    AGENT,
    MAP,
    SQL,
    DOCTOR,
    ANALYSIS,
    ANALYSIS_RUN,
    QUEUES,
    QUEUE,
    LABELLING,
    EVALS,
    EVAL_RUN,
    JOBS,
    JOB,
    APPROVALS,
    APPROVAL,
    BUDGETS,
    GATEWAY,
    GUARDS,
    ONLINE,
    POLICY,
    KEYS,
    DELETION,
)
"""Every page that shows what was recorded."""

__all__ = ["PAGES"]
