"""Public fakes: a scripted model server that speaks real wire formats, and a receiver that keeps what it is sent.

Everything here needs the base install only.
"""

from pilothouse.testing.exchange import Answer, ModelRequest, ToolCall, Usage
from pilothouse.testing.model_server import ModelServer, RecordedRequest
from pilothouse.testing.otlp_sink import OtlpSink, SinkRequest
from pilothouse.testing.script import Fault, Latency, Reply, Rule, Script, ScriptError

__all__ = [
    "Answer",
    "Fault",
    "Latency",
    "ModelRequest",
    "ModelServer",
    "OtlpSink",
    "RecordedRequest",
    "Reply",
    "Rule",
    "Script",
    "ScriptError",
    "SinkRequest",
    "ToolCall",
    "Usage",
]
