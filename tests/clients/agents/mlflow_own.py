"""MLflow's tracing of the openai SDK, exported over OTLP as its documentation shows."""

import os

from setting import OTLP_URL, SESSION, USER

os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{OTLP_URL}/v1/traces"
os.environ["OTEL_SERVICE_NAME"] = "concierge-service"
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow
from mlflow.entities import SpanType
from openai_conversation import converse

mlflow.openai.autolog()


def agent(name, question, work):
    @mlflow.trace(name=name, span_type=SpanType.AGENT)
    def run(question):
        mlflow.update_current_trace(metadata={"mlflow.trace.session": SESSION, "mlflow.trace.user": USER})
        return work()

    return run(question)


def tool(name, call_id, arguments, work):
    @mlflow.trace(name=name, span_type=SpanType.TOOL)
    def run(**_arguments):
        return work()

    return run(**arguments)


converse(agent, tool)
