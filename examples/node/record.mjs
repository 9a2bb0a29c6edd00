// Agent and tool spans by the GenAI conventions of OpenTelemetry: what no instrumentation of a model client can see.

import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

const tracer = trace.getTracer('concierge');

/** Runs work() as an agent; its question and answer are on the span. */
export function agent(name, question, work, { session } = {}) {
  const attributes = {
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.agent.name': name,
    'gen_ai.input.messages': JSON.stringify([{ role: 'user', parts: [{ type: 'text', content: question }] }]),
    ...(session && { 'gen_ai.conversation.id': session }),
  };
  return recorded(`invoke_agent ${name}`, attributes, work, (span, answer) =>
    span.setAttribute(
      'gen_ai.output.messages',
      JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content: answer }], finish_reason: 'stop' }]),
    ),
  );
}

/** Runs a tool call: exact arguments, raw result, and a result with isError counts as a failure. */
export function tool(name, callId, args, work) {
  const attributes = {
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': name,
    'gen_ai.tool.call.id': callId,
    'gen_ai.tool.call.arguments': JSON.stringify(args),
  };
  return recorded(`execute_tool ${name}`, attributes, work, (span, result) => {
    span.setAttribute('gen_ai.tool.call.result', typeof result === 'string' ? result : JSON.stringify(result));
    if (result?.isError) {
      span.setAttribute('error.type', 'tool_error');
      span.setStatus({ code: SpanStatusCode.ERROR, message: String(result.content?.[0]?.text ?? 'tool_error') });
    }
  });
}

function recorded(name, attributes, work, finish) {
  return tracer.startActiveSpan(name, { kind: SpanKind.INTERNAL, attributes }, async (span) => {
    try {
      const result = await work();
      finish(span, result);
      return result;
    } catch (error) {
      span.recordException(error);
      span.setAttribute('error.type', error.name);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      throw error;
    } finally {
      span.end();
    }
  });
}
