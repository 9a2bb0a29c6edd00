// The Vercel AI SDK: two turns with tools, one streamed, one with Anthropic's prompt cache, and a refused call.
// DIALECT=legacy records the spans that versions before 7 emit.

import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { LegacyOpenTelemetry, OpenTelemetry } from '@ai-sdk/otel';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { generateText, isStepCount, registerTelemetry, streamText, tool } from 'ai';
import { z } from 'zod';

const { MODEL_URL, DIALECT } = process.env;
const INSTRUCTIONS =
  'You are the concierge of a small hotel. Answer in one or two sentences and never invent a fact. ' +
  'Ask a tool for anything that changes: the weather, the time, the price of a room. ' +
  'Name the place in every answer, because guests read several answers at once.';

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({
    'service.name': 'concierge-service',
    'service.version': '1.4.0',
    'deployment.environment.name': 'staging',
  }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
registerTelemetry(DIALECT === 'legacy' ? new LegacyOpenTelemetry() : new OpenTelemetry({ usage: true, runtimeContext: true }));

const openai = createOpenAI({ baseURL: `${MODEL_URL}/v1`, apiKey: 'none' });
const anthropic = createAnthropic({ baseURL: `${MODEL_URL}/v1`, apiKey: 'none' });
const place = z.object({ city: z.string() });
const common = {
  maxRetries: 0,
  tools: {
    get_weather: tool({
      description: 'Tell the weather of a city.',
      inputSchema: place,
      execute: async ({ city }) => `sunny, 21 degrees in ${city}`,
    }),
    get_time: tool({
      description: 'Tell the local time of a city.',
      inputSchema: place,
      execute: async ({ city }) => `14:05 in ${city}`,
    }),
  },
  stopWhen: isStepCount(4),
  runtimeContext: { sessionId: 'session-7', userId: 'user-42', tags: ['vip'] },
  telemetry: { functionId: 'concierge', includeRuntimeContext: { sessionId: true, userId: true, tags: true } },
};

const first = await generateText({
  ...common,
  model: openai.chat('gpt-4.1-mini'),
  instructions: INSTRUCTIONS,
  prompt: 'What are the weather and the time in Paris?',
});
const second = streamText({
  ...common,
  model: openai.responses('gpt-5-mini'),
  instructions: INSTRUCTIONS,
  messages: [
    { role: 'user', content: 'What are the weather and the time in Paris?' },
    { role: 'assistant', content: first.text },
    { role: 'user', content: 'And the weather in Rome?' },
  ],
});
await second.consumeStream();
await generateText({
  ...common,
  model: anthropic('claude-haiku-4-5'),
  instructions: {
    role: 'system',
    content: INSTRUCTIONS,
    providerOptions: { anthropic: { cacheControl: { type: 'ephemeral' } } },
  },
  prompt: 'What is the weather in Oslo?',
});
try {
  await generateText({ ...common, model: openai.chat('gpt-4.1-mini'), prompt: 'Please refuse this question.' });
} catch {
  // The scripted server refuses it; the spans of the failure are what we want.
}
await provider.shutdown();
