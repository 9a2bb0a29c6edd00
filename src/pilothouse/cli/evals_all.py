"""All of ``eval``: its commands stand in several files, and this one brings them together."""

from . import evals_ci, evals_judges, evals_push, evals_results, evals_run
from .evals import evals
from .evals_backtest import backtest
from .evals_capture import from_trace
from .evals_escapes import escapes
from .evals_interop import export, import_
from .evals_minimise import minimise
from .evals_online import online
from .evals_replay import replay

for one in (from_trace, minimise, replay, backtest, escapes, import_, export, online):
    evals.add_command(one)

__all__ = ["evals", "evals_ci", "evals_judges", "evals_push", "evals_results", "evals_run"]
