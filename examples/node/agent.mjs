// A concierge with two tools. `agent.mjs QUESTION` answers once; `agent.mjs --serve` answers POST / {"question": …} and
// continues the caller's trace.

import { createServer } from 'node:http';
import { context, propagation } from '@opentelemetry/api';
import OpenAI from 'openai';
import { agent, tool } from './record.mjs';

const INSTRUCTIONS =
  'You are the concierge of a small hotel. Answer in one or two sentences and never invent a fact. ' +
  'Ask a tool for anything that changes: the weather, the time, the price of a room.';
const TOOLS = {
  get_weather: async ({ city }) => `sunny, 21 degrees in ${city}`,
  get_time: async ({ city }) => `14:05 in ${city}`,
};
const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = Object.keys(TOOLS).map((name) => ({
  type: 'function',
  function: { name, description: `Tell the ${name.slice(4)} of a city.`, parameters: city },
}));

// OPENAI_BASE_URL and OPENAI_API_KEY are read from the environment.
const client = new OpenAI();

function answer(question, session) {
  return agent('concierge', question, () => converse(question), { session });
}

async function converse(question) {
  const messages = [
    { role: 'system', content: INSTRUCTIONS },
    { role: 'user', content: question },
  ];
  for (let step = 0; step < 8; step++) {
    const completion = await client.chat.completions.create({ model: 'gpt-4.1-mini', messages, tools });
    const { message } = completion.choices[0];
    messages.push(message);
    if (!message.tool_calls?.length) return message.content;
    for (const call of message.tool_calls) {
      const args = JSON.parse(call.function.arguments);
      const result = await tool(call.function.name, call.id, args, () => TOOLS[call.function.name](args));
      messages.push({ role: 'tool', tool_call_id: call.id, content: result });
    }
  }
  throw new Error('no answer within 8 steps');
}

if (process.argv[2] === '--serve') {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    const { question, session } = JSON.parse(body);
    const caller = propagation.extract(context.active(), request.headers);
    const text = await context.with(caller, () => answer(question, session));
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ answer: text }));
  });
  server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () =>
    console.log(`http://127.0.0.1:${server.address().port}`),
  );
} else {
  console.log(await answer(process.argv[2] ?? 'What are the weather and the time in Paris?', 'session-7'));
}
