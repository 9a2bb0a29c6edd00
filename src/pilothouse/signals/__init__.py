"""What is wrong with a trace: rules over plain facts, without a language model and without a store."""

from .catalogue import RULES, Rule
from .detect import detect, expects_more
from .facts import NO_BASELINE, Baseline, Pulse, SpanFact, Spread, WindowOf, no_window
from .finish import plans
from .liveness import Liveness, LiveState, liveness, stall_limit_s
from .stored import from_json, to_json
from .thresholds import Rulebook, Thresholds, read_rulebook

__all__ = [
    "NO_BASELINE",
    "RULES",
    "Baseline",
    "LiveState",
    "Liveness",
    "Pulse",
    "Rule",
    "Rulebook",
    "SpanFact",
    "Spread",
    "Thresholds",
    "WindowOf",
    "detect",
    "expects_more",
    "from_json",
    "liveness",
    "no_window",
    "plans",
    "read_rulebook",
    "stall_limit_s",
    "to_json",
]
