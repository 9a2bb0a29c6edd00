"""Which model a request needs: how hard it is, learned from a project's own calls, and replays before a switch."""

from .desk import Routing
from .difficulty import DifficultyModel, model_from
from .features import Request, features_of, task_class
from .model import Bin, Evaluation, Scored, Threshold, Trained
from .replaying import Answered, Asker, Replay, ReplayReport, Replays, Target
from .training import Wanted, train

__all__ = [
    "Answered",
    "Asker",
    "Bin",
    "DifficultyModel",
    "Evaluation",
    "Replay",
    "ReplayReport",
    "Replays",
    "Request",
    "Routing",
    "Scored",
    "Target",
    "Threshold",
    "Trained",
    "Wanted",
    "features_of",
    "model_from",
    "task_class",
    "train",
]
