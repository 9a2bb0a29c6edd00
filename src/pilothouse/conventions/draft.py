"""A reading in the making: a dialect fills what it knows, the next one fills what is still empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pilothouse.records import Document, Kind, Message, Reading, ToolDefinition, Usage


@dataclass(slots=True)
class Draft:
    """The fields of :class:`~pilothouse.records.Reading`, mutable and empty. Only ``kind`` may stay undecided."""

    dialect: str
    kind: Kind | None = None
    name: str = ""
    agent: str = ""
    agent_id: str = ""
    agent_version: str = ""
    operation: str = ""
    model: str = ""
    request_model: str = ""
    provider: str = ""
    response_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    finish_reason: str = ""
    input: tuple[Message, ...] = ()
    begins_with_request: bool = False
    output: tuple[Message, ...] = ()
    input_value: str = ""
    output_value: str = ""
    tools: tuple[ToolDefinition, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""
    tool_error: str = ""
    documents: tuple[Document, ...] = ()
    session_id: str = ""
    user_id: str = ""
    tags: tuple[str, ...] = ()
    environment: str = ""
    feature: str = ""
    prompt_name: str = ""
    prompt_version: str = ""
    prompt_template: str = ""
    usage: Usage | None = None
    cost_given_usd: Decimal | None = None
    ttft_ns: int | None = None
    error_type: str = ""
    error_message: str = ""
    error_stack: str = ""
    running: bool = False
    span_id: str = ""
    parent_span_id: str | None = None
    consumed: set[str] = field(default_factory=set[str])
    notes: list[str] = field(default_factory=list[str])

    def note(self, text: str) -> None:
        """Tell the reader something, once."""
        if text not in self.notes:
            self.notes.append(text)

    def reading(self) -> Reading:
        """The finished reading."""
        return Reading(
            dialect=self.dialect,
            kind=self.kind or "other",
            name=self.name,
            agent=self.agent,
            agent_id=self.agent_id,
            agent_version=self.agent_version,
            operation=self.operation,
            model=self.model,
            request_model=self.request_model,
            provider=self.provider,
            response_id=self.response_id,
            parameters=self.parameters,
            finish_reason=self.finish_reason,
            input=self.input,
            begins_with_request=self.begins_with_request,
            output=self.output,
            input_value=self.input_value,
            output_value=self.output_value,
            tools=self.tools,
            tool_name=self.tool_name,
            tool_call_id=self.tool_call_id,
            tool_error=self.tool_error,
            documents=self.documents,
            session_id=self.session_id,
            user_id=self.user_id,
            tags=self.tags,
            environment=self.environment,
            feature=self.feature,
            prompt_name=self.prompt_name,
            prompt_version=self.prompt_version,
            prompt_template=self.prompt_template,
            usage=self.usage,
            cost_given_usd=self.cost_given_usd,
            ttft_ns=self.ttft_ns,
            error_type=self.error_type,
            error_message=self.error_message,
            error_stack=self.error_stack,
            running=self.running,
            span_id=self.span_id,
            parent_span_id=self.parent_span_id,
            consumed=frozenset(self.consumed),
            notes=tuple(self.notes),
        )
