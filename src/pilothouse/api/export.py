"""Exports: a stream of JSON lines that ``pilothouse pull`` writes to a folder."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from pilothouse.files import stream
from pilothouse.files.spec import read_spec

from .context import Caller

router = APIRouter(tags=["export"])


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
def export_traces(
    caller: Caller,
    spec: Annotated[
        str, Query(max_length=8_000, description='JSON: {"kind": "trace|session|query", "id": …, "text": …}.')
    ],
    after_version: Annotated[int, Query(ge=0, le=2**63 - 1, description="The watermark's version.")] = 0,
    after_id: Annotated[str, Query(max_length=32, description="The watermark's trace id.")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="Traces in this answer.")] = stream.TRACES_A_STREAM,
) -> StreamingResponse:
    """The traces that changed after a watermark, file by file, as JSON lines; each trace ends with its watermark."""
    lines = stream.stream(
        caller.store,
        caller.project_id,
        read_spec(spec),
        after=(after_version, after_id),
        limit=limit,
        now_ns=time.time_ns(),
    )
    return StreamingResponse(lines, media_type="application/x-ndjson")
