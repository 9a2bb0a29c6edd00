"""Public fakes: a scripted model server that speaks real wire formats, and receivers that keep what they are sent.

Everything here needs the base install only.
"""

from pilothouse.testing.exchange import Answer, ModelRequest, ToolCall, Usage
from pilothouse.testing.model_proxy import ModelProxy, ProxiedCall
from pilothouse.testing.model_server import ModelServer, RecordedRequest
from pilothouse.testing.otlp_sink import OtlpSink, SinkRequest
from pilothouse.testing.script import Fault, Latency, Reply, Rule, Script, ScriptError
from pilothouse.testing.traffic import AskedTool, HandedResult, ModelTraffic, read_traffic

__all__ = [
    "Answer",
    "AskedTool",
    "Fault",
    "HandedResult",
    "Latency",
    "ModelProxy",
    "ModelRequest",
    "ModelServer",
    "ModelTraffic",
    "OtlpSink",
    "ProxiedCall",
    "RecordedRequest",
    "Reply",
    "Rule",
    "Script",
    "ScriptError",
    "SinkRequest",
    "ToolCall",
    "Usage",
    "read_traffic",
]
