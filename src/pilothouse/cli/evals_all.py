"""All of ``eval``: its commands stand in several files, and this one brings them together."""

from . import evals_run
from .evals import evals

__all__ = ["evals", "evals_run"]
