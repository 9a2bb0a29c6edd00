// Sends what an agent does to Pilothouse. Load it before anything else: node --import ./tracing.mjs agent.mjs
//
// OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS say where to and with which key, OTEL_SERVICE_NAME who.

import { OpenAIInstrumentation } from '@arizeai/openinference-instrumentation-openai';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, detectResources, envDetector } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import OpenAI from 'openai';

export const provider = new NodeTracerProvider({
  resource: defaultResource().merge(detectResources({ detectors: [envDetector] })),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(), { scheduledDelayMillis: 500 })],
});
// Registers W3C trace context and baggage too, so that a trace goes on across HTTP.
provider.register();

const instrumentation = new OpenAIInstrumentation();
instrumentation.setTracerProvider(provider);
// ES modules cannot be patched from outside: the class is handed over.
instrumentation.manuallyInstrument(OpenAI);

process.once('beforeExit', () => provider.shutdown());
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => provider.shutdown().finally(() => process.kill(process.pid, signal)));
}
